"""HDF5 files as arrays: data sets of a group, tables of records, tables of pandas.

pandas pickles the names of columns that it joins; they are read without unpickling.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # Blosc and other codecs
import numpy as np

from rootloom.errors import InputError, nearest
from rootloom.rootio.array_file import ArrayFile, Block, refusing
from rootloom.system import hdf5

# What a list of texts consists of in a pickle; any other operation is refused.
_LIST = frozenset({
    "PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "PUT", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "STOP",
})  # fmt: skip
_TEXTS = frozenset({
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING",
})  # fmt: skip


def texts_of_pickle(content: bytes) -> list[str]:
    """The texts of a pickled list of texts, which is parsed and not executed.

    Raises ValueError for a pickle of anything else.
    """
    found: list[str] = []
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in _TEXTS:
            found.append(str(argument))
        elif operation.name not in _LIST:
            raise ValueError(f"a pickle with {operation.name}, where a list of names should be")
    return found


class Hdf5(ArrayFile):
    """Data sets of a group, or the fields of a table. path: of the group or the table."""

    def __init__(self, source: Path, path: str) -> None:
        super().__init__(source, path)
        hdf5.require_sound_heaps(source)
        file = self._stack.enter_context(h5py.File(source, "r"))
        self._place: Any = file
        for part in filter(None, path.split("/")):
            if not isinstance(self._place, h5py.Group) or part not in self._place:
                raise self._no_such(path, part, self._place)
            self._place = hdf5.child(self._place, part)
        self._is_group = isinstance(self._place, h5py.Group)
        self._require_no_frame()
        self._fields = {} if self._is_group else self._fields_of(self._place, path)

    @property
    def names(self) -> Collection[str]:
        """Data sets of the group, or columns of the table."""
        return list(self._place) if self._is_group else self._fields

    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """As declared."""
        with refusing(self.source):
            yield from self._of_group(names) if self._is_group else self._of_table(names)

    def _of_group(self, names: Sequence[str]) -> Iterator[Block]:
        sets = {name: hdf5.numbers(hdf5.child(self._place, name), name) for name in names}
        for name, one in sets.items():
            if not one.shape:
                raise self._refusal(name, "an array", "a single number")
        rows = self._rows({name: one.shape[0] for name, one in sets.items()})
        row_bytes = sum(math.prod(s.shape[1:]) * s.dtype.itemsize for s in sets.values())
        for step in self._steps(rows, row_bytes):
            yield {name: one[step] for name, one in sets.items()}

    def _of_table(self, names: Sequence[str]) -> Iterator[Block]:
        fields = list(dict.fromkeys(self._fields[name][0] for name in names))
        view = self._place.fields(fields)
        size = sum(self._place.dtype[field].itemsize for field in fields)
        for step in self._steps(self._place.shape[0], size):
            part = view[step]
            found = {name: (part[self._fields[name][0]], self._fields[name][1]) for name in names}
            yield {n: x if place is None else x[:, place] for n, (x, place) in found.items()}

    def _fields_of(self, table: Any, path: str) -> dict[str, tuple[str, int | None]]:
        """Column → the field of numbers that holds it, and its place there if it is one of many."""
        hdf5.records(table, path)
        found: dict[str, tuple[str, int | None]] = {}
        for field in table.dtype.names:
            kind = table.dtype[field]
            if kind.base.kind not in "biuf" or kind.base.itemsize > 8:
                continue
            names = table.attrs.get(f"{field}_kind") if kind.shape else None
            if isinstance(names, bytes):
                found |= {n: (field, k) for k, n in enumerate(self._pandas(field, names, kind))}
            else:
                found[field] = (field, None)
        return found

    def _pandas(self, field: str, names: bytes, kind: np.dtype) -> list[str]:
        """The columns that pandas joined in a field."""
        found = texts_of_pickle(names)
        if kind.shape != (len(found),):
            raise self._refusal(field, f"{len(found)} columns, as are named", f"{kind.shape}")
        return found

    def _require_no_frame(self) -> None:
        layout = self._place.attrs.get("pandas_type", b"")
        if self._is_group and isinstance(layout, bytes) and layout.startswith(b"frame"):
            table = layout == b"frame_table"
            raise InputError(
                f"{self.source}: '{self._place.name}'",
                expected="arrays, or a table",
                found="a pandas data frame" + ("" if table else " of format 'fixed'"),
                fix=f"path: {self._place.name.strip('/')}/table in the recipe"
                if table
                else "frame.to_hdf(…, format='table'), or frame.to_parquet(…)",
            )

    def _no_such(self, path: str, part: str, place: Any) -> InputError:
        known = list(place) if hasattr(place, "keys") else []
        return InputError(
            f"{self.source}",
            expected=f"'{path}', the recipe's `path`",
            found=f"no '{part}' in '{place.name}', which has: {', '.join(known) or 'nothing'}",
            fix=nearest(part, known),
        )
