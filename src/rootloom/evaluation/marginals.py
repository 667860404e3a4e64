"""How far apart the distributions of single quantities are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.physics.histograms import separation_power

# Between these quantiles of the real sample lie the bins; what is beyond counts in the outer ones.
RANGE = (0.001, 0.999)


class Marginals(NamedTuple):
    """One quantity in two samples. edges: (n + 1,); real, other: counts (n,).

    wasserstein: in standard deviations of the real sample.
    """

    edges: np.ndarray
    real: np.ndarray
    other: np.ndarray
    separation: Estimate
    wasserstein: Estimate


def compare_marginals(
    real: np.ndarray, other: np.ndarray, bins: int, replicas: int, seed: int
) -> Marginals:
    """Separation power and Wasserstein distance of values (R,) and (S,); errors by bootstrap.

    Bins follow from `real` alone, so that every generator is measured with the same ones. Both
    distances are positive for two samples of one distribution: see the floor.
    """
    edges = edges_of(real, bins)
    counts = [count(values, edges) for values in (real, other)]
    random = np.random.Generator(np.random.Philox(key=[seed, len(edges)]))
    # Drawing rows anew draws the counts of the bins from a multinomial distribution.
    drawn = [random.multinomial(n.sum(), n / n.sum(), replicas) for n in counts]
    return Marginals(
        edges,
        counts[0],
        counts[1],
        Estimate(float(separation_power(*counts)), float(separation_power(*drawn).std(ddof=1))),
        _wasserstein(real, other, replicas, random),
    )


def edges_of(real: np.ndarray, bins: int) -> np.ndarray:
    """Edges (bins + 1,) of equal width over nearly all of the real values (R,)."""
    low, high = np.quantile(real, RANGE)
    if not high > low:
        low, high = real.min(), real.max()
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def count(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Values (R,) in each bin (n,); the outer bins hold what lies beyond."""
    found, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return found


def _wasserstein(
    real: np.ndarray, other: np.ndarray, replicas: int, random: np.random.Generator
) -> Estimate:
    from scipy.stats import wasserstein_distance

    scale = real.std() or 1.0
    drawn = [
        wasserstein_distance(
            random.choice(real, len(real)) / scale, random.choice(other, len(other)) / scale
        )
        for _ in range(replicas)
    ]
    value = wasserstein_distance(real / scale, other / scale)
    return Estimate(float(value), float(np.std(drawn, ddof=1)))
