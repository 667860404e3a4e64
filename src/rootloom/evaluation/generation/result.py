"""What an evaluation of generated showers found: plain records, see `results`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict

from rootloom.evaluation.measurement import Measurement, Quote, unrounded


@dataclass(frozen=True)
class FeatureHistogram:
    """A quantity of showers as densities (n,) of unit area over edges (n + 1,).

    What lies beyond the edges is in the outer bins. generated: pooled over members.
    """

    name: str
    edges: tuple[float, ...]
    real: tuple[float, ...]
    generated: tuple[float, ...]


@dataclass(frozen=True)
class ResponseCurve:
    """Seen over requested energy in bins of the latter, GeV: (mean, error, width, error) of each.

    None where a bin holds too few showers. generated: means over members.
    """

    edges: tuple[float, ...]
    real: tuple[tuple[float | None, ...], ...]
    generated: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Correlations:
    """Spearman's rank correlations of the features, (F, F); generated: mean over members."""

    real: tuple[tuple[float, ...], ...]
    generated: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class AverageShowers:
    """Mean energy of every cell, (C,) GeV; layers: cells along x and y of each."""

    layers: tuple[tuple[int, int], ...]
    real: tuple[float, ...]
    generated: tuple[float, ...]


@dataclass(frozen=True)
class Floor:
    """How alike real showers of two splits are: what no generator can undercut but by chance.

    values: figures by name, see `rootloom.evaluation.generation.compare.compare`; compared: showers
    in the sample that generated ones are compared with, and in that of the other split.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    values: dict[str, Measurement]
    compared: tuple[int, int]
    provenance: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class GenerationResult:
    """How alike generated and real showers are.

    values: figures by name, see `rootloom.evaluation.generation.compare.compare`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    values: dict[str, Measurement]
    floor: Floor
    features: tuple[FeatureHistogram, ...]
    correlations: Correlations
    response: ResponseCurve
    average: AverageShowers
    kind: Literal["generation"] = "generation"

    def figures(self) -> dict[str, Measurement]:
        """auc_high, auc_low, fpd, kpd, separation, separation.FEATURE, …."""
        return self.values

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The figures as plain text, as `quote` writes them."""
        for name, found in self.values.items():
            yield f"{name}: {quote(found)}; real against real {quote(self.floor.values[name])}"
