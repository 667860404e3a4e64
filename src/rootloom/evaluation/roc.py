"""Weighted ROC curves and values derived from them.

Conventions:
  - a row passes a threshold when `score >= threshold`; rows with equal scores form one ROC point;
  - between two ROC points the curve is a straight line (a random choice among tied rows), so the
    background efficiency at a signal efficiency is linearly interpolated. Where the curve rises
    vertically at that signal efficiency, its lower end counts: the tightest threshold that
    reaches the target. (Some taggers' code takes the nearest threshold instead; the two differ
    by at most one row's weight when scores are not tied.)
  - rows of weight 0 are ignored; negative weights count as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rootloom.errors import DataError

# Relative tolerance with which an efficiency reaches a target, because sums are rounded.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Cumulative:
    """Sums over the rows of one class that pass each of the K thresholds of a `Roc`.

    weight, square, count: (K,) float64, sums of w, w² and 1. smallest, largest: w of all rows.
    """

    weight: np.ndarray
    square: np.ndarray
    count: np.ndarray
    smallest: float
    largest: float

    @property
    def efficiency(self) -> np.ndarray:
        """(K,) from 0 to 1."""
        return self.weight / self.weight[-1]


@dataclass(frozen=True)
class Roc:
    """All points of a weighted ROC curve, tightest threshold first.

    threshold: (K,) descending, the first one infinite (nothing passes).
    """

    threshold: np.ndarray
    signal: Cumulative
    background: Cumulative

    @property
    def auc(self) -> float:
        """P(score of a signal row > score of a background row), ties counted as one half."""
        return float(np.trapezoid(self.signal.efficiency, self.background.efficiency))


@dataclass(frozen=True)
class Crossing:
    """Where a ROC curve reaches T signal efficiencies: between its points `upper` − 1 and `upper`.

    upper: (T,) int; fraction: (T,), position within the segment, in (0, 1].
    """

    upper: np.ndarray
    fraction: np.ndarray

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """(K,) quantity at the ROC points → (T,)."""
        below = values[self.upper - 1]
        return below + self.fraction * (values[self.upper] - below)


def roc(score: np.ndarray, signal: np.ndarray, weight: np.ndarray) -> Roc:
    """The weighted ROC curve of score (R,), signal (R,) bool, weight (R,).

    Raises DataError when either class has no row or no positive sum of weights.
    """
    exists = weight != 0
    score, signal = score[exists], signal[exists].astype(bool)
    weight = weight[exists].astype(np.float64)
    for name, member in (("signal", signal), ("background", ~signal)):
        require_class(name, int(member.sum()), float(weight[member].sum()))
    order = np.argsort(-score, kind="stable")
    score, signal, weight = score[order], signal[order], weight[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # last row of each tie
    return Roc(
        threshold=np.append(np.inf, score[last]),
        signal=_cumulate(signal, weight, last),
        background=_cumulate(~signal, weight, last),
    )


def require_class(name: str, rows: int, total: float) -> None:
    """Refuse a class without rows or without a positive sum of weights."""
    if rows == 0 or not total > 0:
        raise DataError(
            f"the {name} of an evaluation",
            expected="at least one row and a positive sum of weights",
            found=f"{rows} rows with weights summing to {total:g}",
            fix="check the labels, the selection and the weights of this split",
        )


def _cumulate(member: np.ndarray, weight: np.ndarray, last: np.ndarray) -> Cumulative:
    w = np.where(member, weight, 0.0)
    weights, squares, counts = (
        np.append(0.0, np.cumsum(term)[last]) for term in (w, w * w, member.astype(float))
    )
    smallest, largest = float(weight[member].min()), float(weight[member].max())
    return Cumulative(weights, squares, counts, smallest, largest)


def crossing(curve: Roc, signal_efficiency: np.ndarray) -> Crossing:
    """Where `curve` first reaches each signal efficiency (T,) in (0, 1]."""
    # With negative weights the efficiency can decrease: use the running maximum.
    reached = np.maximum.accumulate(curve.signal.efficiency)
    target = np.asarray(signal_efficiency, dtype=np.float64)
    # Without the tolerance ten rows of weight 0.1 would not reach the same efficiency as ten of
    # weight 1, and the next signal row may have a much lower score.
    enough = np.minimum(target * (1 - ROUNDING), reached[-1])
    upper = np.maximum(np.searchsorted(reached, enough, side="left"), 1)
    step = reached[upper] - reached[upper - 1]
    share = np.divide(target - reached[upper - 1], step, out=np.ones_like(step), where=step > 0)
    return Crossing(upper, np.minimum(share, 1.0))


def passing(score: np.ndarray, curve: Roc, signal_efficiency: float) -> np.ndarray:
    """Probability (R,) of rows with these scores (R,) to pass where `curve` reaches an efficiency.

    1 above the threshold, 0 below it; for rows tied with it, the share that gives the efficiency.
    """
    at = crossing(curve, np.array([signal_efficiency]))
    threshold = curve.threshold[at.upper[0]]
    return np.where(score == threshold, at.fraction[0], score > threshold)


def background_efficiency(curve: Roc, signal_efficiency: np.ndarray) -> np.ndarray:
    """ε_B (T,) at each ε_S (T,); the rejection is its inverse."""
    return crossing(curve, signal_efficiency).interpolate(curve.background.efficiency)


def significance_improvement(
    signal_efficiency: np.ndarray | float, background_efficiency: np.ndarray
) -> np.ndarray:
    """SIC = ε_S / √ε_B, the factor on S/√B (arXiv:1106.3076); NaN where ε_B = 0."""
    safe = np.where(background_efficiency > 0, background_efficiency, np.nan)
    return signal_efficiency / np.sqrt(safe)


def effective_count(weight_sum: np.ndarray, square_sum: np.ndarray) -> np.ndarray:
    """(Σw)² / Σw²: number of rows of equal weight with the same precision; 0 without rows."""
    return np.divide(weight_sum**2, square_sum, out=np.zeros_like(weight_sum), where=square_sum > 0)


def heaviest_rows(weight: np.ndarray) -> float:
    """Σw over the largest weight (R,): the number of rows of the largest weight with the same sum.

    At most `effective_rows` for positive weights. Used for limits, because rows that are missing by
    chance may be those with the largest weights.
    """
    return float(weight.sum() / weight.max())


def effective_rows(weight: np.ndarray) -> float:
    """The `effective_count` of rows with these weights (R,)."""
    return float(effective_count(np.asarray(weight.sum()), np.asarray((weight**2).sum())))
