"""What files of arrays have in common: blocks of limited size, and what is refused."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rootloom.errors import FAULTS, InputError, reason
from rootloom.system import faults
from rootloom.types import Column

BLOCK_ROWS = 10_000  # also a basket
BLOCK_BYTES = 32 << 20
_ROW_BYTES = 256 << 20  # of a single row
_CHECKSUM_BYTES = 1 << 20
FETCH_AGAIN = "fetch the file again and compare its size or checksum with the origin's"
Block = dict[str, Column]


class ArrayFile(ABC):
    """An open file of named arrays. A row is a place on their first axis."""

    def __init__(self, source: Path, path: str) -> None:
        """path: of the group or data set in an HDF5 file."""
        self.source = source
        self._stack = ExitStack()

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """All arrays that could be asked for."""

    @abstractmethod
    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """Arrays (n, …) or lists by name, n rows at a time, all rows once."""

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _refusal(self, name: str, expected: str, found: str, fix: str = "") -> InputError:
        return InputError(f"{self.source}: '{name}'", expected=expected, found=found, fix=fix)

    def _steps(self, rows: int, row_bytes: int) -> Iterator[slice]:
        """All rows, in blocks of limited size. Raises InputError for rows that are too large."""
        if row_bytes > _ROW_BYTES:
            raise InputError(
                str(self.source),
                expected=f"rows of at most {_ROW_BYTES >> 20} MiB in the columns of the recipe",
                found=f"{row_bytes >> 20:,} MiB",
            )
        step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, row_bytes)))
        for first in range(0, rows, step):
            yield slice(first, min(first + step, rows))

    def _rows(self, lengths: Mapping[str, int]) -> int:
        """The number of rows, the same in all arrays."""
        first, rows = next(iter(lengths.items()))
        for name, length in lengths.items():
            if length != rows:
                raise self._refusal(name, f"{rows} rows, as '{first}' has", str(length))
        return rows


@contextmanager
def refusing(source: Path) -> Iterator[None]:
    """Errors of the libraries that read files, as InputError, or as that of the machine."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(str(source), expected="a table", found=str(error.strerror)) from None
    except (*FAULTS, EOFError, zlib.error, zipfile.BadZipFile) as error:
        faults.pass_on(error, str(source))
        kind = source.suffix.lower().removeprefix(".")
        raise InputError(
            str(source),
            expected=f"a complete {kind} file",
            found=reason(error),
            fix=getattr(error, "fix", FETCH_AGAIN),
        ) from None


def blocks_of_file(source: Path) -> Iterator[bytes]:
    """The bytes of a file."""
    with refusing(source), open(source, "rb") as file:
        while block := file.read(_CHECKSUM_BYTES):
            yield block


def require_no_path(source: Path, path: str) -> None:
    """Refuse a path, which only HDF5 has."""
    if path:
        raise InputError(
            str(source),
            expected="an HDF5 file, as the recipe has a `path`",
            found=f"a {source.suffix} file",
        )
