"""Checks of rows: one class and one split each, finite values, equal lengths in a collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rootloom.errors import DataError
from rootloom.types import NO_CLASS, TARGET, Column, Ragged, RowBlock


def exclusive(
    what: str,
    flags: Sequence[tuple[str, np.ndarray | None]],
    entry: np.ndarray,
    url: str,
    checked: np.ndarray,
) -> np.ndarray:
    """Index of the one alternative that is true in each row, -1 if none is; (R,) int32.

    flags: name and truth (R,) of each alternative, None for one that cannot be true; entry: (R,).
    Raises DataError, naming the first row, if two are true in a row that is `checked`, (R,) bool.
    """
    chosen = np.full(len(entry), -1, np.int32)
    for index, (name, here) in enumerate(flags):
        if here is None:
            continue
        twice = here & (chosen >= 0) & checked
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            raise DataError(
                f"{url}: entry {entry[row]}",
                expected=f"one {what} a row",
                found=f"'{flags[chosen[row]][0]}' and '{name}'",
                fix=f"make these expressions exclude each other, so that each row has one {what}",
            )
        chosen[here] = index
    return chosen


def undefined(block: RowBlock) -> np.ndarray:
    """Rows of no class that cannot be scored: an input is not finite in float32; (R,) bool.

    They are not an error: in such rows an expression need not be defined.
    """
    found: np.ndarray = np.zeros(len(block), np.bool_)
    free = block.label == NO_CLASS
    if not free.any():
        return found
    for name, column in block.columns.items():
        values = column.values if isinstance(column, Ragged) else column
        if name.startswith(TARGET) or values.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
        found[_row_of(column, bad)] = True
    return found & free


def check_finite(block: RowBlock, url: str) -> None:
    """Refuse weights and columns of rows of a class that are not finite, naming the first row."""
    weights: dict[str, Column] = {"weight": block.weight}
    if block.training_weight is not None:
        weights["training_weight"] = block.training_weight
    for name, column in {**weights, **block.columns}.items():
        values = column.values if isinstance(column, Ragged) else column
        if values.dtype.kind != "f" or _all_finite(values):
            continue
        bad = np.flatnonzero(~np.isfinite(values))
        rows = _row_of(column, bad)
        counts = block.label[rows] != NO_CLASS
        if not counts.any():
            continue
        bad, row = bad[counts], int(rows[counts][0])
        raise DataError(
            f"{url}: entry {block.entry[row]}, object {block.object[row]}: '{name}'",
            expected="a finite number",
            found=f"{values[bad[0]]} ({len(bad)} such values in {len(block)} rows)",
            fix="select rows where it is defined, or give it a value: where(isfinite(x), x, 0)",
        )


def _row_of(column: Column, values: np.ndarray) -> np.ndarray:
    """The rows that these values of a column belong to."""
    if isinstance(column, Ragged):
        return column.row_of(values)
    return values


def _all_finite(values: np.ndarray) -> bool:
    # A sum is several times faster than a mask, and finite only if all terms are.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(values))) or bool(np.isfinite(values).all())


def check_lengths(block: RowBlock, objects: Mapping[str, Iterable[str]], url: str) -> None:
    """Refuse collections whose quantities differ in length, naming the first such row."""
    for collection, members in objects.items():
        present = [(n, block.columns.get(f"{collection}.{n}")) for n in members]
        ragged = [(n, c) for n, c in present if isinstance(c, Ragged)]
        for name, column in ragged[1:]:
            first, reference = ragged[0]
            differs = np.flatnonzero(reference.offsets != column.offsets)
            if len(differs):
                row = int(differs[0]) - 1
                raise DataError(
                    f"{url}: entry {block.entry[row]}: '{collection}'",
                    expected=f"as many '{name}' as '{first}'",
                    found=f"{column.counts()[row]} and {reference.counts()[row]}",
                    fix="declare them as two collections",
                )


def whole_numbers(values: np.ndarray, entry: np.ndarray, where: str) -> np.ndarray:
    """Numbers (R,) of any type as int64; unsigned ones beyond its range keep their bits.

    entry: (R,). Raises DataError, naming the entry, for a number that is not whole or, as a float,
    too large to be exact.
    """
    if values.dtype.kind == "f":
        limit = 2.0 ** (np.finfo(values.dtype).nmant + 1)
        good = (np.rint(values) == values) & (np.abs(values) < limit)
        if not good.all():
            row = int(np.argmin(good))
            raise DataError(
                f"{where}, entry {entry[row]}",
                expected="a whole number, exact in its type",
                found=f"{values[row]} ({values.dtype})",
                fix="use integer branches, such as run, luminosityBlock, event",
            )
    return values.astype(np.int64)
