"""Rows in memory, read like a shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from rootloom.shards.reader import Shard
from rootloom.types import Column, Ragged


class Held:
    """Rows of one group in memory, with the methods of `Shard` by which they are read.

    columns: as a shard stores them, base columns included. group: a split, or "none". where: names
    the rows in messages.
    """

    def __init__(self, columns: Mapping[str, Column], group: str, where: str) -> None:
        self._table, self._group = dict(columns), group
        self.path = Path(where)
        self.columns = tuple(sorted(columns))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def close(self) -> None:
        """Nothing is open."""

    def rows(self, split: str) -> int:
        """Number of rows in a group; all are in one."""
        return len(self._table["id"]) if split == self._group else 0

    def nbytes(self, split: str, names: Sequence[str]) -> int:
        """Bytes that the columns take."""
        return sum(_bytes(self._table[name]) for name in names)

    def length(self, split: str, name: str) -> int:
        """Number of rows of a dense column, or of values of a ragged one."""
        return len(self._values(name))

    def is_ragged(self, name: str) -> bool:
        """Whether a column's rows vary in length."""
        return isinstance(self._table[name], Ragged)

    def empty(self, name: str, length: int) -> np.ndarray:
        """An uninitialised array of `length` rows, or values if ragged, of a column's type."""
        values = self._values(name)
        return np.empty((length, *values.shape[1:]), values.dtype)

    def dtype(self, name: str) -> np.dtype:
        """A column's type, or that of a ragged one's values."""
        return self._values(name).dtype

    def offsets(self, split: str, name: str, start: int, stop: int) -> np.ndarray:
        """Positions of rows [start, stop) in a ragged column's values, (rows + 1,) int64."""
        column = self._table[name]
        assert isinstance(column, Ragged)
        return column.offsets[start : stop + 1]

    def read_into(self, split: str, name: str, start: int, stop: int, out: np.ndarray) -> None:
        """Rows [start, stop) of a dense column, or those *values* of a ragged one, into `out`."""
        out[...] = self._values(name)[start:stop]

    def read(
        self,
        split: str,
        names: Iterable[str] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> dict[str, Column]:
        """Rows [start, stop) of the named columns (all when None), offsets starting at 0."""
        chosen = self.columns if names is None else names
        stop = self.rows(split) if stop is None else min(stop, self.rows(split))
        return {name: _part(self._table[name], start, stop) for name in chosen}

    def _values(self, name: str) -> np.ndarray:
        column = self._table[name]
        return column.values if isinstance(column, Ragged) else column


def together(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    """The rows of one table or several of the same columns, one after the other."""
    return {name: _together([part[name] for part in parts]) for name in parts[0]}


# Where rows are: the path of a shard, or in memory.
Place = str | Path | Held


def opened(place: Place) -> Shard | Held:
    """The rows at a place, to be closed; raises ResultError for a damaged shard."""
    return place if isinstance(place, Held) else Shard(place)


def _bytes(column: Column) -> int:
    if isinstance(column, Ragged):
        return int(column.values.nbytes + column.offsets.nbytes)
    return int(column.nbytes)


def _together(parts: Sequence[Column]) -> Column:
    lists = [part for part in parts if isinstance(part, Ragged)]
    return Ragged.together(lists) if lists else np.concatenate(parts)  # type: ignore[arg-type]


def _part(column: Column, start: int, stop: int) -> Column:
    if not isinstance(column, Ragged):
        return column[start:stop]
    offsets = column.offsets[start : stop + 1]
    return Ragged(column.values[offsets[0] : offsets[-1]], offsets - offsets[0])
