"""Checks of statistics before any job uses them: rows to train on and to evaluate."""

from __future__ import annotations

import numpy as np

from rootloom.errors import DataError
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import Weighting, WeightTable
from rootloom.types import SPLITS

_TEST = SPLITS.index("test")
_LOOK = (
    "`rootloom inspect FILE` lists the branches; look with uproot which values those that `where` "
    "names have"
)


def require_populated(
    statistics: Statistics, *, dataset: str, weighting: Weighting, by_class: bool = True
) -> None:
    """Refuse statistics with which the training or the evaluation would fail.

    by_class: whether every class is checked; else, as in a regression, all rows together. Raises
    DataError if there are no rows, or none of a class; for invalid training weights; and for a test
    split in which a class has no rows or a sum of event weights that is not positive, because
    efficiencies are divided by that sum.
    """
    if not statistics.rows.sum():
        raise DataError(
            f"dataset '{dataset}'",
            expected="rows that pass the selection and belong to a class",
            found=f"none in any file{_unclaimed(statistics)}",
            fix=f"loosen `select`, or check the expressions of the classes: {_LOOK}",
        )
    if by_class:
        _require_rows(statistics, dataset)
    WeightTable.from_statistics(statistics, dataset=dataset, weighting=weighting)
    if by_class:
        _require_test(statistics, dataset, weighting)


def require_tested(
    statistics: Statistics, *, dataset: str, weighting: Weighting, by_class: bool = True
) -> None:
    """Refuse statistics of an evaluated dataset without the rows that an evaluation needs.

    by_class: as of `require_populated`. Raises DataError for a test split without rows, or where a
    class has none or event weights that sum to zero or less.
    """
    if not statistics.rows[_TEST].sum():
        raise DataError(
            f"dataset '{dataset}'",
            expected="rows of its classes in the split 'test', which is evaluated",
            found=_by_split(statistics.rows.sum(axis=1)) + _unclaimed(statistics),
            fix="splits: {train: 0, validation: 0, test: 1} evaluates all rows; else loosen "
            f"`select`, or check the expressions of the classes: {_LOOK}",
        )
    if by_class:
        _require_rows(statistics, dataset)
        _require_test(statistics, dataset, weighting)


def _require_rows(statistics: Statistics, dataset: str) -> None:
    for name, rows in zip(statistics.classes, statistics.rows.sum(axis=0), strict=True):
        if not rows:
            raise DataError(
                f"dataset '{dataset}': classes.{name}",
                expected="rows that pass the selection, in any split",
                found=f"none; {_number(int(statistics.rows.sum()), 'row')} of other classes"
                f"{_unclaimed(statistics)}",
                fix=f"check `where` and the files of '{name}', or loosen `select`: {_LOOK}",
            )


def _unclaimed(statistics: Statistics) -> str:
    """The number of selected rows of no class, in words; "" for none."""
    many = statistics.unclassified
    return f"; {_number(many, 'selected row')} of no class" if many else ""


def _number(many: int, of: str) -> str:
    return f"{many:,} {of}{'' if many == 1 else 's'}"


def _by_split(counts: np.ndarray) -> str:
    """Rows (S,) of the splits in words."""
    named = zip(SPLITS, counts.tolist(), strict=True)
    return ", ".join(f"{count} in '{split}'" for split, count in named)


def _require_test(statistics: Statistics, dataset: str, weighting: Weighting) -> None:
    sums = statistics.weights(weighting.scales(statistics.samples))[_TEST]
    for number, name in enumerate(statistics.classes):
        rows = int(statistics.rows[_TEST, number])
        if not rows:
            raise DataError(
                f"dataset '{dataset}': classes.{name}",
                expected="rows in the split 'test', which is evaluated",
                found=_by_split(statistics.rows[:, number]),
                fix="add files, or give 'test' a larger share in `splits`",
            )
        if not (np.isfinite(sums[number]) and sums[number] > 0):
            negative = int(statistics.negative[_TEST, number])
            raise DataError(
                f"dataset '{dataset}': weight",
                expected=f"event weights of class '{name}' that sum to more than zero in the split "
                "'test', as efficiencies are divided by that sum",
                found=f"{sums[number]:g} in {rows} rows, {negative} of them negative",
                fix="check the sign of `weight`, add files, or give 'test' a larger share",
            )
