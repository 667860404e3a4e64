"""Results of an evaluation of generated examples, see `results`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict

from rootloom.evaluation.measurement import Measurement, Quote, unrounded
from rootloom.evaluation.record import Record
from rootloom.representations.base import Panel, Quantity


@dataclass(frozen=True)
class FeatureHistogram:
    """A quantity of examples as densities (n,) of unit area over edges (n + 1,).

    Values beyond the edges are in the outer bins. generated: pooled over members. unit: "" if it is
    unknown.
    """

    name: str
    edges: tuple[float, ...]
    real: tuple[float, ...]
    generated: tuple[float, ...]
    unit: str = ""


@dataclass(frozen=True)
class ResponseCurve:
    """Measured over requested condition, in bins of the latter: (mean, error, width, error).

    condition: the requested quantity. None for bins with too few examples. generated: means over
    members.
    """

    condition: Quantity
    edges: tuple[float, ...]
    real: tuple[tuple[float | None, ...], ...]
    generated: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Correlations:
    """Spearman's rank correlations of the features, (F, F); generated: mean over members."""

    real: tuple[tuple[float, ...], ...]
    generated: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class MeanImage:
    """The mean image of the examples, (H, W), on the axes of a panel.

    generated: mean over members.
    """

    panel: Panel
    real: tuple[tuple[float, ...], ...]
    generated: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Floor:
    """Comparison of real examples of two splits; a generator can be closer only by chance.

    values: metrics by name, see `rootloom.evaluation.generation.compare.compare`; compared: rows
    in the sample that generated ones are compared with, and in that of the other split.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    values: dict[str, Measurement]
    compared: tuple[int, int]
    provenance: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class GenerationResult(Record):
    """Comparison of generated and real examples.

    values: metrics by name, see `rootloom.evaluation.generation.compare.compare`. response: None
    if no condition can be measured from examples. images: one for each panel, if examples have
    images. noun: word for one example. conditions: those of the examples.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    values: dict[str, Measurement]
    floor: Floor
    features: tuple[FeatureHistogram, ...]
    correlations: Correlations
    response: ResponseCurve | None
    images: tuple[MeanImage, ...]
    noun: str
    conditions: tuple[Quantity, ...]
    kind: Literal["generation"] = "generation"

    def metrics(self) -> dict[str, Measurement]:
        """auc_high, auc_low, fpd, kpd, separation, separation.FEATURE, …."""
        return self.values

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The metrics as plain text, as `quote` writes them."""
        for name, found in self.values.items():
            yield f"{name}: {quote(found)}; real against real {quote(self.floor.values[name])}"
