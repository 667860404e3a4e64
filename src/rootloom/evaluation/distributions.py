"""Score densities, reliability of probabilities, and efficiencies in bins of a variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rootloom.evaluation.classification_results import Calibration, Histogram, Profile
from rootloom.evaluation.metrics import Roc, crossing
from rootloom.evaluation.uncertainties import wilson

if TYPE_CHECKING:
    from rootloom.evaluation.discriminate import Sample


def is_probability(score: np.ndarray) -> bool:
    """Whether all scores (R,) lie in [0, 1]."""
    return bool(score.min() >= 0 and score.max() <= 1)


def histogram(samples: Sequence[Sample], bins: int) -> Histogram:
    """Unit-area densities of the score by class, pooled over members, in common bins."""
    score = np.concatenate([s.score for s in samples])
    signal = np.concatenate([s.signal for s in samples])
    weight = np.concatenate([s.weight for s in samples])
    low, high = (0.0, 1.0) if is_probability(score) else (score.min(), score.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    density = {
        name: tuple(_density(score[member], weight[member], edges).tolist())
        for name, member in zip(samples[0].names, (signal, ~signal), strict=True)
    }
    return Histogram(tuple(edges.tolist()), density)


def _density(score: np.ndarray, weight: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(score, edges, weights=weight)
    return counts / (weight.sum() * np.diff(edges))


def calibrate(samples: Sequence[Sample], bins: int) -> Calibration:
    """Reliability in equal-width bins of the probability, and the expected calibration error.

    ECE = Σ share · |observed − predicted| (Guo et al., arXiv:1706.04599, eq. 3), by training
    weights: a probability is judged against the mixture of classes on which it was trained.
    """
    score = np.concatenate([s.score for s in samples])
    signal = np.concatenate([s.signal for s in samples])
    weight = np.concatenate([s.training for s in samples])
    index = np.minimum((score * bins).astype(int), bins - 1)
    total = np.bincount(index, weight, bins)
    used = total > 0
    predicted = np.bincount(index, weight * score, bins)[used] / total[used]
    observed = np.bincount(index, weight * signal, bins)[used] / total[used]
    # Binomial error at the effective count of one member's rows: the members share them.
    rows = total[used] ** 2 / np.bincount(index, weight**2, bins)[used] / len(samples)
    error = np.sqrt(np.clip(observed * (1 - observed), 0, None) / rows)
    share = total[used] / total[used].sum()
    return Calibration(
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
        error=tuple(error.tolist()),
        share=tuple(share.tolist()),
        expected_error=float(np.sum(share * np.abs(observed - predicted))),
    )


def profile(sample: Sample, curve: Roc, variable: str, bins: int, target: float) -> Profile:
    """Efficiencies above one global threshold in bins of `variable` holding alike many rows.

    Non-finite values of the variable are left out.
    """
    values = sample.aux[variable].astype(np.float64)
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, bins + 1)))
    threshold = curve.threshold[crossing(curve, np.array([target])).upper[0]]
    passed = sample.score >= threshold
    by_class = [
        efficiency_in_bins(values[member], passed[member], sample.weight[member], edges)
        for member in (known & sample.signal, known & ~sample.signal)
    ]
    return Profile(variable, target, tuple(edges.tolist()), *by_class)


def efficiency_in_bins(
    values: np.ndarray, passed: np.ndarray, weight: np.ndarray, edges: np.ndarray
) -> tuple[tuple[float | None, float, float], ...]:
    """(efficiency, low, high) per bin of values (R,), passed (R,) bool, weight (R,).

    The interval is Wilson's at the effective count (Σw)²/Σw²; the last bin includes its upper edge.
    """
    bins = len(edges) - 1
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    inside = (values >= edges[0]) & (values <= edges[-1])
    index, passed, weight = index[inside], passed[inside], weight[inside]
    total = np.bincount(index, weight, bins)
    square = np.bincount(index, weight**2, bins)
    above = np.bincount(index, weight * passed, bins)
    found: list[tuple[float | None, float, float]] = []
    for part, whole, squares in zip(above, total, square, strict=True):
        if whole <= 0:
            found.append((None, 0.0, 1.0))
            continue
        share = float(np.clip(part / whole, 0, 1))
        rows = float(whole**2 / squares)
        found.append((share, *wilson(share * rows, rows)))
    return tuple(found)
