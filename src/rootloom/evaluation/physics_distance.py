"""Fréchet and kernel physics distance of Kansal et al., arXiv:2211.10295.

Features are divided by the largest absolute value of the real sample, as in the authors' `jetnet`,
so that values mean what published ones mean; like those they are for a given set of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.samples import replicas

# As in jetnet: sizes, evenly spaced in 1/N, down to this share of the sample; batches of each.
SMALLEST, SIZES, BATCHES = 0.4, 10, 20
DEGREE = 4
GROUPS = 10
_BLOCK = 2_000


def frechet_physics_distance(
    real: np.ndarray, other: np.ndarray, bootstrap: int, seed: int
) -> Estimate:
    """FPD of features (R, F) and (S, F), extrapolated to infinite samples.

    Distances of batches of N rows are fitted with a straight line in 1/N, whose value at 0 counts.
    Batches are drawn without replacement, unlike jetnet's, so that the limit is that of infinite
    samples and not of these; nor is the value kept from being negative, as it must be half of the
    times for equal samples. Error: of the line and of a bootstrap of the rows, in quadrature.
    """
    real, other = _scaled(real, other)
    random = np.random.Generator(np.random.Philox(key=[seed, len(real)]))
    most = min(len(real), len(other))
    sizes = np.rint(1 / np.linspace(1 / (SMALLEST * most), 1 / most, SIZES)).astype(int)
    means = [
        np.mean(
            [_distance(_draw(random, real, n), _draw(random, other, n)) for _ in range(BATCHES)]
        )
        for n in sizes
    ]
    (_, intercept), covariance = np.polyfit(1 / sizes, means, 1, cov=True)
    counts = (replicas(len(s), bootstrap, seed + k) for k, s in enumerate((real, other)))
    drawn = [
        _distance(np.repeat(real, r, axis=0), np.repeat(other, s, axis=0))
        for r, s in zip(*counts, strict=True)
    ]
    error = np.hypot(np.sqrt(covariance[1, 1]), np.std(drawn, ddof=1))
    return Estimate(float(intercept), float(error))


def frechet_distance(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁^½ Σ₂ Σ₁^½)^½) of two normal distributions; μ (F,), Σ (F, F).

    Dowson and Landau, J. Multivariate Anal. 12, 450 (1982).
    """
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance2 @ root), 0)).sum()
    apart = float(((mean1 - mean2) ** 2).sum())
    return apart + float(np.trace(covariance1) + np.trace(covariance2) - 2 * cross)


def kernel_physics_distance(real: np.ndarray, other: np.ndarray, seed: int) -> Estimate:
    """KPD of features (R, F) and (S, F): squared maximum mean discrepancy, without bias.

    Kernel (x·y / F + 1)⁴. All pairs of rows count, in batches; error: jackknife over ten groups of
    rows. jetnet gives the median over batches and half their spread, of the same quantity.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, len(real)]))
    # Files may be sorted by energy, and then each of ten parts would be another population.
    shuffled = (random.permutation(sample) for sample in _scaled(real, other))
    groups = [np.array_split(sample, GROUPS) for sample in shuffled]
    sizes = [np.array([len(group) for group in parts], float) for parts in groups]
    within = [_sums(parts, parts) - np.diag([_diagonal(p) for p in parts]) for parts in groups]
    sums = (*within, _sums(*groups))
    whole = _discrepancy(sums, sizes, np.ones(GROUPS, bool))
    parts = [_discrepancy(sums, sizes, kept) for kept in ~np.eye(GROUPS, dtype=bool)]
    return Estimate(whole, float(np.sqrt((GROUPS - 1) * np.var(parts))))


def _discrepancy(
    sums: Sequence[np.ndarray], sizes: Sequence[np.ndarray], kept: np.ndarray
) -> float:
    """The unbiased estimate from sums of the kernel over pairs of the groups that are kept."""
    real, other, across = (s[np.ix_(kept, kept)].sum() for s in sums)
    r, s = (n[kept].sum() for n in sizes)
    return float(real / (r * (r - 1)) + other / (s * (s - 1)) - 2 * across / (r * s))


def _sums(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Sums of the kernel over all pairs of each two groups, (G, G)."""
    return np.array([[_sum(a, b) for b in second] for a in first])


def _sum(first: np.ndarray, second: np.ndarray) -> float:
    # In blocks, so that memory does not grow with the square of the rows.
    starts = range(0, len(first), _BLOCK)
    return float(
        sum(_kernel(first[i : i + _BLOCK] @ second.T, first.shape[1]).sum() for i in starts)
    )


def _diagonal(rows: np.ndarray) -> float:
    return float(_kernel((rows**2).sum(axis=1), rows.shape[1]).sum())


def _kernel(products: np.ndarray, features: int) -> np.ndarray:
    return (products / features + 1.0) ** DEGREE


def _scaled(real: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(real).max(axis=0)
    largest[largest == 0] = 1.0
    return real / largest, other / largest


def _draw(random: np.random.Generator, rows: np.ndarray, number: int) -> np.ndarray:
    return rows[random.choice(len(rows), number, replace=False)]


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    covariances = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    return frechet_distance(first.mean(axis=0), covariances[0], second.mean(axis=0), covariances[1])
