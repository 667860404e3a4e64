"""Arrays of entries laid out as rows: events, or the objects of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError, DataError
from rootloom.rootio.expressions import Expression
from rootloom.rootio.functions.values import Value, depth, in_words, is_vector, is_words
from rootloom.types import Column, Ragged

_FEWER = "`x[:, :, 0]`, or an innermost `sum(x)`, `max(x)` or `count(x)`, makes"


@dataclass(frozen=True)
class Layout:
    """The rows in a range of entries.

    entry: (R,) int64; object: (R,) int32; counts: (E,) rows of each entry, None for rows = events.
    row: word for a row in messages.
    """

    entry: np.ndarray
    object: np.ndarray
    counts: np.ndarray | None
    row: str = "event"

    @classmethod
    def of(cls, start: int, stop: int, counter: ak.Array | None, row: str = "event") -> Layout:
        """The layout of entries [start, stop); counter: a jagged branch of the row collection."""
        entries = np.arange(start, stop, dtype=np.int64)
        if counter is None:
            return cls(entries, np.zeros(len(entries), np.int32), None)
        if ak.to_layout(counter).minmax_depth[0] < 2:
            raise ConfigError(
                "rows", expected="a branch of objects, jagged", found=in_words(counter, "event")
            )
        counts = ak.to_numpy(ak.num(counter, axis=1)).astype(np.int64)
        starts = np.cumsum(counts) - counts
        index = np.arange(counts.sum()) - np.repeat(starts, counts)
        return cls(np.repeat(entries, counts), index.astype(np.int32), counts, row)

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.entry)

    def scalar(self, expression: Expression, arrays: Mapping[str, Value]) -> np.ndarray:
        """One value per row (R,); a value of the event is repeated.

        In bool, int64 or float64; a branch alone keeps its type.
        """
        value = expression.evaluate(arrays)
        rank = depth(value)
        if rank == 0:
            return np.full(self.size, value, np.float64)
        if rank == 1:
            flat = self._to_numpy(value, expression)
            return flat if self.counts is None else np.repeat(flat, self.counts)
        if rank == 2 and self.counts is not None:
            counts = ak.to_numpy(ak.num(value, axis=1))
            if np.array_equal(counts, self.counts):
                return self._to_numpy(ak.flatten(value, axis=1), expression)
            raise _other_collection(expression, counts, self.counts, getattr(arrays, "start", 0))
        raise self._misfit(expression, "one value a row", value, _one_of_each(rank, self.row))

    def flags(self, expression: Expression, arrays: Mapping[str, Value]) -> np.ndarray:
        """One truth value per row (R,) bool; NaN is false."""
        value = self.scalar(expression, arrays)
        return np.asarray(value != 0) & ~np.isnan(value) if value.dtype.kind == "f" else value != 0

    def ragged(self, expression: Expression, arrays: Mapping[str, Value]) -> Ragged:
        """Values of the objects inside each row."""
        value = expression.evaluate(arrays)
        rank, wanted = depth(value), 2 if self.counts is None else 3
        if rank != wanted:
            fix = "one value a row belongs under `variables`"
            if rank > wanted:
                fix = f"{_FEWER} a list of values for each {self.row}"
            raise self._misfit(expression, "a list of values a row", value, fix)
        return self._to_ragged(value if wanted == 2 else ak.flatten(value, axis=1), expression)

    def _to_ragged(self, value: Value, expression: Expression) -> Ragged:
        layout = ak.to_layout(value)
        if not isinstance(layout, ak.contents.ListOffsetArray):  # as nearly all branches are
            layout = ak.to_layout(ak.from_regular(value, axis=1))
        if not layout.is_list:
            raise self._misfit(expression, "a list of values a row", value)
        layout = layout.to_ListOffsetArray64(True)
        offsets = np.asarray(layout.offsets.data, np.int64)
        content = layout.content[: offsets[-1]]
        values = np.asarray(content.data) if content.is_numpy else ak.Array(content)
        return Ragged(self._to_numpy(values, expression), offsets)

    def _to_numpy(self, value: Value, expression: Expression) -> np.ndarray:
        try:
            flat = (
                value
                if isinstance(value, np.ndarray)
                else np.asarray(ak.to_numpy(value, allow_missing=False))
            )
        except ValueError as error:
            raise self._misfit(expression, "numbers, none missing", value) from error
        if flat.dtype.kind not in "biuf":
            raise self._misfit(expression, "numbers", value)
        return flat

    def _misfit(
        self, expression: Expression, expected: str, value: Value, fix: str = ""
    ) -> ConfigError:
        """The error for a value; fix: what helps if its shape, not its type, is wrong."""
        if is_words(value):
            fix = 'words can only be compared: sample == "wjets"'
        elif is_vector(value):
            fix = "`pt`, `mass` and their like make numbers of four-vectors"
        found = in_words(value, "event")
        return ConfigError(expression.where, expected=expected, found=found, fix=fix)


def take(column: Column, rows: np.ndarray | None) -> Column:
    """The given rows of a column, all when None."""
    if rows is None:
        return column
    if not isinstance(column, Ragged):
        return column[rows]
    counts = column.counts()[rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    index = np.arange(offsets[-1]) + np.repeat(column.offsets[rows] - offsets[:-1], counts)
    return Ragged(column.values[index], offsets)


def _other_collection(
    expression: Expression, values: np.ndarray, rows: np.ndarray, start: int
) -> DataError:
    """The error for values (E,) that differ in number from rows (E,), from entry `start` on."""
    first = int(np.flatnonzero(values != rows)[0])
    return DataError(
        f"{expression.where}: entry {start + first}",
        expected=f"a value for each of the {rows[first]} objects that are rows",
        found=f"{values[first]}, of another collection or of some of its objects",
        fix="take(x, nearest(eta, phi, other_eta, other_phi)) gives each row the x of the closest "
        "of the other collection; `sum`, `count` or `x[:, 0]` make one value an event",
    )


def _one_of_each(rank: int, row: str) -> str:
    """The fix that gives one value per row from a value with `rank` axes."""
    if row != "event":
        return f"{_FEWER} one value for each {row}"
    if rank > 2:
        return "`sum(sum(x))` or `first(max(x))` makes one value an event"
    return "`first(x)`, `x[:, 0]`, `sum(x)` or `count(x)` makes one value an event of its objects"
