"""How quantities of showers hang together: with each other, and with what was asked for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.samples import replicas


class Correlations(NamedTuple):
    """Spearman's rank correlations (F, F) in two samples; difference: the largest of any pair."""

    real: np.ndarray
    other: np.ndarray
    difference: Estimate


class Response(NamedTuple):
    """Response over requested energy in B bins of the latter; every field but `edges` is (B,).

    edges: (B + 1,) GeV; mean, width: of the ratio, its standard deviation; errors of both.
    """

    edges: np.ndarray
    mean: np.ndarray
    mean_error: np.ndarray
    width: np.ndarray
    width_error: np.ndarray


def compare_correlations(
    real: np.ndarray, other: np.ndarray, bootstrap: int, seed: int
) -> Correlations:
    """Correlations of features (R, F) and (S, F); the error is a bootstrap's.

    A feature that does not vary is correlated with none.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(sample, axis=0) for sample in (real, other)]
    first, second = (_correlation(r, np.ones(len(r))) for r in ranks)
    counts = [replicas(len(r), bootstrap, seed + k) for k, r in enumerate(ranks)]
    drawn = [
        np.abs(_correlation(ranks[0], a) - _correlation(ranks[1], b)).max()
        for a, b in zip(*counts, strict=True)
    ]
    largest = Estimate(float(np.abs(first - second).max()), float(np.std(drawn, ddof=1)))
    return Correlations(first, second, largest)


def _correlation(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pearson's correlations (F, F) of values (R, F) that count `weight` (R,) times."""
    centred = values - np.average(values, axis=0, weights=weight)
    covariance = (centred * weight[:, None]).T @ centred
    spread = np.sqrt(np.diag(covariance))
    scale = np.outer(spread, spread)
    return np.divide(covariance, scale, out=np.eye(len(scale)), where=scale > 0)


def energy_edges(condition: np.ndarray, bins: int) -> np.ndarray:
    """Edges (at most bins + 1,) between which alike many of the energies (R,) lie, GeV."""
    edges = np.unique(np.quantile(condition, np.linspace(0, 1, bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])


def response_in_bins(condition: np.ndarray, response: np.ndarray, edges: np.ndarray) -> Response:
    """Mean and width of response / condition, (R,) both, in bins; NaN where fewer than two rows."""
    ratio = response / condition
    index = np.clip(np.searchsorted(edges, condition, side="right") - 1, 0, len(edges) - 2)
    bins = range(len(edges) - 1)
    return Response(edges, *np.array([_moments(ratio[index == b]) for b in bins]).T)


def _moments(ratio: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, its error, standard deviation, its error; the last through the fourth moment."""
    if len(ratio) < 2:
        return (np.nan,) * 4
    width = float(ratio.std(ddof=1))
    fourth = float(((ratio - ratio.mean()) ** 4).mean())
    spread = np.sqrt(max(fourth - width**4, 0.0) / len(ratio))
    error = spread / (2 * width) if width > 0 else 0.0
    return float(ratio.mean()), width / np.sqrt(len(ratio)), width, float(error)


def compare_responses(real: Response, other: Response) -> tuple[Estimate, Estimate]:
    """Mean over bins of the absolute differences of the means, and of the widths.

    Not over the real widths, which are next to nothing where no energy escapes.
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
