"""Results of an evaluation of a regression: records, see `results`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from rootloom.evaluation.measurement import Measurement, Quote, unrounded


@dataclass(frozen=True)
class Spread:
    """A histogram in logarithmic bins: `edges` (n + 1,); `density` (n,) per unit of ln.

    Values below the first edge are in the first bin.
    """

    edges: tuple[float, ...]
    density: tuple[float, ...]


@dataclass(frozen=True)
class ResolutionProfile:
    """A resolution in bins of `variable`: (value, error) of the mean and of the 68 % quantile.

    unit: the variable's.
    """

    variable: str
    unit: str
    edges: tuple[float, ...]
    mean: tuple[tuple[float | None, float | None], ...]
    contained: tuple[tuple[float | None, float | None], ...]


@dataclass(frozen=True)
class Resolution:
    """An angle or a distance to the truth. contained: its 68.27 % quantile."""

    name: str
    unit: str
    mean: Measurement
    median: Measurement
    contained: Measurement
    spread: Spread
    profiles: tuple[ResolutionProfile, ...]


@dataclass(frozen=True)
class Residuals:
    """Predicted minus true: `density` (n,), the share of the rows in a unit of `edges` (n + 1,).

    beyond: share of the rows outside the edges.
    """

    edges: tuple[float, ...]
    density: tuple[float, ...]
    beyond: float


@dataclass(frozen=True)
class NumberProfile:
    """Predicted minus true in bins of `variable`: (value, error) of its mean and of its resolution.

    unit: the variable's.
    """

    variable: str
    unit: str
    edges: tuple[float, ...]
    bias: tuple[tuple[float | None, float | None], ...]
    resolution: tuple[tuple[float | None, float | None], ...]


@dataclass(frozen=True)
class NumberError:
    """Predicted minus true of a plain number.

    bias: its mean; rms: its root mean square; resolution: half the width of the central 68.27 %
    interval, which neither a bias nor long tails increase. All are in `unit`.
    """

    name: str
    unit: str
    bias: Measurement
    rms: Measurement
    resolution: Measurement
    residuals: Residuals
    profiles: tuple[NumberProfile, ...]


@dataclass(frozen=True)
class RegressionResult:
    """How far predictions are from the truth."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    resolutions: tuple[Resolution, ...]
    numbers: tuple[NumberError, ...]
    kind: Literal["regression"] = "regression"

    def figures(self) -> dict[str, Measurement]:
        """NAME_mean, NAME_median and NAME_68 of angles and distances.

        For plain numbers bias_NAME, rms_NAME and resolution_NAME.
        """
        return {name: found for name, found, _ in self._with_units()}

    def units(self) -> dict[str, str]:
        """Units of the metrics; "" if there is none."""
        return {name: unit for name, _, unit in self._with_units()}

    def _with_units(self) -> Iterator[tuple[str, Measurement, str]]:
        """Name, value and unit of every metric."""
        for one in self.resolutions:
            yield f"{one.name}_mean", one.mean, one.unit
            yield f"{one.name}_median", one.median, one.unit
            yield f"{one.name}_68", one.contained, one.unit
        for number in self.numbers:
            yield f"bias_{number.name}", number.bias, number.unit
            yield f"rms_{number.name}", number.rms, number.unit
            yield f"resolution_{number.name}", number.resolution, number.unit

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The metrics as plain text, formatted by `quote`."""
        for name, found, unit in self._with_units():
            yield f"{name}{f' / {unit}' if unit else ''}: {quote(found)}"
