"""Evaluation of generated examples: metrics from the samples of a method's members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from rootloom.evaluation.base import Comparator
from rootloom.evaluation.generation.compare import LEAST, Comparison, FidelityOptions, compare
from rootloom.evaluation.generation.relations import Response
from rootloom.evaluation.generation.result import (
    Correlations,
    FeatureHistogram,
    Floor,
    GenerationResult,
    MeanImage,
    ResponseCurve,
)
from rootloom.evaluation.generation.samples import Samples
from rootloom.evaluation.measurement import Estimate, Measurement
from rootloom.evaluation.members import over_members
from rootloom.representations.base import Quantity, Representation


@dataclass(frozen=True)
class Generation(FidelityOptions, Comparator):
    """Comparison of generated examples with real ones; see `FidelityOptions`.

    features: what to compare: variables of the dataset where its expressions read generated files,
    by default all but those of the condition, and observables of the representation, by default
    all. max_rows: examples of each sample, drawn at random where there are more; all their inputs
    are in memory.
    """

    shown: ClassVar[tuple[str, ...]] = ("generated.png",)

    features: tuple[str, ...] | None = None
    max_rows: Annotated[int, Field(ge=LEAST)] = 10_000

    def floor(self, real: Samples, other: Samples) -> Floor:
        """Metrics of real examples of another split. Raises what `compare` raises."""
        return Floor(_metrics([compare(real, other, self)]), (len(real), len(other)))

    def result(
        self,
        real: Samples,
        floor: Floor,
        members: Sequence[Samples],
        representation: Representation,
    ) -> GenerationResult:
        """Metrics of a method from the examples of its members.

        representation: whose inputs they are. Raises what `compare` does.
        """
        found = [compare(real, member, self) for member in members]
        units = {one.name: one.unit for one in representation.observables()}
        conditions = tuple(Quantity(c.name, c.unit) for c in representation.conditions())
        return GenerationResult(
            values=_metrics(found),
            floor=floor,
            features=tuple(_feature(name, units.get(name, ""), found) for name in real.names),
            correlations=Correlations(
                _rows(found[0].correlations.real),
                _rows(np.mean([c.correlations.other for c in found], axis=0)),
            ),
            response=_response(conditions, found),
            images=_images(representation, found),
            noun=representation.noun,
            conditions=conditions,
        )


def _metrics(found: Sequence[Comparison]) -> dict[str, Measurement]:
    return {
        name: over_members(
            [c.metrics[name] for c in found], [_no_error(c.metrics[name]) for c in found]
        )
        for name in found[0].metrics
    }


def _no_error(found: Estimate) -> str | None:
    """Why a metric has no value or no error."""
    if np.isfinite(found.error):
        return None
    if np.isfinite(found.value):
        return "the classifier separates all examples, or none"
    return "too few examples, or their weights cancel"


def _feature(name: str, unit: str, found: Sequence[Comparison]) -> FeatureHistogram:
    first = found[0].marginals[name]
    counts = np.sum([c.marginals[name].other for c in found], axis=0)
    width = np.diff(first.edges)
    return FeatureHistogram(
        name,
        tuple(first.edges.tolist()),
        tuple((first.real / (first.real.sum() * width)).tolist()),
        tuple((counts / (counts.sum() * width)).tolist()),
        unit,
    )


def _response(conditions: Sequence[Quantity], found: Sequence[Comparison]) -> ResponseCurve | None:
    pairs = [c.response for c in found if c.response is not None]
    if not pairs:
        return None
    real = pairs[0][0]
    made = [other for _, other in pairs]
    return ResponseCurve(conditions[0], tuple(real.edges.tolist()), _curve([real]), _curve(made))


def _images(representation: Representation, found: Sequence[Comparison]) -> tuple[MeanImage, ...]:
    """The mean images on all panels: images of the mean inputs."""
    if not representation.drawn:
        return ()
    real, made = found[0].average[0], np.mean([c.average[1] for c in found], axis=0)
    sides = (representation.images(one[None]) for one in (real, made))
    drawn = zip(representation.panels(), *sides, strict=True)
    return tuple(MeanImage(panel, _rows(a[0]), _rows(b[0])) for panel, a, b in drawn)


def _curve(responses: Sequence[Response]) -> tuple[tuple[float | None, ...], ...]:
    """(mean, error, width, error) by bin."""
    fields = ("mean", "mean_error", "width", "width_error")
    table = np.mean([[getattr(r, f) for f in fields] for r in responses], axis=0).T
    return tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in table)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
