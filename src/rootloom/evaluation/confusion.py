"""Where the rows of each class end up: the confusion matrix with errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rootloom.evaluation.classification_results import Confusion
from rootloom.evaluation.members import summarise
from rootloom.evaluation.metrics import effective_count
from rootloom.evaluation.pairs import Scores


@dataclass(frozen=True)
class _Matrix:
    """share, variance, count: (C, C), true class by predicted class."""

    share: np.ndarray
    variance: np.ndarray
    count: np.ndarray


def confusion(members: Sequence[Scores], classes: Sequence[str]) -> Confusion:
    """Shares of each true class by the class with the highest score, the first one of equals.

    Each class must have a positive sum of weights. With negative weights a share can leave [0, 1].
    """
    found = [_matrix(member, len(classes)) for member in members]
    numbers = range(len(classes))
    return Confusion(
        classes=tuple(classes),
        shares=tuple(
            tuple(
                summarise(
                    [float(m.share[true, predicted]) for m in found],
                    [_error(float(m.variance[true, predicted])) for m in found],
                )
                for predicted in numbers
            )
            for true in numbers
        ),
        counts=tuple(
            tuple(
                float(np.mean([m.count[true, predicted] for m in found])) for predicted in numbers
            )
            for true in numbers
        ),
    )


def _matrix(member: Scores, classes: int) -> _Matrix:
    exists = member.weight != 0
    truth, weight = member.truth[exists], member.weight[exists]
    cell = truth * classes + np.argmax(member.probability[exists], axis=1)
    count, sums, squares = (
        np.bincount(cell, w, classes**2).reshape(classes, classes)
        for w in (np.ones(len(weight)), weight, weight**2)
    )
    total, square = sums.sum(axis=1, keepdims=True), squares.sum(axis=1, keepdims=True)
    share = sums / total
    # Σw²(p − s)²/(Σw)², p = 1 for a row of the cell, else 0: s(1 − s) at the effective number of
    # rows where weights do not depend on the cell, and positive whatever their signs.
    variance = (squares * (1 - share) ** 2 + (square - squares) * share**2) / total**2
    # One effective row has no scatter that would tell an error.
    alone = effective_count(total, square) <= 1
    return _Matrix(share, np.where(alone, 0.0, variance), count)


def _error(variance: float) -> float | None:
    """None where all rows or none are in a cell: they do not say how sure that is."""
    return float(np.sqrt(variance)) if variance > 0 else None
