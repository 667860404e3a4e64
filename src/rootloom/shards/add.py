"""Add or replace columns of a shard that exists, without decoding the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from rootloom.errors import ConfigError, ResultError
from rootloom.fileio import new_hdf5
from rootloom.shards.ids import Naming
from rootloom.shards.layout import BASE_COLUMNS, SAMPLE, TRAINING_WEIGHT, unreadable
from rootloom.shards.reader import Shard
from rootloom.shards.writer import SplitColumns
from rootloom.types import SPLITS, Column, RowBlock

_NONE = np.empty(0, np.uint64)


class add_columns:  # noqa: N801 (used as a verb: `with add_columns(path) as adder`)
    """Context manager with the `append` of a ShardWriter, for new columns of the same rows.

    Columns that are not given again are copied as they lie on disk, compressed chunk by chunk;
    the shard is replaced as a whole on a clean exit and untouched on an error. `attributes`
    replaces or adds root attributes, with no `append` those alone. Raises ResultError when the
    shard is damaged or the rows appended are not the shard's rows, in its order.
    """

    def __init__(
        self, path: str | Path, *, attributes: Mapping[str, str | int | float] | None = None
    ) -> None:
        self._path = Path(path)
        self._attributes = dict(attributes or {})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with Shard(self._path) as shard:
            self._naming = Naming(**json.loads(shard.attributes["naming"]))
            self._splits = json.loads(shard.attributes["splits"])
            self._ids = {
                split: np.asarray(shard.read(split, ["id"])["id"]) if shard.columns else _NONE
                for split in SPLITS
            }
        self._file, self._sink = self._stack.enter_context(new_hdf5(self._path))
        self._new = {
            split: SplitColumns(self._file.create_group(split), self._path) for split in SPLITS
        }
        self._done = dict.fromkeys(SPLITS, 0)
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
            self._finish()

    def append(self, block: RowBlock, columns: Mapping[str, Column]) -> None:
        """New columns of R rows, in the ROOT file's order; `columns` must name no base column."""
        fixed = sorted(set(columns) & {*BASE_COLUMNS, SAMPLE, TRAINING_WEIGHT})
        if fixed:
            raise ConfigError(
                str(self._path), expected="columns that may change", found=", ".join(fixed)
            )
        ids, split = self._naming.rows(block, self._splits)
        for index, name in enumerate(SPLITS):
            keep = split == index
            start, stop = self._done[name], self._done[name] + int(keep.sum())
            if not np.array_equal(self._ids[name][start:stop], ids[keep]):
                raise self._other_rows(f"rows {start} to {stop} of '{name}' differ")
            self._done[name] = stop
            self._new[name].append(columns, keep)
        self._sink.check()

    def _finish(self) -> None:
        appended = any(self._done.values())
        for split in SPLITS:
            if appended and self._done[split] != len(self._ids[split]):
                missing = len(self._ids[split]) - self._done[split]
                raise self._other_rows(f"{missing} rows of '{split}' were not given")
            self._new[split].flush()
        try:
            with h5py.File(self._path, "r") as source:
                for split in SPLITS:
                    for name in source[split]:
                        if name not in self._file[split]:
                            # between equal types H5Ocopy moves chunks without their filters
                            source.copy(source[split][name], self._file[split], name)
                attributes = {**dict(source.attrs), **self._attributes}
        except (OSError, RuntimeError, KeyError) as error:
            raise unreadable(self._path, error) from error
        for name in sorted(attributes):
            self._file.attrs[name] = attributes[name]

    def _other_rows(self, found: str) -> ResultError:
        return ResultError(
            str(self._path),
            expected="exactly the rows the shard holds, in its order",
            found=found,
            fix="selection or ROOT file changed: delete this shard and run again",
        )
