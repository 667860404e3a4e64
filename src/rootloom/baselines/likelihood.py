"""The likelihood ratio of one or a few variables, from histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rootloom.baselines.base import Classifier, Sample, collect, require_both_classes, select
from rootloom.errors import ConfigError

MAX_CELLS = 1_000_000


@dataclass(frozen=True)
class FittedLikelihood:
    """score: P(signal) in the cell a row falls into. edges: inner bin edges by variable."""

    probability: ClassVar[bool] = True
    turned: ClassVar[str] = ""

    columns: tuple[int, ...]
    edges: tuple[np.ndarray, ...]
    ratio: np.ndarray  # (cells,) in (0, 1)

    @property
    def parameters(self) -> int:
        """One ratio a cell."""
        return len(self.ratio)

    def score(self, columns: np.ndarray) -> np.ndarray:
        """(R, F) → (R,); see `FittedBaseline`."""
        return self.ratio[_cells(columns[:, list(self.columns)], self.edges)]


@dataclass(frozen=True)
class BinnedLikelihood(Classifier):
    """The optimal test on few variables (Neyman–Pearson), up to the width of its bins.

    Each variable has bins of equal probability in the balanced mixture of both
    classes, open at both ends, and one bin for absent values. Densities come from the weighted
    training histogram, in effective rows n = (Σw)²/Σw² of a class. To each class `smoothing` rows
    per cell are added, distributed like the balanced mixture, so that the ratio in a cell with few
    rows is close to 1. The score is the probability in the mixture of the training weights, as for
    a network; for balanced classes it is ½ in a cell without rows.

    variables: of the likelihood. bins: numbers of bins per variable to try; the one with the
    smallest log loss on the validation split is taken. smoothing: rows added per cell.
    max_rows: largest number of rows of a sample; of more, so many are drawn at random. seed: of
    the draw of `max_rows`.
    """

    reads: ClassVar[str | None] = "variables"

    variables: tuple[str, ...] = ("trimmed_mass", "tau21")
    bins: tuple[int, ...] = (4, 6, 8, 12, 16, 24, 32, 48)
    smoothing: float = 1.0
    max_rows: int = 2_000_000
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.variables or not self.bins or min(self.bins) < 2 or self.smoothing <= 0:
            raise ConfigError(
                "baseline 'likelihood'",
                expected="a variable or more, bins ≥ 2 and smoothing > 0",
                found=f"{list(self.variables)}, bins {list(self.bins)}, "
                f"smoothing {self.smoothing:g}",
            )
        if (max(self.bins) + 1) ** len(self.variables) > MAX_CELLS:
            raise ConfigError(
                "baseline 'likelihood'",
                expected=f"at most {MAX_CELLS} cells",
                found=f"{max(self.bins)} + 1 bins in {len(self.variables)} variables",
                fix="use fewer bins or variables, or boosted_trees",
            )

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """See `Classifier`."""
        return select(self.variables, names)

    def fit(self, train: Sample, validation: Sample) -> FittedLikelihood:
        """See `Classifier`."""
        columns = tuple(train.names.index(name) for name in self.needs(train.names))
        train = collect([train], self.max_rows, self.seed)
        require_both_classes(train, "the training split")
        share = float(train.weight[train.target == 1].sum() / train.weight.sum())
        if len(self.bins) == 1:
            return _in_mixture(self._fit(train, columns, self.bins[0]), share)
        validation = collect([validation], self.max_rows, self.seed)
        require_both_classes(validation, "the validation split")
        fits = [self._fit(train, columns, bins) for bins in self.bins]
        best = min(fits, key=lambda fitted: _log_loss(fitted.score(validation.x), validation))
        return _in_mixture(best, share)

    def _fit(self, train: Sample, columns: tuple[int, ...], bins: int) -> FittedLikelihood:
        """The likelihood ratio in the balanced mixture."""
        x, signal = train.x[:, list(columns)], train.target == 1
        weight = train.weight.astype(np.float64)
        balanced = _balance(weight, signal)
        edges = tuple(_equal_probability(values, balanced, bins) for values in x.T)
        cells = _cells(x, edges)
        total = int(np.prod([_bins(edge) for edge in edges]))
        density = [
            np.maximum(np.bincount(cells[member], balanced[member], total), 0.0)
            for member in (signal, ~signal)
        ]
        mixture, added = (density[0] + density[1]) / 2, self.smoothing * total
        signal_density, background_density = (
            (rows * own + added * mixture) / (rows + added)
            for own, rows in zip(density, _effective_rows(weight, signal), strict=True)
        )
        both = signal_density + background_density
        ratio = np.divide(signal_density, both, out=np.full(total, 0.5), where=both > 0)
        return FittedLikelihood(columns, edges, ratio)


def _in_mixture(fitted: FittedLikelihood, share: float) -> FittedLikelihood:
    """Convert from the balanced mixture to one with this share of signal, by Bayes' theorem."""
    ours, rest = share * fitted.ratio, (1 - share) * (1 - fitted.ratio)
    return replace(fitted, ratio=ours / (ours + rest))


def _balance(weight: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Weights that sum to 1 in each class."""
    return weight / np.where(signal, weight[signal].sum(), weight[~signal].sum())


def _log_loss(score: np.ndarray, sample: Sample) -> float:
    signal = sample.target == 1
    chosen = np.where(signal, score, 1 - score)
    # A score of exactly 0 or 1 cannot occur: smoothing mixes both classes into every cell.
    return float(-np.sum(_balance(sample.weight.astype(np.float64), signal) * np.log(chosen)))


def _effective_rows(weight: np.ndarray, signal: np.ndarray) -> tuple[float, float]:
    counts = [
        float(weight[member].sum() ** 2 / (weight[member] ** 2).sum())
        for member in (signal, ~signal)
    ]
    return counts[0], counts[1]


def _equal_probability(values: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    """Inner edges of at most `bins` bins (e₁, e₂] with equal sums of |weight|.

    Fewer if values repeat, so that discrete variables get one bin per value.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.empty(0)
    order = np.argsort(values[known], kind="stable")
    ordered = values[known][order].astype(np.float64)
    cumulative = np.cumsum(np.abs(weight[known][order]))
    wanted = np.arange(1, bins) / bins * cumulative[-1]
    return np.unique(ordered[np.searchsorted(cumulative, wanted)])


def _bins(edges: np.ndarray) -> int:
    return len(edges) + 2  # the outer two are open, and the last one is for absent values


def _cells(x: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    """(R, F) → (R,) cell number."""
    cell = np.zeros(len(x), dtype=np.int64)
    for values, edge in zip(x.T, edges, strict=True):
        absent = _bins(edge) - 1
        index = np.searchsorted(edge, values, side="left")  # an edge belongs to the bin below
        cell = cell * _bins(edge) + np.where(np.isfinite(values), index, absent)
    return cell
