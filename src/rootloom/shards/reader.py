"""Reading of shards.

HDF5 verifies the checksum of every chunk that is read, and those of its own structure; the
attributes have a digest, which is verified when the file is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from rootloom.errors import FAULTS, ResultError, nearest
from rootloom.shards.ids import Naming
from rootloom.shards.layout import BASE_COLUMNS, SCHEMA_VERSION, read_slice, unreadable
from rootloom.system import hdf5
from rootloom.system.atomic import attributes_of
from rootloom.types import GROUPS, SPLITS, Column, Ragged


class Shard:
    """The read side of a shard, a context manager.

    attributes: what the writer stored, plain Python values.
    columns: all column names, sorted; empty when the shard has no rows at all.
    Every method raises ResultError, with the file and the fix, if the file is missing,
    truncated, damaged, of another schema version, or lacks a column.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ResultError(
                str(path), expected="a shard", found="no such file", fix="run snakemake again"
            )
        with self._refusing():
            # Attributes are at the ends of the file, and shards are opened often.
            hdf5.require_sound_heaps(self.path, ends=True)
            # Blocks are long and read once: a cache of chunks (8 MB a column and file by default)
            # would only grow with the number of files.
            self._file = h5py.File(self.path, "r", rdcc_nbytes=0)
        try:
            self.attributes = self._check_version()
            with self._refusing():
                self._groups = {name: hdf5.subgroup(self._file, name) for name in GROUPS}
                self.columns = tuple(sorted(self._groups[SPLITS[0]]))
            self._opened: dict[str, h5py.Dataset] = {}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def rows(self, split: str) -> int:
        """Number of rows in a split, or of rows of no class ("none")."""
        return self._dataset(split, "id").shape[0] if self.columns else 0

    def nbytes(self, split: str, names: Sequence[str]) -> int:
        """Bytes that the columns of a split take in memory."""
        total = 0
        for name in names:
            total += self._dataset(split, name).nbytes
            if self.is_ragged(name):
                total += self._dataset(split, name, "offsets").nbytes
        return total

    def length(self, split: str, name: str) -> int:
        """Number of rows of a dense column in a split, or of values of a ragged one."""
        return self._dataset(split, name).shape[0]

    def is_ragged(self, name: str) -> bool:
        """Whether a column's rows vary in length."""
        return self._dataset(SPLITS[0], name).name.count("/") == 3  # /<split>/<column>/values

    def empty(self, name: str, length: int) -> np.ndarray:
        """An uninitialised array of `length` rows (or values, if ragged) of a column's type."""
        dataset = self._dataset(SPLITS[0], name)
        return np.empty((length, *dataset.shape[1:]), dataset.dtype)

    def dtype(self, name: str) -> np.dtype:
        """A column's type, or that of a ragged one's values."""
        return self._dataset(SPLITS[0], name).dtype

    def offsets(self, split: str, name: str, start: int, stop: int) -> np.ndarray:
        """Positions of rows [start, stop) in a ragged column's values, (rows + 1,) int64."""
        out = np.empty(stop - start + 1, np.int64)
        with self._refusing():
            read_slice(self._dataset(split, name, "offsets"), start, stop + 1, out)
            values = self.length(split, name)
            if out[0] < 0 or out[-1] > values or (np.diff(out) < 0).any():
                raise ValueError(f"'{split}/{name}': offsets that leave its {values} values")
        return out

    def read_into(self, split: str, name: str, start: int, stop: int, out: np.ndarray) -> None:
        """Rows [start, stop) of a dense column, or those *values* of a ragged one, into `out`."""
        with self._refusing():
            read_slice(self._dataset(split, name), start, stop, out)

    def read(
        self,
        split: str,
        names: Iterable[str] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> dict[str, Column]:
        """Rows [start, stop) of the named columns (all when None), offsets starting at 0."""
        stop = self.rows(split) if stop is None else min(stop, self.rows(split))
        names = self.columns if names is None else names
        return {name: self._read(split, name, start, stop) for name in names}

    def _read(self, split: str, name: str, start: int, stop: int) -> Column:
        if not self.is_ragged(name):
            out = self.empty(name, stop - start)
            self.read_into(split, name, start, stop, out)
            return out
        offsets = self.offsets(split, name, start, stop)
        values = self.empty(name, int(offsets[-1] - offsets[0]))
        self.read_into(split, name, int(offsets[0]), int(offsets[-1]), values)
        return Ragged(values, offsets - offsets[0])

    def _dataset(self, split: str, name: str, part: str = "values") -> h5py.Dataset:
        """A dense column's dataset, or one part of a ragged one; opened once, when first used."""
        key = f"{split}/{name}/{part}"
        if key not in self._opened:
            if name not in self.columns:
                raise ResultError(
                    str(self.path),
                    expected=f"a column '{name}'",
                    found=f"{len(self.columns)} other columns",
                    fix=nearest(name, self.columns),
                )
            with self._refusing():
                self._opened[key] = self._open(split, name, part)
        return self._opened[key]

    def _open(self, split: str, name: str, part: str) -> h5py.Dataset:
        """One part of a column; raises StrangeError or ValueError if it is not as in a shard."""
        item = hdf5.child(self._groups[split], name)
        ragged = isinstance(item, h5py.Group)
        found = hdf5.numbers(
            hdf5.child(item, part) if ragged else item, f"{split}/{name}{f'/{part}' * ragged}"
        )
        if found.ndim < 1:
            raise ValueError(f"'{found.name}' has no rows")
        if part == "offsets" or not ragged:
            self._check_rows(split, name, found, more=int(ragged))
        wanted: np.dtype | None = BASE_COLUMNS.get(name)
        if part == "offsets":
            wanted = np.dtype(np.int64)
        if split != SPLITS[0]:
            first = self._dataset(SPLITS[0], name, part)
            wanted = first.dtype
            if found.shape[1:] != first.shape[1:] or found.name.count("/") != first.name.count("/"):
                raise ValueError(f"'{found.name}' is not shaped like '{first.name}'")
        if wanted is not None and found.dtype != wanted:
            raise ValueError(f"'{found.name}' holds {found.dtype}, not {wanted}")
        return found

    def _check_rows(self, split: str, name: str, found: h5py.Dataset, *, more: int) -> None:
        if name == "id":
            return
        rows = self.rows(split) + more
        if found.shape[0] != rows:
            raise ValueError(f"'{found.name}' has {found.shape[0]} entries, not {rows}")

    def _check_version(self) -> dict[str, Any]:
        with self._refusing():
            version = self._file.attrs.get("schema_version")
        if version != SCHEMA_VERSION:
            none = "no schema version: not a shard"
            raise unreadable(self.path, none if version is None else f"schema version {version}")
        with self._refusing():
            found = attributes_of(self._file)
            attributes = {name: _plain(value) for name, value in found.items()}
        if "digest" not in attributes:
            raise unreadable(self.path, "attributes without a digest")
        with self._refusing():
            _check_attributes(attributes)
        return attributes

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            raise unreadable(self.path, error) from error


def _check_attributes(attributes: dict[str, Any]) -> None:
    """Raise one of FAULTS for an attribute that the writer would not write."""
    for name, kind in (("file_key", str), ("sample", str), ("naming", str), ("splits", str)):
        if not isinstance(attributes.get(name), kind):
            raise ValueError(f"attribute '{name}' is not text")
    naming, splits = json.loads(attributes["naming"]), json.loads(attributes["splits"])
    Naming(**naming).key.encode()
    shares = [share for name, share in splits.items() if name in SPLITS]
    if len(shares) != len(splits) or not all(isinstance(x, int | float) for x in shares):
        raise ValueError(f"attribute 'splits' is {attributes['splits']}")
    entries, total = attributes.get("entries"), attributes.get("sum_of_weights")
    if type(entries) is not int or entries < 0 or not isinstance(total, int | float):
        raise ValueError("attributes 'entries' and 'sum_of_weights' are no numbers of entries")


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
