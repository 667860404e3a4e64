"""Writing of shards block by block, in limited memory; the file is complete or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import h5py
import numpy as np

from rootloom.errors import DataError
from rootloom.shards.ids import Naming
from rootloom.shards.layout import (
    AUXILIARY,
    SAMPLE,
    SCHEMA_VERSION,
    TRAINING_WEIGHT,
    create,
)
from rootloom.shards.sums import code_of
from rootloom.system.atomic import new_hdf5
from rootloom.types import GROUPS, Column, Ragged, RowBlock, offsets_of


class ShardWriter:
    """Context manager that writes one shard; `append` takes blocks in the ROOT file's order.

    file_key: names the ROOT file. naming: how its events get their identities; None: from its key,
    as for a simulated file.
    splits: fraction by split name, for events without a declared split.
    auxiliary: RowBlock columns to store in addition to the representation's, as "aux.<name>".
    sample: name of the file's sample, if any; its code is stored in a column "sample".
    attributes: stored at the file's root (dataset, representation, fingerprint, …).
    Memory: one chunk per column and group, plus one block. Raises StorageError if the disk
    is full, DataError for a column whose rows or type do not fit.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        file_key: str,
        splits: Mapping[str, float],
        naming: Naming | None = None,
        auxiliary: Sequence[str] = (),
        sample: str = "",
        attributes: Mapping[str, str | int | float] | None = None,
    ) -> None:
        self._path, self._splits = Path(path), dict(splits)
        self._naming = naming or Naming.of_simulated(file_key)
        self._auxiliary, self._sample = tuple(auxiliary), sample
        self._entries, self._sum_of_weights = 0, 0.0
        self._attributes = {
            **(attributes or {}),
            "sample": sample,
            "schema_version": SCHEMA_VERSION,
            "file_key": file_key,
            "naming": json.dumps(asdict(self._naming)),
            "splits": json.dumps(self._splits),
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        file, self._sink = self._stack.enter_context(new_hdf5(self._path))
        self._file = file
        for name in sorted(self._attributes):
            file.attrs[name] = self._attributes[name]
        self._columns = {
            group: GroupColumns(file.create_group(group), self._path) for group in GROUPS
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:
                raise error
            for columns in self._columns.values():
                columns.flush()
            self._file.attrs["entries"] = self._entries
            self._file.attrs["sum_of_weights"] = self._sum_of_weights

    def append(self, block: RowBlock, columns: Mapping[str, Column]) -> None:
        """Add R rows: `columns` is what the representation encoded from `block`."""
        ids, group = self._naming.rows(block, self._splits)
        table: dict[str, Column] = {
            "entry": np.asarray(block.entry, np.int64),
            "object": np.asarray(block.object, np.int32),
            "label": np.asarray(block.label, np.int32),
            "weight": np.asarray(block.weight, np.float32),
            "id": ids,
            **{AUXILIARY + name: block.columns[name] for name in self._auxiliary},
            **columns,
        }
        if self._sample:
            table[SAMPLE] = np.full(len(block), code_of(self._sample), np.uint32)
        if block.training_weight is not None:
            table[TRAINING_WEIGHT] = np.asarray(block.training_weight, np.float32)
        self._entries += block.entries
        self._sum_of_weights += block.sum_of_weights
        for index, name in enumerate(GROUPS):
            self._columns[name].append(table, group == index)
        self._sink.check()


class GroupColumns:
    """The growing columns of one split, or of the rows of no class."""

    def __init__(self, group: h5py.Group, path: Path) -> None:
        self._group, self._path = group, path
        self._growing: dict[str, _Appendable] = {}

    def append(self, table: Mapping[str, Column], keep: np.ndarray) -> None:
        """Add the rows where `keep` (R,) bool is true; the first call fixes names and types."""
        if not self._growing:
            self._growing = {name: self._create(name, table[name]) for name in sorted(table)}
        if self._growing.keys() != table.keys():
            raise DataError(
                str(self._path),
                expected=f"the columns {', '.join(self._growing)} in every block",
                found=f"a block with {', '.join(sorted(table))}",
            )
        for name, growing in self._growing.items():
            column = self._at_one_width(growing, table[name])
            self._check(name, column, growing.sample, len(keep))
            growing.append(select(column, keep))

    def flush(self) -> None:
        """Write the last, incomplete chunk."""
        for growing in self._growing.values():
            growing.flush()

    def _at_one_width(self, growing: _Appendable, column: Column) -> Column:
        """A column in the stored type, which is first widened to float64 if needed."""
        widths = [_values(growing.sample).dtype, _values(column).dtype]
        if widths == [np.float32, np.float64]:
            growing.widen()
        if widths != [np.float64, np.float32]:
            return column
        if isinstance(column, Ragged):
            return Ragged(column.values.astype(np.float64), column.offsets)
        return column.astype(np.float64)

    def _create(self, name: str, column: Column) -> _Appendable:
        dtype = column.values.dtype if isinstance(column, Ragged) else column.dtype
        if dtype.kind not in "biuf" or "/" in name:
            raise DataError(
                f"{self._path}: column '{name}'",
                expected="a number type and a name without '/'",
                found=f"type {dtype}",
            )
        if isinstance(column, Ragged):
            return GrowingRagged(self._group, name, column)
        return Growing(self._group, name, column)

    def _check(self, name: str, column: Column, sample: Column, rows: int) -> None:
        if len(column) != rows:
            expected, found = f"{rows} rows, one for each selected row", f"{len(column)} rows"
        elif _layout(column) != _layout(sample):
            expected, found = f"{_layout(sample)}, as before", _layout(column)
        else:
            return
        raise DataError(f"{self._path}: column '{name}'", expected=expected, found=found)


class _Appendable(Protocol):
    @property
    def sample(self) -> Column: ...

    def append(self, rows: Any) -> None: ...  # of the kind of `sample`

    def flush(self) -> None: ...

    def widen(self) -> None: ...


class Growing:
    """A data set that is written in complete chunks, each once, from blocks of any size."""

    def __init__(
        self, group: h5py.Group, name: str, first: np.ndarray, *, per_row: bool = True
    ) -> None:
        self.sample = first[:0]
        self._group, self._name, self._per_row = group, name, per_row
        self._dataset = create(group, name, first.dtype, first.shape[1:], per_row=per_row)
        self._pending: list[np.ndarray] = []

    def append(self, rows: np.ndarray) -> None:
        """Add rows; those beyond the last complete chunk are kept in memory."""
        self._pending.append(rows)
        waiting, chunk = sum(map(len, self._pending)), self._dataset.chunks[0]
        if waiting >= chunk:
            self._write(waiting - waiting % chunk)

    def flush(self) -> None:
        """Write all that waits."""
        self._write(sum(map(len, self._pending)))

    def widen(self) -> None:
        """Continue in float64; the stored values do not change."""
        self.sample = self.sample.astype(np.float64)
        self._pending = [rows.astype(np.float64) for rows in self._pending]
        narrow, wider = self._dataset, f"{self._name}~"
        self._dataset = create(
            self._group, wider, self.sample.dtype, self.sample.shape[1:], per_row=self._per_row
        )
        self._dataset.resize(len(narrow), axis=0)
        for start in range(0, len(narrow), chunk := self._dataset.chunks[0]):
            self._dataset[start : start + chunk] = narrow[start : start + chunk]
        del self._group[self._name]
        self._group.move(wider, self._name)

    def _write(self, count: int) -> None:
        if count:
            before, rows = len(self._dataset), np.concatenate(self._pending)
            self._dataset.resize(before + count, axis=0)
            self._dataset[before:] = rows[:count]
            self._pending = [rows[count:].copy()]


class GrowingRagged:
    """The two datasets of a ragged column."""

    def __init__(self, group: h5py.Group, name: str, first: Ragged) -> None:
        self.sample = Ragged(first.values[:0], np.zeros(1, np.int64))
        inside = group.create_group(name)
        self._values = Growing(inside, "values", first.values, per_row=False)
        self._offsets = Growing(inside, "offsets", self.sample.offsets)
        self._offsets.append(self.sample.offsets)
        self._last = 0

    def append(self, rows: Ragged) -> None:
        """Add rows."""
        self._values.append(rows.values)
        self._offsets.append(rows.offsets[1:] + self._last)
        self._last += len(rows.values)

    def widen(self) -> None:
        """See `Growing`."""
        self._values.widen()
        self.sample = Ragged(self._values.sample, self.sample.offsets)

    def flush(self) -> None:
        """Write all that waits."""
        self._values.flush()
        self._offsets.flush()


def _values(column: Column) -> np.ndarray:
    return column.values if isinstance(column, Ragged) else column


def _layout(column: Column) -> str:
    if isinstance(column, Ragged):
        return f"ragged {column.values.dtype} rows of shape {column.values.shape[1:]}"
    return f"{column.dtype} rows of shape {column.shape[1:]}"


def select(column: Column, keep: np.ndarray) -> Column:
    """The rows of a column where `keep` (R,) bool is true."""
    if not isinstance(column, Ragged):
        return column[keep]
    counts = column.counts()
    return Ragged(column.values[np.repeat(keep, counts)], offsets_of(counts[keep]))
