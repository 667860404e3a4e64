"""Fréchet and kernel physics distance of Kansal et al., arXiv:2211.10295.

Features are divided by the largest absolute value of the real sample, as in the authors' `jetnet`,
so that values mean what published ones mean; like those they are for a given set of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rootloom.evaluation.generation.samples import Weights, mean_of, replicas, weights_of
from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.roc import effective_rows

# As in jetnet: sizes, evenly spaced in 1/N, down to this share of the sample; batches of each.
SMALLEST, SIZES, BATCHES = 0.4, 10, 20
DEGREE = 4
GROUPS = 10
_BLOCK = 2_000
Weighted = tuple[np.ndarray, np.ndarray]  # features (R, F) and weights (R,)


def frechet_physics_distance(
    real: np.ndarray,
    other: np.ndarray,
    bootstrap: int,
    seed: int,
    weights: Weights | None = None,
) -> Estimate:
    """FPD of features (R, F) and (S, F), extrapolated to infinite samples.

    Distances of batches of N rows are fitted with a straight line in 1/N, whose value at 0 counts.
    Batches are drawn without replacement, unlike jetnet's, so that the limit is that of infinite
    samples and not of these; nor is the value kept from being negative, as it must be half of the
    times for equal samples. Error: of the line and of a bootstrap of the rows, in quadrature.
    NaN where signed weights leave a batch no positive sum.
    """
    weights = weights_of(weights, real, other)
    samples = list(zip(_scaled(real, other), weights, strict=True))
    random = np.random.Generator(np.random.Philox(key=[seed, len(real)]))
    most = min(len(real), len(other))
    sizes = np.rint(1 / np.linspace(1 / (SMALLEST * most), 1 / most, SIZES)).astype(int)
    means = [
        np.mean([_distance(*(_draw(random, s, n) for s in samples)) for _ in range(BATCHES)])
        for n in sizes
    ]
    if not np.isfinite(means).all():
        return Estimate(np.nan, np.nan)
    (_, intercept), covariance = np.polyfit(1 / sizes, means, 1, cov=True)
    counts = [replicas(len(w), bootstrap, seed + k) for k, w in enumerate(weights)]
    drawn = [
        _distance(*(_repeated(s, n) for s, n in zip(samples, numbers, strict=True)))
        for numbers in zip(*counts, strict=True)
    ]
    error = np.hypot(np.sqrt(covariance[1, 1]), np.std(drawn, ddof=1))
    return Estimate(float(intercept), float(error))


def frechet_distance(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁^½ Σ₂ Σ₁^½)^½) of two normal distributions; μ (F,), Σ (F, F).

    Dowson and Landau, J. Multivariate Anal. 12, 450 (1982).
    """
    if not all(np.isfinite(part).all() for part in (mean1, covariance1, mean2, covariance2)):
        return float("nan")
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance2 @ root), 0)).sum()
    apart = float(((mean1 - mean2) ** 2).sum())
    return apart + float(np.trace(covariance1) + np.trace(covariance2) - 2 * cross)


def kernel_physics_distance(
    real: np.ndarray, other: np.ndarray, seed: int, weights: Weights | None = None
) -> Estimate:
    """KPD of features (R, F) and (S, F): squared maximum mean discrepancy, without bias.

    Kernel (x·y / F + 1)⁴. All pairs of rows count, in batches; error: jackknife over ten groups of
    rows. jetnet gives the median over batches and half their spread, of the same quantity.
    """
    weights = weights_of(weights, real, other)
    random = np.random.Generator(np.random.Philox(key=[seed, len(real)]))
    groups = []
    for rows, weight in zip(_scaled(real, other), weights, strict=True):
        # Files may be sorted by energy, and then each of ten parts would be another population.
        order = np.array_split(random.permutation(len(rows)), GROUPS)
        groups.append([(rows[part], weight[part]) for part in order])
    sizes = [np.array([[w.sum(), (w**2).sum()] for _, w in parts]) for parts in groups]
    within = [_sums(parts, parts) - np.diag([_diagonal(*p) for p in parts]) for parts in groups]
    sums = (*within, _sums(*groups))
    whole = _discrepancy(sums, sizes, np.ones(GROUPS, bool))
    parts = [_discrepancy(sums, sizes, kept) for kept in ~np.eye(GROUPS, dtype=bool)]
    return Estimate(whole, float(np.sqrt((GROUPS - 1) * np.var(parts))))


def _discrepancy(
    sums: Sequence[np.ndarray], sizes: Sequence[np.ndarray], kept: np.ndarray
) -> float:
    """The unbiased estimate from sums of the kernel over pairs of the groups that are kept.

    sizes: of each sample, Σw and Σw² by group, (G, 2): all pairs of different rows weigh
    (Σw)² − Σw². NaN where signed weights leave no positive sum of either.
    """
    real, other, across = (s[np.ix_(kept, kept)].sum() for s in sums)
    (r, r2), (s, s2) = (n[kept].sum(axis=0) for n in sizes)
    pairs = r * r - r2, s * s - s2
    if min(r, s, *pairs) <= 0:
        return float("nan")
    return float(real / pairs[0] + other / pairs[1] - 2 * across / (r * s))


def _sums(first: Sequence[Weighted], second: Sequence[Weighted]) -> np.ndarray:
    """Weighted sums of the kernel over all pairs of each two groups, (G, G)."""
    return np.array([[_sum(*a, *b) for b in second] for a in first])


def _sum(first: np.ndarray, ours: np.ndarray, second: np.ndarray, theirs: np.ndarray) -> float:
    # In blocks, so that memory does not grow with the square of the rows.
    blocks = (slice(i, i + _BLOCK) for i in range(0, len(first), _BLOCK))
    return float(
        sum(ours[b] @ _kernel(first[b] @ second.T, first.shape[1]) @ theirs for b in blocks)
    )


def _diagonal(rows: np.ndarray, weight: np.ndarray) -> float:
    return float(weight**2 @ _kernel((rows**2).sum(axis=1), rows.shape[1]))


def _kernel(products: np.ndarray, features: int) -> np.ndarray:
    return (products / features + 1.0) ** DEGREE


def _scaled(real: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(real).max(axis=0)
    largest[largest == 0] = 1.0
    return real / largest, other / largest


def _draw(random: np.random.Generator, sample: Weighted, number: int) -> Weighted:
    chosen = random.choice(len(sample[0]), number, replace=False)
    return sample[0][chosen], sample[1][chosen]


def _repeated(sample: Weighted, times: np.ndarray) -> Weighted:
    return np.repeat(sample[0], times, axis=0), np.repeat(sample[1], times)


def _distance(first: Weighted, second: Weighted) -> float:
    return frechet_distance(*_moments(*first), *_moments(*second))


def _moments(rows: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) and unbiased covariance (F, F) of weighted rows (R, F)."""
    mean, effective = mean_of(rows, weight), effective_rows(weight)
    covariance = (rows - mean).T @ ((rows - mean) * weight[:, None]) / weight.sum()
    return mean, covariance * effective / (effective - 1)
