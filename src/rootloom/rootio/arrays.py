"""Branches as arrays, a bounded range of entries at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import awkward as ak
import numpy as np

from rootloom.errors import ChangedError, InputError, nearest
from rootloom.rootio.header import (
    branch_names,
    cluster_offsets,
    fields_of,
    get_tree,
    require_unchanged,
)
from rootloom.rootio.names import resolve
from rootloom.rootio.remote import Retry, open_root
from rootloom.rootio.source import is_remote
from rootloom.rootio.staging import on_copy_if_needed

MAX_STEP = 50_000
MAX_BYTES = 100_000_000

# Decompression in threads pays where it costs more than passing the work on.
_THREADED = ("ZLIB", "ZSTD", "LZMA")
_THREADS = 2


class Chunk(NamedTuple):
    """Entries [start, stop) and their arrays by branch name as asked for."""

    start: int
    stop: int
    arrays: dict[str, ak.Array]


class TreeFile:
    """One open tree of one file, and how it spells the branches `names`.

    checksum: of its header when it was indexed; None to read whatever is there.
    Raises ChangedError for another checksum, InputError for missing branches; what uproot raises
    for damage.
    """

    def __init__(
        self, url: str, tree: str, names: Sequence[str], checksum: str | None = None
    ) -> None:
        self._stack = ExitStack()
        try:
            self._directory = self._stack.enter_context(open_root(url))
            self._tree, self.container = get_tree(self._directory, url, tree)
            if checksum is not None:
                opened = self._directory, self._tree
                require_unchanged(*opened, url, tree, self.container, checksum)
            self.entries = int(self._tree.num_entries)
            self._spelled = _spelled(self._tree, self.container, url, tree, names)
            self._fields = fields_of(self._tree) if self.container == "rntuple" else {}
            self._executor = self._decompression()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and its threads."""
        self._stack.close()

    def steps(self, start: int, stop: int, step: int) -> list[tuple[int, int]]:
        """[start, stop) cut at cluster boundaries into about `step` entries, at most MAX_BYTES."""
        names = list(self._spelled.values())
        offsets = cluster_offsets(self._tree, self.container, names)
        room = max(1, int(MAX_BYTES / max(self._bytes_per_entry(), 1e-9)))
        return cut(offsets, start, stop, min(step, room), min(MAX_STEP, room))

    def read(self, start: int, stop: int) -> Chunk:
        """The arrays of entries [start, stop)."""
        spelled = self._spelled
        if self.container == "rntuple":
            found = self._fields_read(start, stop)
            arrays = {name: found[path] for name, path in spelled.items()}
            return Chunk(start, stop, arrays)
        found = self._tree.arrays(
            list(spelled.values()),
            entry_start=start,
            entry_stop=stop,
            decompression_executor=self._executor,
            how=dict,
        )
        return Chunk(start, stop, {name: found[path] for name, path in spelled.items()})

    def _fields_read(self, start: int, stop: int) -> dict[str, Any]:
        """Path → array. A collection's fields come together, so that its lengths are read once.

        The whole ntuple is never asked: uproot's search takes time quadratic in its fields.
        """
        groups: dict[str, set[str]] = {}
        for path in self._spelled.values():
            groups.setdefault(path.partition(".")[0], set()).add(path)
        found = {}
        for top, paths in groups.items():
            field = self._fields[top]
            if paths == {top}:
                found[top] = field.array(entry_start=start, entry_stop=stop)
                continue
            record = field.arrays(
                filter_field=lambda f, p=paths: f.path in p, entry_start=start, entry_stop=stop
            )
            found |= {path: record[tuple(path.split("."))] for path in paths}
        return found

    def _decompression(self) -> Any:
        import uproot

        if self.container == "rntuple":
            return None
        # Branches may leave it to the file.
        own = [self._tree[path].compression for path in self._spelled.values()]
        found = [compression or self._tree.file.compression for compression in own]
        if not any(c is not None and c.name in _THREADED for c in found):
            return None
        executor = uproot.ThreadPoolExecutor(_THREADS)
        self._stack.callback(executor.shutdown)
        return executor

    def _bytes_per_entry(self) -> float:
        entries = max(self.entries, 1)
        if self.container == "ttree":
            branches = [self._tree[path] for path in self._spelled.values()]
            return sum(branch.uncompressed_bytes for branch in branches) / entries
        # An RNTuple's field sizes are spread over its pages: three times its share of the file.
        share = len(self._spelled) / max(len(self._fields), 1)
        return 3 * share * float(self._directory.file.source.num_bytes) / entries


def cut(
    offsets: Sequence[int], start: int, stop: int, step: int, most: int
) -> list[tuple[int, int]]:
    """Ranges that cover [start, stop), ending at `offsets` where these lie close enough.

    A range takes whole clusters up to `step` entries; a single larger cluster is taken whole up to
    `most` entries and else cut, because memory goes first.
    """
    inner = [i for i in offsets if start < i < stop] + [stop]
    ranges, at, k = [], start, 0
    while at < stop:
        while inner[k] <= at:
            k += 1
        end = inner[k]
        while k + 1 < len(inner) and inner[k + 1] - at <= step:
            k += 1
            end = inner[k]
        if end - at > max(step, most):
            end = at + step
        ranges.append((at, end))
        at = end
    return ranges


class _Range:
    """Entries [start, stop) of a tree whose file is opened again after a failure.

    checksum: as in `TreeFile`.
    """

    def __init__(self, url: str, tree: str, names: Sequence[str], checksum: str | None) -> None:
        self._url, self._tree, self._names, self._checksum = url, tree, names, checksum
        self._file: TreeFile | None = None

    def open(self) -> TreeFile:
        """The open file."""
        if self._file is None:
            self._file = TreeFile(self._url, self._tree, self._names, self._checksum)
        return self._file

    def close(self) -> None:
        """Close it; the next read opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def read(self, start: int, stop: int) -> Chunk:
        """A chunk; after any failure the file is closed."""
        try:
            return self.open().read(start, stop)
        except Exception:
            self.close()
            raise

    def plan(self, start: int, stop: int, step: int) -> list[tuple[int, int]]:
        """The ranges to read, one at least. Raises ChangedError when there are fewer entries."""
        file = self.open()
        if stop > file.entries:
            raise ChangedError(
                f"{self._url}: tree '{self._tree}'",
                expected=f"{stop} entries, as when it was indexed",
                found=f"{file.entries} entries",
                fix="start again: the file is indexed anew",
            )
        return file.steps(start, stop, step) or [(start, start)]

    def compare(self) -> None:
        """Open a local file once more, to see whether it is still the same."""
        if self._checksum is not None and not is_remote(self._url):
            self.close()
            self.open()


def chunks(
    url: str,
    tree: str,
    names: Sequence[str],
    start: int,
    stop: int,
    *,
    step: int,
    retry: Retry | None = None,
    checksum: str | None = None,
) -> Iterator[Chunk]:
    """The branches `names` over entries [start, stop), in order; one empty chunk if none.

    checksum: as in `TreeFile`; compared each time the file is opened, and once more after the last
    chunk, as a local file may have been written over meanwhile.
    Raises ChangedError where it differs, and what `rootloom.rootio.remote.unreadable` says of a
    file, tree or branch that is not there or cannot be read; a remote file is opened again, and
    only the failed range read again.
    """
    retry = retry or Retry()
    with closing(_Range(url, tree, names, checksum)) as opened, ExitStack() as stack:
        try:
            ranges = on_copy_if_needed(stack, url, retry, lambda: opened.plan(start, stop, step))
            for begin, end in ranges:
                yield retry.run(url, lambda b=begin, e=end: opened.read(b, e))  # type: ignore[misc]
        except ChangedError:
            raise
        except InputError:
            retry.run(url, opened.compare)  # what looks like damage may be half of another file
            raise
        retry.run(url, opened.compare)


def sum_of(url: str, tree: str, branch: str, *, retry: Retry | None = None) -> float:
    """The sum of a branch over all entries of a tree, in float64.

    Raises InputError for a file, tree or branch that is not there or cannot be read.
    """

    def read() -> float:
        opened = TreeFile(url, tree, [branch])
        try:
            ranges = opened.steps(0, opened.entries, MAX_STEP)
            parts = (opened.read(start, stop).arrays[branch] for start, stop in ranges)
            return sum(
                float(np.sum(ak.to_numpy(ak.ravel(part)), dtype=np.float64)) for part in parts
            )
        finally:
            opened.close()

    return (retry or Retry()).run(url, read)


def _spelled(
    tree: Any, container: str, url: str, name: str, names: Sequence[str]
) -> dict[str, str]:
    known = branch_names(tree, container)
    spelled = {wanted: resolve(known, wanted) for wanted in names}
    missing = [wanted for wanted, found in spelled.items() if found is None]
    if missing:
        raise InputError(
            f"{url}: tree '{name}'",
            expected=f"branch '{missing[0]}'",
            found=f"{len(known)} branches without it",
            fix=nearest(missing[0], known),
        )
    return {wanted: found for wanted, found in spelled.items() if found is not None}
