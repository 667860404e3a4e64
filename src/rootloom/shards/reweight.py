"""Kinematic reweighting: the variable, its bins and the target spectrum of the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rootloom.errors import ConfigError, DataError


@dataclass(frozen=True)
class Reweight:
    """Give all classes the same spectrum in one variable, so that a tagger cannot learn from it.

    variable: an auxiliary column. bins: number of bins of equal width on [low, high). low: lower
    edge; smaller values count in the first bin. high: upper edge; larger values count in the last
    bin. target: "flat", or the class whose spectrum the others get.
    cap: largest factor, which limits the weight of rare bins.
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

    def cell_of(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Flat number (R,) of class label (R,) and bin: label · bins + bin."""
        return np.asarray(label, np.int64) * self.bins + self.bin_of(values)
