"""Options for the evaluation of classifiers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from rootloom.errors import ConfigError
from rootloom.evaluation.classification.discriminants import Discriminant
from rootloom.evaluation.classification.significance import Counts

Share = Annotated[float, Field(gt=0, le=1)]
Number = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class ClassificationOptions:
    """Options for the evaluation of classifiers.

    weights: "event" uses the event weight, which is physics; "training" the training
    weight, for metrics after kinematic reweighting, which the report then marks. It is refused
    with significances, which are for numbers of events.
    working_points: signal efficiencies at which the rejection is quoted.
    bootstrap: replicas of a Poisson bootstrap for the quoted errors; 0 uses the formulas.
    seed: of the bootstrap's random numbers.
    significances: expected numbers of events by name, see `significance`.
    profiles: variables against which efficiencies are shown: that of the dataset's `reweight`, or
    "target.NAME", a quantity under `targets` of the dataset, which is stored with every row and
    not used by networks. profile_at: overall signal efficiency of the profiles. profile_bins:
    number of their bins, with equal numbers of rows.
    discriminants: of three classes or more, by name; see `pairs`.
    curve_points: points stored of a ROC curve. histogram_bins: of the scores. calibration_bins: of
    the reliability curve.
    """

    weights: Literal["event", "training"] = "event"
    working_points: tuple[Share, ...] = (0.3, 0.5, 0.8)
    bootstrap: Annotated[int, Field(ge=0)] = 0
    seed: int = 1
    curve_points: Number = 200
    histogram_bins: Number = 50
    calibration_bins: Number = 15
    profiles: tuple[str, ...] = ()
    profile_bins: Number = 8
    profile_at: Share = 0.5
    significances: Mapping[str, Counts] = field(default_factory=dict)
    discriminants: Mapping[str, Discriminant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_training_weights(self.weights, self.significances)


def refuse_training_weights(
    weights: str, significances: Collection[str], where: str = "evaluation: significances"
) -> None:
    """Raise ConfigError for significances with training weights, which do not count events."""
    if weights != "event" and significances:
        raise ConfigError(
            where,
            expected="weights: event, as a significance is of numbers of events",
            found=f"weights: {weights}, with {', '.join(significances)}",
            fix="leave out `weights: training`, or use another experiment for the significances",
        )
