"""Converts tables to ROOT files, as a stream: text (CSV, TSV), Parquet, HDF5 and NumPy's .npz.

A recipe (`config/tables`) gives the names and types of the columns, and the values that mean
"missing"; the format follows from the file's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from rootloom.config.sections import Table
from rootloom.errors import ConfigError, InputError
from rootloom.rootio.array_file import blocks_of_file
from rootloom.rootio.array_table import FORMATS, read_arrays
from rootloom.rootio.origin import table_note
from rootloom.rootio.text_table import SEPARATORS, blocks_of_text, is_text, read_text
from rootloom.rootio.writing import Rows, write_tree
from rootloom.system.atomic import atomic_folder


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
    Raises InputError for a table that cannot be read or does not have the recipe's columns,
    DataError, naming the line or row, for a value that does not match the recipe, and PackageError
    where a package that reads the format is not installed.
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
            rows = write_tree(path, recipe.tree, blocks, notes)
            progress(first + rows)
            written.append(Path(output) / path.name)
    return written


def content_checksum(source: str | Path) -> str:
    """SHA-256 of a table in hexadecimal; of a text independent of its compression.

    Raises InputError for a table that is missing or whose archive is damaged.
    """
    source = Path(source)
    _require_known(source)
    digest = hashlib.sha256()
    for block in blocks_of_text(source) if is_text(source) else blocks_of_file(source):
        digest.update(block)
    return digest.hexdigest()


def read_table(source: str | Path, recipe: Table) -> Iterator[Rows]:
    """The recipe's columns and lists with its types, some rows at a time in the table's order.

    Raises as `import_table` does.
    """
    source, rows = Path(source), 0
    _require_known(source)
    for block in read_text(source, recipe) if is_text(source) else read_arrays(source, recipe):
        size = block.size
        if recipe.row_number:
            number = np.arange(rows, rows + size, dtype=np.int64)
            block = Rows({**block.columns, recipe.row_number: number}, block.lists)
        rows += size
        yield block
    if not rows:
        raise InputError(str(source), expected="rows", found="none")


def _require_known(source: Path) -> None:
    """Raise InputError for a name that does not tell the format."""
    if not is_text(source) and source.suffix.lower() not in FORMATS:
        texts = (f"{suffix} or {suffix}.gz" for suffix in SEPARATORS)
        raise InputError(
            str(source),
            expected="a name that ends in " + ", ".join((*texts, *FORMATS)),
            found=f"'{source.name}'",
            fix="rename a text by what separates its columns: comma .csv, tab .tsv",
        )


def _runs(blocks: Iterator[Rows], rows: int) -> Iterator[Iterator[Rows]]:
    """Blocks again, in runs of `rows` rows; a run must be used up before the next is asked for."""
    waiting: list[Rows] = []

    def run() -> Iterator[Rows]:
        left = rows
        while left:
            block = waiting.pop() if waiting else next(blocks, None)
            if block is None:
                return
            if block.size > left:
                waiting.append(block.part(left, block.size))
                block = block.part(0, left)
            left -= block.size
            yield block

    while True:
        one = run()
        first = next(one, None)
        if first is None:
            return
        yield chain([first], one)
