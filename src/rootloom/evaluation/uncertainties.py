"""Statistical errors of AUC and background efficiency from a finite, weighted test sample.

They describe the fluctuation over test samples of the same size, not over trainings: the spread
over trainings is separate (`members`). Weights are properties of the rows and fluctuate
with them, as in the usual Σw².

A symmetric error is given only if the sample can estimate it. For one effective row, or for classes
that are completely separated, every formula gives a variance of zero. Then there is a reason
instead of an error, and a limit if one with correct coverage is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.roc import (
    Crossing,
    Cumulative,
    Roc,
    background_efficiency,
    crossing,
    effective_count,
    effective_rows,
)

# Half-width in ε_S of the window in which the slope of the ROC curve is measured: wide enough for
# many background rows, narrow enough that e^(kε) with k ≈ 10 is linear to 1 %.
SLOPE_WINDOW = 0.025
# Upper limit on a Poisson mean with no observed event, at 68.27 % confidence: −ln(1 − 0.6827).
LIMIT_OF_ZERO_SEEN = 1.1479
CONFIDENCE = 0.6827  # of limits and intervals: one standard deviation of a normal distribution
# Below this effective number of rows, a sum of signed weights is a rounding error of zero.
MIN_EFFECTIVE_ROWS = 1e-9
SEPARATED = "every signal row scores above every background row"
REVERSED = "every background row scores above every signal row"
ALL_EQUAL = "all scores are equal"
NONE_LEFT = "no background row survives"
ALL_LEFT = "every background row survives"
CANCELS = "negative weights cancel the background above the cut"


@dataclass(frozen=True)
class BackgroundAt:
    """The background at T signal efficiencies; every field is (T,) float64.

    efficiency, error: ε_B and its statistical error; threshold: on the score.
    count: raw surviving background rows (fractional only where tied scores straddle the
    threshold); effective: (Σw)²/Σw² of the same rows.
    """

    efficiency: np.ndarray
    error: np.ndarray
    threshold: np.ndarray
    count: np.ndarray
    effective: np.ndarray


def auc_error(curve: Roc) -> float:
    """Standard error of the AUC after DeLong, DeLong & Clarke-Pearson (Biometrics 44, 837, 1988).

    The placement value of a row is the share of the other class that it beats; the two sample
    variances are generalised to weights as those of a weighted mean, Σw²(V − A)²/(Σw)², with the
    n/(n − 1) correction at the effective count. Unit weights give DeLong's formula exactly.
    NaN where `no_auc_error` gives a reason.
    By toys (`benchmarks/toy_errors.py`) it is right to 5 % from 200 rows on. Of 40 rows it covers
    60 % of the time with exponential weights, and is 22 % too large with signed ones.
    """
    if no_auc_error(curve):
        return math.nan
    return math.sqrt(
        _placement_variance(curve.signal, curve.background)
        + _placement_variance(curve.background, curve.signal)
    )


def no_auc_error(curve: Roc) -> str | None:
    """Why the AUC of this sample has no standard error, or None where it has one."""
    signal, background = curve.signal, curve.background
    if reason := too_few("signal", rows_of(signal)) or too_few("background", rows_of(background)):
        return reason
    if len(curve.threshold) == 2:
        return ALL_EQUAL
    if _is_above(signal, background):
        return no_limit(SEPARATED) if _any_negative(curve) else SEPARATED
    return REVERSED if _is_above(background, signal) else None


def auc_limit(curve: Roc) -> float | None:
    """Lower limit on the AUC at 68.27 % confidence when the classes are separated, else None.

    The smaller class has n rows, in units of its largest weight. Paired off with rows of the other
    class, they are n independent pairs, each in the right order with probability A; so separation
    has a probability of Aⁿ at most, whatever the distributions, and whichever rows are the heavy
    ones, and A < (1 − 0.6827)^(1/n) is excluded.
    """
    if no_auc_error(curve) != SEPARATED:
        return None
    return all_passed_limit(min(_heaviest_rows(curve.signal), _heaviest_rows(curve.background)))


def no_limit(reason: str) -> str:
    """The reason for no error, with that for no limit: what is missing may weigh less than 0."""
    return f"{reason}, and negative weights allow no limit"


def all_passed_limit(rows: float) -> float:
    """Lower limit at 68.27 % confidence on a share if all `rows` > 0 passed.

    Clopper and Pearson, Biometrika 26, 404 (1934), one-sided. For weighted rows it covers with
    their `heaviest_rows`. The effective number would be too large: ten heavy rows and ten thousand
    light ones could count as a thousand, although half of the heavy ones may be missed by chance.
    """
    return float((1.0 - CONFIDENCE) ** (1.0 / rows))


def rows_behind_share(limit: float) -> float:
    """The inverse of `all_passed_limit`: number of rows for a limit; 0 < limit < 1."""
    return math.log(1.0 - CONFIDENCE) / math.log(limit)


def rows_of(sums: Cumulative) -> float:
    """Effective rows of a class."""
    return float(effective_count(sums.weight[-1:], sums.square[-1:])[0])


def too_few(what: str, rows: float) -> str | None:
    """The reason for no error if the effective number of rows of `what` is at most 1."""
    # One row must not count as more because (Σw)²/Σw² is rounded.
    return None if rows > 1 + 1e-9 else f"effective number of {what} rows {rows:.2g}, not above 1"


def _is_above(one: Cumulative, other: Cumulative) -> bool:
    """Whether all rows of a class score above all of the other."""
    complete = int(np.searchsorted(one.count, one.count[-1]))
    return bool(other.count[complete] == 0)


def _any_negative(curve: Roc) -> bool:
    return min(curve.signal.smallest, curve.background.smallest) < 0


def _heaviest_rows(sums: Cumulative) -> float:
    return float(sums.weight[-1]) / sums.largest


def _placement_variance(own: Cumulative, other: Cumulative) -> float:
    passed = other.efficiency
    placement = (passed[1:] + passed[:-1]) / 2  # (K − 1,) for each group of tied scores
    mean = np.average(placement, weights=np.diff(own.weight))
    total, square = own.weight[-1], own.square[-1]
    variance = float(np.sum(np.diff(own.square) * (placement - mean) ** 2)) / total**2
    rows = total**2 / square
    return variance * rows / (rows - 1)


def paired_areas(
    scores: np.ndarray, signal: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUC (M,) of M scores of the same rows, and the covariance (M, M) of their errors.

    scores: (M, R); signal: (R,) bool; weight: (R,). What two scores have in common falls out of
    their difference, whose variance is c_aa + c_bb − 2 c_ab. After DeLong, DeLong & Clarke-Pearson,
    with weights as in `auc_error`, whose squares stand on the diagonal.
    """
    placed = np.stack([_placements(score, signal, weight) for score in scores])
    covariance = np.zeros((len(scores), len(scores)))
    for rows in (signal, ~signal):
        w, mean = weight[rows], np.average(placed[:, rows], axis=1, weights=weight[rows])
        off = (placed[:, rows] - mean[:, None]) * (w / w.sum())
        effective = w.sum() ** 2 / (w**2).sum()
        covariance += off @ off.T * (effective / (effective - 1) if effective > 1 else 1.0)
    return np.average(placed[:, signal], axis=1, weights=weight[signal]), covariance


def _placements(score: np.ndarray, signal: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(R,): the share of the other class that a row beats, tied rows counted as one half."""
    placed = np.empty(len(score))
    for rows in (signal, ~signal):
        order = np.argsort(score[~rows], kind="stable")
        other = score[~rows][order]
        below = np.concatenate([[0.0], np.cumsum(weight[~rows][order])])
        low, high = (below[np.searchsorted(other, score[rows], side)] for side in ("left", "right"))
        placed[rows] = (low + high) / (2 * below[-1])
    return np.where(signal, placed, 1.0 - placed)


def background_at(curve: Roc, signal_efficiency: np.ndarray) -> BackgroundAt:
    """ε_B at each ε_S (T,), with its error and the counts behind it.

    Two independent sources add in quadrature: the weighted binomial fluctuation of the background
    above the threshold, and the error of the threshold itself, which is the weighted binomial
    fluctuation of the signal times the slope dε_B/dε_S of the curve. By toys (`benchmarks/
    toy_errors.py`) it is right to 5 % with 67 rows above the cut, and 10 % too large with 7 (30 %
    with signed weights); then the tail of the inverse, a rejection, is too long for a symmetric
    error.
    """
    at = crossing(curve, signal_efficiency)
    variance = _binomial_variance(curve.background, at)
    signal_variance = _binomial_variance(curve.signal, at)
    variance = (
        variance + signal_variance * _slope(curve, signal_efficiency, np.sqrt(signal_variance)) ** 2
    )
    weight = at.interpolate(curve.background.weight)
    return BackgroundAt(
        efficiency=at.interpolate(curve.background.efficiency),
        error=np.sqrt(variance),
        threshold=curve.threshold[at.upper],
        count=at.interpolate(curve.background.count),
        effective=effective_count(weight, at.interpolate(curve.background.square)),
    )


def no_background_error(curve: Roc, at: BackgroundAt, index: int) -> str | None:
    """Why ε_B at target number `index` has no error, or None where it has one.

    `NONE_LEFT`: there is a limit instead, see `rejection_limit`. `CANCELS`: ε_B ≤ 0 from rows above
    the cut, which gives neither a rejection nor a limit. `ALL_LEFT` and `ALL_EQUAL`: all rows are
    on one side of the cut, and the variance of the sample is zero.
    """
    if at.count[index] == 0:
        return NONE_LEFT
    if at.efficiency[index] <= 0 or at.effective[index] < MIN_EFFECTIVE_ROWS:
        return CANCELS
    surviving = too_few("surviving background", float(at.effective[index]))
    if reason := surviving or too_few("signal", rows_of(curve.signal)):
        return reason
    if at.count[index] == curve.background.count[-1]:
        return ALL_LEFT
    return ALL_EQUAL if len(curve.threshold) == 2 else None


def _binomial_variance(sums: Cumulative, at: Crossing) -> np.ndarray:
    """Σw²(p − ε)²/(Σw)² over all rows, p ∈ {0, fraction, 1} the probability to pass; (T,)."""
    efficiency = at.interpolate(sums.efficiency)
    before = sums.square[at.upper - 1]
    tied = sums.square[at.upper] - before
    once = before + at.fraction * tied
    twice = before + at.fraction**2 * tied
    total = sums.square[-1]
    squares = twice - 2 * efficiency * once + efficiency**2 * total
    return np.maximum(squares, 0.0) / sums.weight[-1] ** 2  # rounding can leave −1e-16


def _slope(curve: Roc, targets: np.ndarray, signal_error: np.ndarray) -> np.ndarray:
    """dε_B/dε_S (T,) as a central difference over a few times the signal's fluctuation."""
    half = np.maximum(SLOPE_WINDOW, 2 * signal_error)
    low, high = np.maximum(targets - half, 0.0), np.minimum(targets + half, 1.0)
    rise = background_efficiency(curve, high) - background_efficiency(curve, low)
    return rise / np.maximum(high - low, np.finfo(float).tiny)


def weighted_share(passed: np.ndarray, weight: np.ndarray) -> Estimate:
    """Share of the weight (R,) of rows that pass (R,), and its error √Σw²(p − share)²/Σw.

    The error is NaN for one effective row or less, and if all rows pass or none.
    """
    passed, weight = passed[weight != 0], weight[weight != 0]
    total = float(weight.sum(dtype=np.float64))
    share = float(np.sum(weight * passed, dtype=np.float64) / total)
    if too_few("", effective_rows(weight)) or passed.all() or not passed.any():
        return Estimate(share, np.nan)
    variance = float(np.sum((weight * (passed - share)) ** 2, dtype=np.float64)) / total**2
    return Estimate(share, math.sqrt(variance))


def rejection_limit(curve: Roc) -> float | None:
    """Lower limit on 1/ε_B at 68.27 % confidence if no background row passes the cut.

    The expected weight above the cut is below 1.1479 rows of the largest weight, since a fraction
    e⁻¹·¹⁴⁷⁹ of samples with this mean has no row. None if the limit is not above 1, since
    every rejection is.
    """
    limit = _heaviest_rows(curve.background) / LIMIT_OF_ZERO_SEEN
    return limit if limit > 1 else None


def rows_behind_rejection(limit: float) -> float:
    """The inverse of `rejection_limit`: number of rows of the largest weight."""
    return limit * LIMIT_OF_ZERO_SEEN


def wilson(passed: float, total: float) -> tuple[float, float]:
    """68.27 % interval of an efficiency `passed/total` of effective counts (Wilson 1927)."""
    if total <= 0:
        return 0.0, 1.0
    share, z2 = passed / total, 1.0  # z = 1: one standard deviation
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(centre - half, 0.0), min(centre + half, 1.0)
