"""Training weights from statistics: class balance times kinematic reweighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rootloom.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from rootloom.shards.statistics import Statistics


@dataclass(frozen=True)
class Reweight:
    """Make the classes' spectra of one variable alike, so that a tagger cannot learn them.

    variable: an auxiliary column; bins of equal width on [low, high), values outside counted in
    the first or last bin. target: "flat", or the class whose spectrum the others take.
    cap: the largest ratio of spectra applied, which bounds the weight of rare bins.
    """

    variable: str
    bins: int
    low: float
    high: float
    target: str = "flat"
    cap: float = 10.0

    def __post_init__(self) -> None:
        if self.bins < 1 or not self.low < self.high or not self.cap > 0:
            raise ConfigError(
                f"reweighting in '{self.variable}'",
                expected="bins ≥ 1, low < high and cap > 0",
                found=f"bins {self.bins}, low {self.low:g}, high {self.high:g}, cap {self.cap:g}",
            )

    @property
    def key(self) -> str:
        """The name of its histogram in Statistics: variable and binning, not target or cap."""
        return f"{self.variable}[{self.bins},{self.low!r},{self.high!r}]"

    def bin_of(self, values: np.ndarray) -> np.ndarray:
        """Bin numbers (R,) of values (R,). Raises DataError for NaN, which has no bin."""
        values = np.asarray(values, np.float64)
        if np.isnan(values).any():
            raise DataError(
                f"reweighting in '{self.variable}'",
                expected="a number in every row",
                found=f"{int(np.isnan(values).sum())} NaN of {len(values)} values",
                fix=f"add a selection that keeps only rows with a finite '{self.variable}'",
            )
        scaled = (values - self.low) * (self.bins / (self.high - self.low))
        return np.clip(np.floor(scaled), 0, self.bins - 1).astype(np.int64)

    def histogram(
        self, values: np.ndarray, label: np.ndarray, weight: np.ndarray, classes: int
    ) -> np.ndarray:
        """Sums of weight by class and bin, (K, bins) float64."""
        flat = np.asarray(label, np.int64) * self.bins + self.bin_of(values)
        sums = np.bincount(flat, np.asarray(weight, np.float64), classes * self.bins)
        return sums.reshape(classes, self.bins)


@dataclass(frozen=True)
class WeightTable:
    """Factors (K, bins) that multiply event weights in training; their training mean is then 1."""

    factors: np.ndarray
    reweight: Reweight | None = None

    @property
    def variable(self) -> str | None:
        """The auxiliary column that `factor` wants the values of, if any."""
        return self.reweight.variable if self.reweight else None

    def factor(self, label: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Factor of each row, (R,) float32, from labels (R,) and the variable's values (R,)."""
        if self.reweight is None:
            return self.factors[label, 0].astype(np.float32)
        if values is None:
            raise ValueError(f"this table needs the values of '{self.reweight.variable}'")
        return self.factors[label, self.reweight.bin_of(values)].astype(np.float32)

    @classmethod
    def from_statistics(
        cls,
        statistics: Statistics,
        *,
        dataset: str,
        balance: bool = True,
        reweight: Reweight | None = None,
    ) -> WeightTable:
        """The table for a dataset's training split.

        Within a class a bin's factor is target density / class density, at most `cap`; a bin
        without training weight takes `cap` where the target has any weight and 0 elsewhere, a bin
        whose weights add up to less than nothing takes 0. Then
        each class is scaled to its own sum of weights or, with `balance`, all to the same.
        Raises DataError when nothing is selected, fewer than two classes (or the only one)
        have weight, or the statistics lack the histogram; ConfigError when the target is no class.
        """
        sums = _histogram(statistics, dataset, reweight)
        totals = sums.sum(axis=1)
        _check_classes(statistics, dataset, totals)
        populated = totals > 0
        factors = np.zeros_like(sums)
        factors[populated] = _ratios(sums[populated], _target(statistics, sums, reweight), reweight)
        after = (factors * sums).sum(axis=1)
        _check_overlap(statistics, reweight, populated & ~(after > 0))
        wanted = np.full(len(sums), totals[populated].mean()) if balance else totals
        factors[populated] *= (wanted[populated] / after[populated])[:, None]
        rows = statistics.rows[0].sum()
        return cls(factors * (rows / (factors * sums).sum()), reweight)


def _histogram(statistics: Statistics, dataset: str, reweight: Reweight | None) -> np.ndarray:
    if statistics.rows[0].sum() == 0:
        raise DataError(
            f"dataset '{dataset}', split 'train'",
            expected="selected rows to train on",
            found="none",
            fix="loosen the selection, add files, or give 'train' a larger share of the splits",
        )
    if reweight is None:
        return statistics.weights[0][:, None].copy()
    if reweight.key not in statistics.histograms:
        raise DataError(
            f"dataset '{dataset}': statistics",
            expected=f"a histogram {reweight.key}",
            found=f"{len(statistics.histograms)} others",
            fix=nearest(reweight.key, statistics.histograms),
        )
    return statistics.histograms[reweight.key]


def _check_classes(statistics: Statistics, dataset: str, totals: np.ndarray) -> None:
    # Where no class is told apart there may be one; one that alone has weight is a mistake.
    least = min(2, len(totals))
    if (totals > 0).sum() < least:
        counts = zip(statistics.classes, statistics.rows[0], totals, strict=True)
        raise DataError(
            f"dataset '{dataset}', split 'train'",
            expected=f"at least {('one class', 'two classes')[least - 1]} "
            "with a positive sum of weights",
            found="; ".join(f"{name}: {rows} rows, weight {w:g}" for name, rows, w in counts),
            fix="check the label expressions, the selection and the weights",
        )


def _target(statistics: Statistics, sums: np.ndarray, reweight: Reweight | None) -> np.ndarray:
    """Density over bins, (bins,), that every class shall have."""
    if reweight is None or reweight.target == "flat":
        return np.full(sums.shape[1], 1.0 / sums.shape[1])
    if reweight.target not in statistics.classes:
        raise ConfigError(
            f"reweighting in '{reweight.variable}'",
            expected="target 'flat' or the name of a class",
            found=f"'{reweight.target}'",
            fix=nearest(reweight.target, [*statistics.classes, "flat"]),
        )
    reference = np.maximum(sums[statistics.classes.index(reweight.target)], 0.0)
    if reference.sum() == 0:
        raise DataError(
            f"reweighting in '{reweight.variable}'",
            expected=f"training rows of the target class '{reweight.target}'",
            found="none",
        )
    return reference / reference.sum()


def _ratios(sums: np.ndarray, target: np.ndarray, reweight: Reweight | None) -> np.ndarray:
    """Target density over each class's density, (K, bins), capped."""
    if reweight is None:
        return np.ones_like(sums)
    density = np.maximum(sums, 0.0) / sums.sum(axis=1, keepdims=True)
    limit = np.where((target > 0) & (sums == 0), reweight.cap, 0.0)
    ratio = np.divide(target * np.ones_like(density), density, out=limit, where=density > 0)
    return np.minimum(ratio, reweight.cap)


def _check_overlap(statistics: Statistics, reweight: Reweight | None, without: np.ndarray) -> None:
    if reweight is not None and without.any():
        names = [name for name, bad in zip(statistics.classes, without, strict=True) if bad]
        raise DataError(
            f"reweighting in '{reweight.variable}'",
            expected=f"classes that share bins with the target '{reweight.target}'",
            found=f"no common bin for {', '.join(names)}",
            fix="widen the bins or choose the target 'flat'",
        )
