"""Reading of tables that are arrays: columns checked and typed, slots and lists to objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rootloom.config.sections import SLOT, Table, TableObjects
from rootloom.errors import DataError, InputError, nearest
from rootloom.rootio.array_file import ArrayFile, Block, refusing
from rootloom.rootio.hdf5_file import Hdf5
from rootloom.rootio.npz_file import Npz
from rootloom.rootio.parquet_file import Parquet
from rootloom.rootio.table_values import Fitted, numbers, numbers_of_words
from rootloom.rootio.writing import Rows
from rootloom.types import Ragged

FORMATS: dict[str, type[ArrayFile]] = {
    ".parquet": Parquet,
    ".h5": Hdf5,
    ".hdf5": Hdf5,
    ".npz": Npz,
}
_SHOWN = 40  # characters of a bad value in a message
_LISTED = 8  # names in a message


def read_arrays(source: Path, recipe: Table) -> Iterator[Rows]:
    """The recipe's columns and objects with its types, some rows at a time in the table's order.

    Raises as `import_table` does.
    """
    wanted = _wanted(recipe)
    first = 0
    with opened(source, recipe.path) as file:
        for name in wanted:
            if name not in file.names:
                raise InputError(
                    str(source),
                    expected=f"a column '{name}', as the recipe says",
                    found=_listed(list(file.names)),
                    fix=nearest(name, file.names) or "use the recipe of this table",
                )
        for arrays in file.blocks(wanted):
            rows = _Reader(source, recipe, first).rows(arrays)
            first += rows.size
            yield rows


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _LISTED} others" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none") + rest


def _wanted(recipe: Table) -> list[str]:
    """All columns of the file that the recipe names, each once."""
    names = [name for one in recipe.objects.values() for q in one.columns for name in one.names(q)]
    return list(dict.fromkeys((*recipe.columns, *names)))


@contextmanager
def opened(source: Path, path: str) -> Iterator[ArrayFile]:
    """The file, of the format that its name says.

    path: of the group or data set in an HDF5 file. Raises InputError for a file that is missing,
    damaged or of another format, PackageError where the package that reads it is not installed.
    """
    with refusing(source):
        file = FORMATS[source.suffix.lower()](source, path)
    try:
        yield file
    finally:
        file.close()


class _Reader:
    """One block of a table as rows. first: number of its first row, for messages."""

    def __init__(self, source: Path, recipe: Table, first: int) -> None:
        self._source, self._recipe, self._first = source, recipe, first

    def rows(self, arrays: Block) -> Rows:
        """Columns and lists of the recipe's types."""
        types = self._recipe.types()
        columns = {
            name: self._column(name, arrays, np.dtype(types[name])) for name in self._recipe.columns
        }
        objects = self._recipe.objects
        return Rows(
            columns, {name: self._objects(name, one, arrays) for name, one in objects.items()}
        )

    def _column(self, name: str, arrays: Block, kind: np.dtype) -> np.ndarray:
        values, words = arrays[name], self._recipe.columns[name]
        if isinstance(values, Ragged) or values.ndim > 1:
            what = "lists" if isinstance(values, Ragged) else _shape(values)
            raise InputError(
                f"{self._source}: '{name}'",
                expected="one value a row",
                found=what,
                fix="name it under `objects:` of the recipe",
            )
        self._require_words(name, values, isinstance(words, dict))
        if isinstance(words, dict):
            found = numbers_of_words(values, words, kind)
        else:
            found = numbers(values, kind, self._recipe.missing, nan=True)
        bad = found.first_bad()
        if bad is not None:
            raise self._refusal(f"row {self._first + bad}, column '{name}'", found, values[bad])
        return found.values

    def _objects(self, name: str, of: TableObjects, arrays: Block) -> dict[str, Ragged]:
        found = {q: self._quantity(f"{name}.{q}", of, q, arrays) for q in of.columns}
        first, offsets = next((quantity, one.offsets) for quantity, one in found.items())
        for quantity, one in found.items():
            if not np.array_equal(one.offsets, offsets):
                row = int(np.argmin(one.counts() == np.diff(offsets)))
                raise DataError(
                    f"{self._source}: row {self._first + row}, '{name}.{quantity}'",
                    expected=f"{offsets[row + 1] - offsets[row]} objects, as '{name}.{first}' has",
                    found=str(one.counts()[row]),
                )
        return found if of.present is None else self._without_padding(name, of.present, found)

    def _quantity(self, name: str, of: TableObjects, quantity: str, arrays: Block) -> Ragged:
        """Its values in all slots or lists, typed."""
        lists = self._lists(name, of, quantity, arrays)
        self._require_words(name, lists.values, False)
        kind = np.dtype(of.kind(quantity))
        found = numbers(lists.values, kind, self._recipe.missing, nan=True)
        bad = found.first_bad()
        if bad is not None:
            row = int(lists.row_of(bad))
            where = f"row {self._first + row}, object {bad - lists.offsets[row]}, '{name}'"
            raise self._refusal(where, found, lists.values[bad])
        return Ragged(found.values, lists.offsets)

    def _lists(self, name: str, of: TableObjects, quantity: str, arrays: Block) -> Ragged:
        names, place = of.names(quantity), of.place(quantity)
        if SLOT in of.columns[quantity]:
            return _slots(np.stack([self._dense(n, arrays, 1) for n in names], axis=1))
        values = arrays[names[0]]
        if isinstance(values, Ragged) and place is None:
            return values
        if place is None:
            return _slots(self._dense(names[0], arrays, 2))
        array = self._dense(names[0], arrays, 3)
        if place >= array.shape[2]:
            raise InputError(
                f"{self._source}: '{name}'",
                expected=f"at least {place + 1} places on the last axis of '{names[0]}'",
                found=_shape(array),
            )
        return _slots(array[:, :, place])

    def _dense(self, name: str, arrays: Block, axes: int) -> np.ndarray:
        values = arrays[name]
        expected = ("one number a row", "a list or an array (rows, slots)",
                    "an array (rows, slots, quantities)")[axes - 1]  # fmt: skip
        if isinstance(values, Ragged) or values.ndim != axes:
            shown = "lists" if isinstance(values, Ragged) else _shape(values)
            raise InputError(f"{self._source}: '{name}'", expected=expected, found=shown)
        return values

    def _without_padding(
        self, name: str, present: str, found: Mapping[str, Ragged]
    ) -> dict[str, Ragged]:
        """The objects whose `present` is not 0; all others must be 0 throughout."""
        kept, offsets = found[present].values != 0, found[present].offsets
        for quantity, one in found.items():
            strange = (one.values != 0) & ~kept
            if strange.any():
                at = int(np.argmax(strange))
                row = int(one.row_of(at))
                raise DataError(
                    f"{self._source}: row {self._first + row}, slot {at - offsets[row]}, "
                    f"'{name}.{quantity}'",
                    expected=f"0, since '{name}.{present}' is 0: an empty slot",
                    found=str(one.values[at]),
                    fix="name a quantity under `present` that is 0 in empty slots only",
                )
        before = np.concatenate([[0], np.cumsum(kept)])
        return {q: Ragged(one.values[kept], before[offsets]) for q, one in found.items()}

    def _require_words(self, name: str, values: np.ndarray, words: bool) -> None:
        if (values.dtype.kind == "U") != words:
            raise InputError(
                f"{self._source}: '{name}'",
                expected="words, as the recipe says" if words else "numbers, as the recipe says",
                found="numbers" if words else "words",
            )

    def _refusal(self, where: str, found: Fitted, value: object) -> DataError:
        return DataError(
            f"{self._source}: {where}",
            expected=found.expected,
            found=f"'{str(value)[:_SHOWN]}'",
            fix="correct it, or list values that mean 'missing' under the recipe's `missing`",
        )


def _shape(array: np.ndarray) -> str:
    return f"shape ({', '.join(('rows', *map(str, array.shape[1:])))})"


def _slots(array: np.ndarray) -> Ragged:
    """Lists of equal lengths from (rows, slots)."""
    rows, slots = array.shape
    return Ragged(array.reshape(-1), np.arange(rows + 1, dtype=np.int64) * slots)
