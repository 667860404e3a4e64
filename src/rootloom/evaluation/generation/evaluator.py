"""Generated showers judged: figures from the samples that a method's members made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from rootloom.evaluation.base import EvaluationKind
from rootloom.evaluation.generation.compare import LEAST, Comparison, FidelityOptions, compare
from rootloom.evaluation.generation.relations import Response
from rootloom.evaluation.generation.result import (
    AverageShowers,
    Correlations,
    FeatureHistogram,
    Floor,
    GenerationResult,
    ResponseCurve,
)
from rootloom.evaluation.generation.samples import Showers
from rootloom.evaluation.measurement import Estimate, Measurement
from rootloom.evaluation.members import over_members

Layers = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Generation(FidelityOptions, EvaluationKind):
    """How generated showers are compared with real ones; see `FidelityOptions`.

    features: the variables to compare, by default all but the requested energy. max_rows: showers
    of each sample, drawn at random where there are more; all their cells are in memory.
    """

    shown: ClassVar[tuple[str, ...]] = ("showers.png",)

    features: tuple[str, ...] | None = None
    max_rows: Annotated[int, Field(ge=LEAST)] = 10_000

    def floor(self, real: Showers, other: Showers) -> Floor:
        """Figures of real showers of another split. Raises what `compare` does."""
        return Floor(_figures([compare(real, other, self)]), (len(real), len(other)))

    def result(
        self, real: Showers, floor: Floor, members: Sequence[Showers], layers: Layers
    ) -> GenerationResult:
        """Figures of a method whose members made these showers.

        layers: of the cells. Raises what `compare` does.
        """
        found = [compare(real, member, self) for member in members]
        return GenerationResult(
            values=_figures(found),
            floor=floor,
            features=tuple(_feature(name, found) for name in real.names),
            correlations=Correlations(
                _rows(found[0].correlations.real),
                _rows(np.mean([c.correlations.other for c in found], axis=0)),
            ),
            response=ResponseCurve(
                tuple(found[0].response[0].edges.tolist()),
                _curve([found[0].response[0]]),
                _curve([c.response[1] for c in found]),
            ),
            average=AverageShowers(
                layers,
                tuple(found[0].average[0].tolist()),
                tuple(np.mean([c.average[1] for c in found], axis=0).tolist()),
            ),
        )


def _figures(found: Sequence[Comparison]) -> dict[str, Measurement]:
    return {
        name: over_members(
            [c.figures[name] for c in found], [_no_error(c.figures[name]) for c in found]
        )
        for name in found[0].figures
    }


def _no_error(found: Estimate) -> str | None:
    """Why a figure has no value or no error."""
    if np.isfinite(found.error):
        return None
    if np.isfinite(found.value):
        return "the trees tell all showers apart, or none"
    return "too few showers, or their weights cancel"


def _feature(name: str, found: Sequence[Comparison]) -> FeatureHistogram:
    first = found[0].marginals[name]
    counts = np.sum([c.marginals[name].other for c in found], axis=0)
    width = np.diff(first.edges)
    return FeatureHistogram(
        name,
        tuple(first.edges.tolist()),
        tuple((first.real / (first.real.sum() * width)).tolist()),
        tuple((counts / (counts.sum() * width)).tolist()),
    )


def _curve(responses: Sequence[Response]) -> tuple[tuple[float | None, ...], ...]:
    """(mean, error, width, error) by bin."""
    fields = ("mean", "mean_error", "width", "width_error")
    table = np.mean([[getattr(r, f) for f in fields] for r in responses], axis=0).T
    return tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in table)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
