"""Distances between the distributions of single quantities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rootloom.evaluation.generation.samples import Weights, mean_of, replicas, weights_of
from rootloom.evaluation.measurement import Estimate
from rootloom.physics.histograms import separation_power

# Bins are between these quantiles of the real sample; values beyond are in the outer bins.
RANGE = (0.001, 0.999)


class Marginals(NamedTuple):
    """One quantity in two samples. edges: (n + 1,); real, other: sums of weights (n,).

    wasserstein: in standard deviations of the real sample.
    """

    edges: np.ndarray
    real: np.ndarray
    other: np.ndarray
    separation: Estimate
    wasserstein: Estimate


def compare_marginals(
    real: np.ndarray,
    other: np.ndarray,
    bins: int,
    bootstrap: int,
    seed: int,
    weights: Weights | None = None,
) -> Marginals:
    """Separation power and Wasserstein distance of values (R,) and (S,); errors by bootstrap.

    Bins follow from `real` alone, so that every generator is measured with the same ones. Both
    distances are positive for two samples of one distribution: see the floor.
    """
    edges, samples = edges_of(real, bins), (real, other)
    weights = weights_of(weights, real, other)
    sums = [count(values, edges, w) for values, w in zip(samples, weights, strict=True)]
    drawn_weights = [
        replicas(len(w), bootstrap, seed + number) * w for number, w in enumerate(weights)
    ]
    drawn = [
        np.array([count(values, edges, w) for w in of])
        for values, of in zip(samples, drawn_weights, strict=True)
    ]
    spread = _separation(drawn[0], drawn[1]).std(ddof=1)
    return Marginals(
        edges,
        sums[0],
        sums[1],
        Estimate(float(_separation(sums[0], sums[1])), float(spread)),
        _wasserstein(samples, weights, drawn_weights),
    )


def _separation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # Of signed weights a bin may hold less than nothing, over which the formula cannot divide.
    return separation_power(np.maximum(first, 0.0), np.maximum(second, 0.0))


def edges_of(real: np.ndarray, bins: int) -> np.ndarray:
    """Edges (bins + 1,) of equal width over nearly all of the real values (R,)."""
    low, high = np.quantile(real, RANGE)
    if not high > low:
        low, high = real.min(), real.max()
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def count(values: np.ndarray, edges: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Number or weight of values (R,) in each bin (n,); those beyond are in the outer bins."""
    found, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges, weights=weight)
    return found


def _wasserstein(
    samples: tuple[np.ndarray, np.ndarray],
    weights: Weights,
    drawn: Sequence[np.ndarray],
) -> Estimate:
    """The area between the two distribution functions; drawn: weights (B, R) of replicas."""
    mean = mean_of(samples[0], weights[0])
    width = np.sqrt(np.maximum(mean_of((samples[0] - mean) ** 2, weights[0]), 0.0))
    values = np.concatenate(samples) / (width or 1.0)
    order = np.argsort(values, kind="stable")
    step = np.diff(values[order])

    def distance(real: np.ndarray, other: np.ndarray) -> float:
        change = np.concatenate([real / real.sum(), -other / other.sum()])
        return float(np.abs(np.cumsum(change[order])[:-1]) @ step)

    spread = np.std([distance(*pair) for pair in zip(*drawn, strict=True)], ddof=1)
    return Estimate(distance(*weights), float(spread))
