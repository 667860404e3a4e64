"""Reading of text tables (CSV, TSV, gzipped or not), as a stream.

The separator follows from the file's name.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import numpy as np

from rootloom.config.sections import Table
from rootloom.errors import ConfigError, DataError, InputError, nearest
from rootloom.rootio.array_file import FETCH_AGAIN
from rootloom.rootio.table_values import numbers, numbers_of_words
from rootloom.rootio.writing import Rows
from rootloom.system import faults

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_BLOCK_LINES = 20_000  # parsed at a time, which limits the memory; also a basket
_BLOCK_BYTES = 1 << 16
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile)
_SPACES = 16  # around a word, and one character more
_CHARACTER = np.dtype("U1").itemsize
_SHOWN = 40  # characters of a bad field in a message

Block = dict[str, np.ndarray]


def is_text(source: Path) -> bool:
    """Whether the name is that of a text table."""
    return _suffix(source) in SEPARATORS


def _suffix(source: Path) -> str:
    return Path(source.name.removesuffix(".gz")).suffix.lower()


def read_text(source: Path, recipe: Table) -> Iterator[Rows]:
    """The recipe's columns with its types, some rows at a time in the table's order.

    Raises as `import_table` does.
    """
    if recipe.objects:
        raise ConfigError(
            f"{source}: objects",
            expected="a table with lists or arrays: .parquet, .h5, .hdf5 or .npz",
            found="a text table",
        )
    parser = _Parser(source, recipe)
    done = 0
    try:
        with TextIOWrapper(_opened(source), encoding="utf-8-sig") as file:
            first = parser.header(file) if recipe.header else 0
            while lines := list(islice(file, _BLOCK_LINES)):
                block = parser.block(lines, first + done)
                done += len(lines)
                yield Rows(block)
    except (*_DAMAGES, UnicodeDecodeError) as error:
        raise _damaged(source, error, f"after line {done}") from None


def blocks_of_text(source: Path) -> Iterator[bytes]:
    """The uncompressed bytes of a text table. Raises InputError for a damaged archive."""
    lines = 0
    try:
        with _opened(source) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
                lines += block.count(b"\n")
    except _DAMAGES as error:
        raise _damaged(source, error, f"after line {lines}") from None


def _damaged(source: Path, error: Exception, where: str) -> InputError:
    return InputError(
        str(source),
        expected="a complete text table" + (", gzipped" if source.suffix == ".gz" else ""),
        found=f"{error} {where}",
        fix=FETCH_AGAIN,
    )


def _opened(source: Path) -> BinaryIO:
    """The uncompressed bytes of a table."""
    try:
        if source.suffix == ".gz":
            return cast(BinaryIO, gzip.open(source, "rb"))
        return open(source, "rb")
    except OSError as error:
        faults.pass_on(error, str(source))
        raise InputError(str(source), expected="a table", found=str(error.strerror)) from None


class _Parser:
    """Lines of one table to typed columns."""

    def __init__(self, source: Path, recipe: Table) -> None:
        self._source, self._recipe = source, recipe
        self._separator = SEPARATORS[_suffix(source)]
        self._types = {name: np.dtype(kind) for name, kind in recipe.types().items()}
        # NumPy cuts what is longer: a word that fills its field may be a cut one, and is refused.
        self._fields = np.dtype(
            [
                (name, f"U{_SPACES + max(map(len, kind))}" if isinstance(kind, dict) else "f8")
                for name, kind in recipe.columns.items()
            ]
        )

    def header(self, file: TextIO) -> int:
        """Read and check the first line; returns how many lines it took."""
        found = [name.strip() for name in file.readline().split(self._separator)]
        wanted = list(self._recipe.columns)
        for position, name in enumerate(wanted):
            here = found[position] if position < len(found) else "nothing"
            if here != name:
                raise InputError(
                    f"{self._source}: line 1, column {position + 1}",
                    expected=f"'{name}', as the recipe says",
                    found=f"'{here}'",
                    fix="use the recipe of this table, or one without `header` if it has no names",
                )
        if len(found) > len(wanted):
            raise InputError(
                f"{self._source}: line 1",
                expected=f"{len(wanted)} columns, as the recipe says",
                found=f"{len(found)}; the first unknown one is '{found[len(wanted)]}'",
                fix=nearest(found[len(wanted)], wanted),
            )
        return 1

    def block(self, lines: list[str], before: int) -> Block:
        """Columns of some lines; `before`: lines of the file that came before them."""
        try:
            table = np.loadtxt(
                lines, self._fields, comments=None, delimiter=self._separator, ndmin=1
            )
        except ValueError as error:
            raise self._bad_line(lines, before) or DataError(
                f"{self._source}: lines {before + 1} to {before + len(lines)}",
                expected="numbers as the recipe says",
                found=str(error),
            ) from None
        if len(table) != len(lines):  # empty lines are skipped without a word
            raise self._bad_line(lines, before) or AssertionError("a line got lost")
        names = self._recipe.columns
        return {name: self._column(name, table[name], before) for name in names}

    def _column(self, name: str, values: np.ndarray, before: int) -> np.ndarray:
        words, kind = self._recipe.columns[name], self._types[name]
        if isinstance(words, dict):
            found = numbers_of_words(values, words, kind)
            whole = np.char.str_len(values) < values.dtype.itemsize // _CHARACTER
            found = found._replace(good=found.good & whole)
        else:
            found = numbers(values, kind, self._recipe.missing)
        bad = found.first_bad()
        if bad is not None:
            shown = values[bad].strip() if isinstance(words, dict) else f"{values[bad]:g}"
            raise self._refusal(before + bad, name, found.expected, shown)
        return found.values

    def _bad_line(self, lines: Sequence[str], before: int) -> DataError | None:
        """The error for the first line that is not a row; slow, so only used after a failure."""
        names = list(self._recipe.columns)
        for number, line in enumerate(lines):
            fields = line.rstrip("\r\n").split(self._separator)
            if len(fields) != len(names):
                return DataError(
                    f"{self._source}: line {before + number + 1}",
                    expected=f"{len(names)} columns",
                    found=f"{len(fields)}" if line.strip() else "an empty line",
                    fix="use the recipe of this table, or correct the line",
                )
            for name, text in zip(names, fields, strict=True):
                if not isinstance(self._recipe.columns[name], dict) and not _is_number(text):
                    return self._refusal(before + number, name, "a number", text)
        return None

    def _refusal(self, line: int, name: str, expected: str, found: str) -> DataError:
        return DataError(
            f"{self._source}: line {line + 1}, column '{name}'",
            expected=expected,
            found=f"'{found[:_SHOWN]}'",
            fix="correct the line, or list values that mean 'missing' under the recipe's `missing`",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
