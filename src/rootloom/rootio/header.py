"""The content of a ROOT file from its headers alone; no basket is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar, cast

import numpy as np

from rootloom.errors import ChangedError, InputError, LackError, naming, nearest
from rootloom.rootio import branches
from rootloom.rootio.branches import Container, Source, places, require_readable, types
from rootloom.rootio.joining import Friend, require_entries
from rootloom.rootio.names import INSIDE, nearest_branch, resolve, split_cycle
from rootloom.rootio.origin import Events, origin_of
from rootloom.rootio.transport.opening import open_root
from rootloom.rootio.transport.remote import Retry, brief
from rootloom.rootio.transport.staging import on_copy_if_needed, verified

if TYPE_CHECKING:
    import uproot

T = TypeVar("T")
CONTAINERS: dict[str, Container] = {
    "TTree": "ttree",
    "TNtuple": "ttree",
    "TNtupleD": "ttree",
    "TChain": "ttree",
    "ROOT::RNTuple": "rntuple",
    "ROOT::Experimental::RNTuple": "rntuple",
}
_RNTUPLE = "ROOT::"
_CHAIN = "TChain"
_INDEX = b"TTreeIndex"
_FOLDERS = ("TDirectory", "TDirectoryFile")


class Fields(TypedDict):
    """Fields of a `Header` as JSON data."""

    url: str
    tree: str
    container: Container
    entries: int
    size: int
    clusters: Sequence[int]
    branches: dict[str, str]
    checksum: str
    origin: str
    first_entry: int
    friends: dict[str, Fields]


@dataclass(frozen=True)
class Header:
    """Headers of one tree of one file.

    clusters: entries where all branches start a new basket, with 0 and the number of entries.
    branches: full path → type as ROOT spells it (see `rootloom.rootio.branches`).
    checksum: SHA-256 over file size, file UUID, and the stored bytes of the tree's object (TTree:
        positions and sizes of all baskets) or of the anchor and the footer (RNTuple: checksummed
        positions of all pages). A file that was written again has another UUID and checksum.
    origin: from which the identities of its events are made, independent of the file's place:
    "UUID/tree" of the file, or "table SHA-256" of the text table that it was imported from.
    first_entry: the number of its first entry in the origin, 0 unless it was imported.
    friends: headers of the friend trees by the prefix of their branches.
    """

    url: str
    tree: str
    container: Container
    entries: int
    size: int
    clusters: tuple[int, ...]
    branches: dict[str, str]
    checksum: str
    origin: str
    first_entry: int = 0
    friends: Mapping[str, Header] = field(default_factory=dict)

    def all_branches(self) -> dict[str, str]:
        """Full path → type, friends' included: "friend/branch"; the tree's own come first."""
        own = dict(self.branches)
        for name, friend in self.friends.items():
            for path, kind in friend.branches.items():
                own.setdefault(f"{name}{INSIDE}{path}", kind)
        return own

    def content(self) -> str:
        """A value that changes with the content of the tree or of its friends."""
        if not self.friends:
            return self.checksum
        parts = [(name, friend.checksum) for name, friend in sorted(self.friends.items())]
        return hashlib.sha256(json.dumps([self.checksum, *parts]).encode()).hexdigest()

    def to_dict(self) -> Fields:
        """All fields, ready for JSON."""
        return cast(Fields, asdict(self))

    @classmethod
    def from_dict(cls, fields: Fields) -> Header:
        """The inverse of `to_dict`, also after conversion to JSON and back."""
        return cls(
            url=fields["url"],
            tree=fields["tree"],
            container=fields["container"],
            entries=fields["entries"],
            size=fields["size"],
            clusters=tuple(fields["clusters"]),
            branches=fields["branches"],
            checksum=fields["checksum"],
            origin=fields["origin"],
            first_entry=fields["first_entry"],
            friends={name: cls.from_dict(one) for name, one in fields["friends"].items()},
        )


def inspect(url: str, tree: str, *, retry: Retry | None = None) -> Header:
    """Read the headers of `tree` in the file at `url` (path, `root://`, `https://`).

    Raises InputError for a file that is missing, empty, truncated or not a ROOT file, for a
    wrong size or checksum, and for a missing tree.
    """

    def read() -> Header:
        with open_root(url) as directory:
            return _read(directory, url, tree)

    retry = retry or Retry()
    with verified(url, retry=retry), ExitStack() as stack:
        return on_copy_if_needed(stack, url, retry, read)


def with_friends(
    header: Header, friends: Mapping[str, Friend], *, retry: Retry | None = None
) -> Header:
    """A header with those of its friends.

    Raises InputError for a friend that is missing, has another number of entries without `by`, or
    lacks a branch of `by`.
    """
    found = {
        name: inspect(friend.url, friend.tree, retry=retry) for name, friend in friends.items()
    }
    for name, friend in friends.items():
        if friend.by is None:
            _require_no_index(name, friend, retry)
        require(header, friend.by or ())
        require(found[name], friend.by or ())
        if not friend.by:
            require_entries(name, friend, found[name].entries, header.url, header.entries)
        if name in header.branches:
            raise InputError(
                f"{header.url}: tree '{header.tree}': friend '{name}'",
                expected="a name that no branch of the tree has",
                found=f"a branch of type {header.branches[name]}",
                fix="give the friend another name, and its own under `tree`",
            )
    return replace(header, friends=found)


def _require_no_index(name: str, friend: Friend, retry: Retry | None) -> None:
    """Refuse a friend with an index, by which ROOT would join it, if there is no `by`."""

    def indexed(directory: uproot.ReadOnlyDirectory) -> bool:
        key = _key_of(directory, friend.url, friend.tree)
        if CONTAINERS[key.fClassName] != "ttree":
            return False
        # uproot does not read the index of a tree; its class is named where there is one.
        return _INDEX in _bytes(key.get_uncompressed_chunk_cursor()[0])

    if _of_file(friend.url, indexed, retry):
        raise InputError(
            f"{friend.url}: tree '{friend.tree}', friend '{name}'",
            expected="`by`, for a friend with an index of its own",
            found="a TTreeIndex, and no `by`",
            fix=f"{name}: {{by: [run, event], …}} with the index's branches; "
            "by: [] matches entry by entry",
        )


def events_of(header: Header) -> Events:
    """The events in the tree of a header."""
    return Events(header.origin, header.first_entry, header.entries, header.url)


class Tree(NamedTuple):
    """Summary of a tree. cycles: all that the file has, the latest last.

    branches: number of top-level ones. problem: why it cannot be read, else "".
    """

    name: str
    container: Container
    cycles: tuple[int, ...]
    entries: int = 0
    branches: int = 0
    problem: str = ""


def trees(url: str, *, retry: Retry | None = None) -> list[str]:
    """Names of the TTrees and RNTuples in a file. Raises InputError when it cannot be read."""
    return _of_file(url, lambda directory: list(_keys_of_trees(directory)), retry)


def survey(url: str, *, retry: Retry | None = None) -> list[Tree]:
    """The TTrees and RNTuples in a file. Raises InputError when the file cannot be read."""

    def read(directory: uproot.ReadOnlyDirectory) -> list[Tree]:
        found = _keys_of_trees(directory)
        return [_in_a_few_words(name, keys, url) for name, keys in found.items()]

    return _of_file(url, read, retry)


def _of_file(url: str, action: Callable[[uproot.ReadOnlyDirectory], T], retry: Retry | None) -> T:
    def read() -> T:
        with open_root(url) as directory:
            return action(directory)

    with ExitStack() as stack:
        return on_copy_if_needed(stack, url, retry or Retry(), read)


def require(header: Header, names: Iterable[str]) -> None:
    """Raise InputError if a branch is missing, ambiguous, or cannot be read by uproot.

    All spellings that `resolve` accepts are allowed.
    """
    where, known = f"{header.url}: tree '{header.tree}'", header.all_branches()
    spelled = spell(known, names, where)
    for name, found in spelled.items():
        require_readable(known[found], where, name)


def spell(known: Mapping[str, str | None], names: Iterable[str], where: str) -> dict[str, str]:
    """Name → its spelling in the file. Raises InputError, naming `where`, for missing names."""
    spelled: dict[str, str | None] = {}
    for name in names:
        with naming(where):
            spelled[name] = resolve(known, name)
    if missing := [name for name, found in spelled.items() if found is None]:
        raise LackError(
            where,
            expected="branches " + ", ".join(f"'{name}'" for name in missing),
            found=f"{len(known)} branches without them",
            fix="; ".join(f"{name}: {nearest_branch(name, known)}" for name in missing[:3]),
            names=tuple(missing),
        )
    return {name: found for name, found in spelled.items() if found is not None}


def get_tree(
    directory: uproot.ReadOnlyDirectory, url: str, tree: str, checksum: str | None = None
) -> tuple[branches.Tree, Container]:
    """uproot's tree and its container.

    checksum: of its header when it was indexed; None for any.
    Raises InputError for a tree or cycle that is not in the file, with the nearest name, and for a
    format that cannot be read; ChangedError for another checksum.
    """
    where, key = f"{url}: tree '{tree}'", _key_of(directory, url, tree)
    opened, container = _opened(key, where), CONTAINERS[key.fClassName]
    if checksum is not None:
        _require_unchanged(where, _checksum(directory, opened, key, container), checksum)
    return opened, container


def _key_of(directory: uproot.ReadOnlyDirectory, url: str, tree: str) -> uproot.reading.ReadOnlyKey:
    where, path = f"{url}: tree '{tree}'", tree.strip(INSIDE)
    found = _keys_of_trees(directory, on_the_way_to=path)
    name, cycle = (tree, None) if path in found else split_cycle(tree)
    keys = found.get(name.strip(INSIDE))
    if not keys:
        raise _no_tree(directory, where, name, list(_keys_of_trees(directory)))
    if cycle is None:
        return keys[-1]
    cycles = [abs(key.fCycle) for key in keys]
    if cycle not in cycles:
        raise InputError(
            where,
            expected=f"a cycle of '{name}' with this number",
            found="cycles " + ", ".join(map(str, cycles))
            if len(cycles) > 1
            else f"only {cycles[0]}",
            fix=f"tree: {name} is the latest, cycle {cycles[-1]}",
        )
    return keys[cycles.index(cycle)]


def _no_tree(
    directory: uproot.ReadOnlyDirectory, where: str, name: str, trees: list[str]
) -> LackError:
    if trees:
        found = "trees: " + ", ".join(trees[:8]) + (", …" if len(trees) > 8 else "")
        last = [tree for tree in trees if tree.rpartition(INSIDE)[2] == name]
        fix = f"did you mean '{last[0]}'?" if last else nearest(name, trees)
    else:
        others = [path for path, _ in _keys(directory)]
        found = "no tree, " + (
            f"other objects: {', '.join(others[:8])}" if others else "no object at all"
        )
        fix = "is it a file of this dataset? leave it out"
    expected = "a TTree or RNTuple of that name"
    return LackError(where, expected=expected, found=found, fix=fix, names=(f"tree {name}",))


def _keys(
    directory: uproot.ReadOnlyDirectory, path: str = "", on_the_way_to: str = ""
) -> Iterator[tuple[str, uproot.reading.ReadOnlyKey]]:
    """Path, without cycle, and key of every object of a file, including those in folders.

    on_the_way_to: open only the folders that lead to this path, since a file may have thousands.
    uproot's own paths do not work for names with a slash, colon or semicolon.
    """
    for key in directory._keys:
        inside = f"{path}{key.fName}"
        if key.fClassName not in _FOLDERS:
            yield inside, key
        elif not on_the_way_to or on_the_way_to.startswith(inside + INSIDE):
            yield from _keys(key.get(), inside + INSIDE, on_the_way_to)


def _keys_of_trees(
    directory: uproot.ReadOnlyDirectory, on_the_way_to: str = ""
) -> dict[str, list[uproot.reading.ReadOnlyKey]]:
    """Path → keys of its cycles, the latest last."""
    found: dict[str, list[uproot.reading.ReadOnlyKey]] = {}
    for path, key in _keys(directory, on_the_way_to=on_the_way_to):
        if key.fClassName in CONTAINERS:
            found.setdefault(path, []).append(key)
    return {path: sorted(keys, key=lambda key: abs(key.fCycle)) for path, keys in found.items()}


def _opened(key: uproot.reading.ReadOnlyKey, where: str) -> branches.Tree:
    """uproot's object. Raises InputError for a tree of a format that it does not know."""
    if key.fClassName == _CHAIN:
        raise InputError(
            where,
            expected="a tree with entries of its own",
            found="a TChain, which names trees of other files",
            fix="list those files under `files`",
        )
    try:
        tree = key.get()
        if hasattr(tree, "num_entries"):
            tree.num_entries  # noqa: B018  (an RNTuple's header is read when it is first needed)
            return tree
        reason = f"a {key.fClassName} without entries of its own"
    except OSError:
        raise
    except Exception as error:
        if not key.fClassName.startswith(_RNTUPLE):
            raise
        # Versions before 1.0 have no stable format; damage looks the same.
        reason = f"{key.fClassName} of an unknown version, or damaged ({brief(error)})"
    raise InputError(
        where,
        expected="a TTree, or an RNTuple of version 1.0 (ROOT 6.34) or later",
        found=reason,
        fix="write it again with a newer ROOT",
    )


def _in_a_few_words(name: str, keys: list[uproot.reading.ReadOnlyKey], url: str) -> Tree:
    cycles = tuple(abs(key.fCycle) for key in keys)
    container = CONTAINERS[keys[-1].fClassName]
    try:
        tree = _opened(keys[-1], f"{url}: tree '{name}'")
    except OSError:
        raise
    except Exception as error:
        return Tree(name, container, cycles, problem=brief(error))
    return Tree(name, container, cycles, int(tree.num_entries), len(tree))


def cluster_offsets(
    tree: branches.Tree, container: Container, branches: Sequence[Source] | None = None
) -> list[int]:
    """Entries where all `branches`, uproot's, start a basket; first 0, last the entries.

    None: of all branches. If they have no common boundary, those of the branch with most bytes.
    """
    entries = int(tree.num_entries)
    if container == "rntuple":
        starts = {int(cluster.num_first_entry) for cluster in tree.cluster_summaries}
        return sorted(starts | {0, entries})
    chosen = [b for b in branches or tree.itervalues(recursive=True) if b.num_baskets > 0]
    common = {int(i) for i in _intersection(chosen)} | {0, entries}
    if len(common) <= 2 and chosen:
        largest = max(chosen, key=lambda branch: branch.compressed_bytes)
        common |= {int(i) for i in largest.entry_offsets}
    # A branch that was filled separately may have more entries than its tree.
    return sorted(i for i in common if i <= entries)


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


def _intersection(branches: Sequence[Source]) -> set[int]:
    offsets = [frozenset(branch.entry_offsets) for branch in branches]
    return set(frozenset.intersection(*offsets)) if offsets else set()


def _read(directory: uproot.ReadOnlyDirectory, url: str, name: str) -> Header:
    key = _key_of(directory, url, name)
    tree, container = _opened(key, f"{url}: tree '{name}'"), CONTAINERS[key.fClassName]
    checksum = _checksum(directory, tree, key, container)
    origin, first = origin_of(directory, name, int(tree.num_entries), checksum)
    return Header(
        url=url,
        tree=name,
        container=container,
        entries=int(tree.num_entries),
        size=int(directory.file.source.num_bytes),
        clusters=tuple(cluster_offsets(tree, container)),
        branches=types(places(tree, container)),
        checksum=checksum,
        origin=origin,
        first_entry=first,
    )


def _require_unchanged(where: str, found: str, checksum: str) -> None:
    """Raise ChangedError if an open file is not the one that was indexed with `checksum`.

    Size and time are not sufficient: another file may have the same.
    """
    if found != checksum:
        raise ChangedError(
            where,
            expected=f"the file that was indexed: its header sums up to {checksum[:16]}…",
            found=f"{found[:16]}…: it was replaced or written again since",
            fix="start again when the file is complete: it is then indexed again, and its "
            "results are made again",
            checksum=found,
        )


def _checksum(
    directory: uproot.ReadOnlyDirectory,
    tree: branches.Tree,
    key: uproot.reading.ReadOnlyKey,
    container: Container,
) -> str:
    file = directory.file
    digest = hashlib.sha256(f"{file.source.num_bytes} {file.uuid} ".encode())
    digest.update(_bytes(file.source.chunk(key.fSeekKey, key.fSeekKey + key.fNbytes)))
    if container == "rntuple":
        tree.footer  # noqa: B018  (reads the footer's bytes)
        digest.update(_bytes(tree._footer_chunk))
    return digest.hexdigest()


def _bytes(chunk: uproot.source.chunk.Chunk) -> bytes:
    return bytes(np.asarray(chunk.raw_data).tobytes())
