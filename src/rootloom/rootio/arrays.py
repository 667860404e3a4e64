"""Branches of a tree and its friends as arrays, a limited range of entries at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import awkward as ak
import numpy as np

from rootloom.errors import ChangedError, InputError, RootloomError
from rootloom.rootio.branches import Place, Source, compression_of, places, read_arrays
from rootloom.rootio.header import cluster_offsets, get_tree, spell
from rootloom.rootio.joining import Friend, Index, key_rows, require_entries
from rootloom.rootio.names import INSIDE
from rootloom.rootio.transport.opening import open_root
from rootloom.rootio.transport.remote import Retry, TransferError, address, brief
from rootloom.rootio.transport.source import is_remote
from rootloom.rootio.transport.staging import on_copy_if_needed

if TYPE_CHECKING:
    from concurrent.futures import Executor

T = TypeVar("T")
MAX_STEP = 50_000
MAX_BYTES = 100_000_000

# Threads help only for algorithms that decompress slowly.
_THREADED = ("ZLIB", "ZSTD", "LZMA")
_THREADS = 2


class Chunk(NamedTuple):
    """Entries [start, stop) and their arrays, by the requested branch names."""

    start: int
    stop: int
    arrays: Mapping[str, ak.Array]


class TreeFile:
    """One open tree of one file.

    checksum: of its header when it was indexed; None accepts any file.
    Raises ChangedError for another checksum, InputError for a missing tree, and uproot's errors
    for damage.
    """

    def __init__(self, url: str, tree: str, checksum: str | None = None) -> None:
        self._stack, self._url, self._name = ExitStack(), url, tree
        try:
            self._directory = self._stack.enter_context(open_root(url))
            self._tree, self.container = get_tree(self._directory, url, tree, checksum)
            self.entries = int(self._tree.num_entries)
            self.places = places(self._tree, self.container)
            self._executor: Executor | None = None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and its threads."""
        self._stack.close()

    def steps(
        self, names: Sequence[str], start: int, stop: int, step: int
    ) -> list[tuple[int, int]]:
        """[start, stop) cut at cluster boundaries into about `step` entries, at most MAX_BYTES."""
        sources = [self.places[name].source for name in names]
        offsets = cluster_offsets(self._tree, self.container, sources)
        room = max(1, int(MAX_BYTES / max(self._bytes_per_entry(sources), 1e-9)))
        return cut(offsets, start, stop, min(step, room), min(MAX_STEP, room))

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
        """The arrays of entries [start, stop), by the names of `places`.

        Raises InputError for a branch that cannot be read, naming it.
        """
        chosen = {name: self.places[name] for name in names}
        try:
            found = self._arrays(list(chosen.values()), start, stop)
        except (RootloomError, OSError, MemoryError):
            raise
        except Exception:
            for name, place in chosen.items():
                self._require(name, place, start, stop)
            raise
        return {name: found[place] for name, place in chosen.items()}

    def _arrays(self, chosen: list[Place], start: int, stop: int) -> dict[Place, ak.Array]:
        executor = self._decompression(chosen)
        return read_arrays(self._tree, self.container, chosen, start, stop, executor)

    def _require(self, name: str, place: Place, start: int, stop: int) -> None:
        """Read one branch alone, to find the one that cannot be read."""
        try:
            self._arrays([place], start, stop)
        except (RootloomError, OSError, MemoryError):
            raise
        except Exception as error:
            # Data that were damaged on the network may be complete at the next attempt.
            kind = TransferError if is_remote(self._url) else InputError
            raise kind(
                f"{address(self._url)}: tree '{self._name}': branch '{name}', "
                f"entries {start} to {stop}",
                expected="a branch that uproot can read, and undamaged records",
                found=brief(error),
                fix="copy the file again from its origin, leave the file out of the dataset, "
                "or the branch out of its expressions",
            ) from error

    def _decompression(self, chosen: Sequence[Place]) -> Executor | None:
        import uproot

        if self.container == "rntuple":
            return None
        # A branch without its own setting uses that of the file.
        found = {compression_of(p.source) or compression_of(self._tree.file) for p in chosen}
        if not found & set(_THREADED):
            return None
        if self._executor is None:
            self._executor = uproot.ThreadPoolExecutor(_THREADS)
            self._stack.callback(self._executor.shutdown)
        return self._executor

    def _bytes_per_entry(self, sources: Sequence[Source]) -> float:
        entries = max(self.entries, 1)
        if self.container == "ttree":
            return sum(float(branch.uncompressed_bytes) for branch in sources) / entries
        # The sizes of an RNTuple's fields are not known: three times its share of the file.
        share = len(sources) / max(len(self.places), 1)
        return 3 * share * float(self._directory.file.source.num_bytes) / entries


def cut(
    offsets: Sequence[int], start: int, stop: int, step: int, most: int
) -> list[tuple[int, int]]:
    """Ranges that cover [start, stop), ending at `offsets` where these lie close enough.

    A range has whole clusters up to `step` entries. A single larger cluster is kept whole up to
    `most` entries, and cut beyond, to limit the memory.
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


class _Source:
    """A tree that is opened and read again after a failure, if that may help."""

    def __init__(
        self, stack: ExitStack, url: str, tree: str, retry: Retry, checksum: str | None
    ) -> None:
        self.url, self.tree, self._retry, self._checksum = url, tree, retry, checksum
        self._opened: TreeFile | None = None
        stack.callback(self._close)
        on_copy_if_needed(stack, url, retry, lambda: self._attempt(lambda _: None))

    def run(self, action: Callable[[TreeFile], T]) -> T:
        """The result of `action` on the open tree."""
        return self._retry.run(self.url, lambda: self._attempt(action))

    def compare(self) -> None:
        """Open a local file again and raise ChangedError if it has changed."""
        if self._checksum is not None and not is_remote(self.url):
            self._close()
            self.run(lambda _: None)

    def _attempt(self, action: Callable[[TreeFile], T]) -> T:
        try:
            if self._opened is None:
                self._opened = TreeFile(self.url, self.tree, self._checksum)
            return action(self._opened)
        except Exception:
            self._close()
            raise

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


class _Joined:
    """A tree with its friends; each name is found in one of them."""

    def __init__(
        self,
        stack: ExitStack,
        url: str,
        tree: str,
        names: Sequence[str],
        friends: Mapping[str, Friend],
        retry: Retry,
        checksum: str | None = None,
    ) -> None:
        self._main = _Source(stack, url, tree, retry, checksum)
        self.entries = self._main.run(lambda opened: opened.entries)
        self._friends = {
            name: _Source(stack, friend.url, friend.tree, retry, friend.checksum)
            for name, friend in friends.items()
        }
        self._rules = friends
        self._indices: dict[str, Index] = {}
        self._require_entries()
        own = self._names_of(self._main)
        known: dict[str, None] = {}
        for name, source in self._friends.items():
            known |= {f"{name}{INSIDE}{path}": None for path in self._names_of(source)}
        self._spelled = spell({**known, **own}, names, f"{url}: tree '{tree}'")
        keys = [spell(own, friend.by or (), url) for friend in friends.values()]
        self._keys = {name: path for spelled in keys for name, path in spelled.items()}
        # Names to read from the tree itself, including the keys of its friends, and from each
        # friend.
        paths = dict.fromkeys(self._spelled.values())
        self._own = list(dict.fromkeys([*(p for p in paths if p in own), *self._keys.values()]))
        self._asked = {
            name: [p.removeprefix(name + INSIDE) for p in paths if p not in own and _in(name, p)]
            for name in self._friends
        }

    def steps(self, start: int, stop: int, step: int) -> list[tuple[int, int]]:
        """See `TreeFile.steps`, for the tree itself."""
        return self._main.run(lambda opened: opened.steps(self._own, start, stop, step))

    def compare(self) -> None:
        """Raise ChangedError if a local file has changed since it was first opened."""
        for source in (self._main, *self._friends.values()):
            source.compare()

    def read(self, start: int, stop: int) -> Chunk:
        """The arrays of entries [start, stop)."""
        found = self._main.run(lambda opened: opened.read(self._own, start, stop))
        for name, asked in self._asked.items():
            if asked:
                arrays = self._read_friend(name, asked, found, start, stop)
                found |= {name + INSIDE + path: values for path, values in arrays.items()}
        return Chunk(start, stop, {name: found[path] for name, path in self._spelled.items()})

    def _read_friend(
        self, name: str, asked: list[str], main: Mapping[str, ak.Array], start: int, stop: int
    ) -> dict[str, ak.Array]:
        source, by = self._friends[name], self._rules[name].by
        if not by:
            return source.run(lambda opened: opened.read(asked, start, stop))
        if name not in self._indices:
            self._indices[name] = self._index_of(source, by)
        keys = key_rows([main[self._keys[one]] for one in by], by, self._main.url, start)
        place = self._indices[name].find(keys, start, self._main.url)
        if not len(place):
            return source.run(lambda opened: opened.read(asked, 0, 0))
        first, last = int(place.min()), int(place.max()) + 1
        arrays = source.run(lambda opened: opened.read(asked, first, last))
        return {path: values[place - first] for path, values in arrays.items()}

    def _index_of(self, source: _Source, by: Sequence[str]) -> Index:
        where = f"{source.url}: tree '{source.tree}'"
        spelled = list(spell(self._names_of(source), by, where).values())
        entries = source.run(lambda opened: opened.entries)
        ranges = source.run(lambda opened: opened.steps(spelled, 0, entries, MAX_STEP))
        parts = []
        for first, last in ranges:
            arrays = source.run(lambda opened, a=first, b=last: opened.read(spelled, a, b))  # type: ignore[misc]
            parts.append(key_rows([arrays[one] for one in spelled], by, where, first))
        return Index.of(parts, by, where)

    def _require_entries(self) -> None:
        for name, source in self._friends.items():
            if not self._rules[name].by:
                found = source.run(lambda opened: opened.entries)
                require_entries(name, self._rules[name], found, self._main.url, self.entries)

    @staticmethod
    def _names_of(source: _Source) -> dict[str, None]:
        return dict.fromkeys(source.run(lambda opened: opened.places))


def _in(friend: str, path: str) -> bool:
    return path.startswith(friend + INSIDE)


def chunks(
    url: str,
    tree: str,
    names: Sequence[str],
    start: int,
    stop: int,
    *,
    step: int,
    friends: Mapping[str, Friend] | None = None,
    retry: Retry | None = None,
    checksum: str | None = None,
) -> Iterator[Chunk]:
    """The branches `names` over entries [start, stop), in order; one empty chunk if there is none.

    friends: friend trees by the prefix of their branches. checksum: as in `TreeFile`; compared each
    time the file is opened, and again after the last chunk, because a local file may have been
    overwritten meanwhile. After a failure a remote file is opened again, and only the failed range
    is read again. Raises ChangedError for another checksum, the errors of
    `transport.remote.unreadable` for a file, tree or branch that is missing or cannot be read, and
    InputError for a friend whose entries do not match those of the tree.
    """
    with ExitStack() as stack:
        joined = _Joined(stack, url, tree, names, friends or {}, retry or Retry(), checksum)
        try:
            if stop > joined.entries:
                raise ChangedError(
                    f"{url}: tree '{tree}'",
                    expected=f"{stop} entries, as when it was indexed",
                    found=f"{joined.entries} entries",
                    fix="start again: the file is then indexed again",
                )
            for begin, end in joined.steps(start, stop, step) or [(start, start)]:
                yield joined.read(begin, end)
        except ChangedError:
            raise
        except InputError:
            joined.compare()  # apparent damage may be part of another file that replaced it
            raise
        joined.compare()


def sum_of(url: str, tree: str, branch: str, *, retry: Retry | None = None) -> float:
    """The sum of a branch over all entries of a tree, in float64.

    Raises InputError for a file, tree or branch that is not there or cannot be read.
    """
    with ExitStack() as stack:
        joined = _Joined(stack, url, tree, [branch], {}, retry or Retry())
        ranges = joined.steps(0, joined.entries, MAX_STEP)
        parts = (joined.read(start, stop).arrays[branch] for start, stop in ranges)
        return sum(float(np.sum(ak.to_numpy(ak.ravel(part)), dtype=np.float64)) for part in parts)
