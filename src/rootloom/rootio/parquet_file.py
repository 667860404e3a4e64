"""Parquet files as arrays. Memory holds a block of rows and a page of each column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rootloom.errors import PackageError
from rootloom.rootio import array_file
from rootloom.rootio.array_file import ArrayFile, Block, refusing, require_no_path
from rootloom.types import Column, Ragged, offsets_of

_PAGE_BYTES = 1 << 20  # of a column that are read ahead


class Parquet(ArrayFile):
    """Columns of numbers, words, and lists of numbers. path: must be empty."""

    def __init__(self, source: Path, path: str) -> None:
        super().__init__(source, path)
        self._arrow = _pyarrow(source)
        require_no_path(source, path)
        self._file = self._arrow.parquet.ParquetFile(
            source,
            buffer_size=_PAGE_BYTES,
            pre_buffer=False,  # a row group may be as large as the file
            page_checksum_verification=True,
        )
        self._stack.callback(self._file.close)

    @property
    def names(self) -> Collection[str]:
        """The top-level columns."""
        found: list[str] = self._file.schema_arrow.names
        return found

    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """As declared."""
        for name in names:
            if list(self.names).count(name) > 1:
                raise self._refusal(name, "one column of this name", "several")
        with refusing(self.source):
            for batch in self._file.iter_batches(
                self._batch_rows(names), columns=list(names), use_threads=False
            ):
                yield {name: self._column(name, batch.column(name)) for name in names}

    def _batch_rows(self, names: Sequence[str]) -> int:
        """Rows of a block, by what the largest rows of any row group take uncompressed."""
        most, about = 1, self._file.metadata
        for group in (about.row_group(k) for k in range(about.num_row_groups)):
            columns = (group.column(k) for k in range(group.num_columns))
            size = sum(
                one.total_uncompressed_size
                for one in columns
                if one.path_in_schema.partition(".")[0] in names
            )
            most = max(most, size // max(1, group.num_rows))
        return max(1, min(array_file.BLOCK_ROWS, array_file.BLOCK_BYTES // most))

    def _column(self, name: str, array: Any) -> Column:
        of = self._arrow.types
        if not (of.is_list(array.type) or of.is_large_list(array.type)
                or of.is_fixed_size_list(array.type)):  # fmt: skip
            return self._flat(name, array)
        if array.null_count:
            raise self._refusal(name, "a list in every row, which may be empty", "null")
        counts = array.value_lengths().to_numpy(zero_copy_only=False)
        return Ragged(self._flat(name, array.flatten()), offsets_of(counts))

    def _flat(self, name: str, array: Any) -> np.ndarray:
        """Numbers, with NaN for null, or words."""
        of = self._arrow.types
        if of.is_dictionary(array.type):
            array = array.dictionary_decode()
        if of.is_string(array.type) or of.is_large_string(array.type):
            return np.array(array.fill_null("null").to_pylist(), dtype=np.str_)
        if of.is_boolean(array.type):
            array = array.cast(self._arrow.int8())
        if not (of.is_integer(array.type) or of.is_floating(array.type)):
            raise self._refusal(name, "numbers, words, or lists of numbers", str(array.type))
        values: np.ndarray = array.to_numpy(zero_copy_only=False)
        return values


def _pyarrow(source: Path) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PackageError(
            str(source),
            expected="the package pyarrow, which reads Parquet",
            found=str(error),
            fix="pip install 'rootloom[parquet]'",
        ) from None
    return pyarrow
