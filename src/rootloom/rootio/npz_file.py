"""NumPy's archives (.npz) as arrays, read in pieces.

Arrays of Python objects, which are pickled, are refused.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rootloom.rootio.array_file import ArrayFile, Block, refusing, require_no_path
from rootloom.system import faults


class Npz(ArrayFile):
    """Arrays of numbers or words. path: must be empty."""

    def __init__(self, source: Path, path: str) -> None:
        super().__init__(source, path)
        require_no_path(source, path)
        faults.require_no_pipe(source)
        self._archive = self._stack.enter_context(zipfile.ZipFile(source))
        self._members = {
            name.removesuffix(".npy"): name
            for name in self._archive.namelist()
            if name.endswith(".npy")
        }

    @property
    def names(self) -> Collection[str]:
        """The names of the arrays."""
        return self._members

    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """As declared."""
        with refusing(self.source), ExitStack() as stack:
            arrays = {name: self._array(stack, name) for name in names}
            rows = self._rows({name: one.shape[0] for name, one in arrays.items()})
            for step in self._steps(rows, sum(one.row_bytes for one in arrays.values())):
                yield {name: one.read(step.stop - step.start) for name, one in arrays.items()}
            for one in arrays.values():
                one.require_end()

    def _array(self, stack: ExitStack, name: str) -> _Member:
        file = stack.enter_context(self._archive.open(self._members[name]))
        major, _ = version = np.lib.format.read_magic(file)
        if major > 2:
            raise self._refusal(name, "version 1 or 2 of NumPy's format", f"{version}")
        header = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header[major - 1](file)
        if dtype.kind not in "biufU" or not shape:
            what = "Python objects, which are pickled and never read" if dtype.hasobject else dtype
            raise self._refusal(
                name,
                "an array of numbers or words, a row at each place of its first axis",
                f"{what}, shape {shape}",
                "save numbers alone: np.savez(…) of arrays that are not dtype=object",
            )
        content = self._archive.getinfo(self._members[name]).file_size - file.tell()
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != content:
            size = f"{content:,} bytes of values"
            raise self._refusal(name, "as many values as its shape says", f"{shape}, and {size}")
        if fortran and len(shape) > 1:
            fix = f"np.savez(…, {name}=np.ascontiguousarray({name}))"
            raise self._refusal(name, "rows one after the other", "Fortran's order", fix)
        return _Member(file, shape, dtype)


class _Member:
    """An array of an archive, read from its first row on."""

    def __init__(self, file: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._file: BinaryIO = file
        self.shape, self._dtype = shape, dtype
        self.row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def read(self, rows: int) -> np.ndarray:
        """The next rows (rows, …)."""
        wanted = rows * self.row_bytes
        content = self._file.read(wanted)
        if len(content) != wanted:
            raise EOFError(f"an array of shape {self.shape} ends before its last row")
        return np.frombuffer(content, self._dtype).reshape(rows, *self.shape[1:])

    def require_end(self) -> None:
        """Read to the end, where the archive compares the checksum."""
        if self._file.read(1):
            raise ValueError(f"bytes after the last row of an array of shape {self.shape}")
