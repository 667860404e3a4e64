"""Kinematic reweighting: the variables, their bins and the target spectrum of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from rootloom.errors import ConfigError, DataError

# Rarer bins than this share of the median do not count for `threshold`, as in weaver-core.
_RARE = 0.01


@dataclass(frozen=True)
class Reweight:
    """Give all classes the same spectrum in one or more variables, so that no tagger can use it.

    variable: an auxiliary column. bins: number of bins of equal width on [low, high). low: lower
    edge; smaller values count in the first bin. high: upper edge; larger values count in the last
    bin. edges: in place of these four, variables by name with the edges of their bins, in as many
    dimensions.
    outside: whether values beyond the edges count in the "nearest" bin, or have training weight 0,
    "left_out"; a value at the last edge is inside.
    target: "flat", or the class whose spectrum the others get.
    cap: largest factor, which limits the weight of rare bins. threshold: in place of `cap`, a limit
    for each class from its own spectrum, as in weaver-core: with the target "flat", bins rarer than
    this percentile of its bins weigh as those at the percentile; else factors are limited to their
    percentile 100 - threshold.
    """

    variable: str = ""
    bins: int = 0
    low: float = 0.0
    high: float = 0.0
    target: str = "flat"
    cap: float = 10.0
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    outside: Literal["nearest", "left_out"] = "nearest"
    threshold: float | None = None

    def __post_init__(self) -> None:
        if bool(self.variable) == bool(self.edges):
            raise ConfigError(
                "reweighting",
                expected="either variable, bins, low and high, or edges",
                found="both" if self.edges else "neither",
                fix="edges: {pt: [200, 300, 500], eta: [-2, 0, 2]}",
            )
        if self.variable and (self.bins < 1 or not self.low < self.high):
            raise self._wrong(
                "bins ≥ 1 and low < high", f"bins {self.bins}, low {self.low:g}, high {self.high:g}"
            )
        for name, edges in self.edges.items():
            if len(edges) < 2 or not all(np.diff(edges) > 0):
                raise self._wrong("two or more edges, in ascending order", f"{name}: {list(edges)}")
        if not self.cap > 0:
            raise self._wrong("cap > 0", f"cap {self.cap:g}")
        if self.threshold is not None and not 0 <= self.threshold < 100:
            raise self._wrong("threshold in [0, 100)", f"threshold {self.threshold:g}")

    def _wrong(self, expected: str, found: str) -> ConfigError:
        return ConfigError(self.where, expected=expected, found=found)

    @property
    def variables(self) -> tuple[str, ...]:
        """The auxiliary columns that it reads."""
        return tuple(self.edges) or (self.variable,)

    @property
    def where(self) -> str:
        """What to call it in messages."""
        return f"reweighting in '{', '.join(self.variables)}'"

    @property
    def key(self) -> str:
        """The name of its histogram in Statistics: variables and binning, not target or cap."""
        if self.variable:
            of = f"{self.variable}[{self.bins},{self.low!r},{self.high!r}]"
        else:
            of = "×".join(f"{name}{list(edges)!r}" for name, edges in self.edges.items())
        return of if self.outside == "nearest" else f"{of}, {self.outside}"

    @cached_property
    def inside(self) -> int:
        """Number of bins between the edges."""
        return self.bins or int(np.prod([len(edges) - 1 for edges in self.edges.values()]))

    @property
    def cells(self) -> int:
        """Number of bins of its histogram: the last one is for values outside, if left out."""
        return self.inside + (self.outside == "left_out")

    def bin_of(self, *values: np.ndarray) -> np.ndarray:
        """Bin numbers (R,) of values (R,) of each variable. Raises DataError for NaN."""
        found, out = np.zeros(len(values[0]), np.int64), np.zeros(len(values[0]), bool)
        for name, of in zip(self.variables, values, strict=True):
            numbers, count, beyond = self._bin(name, np.asarray(of, np.float64))
            found, out = found * count + numbers, out | beyond
        return np.where(out, self.inside, found) if self.outside == "left_out" else found

    def _bin(self, name: str, values: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
        """Bin numbers (R,) of one variable, how many there are, and which values are outside."""
        if np.isnan(values).any():
            raise DataError(
                f"reweighting in '{name}'",
                expected="a number in every row",
                found=f"{int(np.isnan(values).sum())} NaN of {len(values)} values",
                fix=f"add a selection that keeps only rows with a finite '{name}'",
            )
        if self.variable:
            low, high, count = self.low, self.high, self.bins
            place = np.floor((values - low) * (count / (high - low)))
        else:
            edges = np.asarray(self.edges[name], np.float64)
            low, high, count = edges[0], edges[-1], len(edges) - 1
            place = np.searchsorted(edges, values, side="right") - 1.0
        number = np.clip(place, 0, count - 1).astype(np.int64)
        return number, count, (values < low) | (values > high)

    def cell_of(self, values: np.ndarray | Sequence[np.ndarray], label: np.ndarray) -> np.ndarray:
        """Flat number (R,) of class label (R,) and bin: label · cells + bin.

        values: (R,) of the variable, or a sequence of these, one of each variable.
        """
        several = [values] if isinstance(values, np.ndarray) else values
        return np.asarray(label, np.int64) * self.cells + self.bin_of(*several)

    def limit(self, density: np.ndarray, ratio: np.ndarray) -> float:
        """The largest factor of a class. density, ratio: (inside,) of its bins, and of its target.

        ratio: target density / density, 0 in bins without weight.
        """
        if self.threshold is None:
            return self.cap
        if self.target != "flat":
            common = ratio[ratio > 0]  # none if the class shares no bin with the target
            return float(np.percentile(common, 100 - self.threshold)) if common.size else 0.0
        common = density[density > _RARE * np.median(density[density > 0])]
        return float(1 / (len(density) * np.percentile(common, self.threshold)))
