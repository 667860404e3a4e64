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

from rootloom.errors import FAULTS, ConfigError, ResultError
from rootloom.shards.ids import Naming
from rootloom.shards.layout import BASE_COLUMNS, SAMPLE, TRAINING_WEIGHT, unreadable
from rootloom.shards.reader import Shard
from rootloom.shards.writer import GroupColumns
from rootloom.system.atomic import new_hdf5
from rootloom.types import GROUPS, UNLABELLED, Column, RowBlock

_NONE = np.empty(0, np.uint64)


class OtherUnlabelledError(ResultError):
    """The rows of no class differ: which of them can be scored depends on the columns read."""


class add_columns:  # noqa: N801 (used as a verb: `with add_columns(path) as adder`)
    """Context manager with the `append` of a ShardWriter, for new columns of the same rows.

    Other columns are copied as compressed chunks; the shard is replaced as a whole at the end, and
    not changed after an error. `attributes` replaces or adds root attributes; without any `append`
    only these change. Raises ResultError if the shard is damaged, or if the appended rows are not
    the shard's rows in the same order.
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
                group: np.asarray(shard.read(group, ["id"])["id"]) if shard.columns else _NONE
                for group in GROUPS
            }
        self._file, self._sink = self._stack.enter_context(new_hdf5(self._path))
        self._new = {
            group: GroupColumns(self._file.create_group(group), self._path) for group in GROUPS
        }
        self._done = dict.fromkeys(GROUPS, 0)
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
        ids, group = self._naming.rows(block, self._splits)
        for index, name in enumerate(GROUPS):
            keep = group == index
            start, stop = self._done[name], self._done[name] + int(keep.sum())
            if not np.array_equal(self._ids[name][start:stop], ids[keep]):
                raise self._other_rows(name, f"rows {start} to {stop} of '{name}' differ")
            self._done[name] = stop
            self._new[name].append(columns, keep)
        self._sink.check()

    def _finish(self) -> None:
        appended = any(self._done.values())
        for group in GROUPS:
            if appended and self._done[group] != len(self._ids[group]):
                missing = len(self._ids[group]) - self._done[group]
                raise self._other_rows(group, f"{missing} rows of '{group}' were not given")
            self._new[group].flush()
        try:
            with h5py.File(self._path, "r") as source:
                for group in GROUPS:
                    for name in source[group]:
                        if name not in self._file[group]:
                            # between equal types H5Ocopy moves chunks without their filters
                            source.copy(source[group][name], self._file[group], name)
                attributes = {**dict(source.attrs), **self._attributes}
        except FAULTS as error:
            raise unreadable(self._path, error) from error
        for name in sorted(attributes):
            self._file.attrs[name] = attributes[name]

    def _other_rows(self, group: str, found: str) -> ResultError:
        kind = OtherUnlabelledError if group == UNLABELLED else ResultError
        return kind(
            str(self._path),
            expected="exactly the rows the shard holds, in its order",
            found=found,
            fix="selection or ROOT file changed: delete this shard and run again",
        )
