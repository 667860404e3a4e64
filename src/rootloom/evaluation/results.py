"""What an evaluation found: plain typed records that survive a round trip through JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rootloom.errors import DataError, InputError

SCHEMA = 2


@dataclass(frozen=True)
class Measurement:
    """A figure over the M members (independent trainings) of a method.

    value: mean over members; statistical: error from the test sample's size; spread: standard
    deviation over members, None for one; None instead of an infinite or undefined value.
    """

    value: float | None
    statistical: float | None
    spread: float | None
    median: float | None
    members: tuple[float | None, ...]


@dataclass(frozen=True)
class WorkingPoint:
    """The background left at one signal efficiency.

    rejection: 1/ε_B; at_least: its 68.27 % lower limit where no background row survived, else
    None. background_count, background_effective: surviving rows and (Σw)²/Σw², means over
    members; background_total: rows before the cut. threshold: on the score, by member.
    """

    signal_efficiency: float
    background_efficiency: Measurement
    rejection: Measurement
    at_least: float | None
    significance_improvement: Measurement
    background_count: float
    background_effective: float
    background_total: int
    threshold: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A decimated ROC curve: medians over members; error: statistical, on ε_B."""

    signal_efficiency: tuple[float, ...]
    background_efficiency: tuple[float, ...]
    error: tuple[float, ...]


@dataclass(frozen=True)
class Histogram:
    """Score densities by class, each with unit area, pooled over members. edges: (n + 1,)."""

    edges: tuple[float, ...]
    density: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Calibration:
    """Reliability curve over occupied probability bins, and the expected calibration error.

    predicted, observed: mean probability and signal share; error: binomial on `observed`;
    share: of the weight.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    error: tuple[float, ...]
    share: tuple[float, ...]
    expected_error: float


@dataclass(frozen=True)
class Profile:
    """Efficiencies at one global threshold in bins of an auxiliary variable.

    Per bin: (efficiency, low, high), the 68.27 % Wilson interval; efficiency None where empty.
    """

    variable: str
    signal_efficiency: float
    edges: tuple[float, ...]
    signal: tuple[tuple[float | None, float, float], ...]
    background: tuple[tuple[float | None, float, float], ...]


@dataclass(frozen=True)
class Significance:
    """An expected significance of discovery at the best cut; `name` is the configuration's.

    signal_efficiency, background_count: share of signal and rows of background that pass, means
    over members. curve: (signal efficiency, significance) where enough background is left, medians
    over members.
    """

    name: str
    value: Measurement
    signal_efficiency: float
    background_count: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Discrimination:
    """One class against all others. calibration is None when scores are not probabilities."""

    positive: str
    auc: Measurement
    working_points: tuple[WorkingPoint, ...]
    curve: Curve
    scores: Histogram
    calibration: Calibration | None
    profiles: tuple[Profile, ...]
    significances: tuple[Significance, ...] = ()


@dataclass(frozen=True)
class ClassificationResult:
    """How well a method tells classes apart.

    signal: one of the classes. accuracy: None when scores are no probabilities. discriminations:
    one for two classes (the signal), else one per class; ensemble: the same of the mean score of
    several members; cross_validation: of training rows, each scored by the member that left it out.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    signal: str
    accuracy: Measurement | None
    discriminations: tuple[Discrimination, ...]
    ensemble: tuple[Discrimination, ...] = ()
    cross_validation: tuple[Discrimination, ...] = ()
    kind: Literal["classification"] = "classification"

    @property
    def main(self) -> int:
        """Number of the discrimination whose positive class is the signal; else the first."""
        positives = [d.positive for d in self.discriminations]
        return positives.index(self.signal) if self.signal in positives else 0

    def figures(self) -> dict[str, Measurement]:
        """Figures of the main discrimination: auc, accuracy, r50 (1/ε_B at ε_S = 50 %), …."""
        result = self.discriminations[self.main]
        figures = {"auc": result.auc}
        if self.accuracy is not None:
            figures["accuracy"] = self.accuracy
        for point in result.working_points:
            figures[f"r{100 * point.signal_efficiency:g}"] = point.rejection
        return figures | {found.name: found.value for found in result.significances}

    def lines(self) -> Iterator[str]:
        """The figures as plain text."""
        for one in self.discriminations:
            yield f"{one.positive}: AUC {one.auc.value} ± {one.auc.statistical}"
            for point in one.working_points:
                yield (
                    f"  signal efficiency {point.signal_efficiency}: "
                    f"rejection {point.rejection.value} ± {point.rejection.statistical} "
                    f"({point.background_count:g} background rows left)"
                )


@dataclass(frozen=True)
class Spread:
    """A histogram in bins of one ratio: `edges` (n + 1,); `density` (n,), by the natural logarithm.

    What lies below the first edge is in the first bin.
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
class NumberError:
    """Mean and root mean square of predicted minus true, of a plain number."""

    name: str
    bias: Measurement
    rms: Measurement


@dataclass(frozen=True)
class RegressionResult:
    """How far predictions are from the truth."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    resolutions: tuple[Resolution, ...]
    numbers: tuple[NumberError, ...]
    kind: Literal["regression"] = "regression"

    def figures(self) -> dict[str, Measurement]:
        """NAME_mean, NAME_median and NAME_68 of angles and distances; bias_NAME and rms_NAME."""
        found: dict[str, Measurement] = {}
        for one in self.resolutions:
            found[f"{one.name}_mean"], found[f"{one.name}_median"] = one.mean, one.median
            found[f"{one.name}_68"] = one.contained
        for number in self.numbers:
            found[f"bias_{number.name}"], found[f"rms_{number.name}"] = number.bias, number.rms
        return found

    def lines(self) -> Iterator[str]:
        """The figures as plain text."""
        for name, found in self.figures().items():
            yield f"{name}: {found.value} ± {found.statistical}"


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
class GenerationResult:
    """How alike generated and real showers are.

    values: figures by name, see `rootloom.evaluation.fidelity.compare`; floor: the same of real
    showers of another split; compared: showers in the real sample and in the floor's.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    values: dict[str, Measurement]
    floor: dict[str, Measurement]
    compared: tuple[int, int]
    features: tuple[FeatureHistogram, ...]
    correlations: Correlations
    response: ResponseCurve
    average: AverageShowers
    kind: Literal["generation"] = "generation"

    def figures(self) -> dict[str, Measurement]:
        """auc_high, auc_low, fpd, kpd, separation, separation.FEATURE, …."""
        return self.values

    def lines(self) -> Iterator[str]:
        """The figures as plain text."""
        for name, found in self.values.items():
            floor = self.floor[name]
            yield (
                f"{name}: {found.value} ± {found.statistical} "
                f"(real against real: {floor.value} ± {floor.statistical})"
            )


# What evaluations of each kind found, told apart by their `kind`.
Result = ClassificationResult | RegressionResult | GenerationResult
R = TypeVar("R", ClassificationResult, RegressionResult, GenerationResult)


@dataclass(frozen=True)
class Evaluation:
    """Everything known about one method on one split.

    rows, weights: by class. parameters, training_seconds: None when the file does not say;
    the seconds are the mean over members. result: what the evaluation's kind makes of the rows.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    experiment: str
    method: str
    split: str
    classes: tuple[str, ...]
    members: tuple[int, ...]
    parameters: int | None
    training_seconds: float | None
    rows: dict[str, int]
    weights: dict[str, float]
    result: Result
    provenance: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def of(self, kind: type[R]) -> R:
        """The result, which is of this kind; raises DataError for another one."""
        if not isinstance(self.result, kind):
            raise DataError(
                f"evaluation of '{self.method}'",
                expected=f"a {kind.__name__}",
                found=type(self.result).__name__,
            )
        return self.result

    def figure(self, name: str) -> Measurement | None:
        """A figure by its name in any case, or None where it was not evaluated."""
        figures = {key.lower(): found for key, found in self.result.figures().items()}
        return figures.get(name.lower())

    def to_json(self) -> str:
        """Indented JSON; floats keep all their digits."""
        return _adapter().dump_json(self, indent=1).decode()

    @staticmethod
    def from_json(text: str | bytes, where: str = "evaluation") -> Evaluation:
        """The inverse of `to_json`; raises InputError for anything else, naming `where`."""
        try:
            found = _adapter().validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                where,
                expected="an evaluation written by rootloom",
                found=f"{'.'.join(map(str, first['loc'])) or 'text'}: {first['msg']}",
                fix="run the evaluation again",
            ) from None
        if found.schema != SCHEMA:
            raise InputError(
                where,
                expected=f"schema {SCHEMA}",
                found=f"schema {found.schema}",
                fix="run the evaluation again with this version",
            )
        return found


@cache
def _adapter() -> TypeAdapter[Evaluation]:
    return TypeAdapter(Evaluation)


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation in a JSON file; raises InputError naming the file."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            str(path), expected="an evaluation JSON file", found=str(error.strerror)
        ) from None
    return Evaluation.from_json(text, where=str(path))
