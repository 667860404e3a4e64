"""Friend trees: scores in the input's entry order, ready for TTree::AddFriend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rootloom.errors import DataError
from rootloom.rootio.branches import Container
from rootloom.rootio.writing import Rows, write_tree
from rootloom.types import Ragged, offsets_of

_STEP = 50_000


def write_friend(
    path: str | Path,
    entries_total: int,
    entry: np.ndarray,
    object: np.ndarray,
    columns: Mapping[str, np.ndarray],
    tree: str = "Scores",
    *,
    collection: str = "",
    counts: np.ndarray | None = None,
    objects: Mapping[str, Mapping[str, Ragged]] = MappingProxyType({}),
    notes: Mapping[str, str] | None = None,
    container: Container = "ttree",
) -> None:
    """Write a TTree or RNTuple with exactly one entry for each entry of the input.

    entry: (R,) entries of the input; object: (R,) object numbers in them; columns: name → (R,)
    real numbers, kept as float32, or integers, as int32, in any row order. collection: what their
    names begin with, before a '_'. counts: (entries_total,) objects of the row collection in each
    entry of the input where rows are objects; None where rows are events. objects: of collections,
    quantity → a list for each row, of equal lengths in a collection. notes: name → text, stored
    beside the tree as TObjString.

    Events: one number per branch; NaN, or -1 for integers, where there is no row (not selected).
    Objects: one list per branch, as long as the input's collection: score i belongs to object i;
    NaN or -1 for objects without one. The lists share one length branch, `ncollection`.
    Lists of rows that are objects lie one after the other in each entry, in the order of the rows,
    and COLLECTION_number, beside the other branches, is how many are of each row.
    Raises DataError for rows outside the input and for two predictions of one row.
    """
    entry, number = np.asarray(entry, np.int64), np.asarray(object, np.int64)
    sizes = np.ones(entries_total, np.int64) if counts is None else np.asarray(counts, np.int64)
    starts = offsets_of(sizes)
    slots = _slots(str(path), entry, number, sizes, starts)
    if counts is not None:
        columns = {**columns, **{f"{name}_number": _number(of) for name, of in objects.items()}}
    full = {name: _filled(values, slots, int(starts[-1])) for name, values in columns.items()}
    lists = {
        name: {quantity: _of_entries(values, slots, starts) for quantity, values in of.items()}
        for name, of in objects.items()
    }
    blocks = _blocks(full, lists, sizes, starts, None if counts is None else collection)
    write_tree(path, tree, blocks, notes, container=container)


def _number(of: Mapping[str, Ragged]) -> np.ndarray:
    """Objects of a collection a row, (R,)."""
    return next(iter(of.values())).counts()


def _of_entries(values: Ragged, slots: np.ndarray, starts: np.ndarray) -> Ragged:
    """The lists of the rows of each entry, one after the other. slots: (R,), of each row."""
    counts = np.zeros(starts[-1], np.int64)
    counts[slots] = values.counts()
    in_order = values.take(np.argsort(slots))
    return Ragged(in_order.values.astype(np.float32), offsets_of(counts)[starts])


def _filled(values: np.ndarray, slots: np.ndarray, size: int) -> np.ndarray:
    """Values (R,) in their slots of (size,), which are NaN or -1 elsewhere."""
    whole = np.asarray(values).dtype.kind in "iu"
    full: np.ndarray = np.full(size, -1, np.int32) if whole else np.full(size, np.nan, np.float32)
    full[slots] = values
    return full


def _slots(
    where: str, entry: np.ndarray, number: np.ndarray, sizes: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Position of each row among all rows of the input."""
    inside = (entry >= 0) & (entry < len(sizes)) & (number >= 0)
    inside[inside] = number[inside] < sizes[entry[inside]]
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise DataError(
            where,
            expected=f"rows of an input of {len(sizes)} entries and {starts[-1]} rows",
            found=f"a prediction for entry {entry[row]}, object {number[row]}",
            fix="predictions and input do not belong together: run predict again",
        )
    slots = starts[entry] + number
    unique, times = np.unique(slots, return_counts=True)
    if len(unique) != len(slots):
        twice = int(unique[np.argmax(times)])
        raise DataError(
            where,
            expected="one prediction a row",
            found=f"{times.max()} for entry {int(np.searchsorted(starts, twice, 'right')) - 1}",
            fix="remove shards of an older run from the list of predictions",
        )
    return slots


def _blocks(
    columns: Mapping[str, np.ndarray],
    objects: Mapping[str, Mapping[str, Ragged]],
    sizes: np.ndarray,
    starts: np.ndarray,
    collection: str | None,
) -> Iterator[Rows]:
    """Blocks of entries, at least one, so that the types of the columns are known.

    objects: a list for each entry. collection: of the objects that are rows; None where rows are
    events.
    """
    whole = Rows({}, objects)
    for first in range(0, max(1, len(sizes)), _STEP):
        offsets = starts[first : first + _STEP + 1]
        block = {name: values[offsets[0] : offsets[-1]] for name, values in columns.items()}
        beside = whole.part(first, first + _STEP).lists
        if collection is None:
            yield Rows(block, beside)
            continue
        # One length branch for all lists, as the input's collection has it.
        edges = offsets - offsets[0]
        lists = {
            name.removeprefix(f"{collection}_"): Ragged(values, edges)
            for name, values in block.items()
        }
        yield Rows({}, {collection: lists, **beside})
