"""Quoted errors of an evaluation against the spread of simulated test samples.

    python benchmarks/toy_errors.py --toys 2000

Rows are drawn from normal distributions of which every figure is known: signal N(1.5, 1) against
background N(0, 1), half and half, and |N(0, 1)| for resolutions; significances at N(2, 1). Weights:
1; exponential; ±1, 15 % of them −1. Printed for each figure: root mean square of the quoted errors
over the standard deviation of the values; the share of toys whose error contains the true value
(that of a significance: the toys' mean, because a cut chosen by finite rows is not the best one);
and the share of toys without a value or an error. Of N toys, the ratio is known to 1/√(2N), the
share to √(0.683 · 0.317 / N), both times more where values have long tails.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import halfnorm, norm

from rootloom.evaluation.classification.significance import Counts, Sampled, measure
from rootloom.evaluation.regression import resolution
from rootloom.evaluation.roc import roc
from rootloom.evaluation.uncertainties import auc_error, background_at, no_background_error

APART, SIGNIFICANT = 1.5, 2.0
NEGATIVE = 0.15
COUNTS = {
    "Z": Counts(100.0, 1000.0),
    "Z, 5 % uncertainty, 10 events added": Counts(
        100.0, 1000.0, uncertainty=0.05, regularisation=10.0
    ),
}
Figure = tuple[str, float, float, float]  # name, value, error, true value


def weights(kind: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """(R,) of one of the three kinds."""
    if kind == "signed":
        return np.where(random.random(rows) < NEGATIVE, -1.0, 1.0)
    return random.exponential(1.0, rows) if kind == "exponential" else np.ones(rows)


def classes(kind: str, rows: int, random: np.random.Generator) -> Iterator[Figure]:
    """AUC, and background efficiency and rejection at half of the signal."""
    signal = np.arange(rows) % 2 == 0
    score = random.normal(size=rows) + APART * signal
    curve = roc(score, signal, weights(kind, rows, random))
    yield "AUC", curve.auc, auc_error(curve), norm.cdf(APART / np.sqrt(2))
    at = background_at(curve, np.array([0.5]))
    efficiency, true = float(at.efficiency[0]), float(norm.sf(APART))
    error = np.nan if no_background_error(curve, at, 0) else float(at.error[0])
    yield "background efficiency at 50 %", efficiency, error, true
    rejection = 1 / efficiency if efficiency > 0 else np.nan
    yield "rejection at 50 %", rejection, error * rejection**2, 1 / true


def resolutions(kind: str, rows: int, random: np.random.Generator) -> Iterator[Figure]:
    """Mean, root mean square, median and 68 % quantile of |N(0, 1)|, and the width of N(0, 1)."""
    normal, weight = random.normal(size=rows), weights(kind, rows, random)
    values = np.abs(normal)
    yield "mean", *resolution.mean(values, weight), halfnorm.mean()
    yield "RMS", *resolution.root_mean_square(values, weight), 1.0
    yield "median", *resolution.quantile(values, weight, 0.5), halfnorm.median()
    share = resolution.CENTRAL_SHARE
    yield "68 % quantile", *resolution.quantile(values, weight, share), halfnorm.ppf(share)
    yield "half the central 68 %", *resolution.central_width(normal, weight), 1.0


def significances(kind: str, rows: int, random: np.random.Generator) -> Iterator[Figure]:
    """Expected significances; their true value is not known here, NaN."""
    signal = np.arange(rows) % 2 == 0
    score = random.normal(size=rows) + SIGNIFICANT * signal
    identity = random.permutation(rows).astype(np.uint64)
    sample = Sampled(score, signal, weights(kind, rows, random), identity)
    curve = roc(sample.score, signal, sample.weight)
    for name, counts in COUNTS.items():
        found = measure(name, [sample], [curve], counts, 2).value
        value, error = (np.nan if v is None else v for v in (found.value, found.statistical))
        yield name, value, error, np.nan


PARTS = {
    "classes": (classes, (40, 200, 2000)),
    "resolutions": (resolutions, (10, 40, 2000)),
    "significances": (significances, (400, 2000, 10_000)),
}


def compare(
    make: Callable[[str, int, np.random.Generator], Iterator[Figure]],
    rows: int,
    toys: int,
    seed: int,
) -> None:
    """Print a line a figure and kind of weights."""
    for kind in ("unit", "exponential", "signed"):
        found: dict[str, list[tuple[float, float, float]]] = {}
        for toy in range(toys):
            random = np.random.default_rng([seed, rows, toy])
            for name, *numbers in make(kind, rows, random):
                found.setdefault(name, []).append((numbers[0], numbers[1], numbers[2]))
        for name, numbers in found.items():
            print(f"| {name} | {kind} | {rows:,} | {summary(np.array(numbers))} |", flush=True)


def summary(numbers: np.ndarray) -> str:
    """Ratio, coverage and share of toys without an error, of value, error and truth (N, 3)."""
    known = np.isfinite(numbers[:, :2]).all(axis=1)
    value, error, true = numbers[known].T
    true = np.where(np.isfinite(true), true, value.mean())
    ratio = np.sqrt(np.mean(error**2)) / value.std(ddof=1)
    inside = np.mean(np.abs(value - true) < error)
    uncertain = ratio / np.sqrt(2 * len(value)), np.sqrt(inside * (1 - inside) / len(value))
    return (
        f"{ratio:.3f} ± {uncertain[0]:.3f} | {100 * inside:.1f} ± {100 * uncertain[1]:.1f} "
        f"| {100 * (1 - known.mean()):.1f}"
    )


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toys", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, help="one part of the table")
    parser.add_argument("--rows", type=int, nargs="*", help="other numbers of rows")
    options = parser.parse_args()
    print("| figure | weights | rows | error ÷ spread | inside, % | without, % |")
    print("|---|---|---|---|---|---|")
    for name in [options.only] if options.only else PARTS:
        make, sizes = PARTS[name]
        for rows in options.rows or sizes:
            compare(make, rows, options.toys, options.seed)


if __name__ == "__main__":
    main()
