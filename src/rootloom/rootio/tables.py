"""Converts text tables (CSV, TSV, gzipped or not) to ROOT files, as a stream.

A recipe (`config/tables`) gives the names and types of the columns, and the values that mean
"missing"; the separator follows from the file's name.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import numpy as np

from rootloom.config.sections import Table
from rootloom.errors import ConfigError, DataError, InputError, nearest
from rootloom.rootio.origin import table_note
from rootloom.rootio.writing import Rows, write_tree
from rootloom.system import faults
from rootloom.system.atomic import atomic_folder

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_BLOCK_LINES = 20_000  # parsed at a time, which limits the memory; also a basket
_MAX_EXACT = 2**53 - 1  # fields are read as float64: the next whole number is no longer exact
_HASH_BLOCK_BYTES = 1 << 16  # bytes of the uncompressed table at a time
_SHOWN = 40  # characters of a bad field in a message

Block = dict[str, np.ndarray]


def import_table(
    source: str | Path,
    recipe: Table,
    output: str | Path,
    *,
    rows_per_file: int = 1_000_000,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[Path]:
    """Write a table as ROOT files of at most `rows_per_file` rows into the new folder `output`.

    The folder is complete or absent; its files have the name of the table and a number.
    Missing values become NaN. progress: called with the rows so far.
    A text beside each tree says which rows of which table it has, so that identities of events do
    not depend on the number of files. The table is read twice, first for its checksum.
    Raises InputError for a table that cannot be read or does not have the recipe's columns, and
    DataError, naming the line, for a field that does not match the recipe.
    """
    source = Path(source)
    checksum = content_checksum(source)
    stem = source.name.removesuffix(".gz").rpartition(".")[0] or source.name
    if rows_per_file < 1:
        raise ConfigError("rows per file", expected="at least 1", found=str(rows_per_file))
    written: list[Path] = []
    with atomic_folder(output) as folder:
        for number, blocks in enumerate(_runs(read_table(source, recipe), rows_per_file)):
            path, first = folder / f"{stem}-{number:05d}.root", number * rows_per_file
            notes = table_note(checksum, recipe.tree, first, rows_per_file)
            notes["recipe"] = recipe.to_text()
            rows = write_tree(path, recipe.tree, map(Rows, blocks), notes)
            progress(first + rows)
            written.append(Path(output) / path.name)
    return written


def content_checksum(source: str | Path) -> str:
    """SHA-256 of a table's uncompressed bytes, in hexadecimal; independent of the compression.

    Raises InputError for a table that is missing or whose archive is damaged.
    """
    source, lines = Path(source), 0
    _separator(source)
    digest = hashlib.sha256()
    try:
        with _opened(source) as file:
            while block := file.read(_HASH_BLOCK_BYTES):
                digest.update(block)
                lines += block.count(b"\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(source, error, f"after line {lines}") from None
    return digest.hexdigest()


def read_table(source: str | Path, recipe: Table) -> Iterator[Block]:
    """Columns by name, (n,) each with the recipe's types, n rows at a time in the table's order.

    Raises as `import_table` does.
    """
    source = Path(source)
    parser = _Parser(source, recipe)
    rows = 0
    try:
        with TextIOWrapper(_opened(source), encoding="utf-8-sig") as file:
            first = parser.header(file) if recipe.header else 0
            while lines := list(islice(file, _BLOCK_LINES)):
                block = parser.block(lines, first + rows)
                if recipe.row_number:
                    count = len(next(iter(block.values())))
                    block[recipe.row_number] = np.arange(rows, rows + count, dtype=np.int64)
                rows += len(lines)
                yield block
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise _damaged(source, error, f"after line {rows}") from None
    if not rows:
        raise InputError(str(source), expected="rows", found="none")


def _types(recipe: Table) -> dict[str, np.dtype]:
    return {name: np.dtype(kind) for name, kind in recipe.types().items()}


def _damaged(source: Path, error: Exception, where: str) -> InputError:
    return InputError(
        str(source),
        expected="a complete text table" + (", gzipped" if source.suffix == ".gz" else ""),
        found=f"{error} {where}",
        fix="fetch the file again and compare its size or checksum with the origin's",
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


def _separator(source: Path) -> str:
    suffix = Path(source.name.removesuffix(".gz")).suffix.lower()
    if suffix not in SEPARATORS:
        raise InputError(
            str(source),
            expected="a name that ends in " + " or ".join(f"{s} or {s}.gz" for s in SEPARATORS),
            found=f"'{source.name}'",
            fix="rename it by what separates its columns: comma .csv, tab .tsv",
        )
    return SEPARATORS[suffix]


class _Parser:
    """Lines of one table to typed columns."""

    def __init__(self, source: Path, recipe: Table) -> None:
        self._source, self._recipe = source, recipe
        self._separator = _separator(source)
        self._types = _types(recipe)
        # One character more than the longest known word, so that no word is cut to a known one.
        self._fields = np.dtype(
            [
                (name, f"U{1 + max(map(len, kind))}" if isinstance(kind, dict) else "f8")
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
            return self._from_words(name, values, words, before)
        if kind.kind == "i":
            largest = min(np.iinfo(kind).max, _MAX_EXACT)
            good = (values == np.rint(values)) & (np.abs(values) <= largest)
            expected = f"a whole number of at most ±{largest} ({kind})"
        else:
            missing = np.isin(values, self._recipe.missing)
            good = missing | (np.abs(values) <= np.finfo(kind).max)
            expected = f"a finite number ({kind})"
            values = np.where(missing, np.nan, values)
        if not good.all():
            row = int(np.argmin(good))
            raise self._refusal(before + row, name, expected, f"{values[row]:g}")
        return values.astype(kind)

    def _from_words(
        self, name: str, values: np.ndarray, words: dict[str, int], before: int
    ) -> np.ndarray:
        values = np.char.strip(values)
        numbers = np.full(len(values), -1, np.int64)
        known = np.zeros(len(values), bool)
        for word, number in words.items():
            here = values == word
            numbers[here], known[here] = number, True
        if not known.all():
            row = int(np.argmin(known))
            raise self._refusal(before + row, name, f"one of: {', '.join(words)}", values[row])
        return numbers.astype(self._types[name])

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


def _runs(blocks: Iterator[Block], rows: int) -> Iterator[Iterator[Block]]:
    """Blocks again, in runs of `rows` rows; a run must be used up before the next is asked for."""
    waiting: list[Block] = []

    def run() -> Iterator[Block]:
        left = rows
        while left:
            block = waiting.pop() if waiting else next(blocks, None)
            if block is None:
                return
            count = len(next(iter(block.values())))
            if count > left:
                waiting.append({name: values[left:] for name, values in block.items()})
                block = {name: values[:left] for name, values in block.items()}
                count = left
            left -= count
            yield block

    while True:
        one = run()
        first = next(one, None)
        if first is None:
            return
        yield chain([first], one)
