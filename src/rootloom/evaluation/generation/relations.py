"""Correlations of quantities of examples, and their response to the condition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rootloom.evaluation.generation.samples import Weights, mean_of, replicas, weights_of
from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.roc import effective_rows
from rootloom.evaluation.uncertainties import too_few


class Correlations(NamedTuple):
    """Spearman's rank correlations (F, F) in two samples; difference: the largest of any pair."""

    real: np.ndarray
    other: np.ndarray
    difference: Estimate


class Response(NamedTuple):
    """Response over condition in B bins of the latter; every field but `edges` is (B,).

    edges: (B + 1,) in the condition's unit; mean, width: of the ratio, its standard deviation;
    errors of both.
    """

    edges: np.ndarray
    mean: np.ndarray
    mean_error: np.ndarray
    width: np.ndarray
    width_error: np.ndarray


def compare_correlations(
    real: np.ndarray,
    other: np.ndarray,
    bootstrap: int,
    seed: int,
    weights: Weights | None = None,
) -> Correlations:
    """Correlations of features (R, F) and (S, F); the error is a bootstrap's.

    A feature that does not vary is correlated with none.
    """
    weights = weights_of(weights, real, other)
    ranks = [_ranks(sample, w) for sample, w in zip((real, other), weights, strict=True)]
    first, second = (_correlation(r, w) for r, w in zip(ranks, weights, strict=True))
    counts = [replicas(len(w), bootstrap, seed + k) * w for k, w in enumerate(weights)]
    drawn = [
        np.abs(_correlation(ranks[0], a) - _correlation(ranks[1], b)).max()
        for a, b in zip(*counts, strict=True)
    ]
    largest = Estimate(float(np.abs(first - second).max()), float(np.std(drawn, ddof=1)))
    return Correlations(first, second, largest)


def _ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weight below each of values (R, F) and half of that at it, by column."""
    found = np.empty(values.shape)
    for column, of in zip(values.T, found.T, strict=True):
        order = np.argsort(column, kind="stable")
        ordered, below = column[order], np.concatenate([[0.0], np.cumsum(weight[order])])
        first, after = (below[np.searchsorted(ordered, column, s)] for s in ("left", "right"))
        of[:] = (first + after) / 2
    return found


def _correlation(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pearson's correlations (F, F) of values (R, F) that count `weight` (R,) times."""
    centred = values - mean_of(values, weight)
    covariance = (centred * weight[:, None]).T @ centred
    # With signed weights the variance may not be positive; then all correlations are 0.
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.outer(spread, spread)
    return np.divide(covariance, scale, out=np.eye(len(scale)), where=scale > 0)


def condition_edges(condition: np.ndarray, bins: int) -> np.ndarray:
    """Edges (at most bins + 1,) of bins with equal numbers of the values (R,)."""
    edges = np.unique(np.quantile(condition, np.linspace(0, 1, bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])


def response_in_bins(
    condition: np.ndarray,
    response: np.ndarray,
    edges: np.ndarray,
    weight: np.ndarray | None = None,
) -> Response:
    """Mean and width of response / condition, (R,) both, in bins of condition.

    NaN where there are fewer than two rows, or no more than one effective row.
    """
    weight = np.ones(len(condition)) if weight is None else weight
    ratio = response / condition
    index = np.clip(np.searchsorted(edges, condition, side="right") - 1, 0, len(edges) - 2)
    bins = range(len(edges) - 1)
    return Response(
        edges, *np.array([_moments(ratio[index == b], weight[index == b]) for b in bins]).T
    )


def _moments(ratio: np.ndarray, weight: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, its error, standard deviation, its error; the last through the fourth moment."""
    total, rows = float(weight.sum()), effective_rows(weight)
    if total <= 0 or too_few("", rows):
        return (np.nan,) * 4
    mean = float(mean_of(ratio, weight))
    square = (ratio - mean) ** 2
    variance = max(float(mean_of(square, weight)), 0.0) * rows / (rows - 1)
    # Errors of weighted means: of the ratio, and of its squared distance to the mean.
    of_mean, of_variance = (
        float(np.sqrt(np.sum((weight * off) ** 2) * rows / (rows - 1))) / total
        for off in (ratio - mean, square - variance)
    )
    width = float(np.sqrt(variance))
    return mean, of_mean, width, of_variance / (2 * width) if width > 0 else 0.0


def compare_responses(real: Response, other: Response) -> tuple[Estimate, Estimate]:
    """Mean over bins of the absolute differences of the means, and of the widths.

    Not relative to the real widths, which are nearly 0 for showers without leakage.
    """
    return (
        _off(real.mean, real.mean_error, other.mean, other.mean_error),
        _off(real.width, real.width_error, other.width, other.width_error),
    )


def _off(
    real: np.ndarray, real_error: np.ndarray, other: np.ndarray, other_error: np.ndarray
) -> Estimate:
    known = np.isfinite(real) & np.isfinite(other)
    if not known.any():
        return Estimate(np.nan, np.nan)
    off = np.abs(other - real)[known].mean()
    error = np.linalg.norm(np.hypot(real_error, other_error)[known]) / known.sum()
    return Estimate(float(off), float(error))
