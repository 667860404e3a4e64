"""What a ROOT file holds, from its headers alone: no basket is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rootloom.errors import ChangedError, InputError, nearest
from rootloom.rootio.names import resolve
from rootloom.rootio.origin import Events, origin_of
from rootloom.rootio.remote import Retry, open_root
from rootloom.rootio.staging import on_copy_if_needed, verified

_CONTAINERS: dict[str, Literal["ttree", "rntuple"]] = {
    "TTree": "ttree",
    "TNtuple": "ttree",
    "TNtupleD": "ttree",
    "TChain": "ttree",
    "ROOT::RNTuple": "rntuple",
    "ROOT::Experimental::RNTuple": "rntuple",
}


@dataclass(frozen=True)
class Header:
    """Headers of one tree of one file.

    clusters: entries where all branches start a new basket, 0 and the number of entries included.
    branches: name → type as ROOT spells it.
    checksum: SHA-256 over file size, file UUID, and the stored bytes of the tree's object (TTree:
        positions and sizes of all baskets) or of the anchor and the footer (RNTuple: checksummed
        positions of all pages). A file that was written again has another UUID and checksum.
    origin: what the identities of its events begin from, wherever the file lies: "UUID/tree" of the
        file, or "table SHA-256" of the text table that it was imported from. first_entry: the
        number of its first entry there, 0 unless it was imported.
    """

    url: str
    tree: str
    container: Literal["ttree", "rntuple"]
    entries: int
    size: int
    clusters: tuple[int, ...]
    branches: dict[str, str]
    checksum: str
    origin: str
    first_entry: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Header:
        """The header that `to_dict` described, also after a passage through JSON."""
        return cls(**{**fields, "clusters": tuple(fields["clusters"])})

    def to_json(self) -> str:
        """JSON text of all fields."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Header:
        """The header written by `to_json`."""
        return cls.from_dict(json.loads(text))


def inspect(url: str, tree: str, *, retry: Retry | None = None) -> Header:
    """Read the headers of `tree` in the file at `url` (path, `root://`, `https://`).

    Raises InputError for a file that is missing, empty, truncated, no ROOT file, or not of the
    expected size and checksum, and for a tree that is not in it.
    """

    def read() -> Header:
        with open_root(url) as directory:
            return _read(directory, url, tree)

    retry = retry or Retry()
    with verified(url, retry=retry), ExitStack() as stack:
        return on_copy_if_needed(stack, url, retry, read)


def events_of(header: Header) -> Events:
    """Which events the tree of a header holds."""
    return Events(header.origin, header.first_entry, header.entries, header.url)


def trees(url: str, *, retry: Retry | None = None) -> list[str]:
    """Names of the TTrees and RNTuples in a file. Raises InputError when it cannot be read."""

    def read() -> list[str]:
        with open_root(url) as directory:
            classes = directory.classnames(recursive=True, cycle=False)
            return [name for name, kind in classes.items() if kind in _CONTAINERS]

    with ExitStack() as stack:
        return on_copy_if_needed(stack, url, retry or Retry(), read)


def require(header: Header, names: Iterable[str]) -> None:
    """Raises InputError when a branch is missing; spellings that `resolve` accepts are present."""
    missing = [name for name in names if resolve(header.branches, name) is None]
    if missing:
        raise InputError(
            f"{header.url}: tree '{header.tree}'",
            expected="branches " + ", ".join(f"'{name}'" for name in missing),
            found=f"{len(header.branches)} branches without them",
            fix="; ".join(f"{name}: {nearest(name, header.branches)}" for name in missing[:3]),
        )


def get_tree(directory: Any, url: str, tree: str) -> tuple[Any, Literal["ttree", "rntuple"]]:
    """uproot's tree and its container. Raises InputError, with the nearest name, without it."""
    classes = directory.classnames(recursive=True, cycle=False)
    trees = [name for name, kind in classes.items() if kind in _CONTAINERS]
    if tree.partition(";")[0] not in trees:
        others = [name for name in classes if name not in trees]
        raise InputError(
            f"{url}: tree '{tree}'",
            expected="a TTree or RNTuple of that name",
            found=f"trees: {', '.join(trees[:8])}"
            if trees
            else "no tree"
            + (f", other objects: {', '.join(others[:8])}" if others else ", no object at all"),
            fix=nearest(tree, trees) if trees else "is it a file of this dataset? leave it out",
        )
    return directory[tree], _CONTAINERS[classes[tree.partition(";")[0]]]


def cluster_offsets(tree: Any, container: str, names: Sequence[str] | None = None) -> list[int]:
    """Entries where all branches (or those in `names`) start a basket; first 0, last the entries.

    Where no boundary is common, those of the branch that takes most bytes.
    """
    if container == "rntuple":
        starts = {int(cluster.num_first_entry) for cluster in tree.cluster_summaries}
        return sorted(starts | {0, int(tree.num_entries)})
    chosen = [tree[name] for name in names] if names else list(tree.itervalues(recursive=True))
    chosen = [branch for branch in chosen if branch.num_baskets > 0]
    common = {int(i) for i in _intersection(chosen)} | {0, int(tree.num_entries)}
    if len(common) <= 2 and chosen:
        largest = max(chosen, key=lambda branch: branch.compressed_bytes)
        common |= {int(i) for i in largest.entry_offsets}
    return sorted(common)


def entry_range(header: Header, k: int, n: int) -> tuple[int, int]:
    """Entries [start, stop) of shard k of n: [kE/n, (k+1)E/n) rounded to cluster boundaries.

    The n ranges are disjoint and complete; some are empty when there are fewer clusters than n.
    """
    if not 0 <= k < n:
        raise ValueError(f"shard {k} of {n}")
    return _boundary(header, k, n), _boundary(header, k + 1, n)


def _boundary(header: Header, k: int, n: int) -> int:
    clusters = np.asarray(header.clusters, np.int64)
    wanted = k * header.entries // n
    return int(clusters[np.argmin(np.abs(clusters - wanted))])


def _intersection(branches: Sequence[Any]) -> set[int]:
    offsets = [frozenset(branch.entry_offsets) for branch in branches]
    return set(frozenset.intersection(*offsets)) if offsets else set()


def _read(directory: Any, url: str, name: str) -> Header:
    tree, container = get_tree(directory, url, name)
    checksum = checksum_of(directory, tree, name, container)
    origin, first = origin_of(directory, name, int(tree.num_entries), checksum)
    return Header(
        url=url,
        tree=name,
        container=container,
        entries=int(tree.num_entries),
        size=int(directory.file.source.num_bytes),
        clusters=tuple(cluster_offsets(tree, container)),
        branches=branch_types(tree, container),
        checksum=checksum,
        origin=origin,
        first_entry=first,
    )


def fields_of(ntuple: Any) -> dict[str, Any]:
    """Dotted path → RField. uproot's own `keys()` takes time quadratic in the number of fields."""
    return {field.path: field for field in ntuple.all_fields if field.path}


def branch_names(tree: Any, container: str) -> set[str]:
    """Names alone: types take a second for a thousand branches."""
    if container == "rntuple":
        return set(fields_of(tree))
    return {branch.name for branch in tree.itervalues(recursive=True)}


def branch_types(tree: Any, container: str) -> dict[str, str]:
    """Branch or field name → type name."""
    if container == "rntuple":
        return {path: str(field.typename) for path, field in fields_of(tree).items()}
    return {branch.name: str(branch.typename) for branch in tree.itervalues(recursive=True)}


def require_unchanged(
    directory: Any, tree: Any, url: str, name: str, container: str, checksum: str
) -> None:
    """Raises ChangedError when the open file is not the one that was indexed with `checksum`.

    Size and time do not tell: another file may have both.
    """
    found = checksum_of(directory, tree, name, container)
    if found != checksum:
        raise ChangedError(
            f"{url}: tree '{name}'",
            expected=f"the file that was indexed: its header sums up to {checksum[:16]}…",
            found=f"{found[:16]}…: it was replaced or written again since",
            fix="start again, once the file is complete: it is then indexed anew, and what was "
            "made of it is made anew",
            checksum=found,
        )


def checksum_of(directory: Any, tree: Any, name: str, container: str) -> str:
    """The `checksum` of a `Header`, from an open file."""
    file, key = directory.file, directory.key(name)
    digest = hashlib.sha256(f"{file.source.num_bytes} {file.uuid} ".encode())
    digest.update(_bytes(file.source.chunk(key.fSeekKey, key.fSeekKey + key.fNbytes)))
    if container == "rntuple":
        tree.footer  # noqa: B018  (reads the footer's bytes)
        digest.update(_bytes(tree._footer_chunk))
    return digest.hexdigest()


def _bytes(chunk: Any) -> bytes:
    return bytes(np.asarray(chunk.raw_data).tobytes())
