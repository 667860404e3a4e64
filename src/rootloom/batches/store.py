"""Columns of selected blocks in memory, decoded directly into one array each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.batches.plan import Plan
from rootloom.shards.held import Held, Place, opened
from rootloom.shards.reader import Shard
from rootloom.types import Column, Ragged, offsets_of

_OPEN_FILES = 32


class Source:
    """The shards of a split, opened when needed, few at a time.

    columns: name of each column of a Store and its shard columns; several are joined to
    (V, C), which a batch then gathers in one call (three times as fast as one by one).
    types: of columns of a Store, if they differ from those of the first shard.
    """

    def __init__(
        self,
        places: Sequence[Place],
        split: str,
        columns: Mapping[str, tuple[str, ...]],
        types: Mapping[str, np.dtype] | None = None,
    ) -> None:
        self.places, self.split, self.columns = tuple(places), split, dict(columns)
        self.types = dict(types or {})
        self._open: OrderedDict[int, Shard | Held] = OrderedDict()

    def shard(self, index: int) -> Shard | Held:
        """An open shard; raises ResultError when it is damaged."""
        if index not in self._open:
            if len(self._open) == _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[index] = opened(self.places[index])
        self._open.move_to_end(index)
        return self._open[index]

    def close(self) -> None:
        """Close all open shards; a later read opens them again."""
        while self._open:
            self._open.popitem()[1].close()


class Store:
    """Memory for some blocks of a plan; `load` fills it.

    columns: by name, of all the blocks' rows; not initialised before `load`. Rows of `more`, the
    same columns of other rows, follow. held: the numbers of these.
    first: (K + 1,) int64, the row at which each block begins.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        blocks: np.ndarray,
        more: Mapping[str, Column] | None = None,
    ) -> None:
        self._source, self._plan, self._blocks = source, plan, blocks
        sizes = (plan.stop - plan.start)[blocks]
        self.first = offsets_of(sizes)
        self._loaded = np.zeros(len(blocks), bool)
        self.columns: dict[str, Column] = {}
        for name, members in source.columns.items():
            self.columns[name] = self._room(name, members, more[name] if more else None)
        last = self.first[-1]
        self.held = np.arange(last, last + (len(more["id"]) if more else 0))

    def load(self, positions: np.ndarray) -> None:
        """Read the blocks at these positions of `blocks`, unless they are loaded already."""
        in_file_order = positions[np.argsort(self._blocks[positions])]
        for position in in_file_order:
            if not self._loaded[position]:
                self._read(int(position))
                self._loaded[position] = True

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Row numbers of the blocks at these positions, one after the other."""
        ranges = [np.arange(self.first[p], self.first[p + 1]) for p in positions]
        return np.concatenate([np.zeros(0, np.int64), *ranges])

    def _room(self, whole: str, members: tuple[str, ...], more: Column | None) -> Column:
        name, types = members[0], self._source.types
        shards = self._plan.shard[self._blocks]
        first, count = int(shards[0]), int(self.first[-1])
        if not self._source.shard(first).is_ragged(name):
            room = self._source.shard(first).empty(name, count + (0 if more is None else len(more)))
            room = room.astype(types.get(whole, room.dtype), copy=False)
            if more is not None:
                room[count:] = more
            return room
        offsets = np.zeros(count + 1, np.int64)
        for position, shard in enumerate(shards):
            start, stop = self._range(position)
            part = self._source.shard(int(shard)).offsets(self._source.split, name, start, stop)
            before = self.first[position]
            offsets[before + 1 : before + len(part)] = part[1:] - part[0] + offsets[before]
        filled = int(offsets[-1])
        if isinstance(more, Ragged):
            offsets = np.concatenate([offsets, filled + more.offsets[1:]])
        # Opened again here, because with many shards it may have been closed.
        values = self._source.shard(first).empty(name, int(offsets[-1]))
        values = values.astype(types.get(whole, values.dtype), copy=False)
        if len(members) > 1:
            values = np.empty((len(values), len(members)), values.dtype)
        if isinstance(more, Ragged):
            values[filled:] = more.values
        return Ragged(values, offsets)

    def _read(self, position: int) -> None:
        shard = self._source.shard(int(self._plan.shard[self._blocks[position]]))
        split = self._source.split
        first, last = self.first[position], self.first[position + 1]
        start, stop = self._range(position)
        for name, column in self.columns.items():
            members = self._source.columns[name]
            if not isinstance(column, Ragged):
                shard.read_into(split, name, start, stop, column[first:last])
                continue
            inside = column.values[column.offsets[first] : column.offsets[last]]
            at = int(shard.offsets(split, members[0], start, start)[0])
            if len(members) == 1:
                shard.read_into(split, members[0], at, at + len(inside), inside)
            else:
                part = np.empty(len(inside), inside.dtype)
                for k, member in enumerate(members):
                    shard.read_into(split, member, at, at + len(part), part)
                    inside[:, k] = part

    def _range(self, position: int) -> tuple[int, int]:
        block = self._blocks[position]
        return int(self._plan.start[block]), int(self._plan.stop[block])


def take(columns: dict[str, Column], rows: np.ndarray) -> dict[str, Column]:
    """Chosen rows of every column, copied."""
    return {
        name: column.take(rows) if isinstance(column, Ragged) else column[rows]
        for name, column in columns.items()
    }


def join(first: dict[str, Column], second: dict[str, Column]) -> dict[str, Column]:
    """The rows of both, one after the other."""
    found: dict[str, Column] = {}
    for name, a in first.items():
        b = second[name]
        if isinstance(a, Ragged) and isinstance(b, Ragged):
            found[name] = Ragged.together([a, b])
        else:
            found[name] = np.concatenate([np.asarray(a), np.asarray(b)])
    return found
