"""Results of an evaluation of classes: records that can be written to JSON and read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from rootloom.evaluation.measurement import Measurement, Quote, survivors, unrounded
from rootloom.evaluation.record import Record


@dataclass(frozen=True)
class WorkingPoint:
    """The background left at one signal efficiency.

    rejection: 1/ε_B, with its lower limit if no background row passes. background_count,
    background_effective: rows that pass and their (Σw)²/Σw², means over members; background_total:
    rows before the cut. threshold: on the score, by member.
    """

    signal_efficiency: float
    background_efficiency: Measurement
    rejection: Measurement
    significance_improvement: Measurement
    background_count: float
    background_effective: float
    background_total: int
    threshold: tuple[float, ...]

    @property
    def key(self) -> str:
        """The name of its rejection among the metrics: `r70` at 70 % signal efficiency."""
        return f"r{100 * self.signal_efficiency:g}"

    @property
    def left(self) -> str:
        """The background rows that pass, out of all, in words."""
        return survivors(self.background_count, self.background_effective, self.background_total)

    @property
    def at_least(self) -> float | None:
        """The rejection's 68.27 % lower limit if no background row passes, else None."""
        return self.rejection.at_least


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

    predicted, observed: mean probability and signal share; error: binomial on `observed`, None for
    a bin of one class or one effective row; share: of the weight.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    error: tuple[float | None, ...]
    share: tuple[float, ...]
    expected_error: float


@dataclass(frozen=True)
class Profile:
    """Efficiencies at one global threshold in bins of an auxiliary variable.

    Per bin: (efficiency, low, high), the 68.27 % Wilson interval; efficiency None if empty.
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
    over members. curve: (signal efficiency, significance) for cuts with enough background, medians
    over members.
    """

    name: str
    value: Measurement
    signal_efficiency: float
    background_count: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Discrimination:
    """One class against all others.

    calibration: None if scores are not probabilities, or if no bin has a positive sum of training
    weights.
    """

    positive: str
    auc: Measurement
    working_points: tuple[WorkingPoint, ...]
    curve: Curve
    scores: Histogram
    calibration: Calibration | None
    profiles: tuple[Profile, ...]
    significances: tuple[Significance, ...] = ()


@dataclass(frozen=True)
class PairRejection:
    """A class against one other: rejection of `background` at fixed efficiencies of `signal`.

    Thresholds are on the logarithm of a ratio of probabilities. curve: None without a discriminant.
    """

    signal: str
    background: str
    working_points: tuple[WorkingPoint, ...]
    curve: Curve | None = None

    def metrics(self, name: str) -> Iterator[tuple[str, Measurement]]:
        """`name.r70`: the rejection at 70 % efficiency, and so on."""
        for point in self.working_points:
            yield f"{name}.{point.key}", point.rejection

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The rejections as plain text, formatted by `quote`."""
        for point in self.working_points:
            yield (
                f"  {self.signal} efficiency {100 * point.signal_efficiency:g} %: rejection of "
                f"{self.background} {quote(point.rejection)}; {point.left} rows of "
                f"{self.background} left"
            )


@dataclass(frozen=True)
class ClassProfile:
    """Efficiency of every class above one threshold, in bins of an auxiliary variable.

    Per class and bin as in `Profile`; the threshold leaves `signal_efficiency` of all the signal.
    """

    variable: str
    signal_efficiency: float
    edges: tuple[float, ...]
    efficiency: dict[str, tuple[tuple[float | None, float, float], ...]]


@dataclass(frozen=True)
class DiscriminantResult:
    """log(p_signal / Σ f_j p_j) against each other class. fractions: f_j, those above 0."""

    name: str
    signal: str
    fractions: dict[str, float]
    against: tuple[PairRejection, ...]
    profiles: tuple[ClassProfile, ...] = ()

    @property
    def formula(self) -> str:
        """Its definition in one line."""
        terms = (f"{share:.4g} p({name})" for name, share in self.fractions.items())
        return f"log( p({self.signal}) / ({' + '.join(terms)}) )"


@dataclass(frozen=True)
class Confusion:
    """Shares of each true class (outer) by the class of the highest score (inner).

    shares: of the true class's weight, (C, C); counts: raw rows, means over members.
    """

    classes: tuple[str, ...]
    shares: tuple[tuple[Measurement, ...], ...]
    counts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ManyClasses:
    """Results for three classes or more, in addition to one against the rest.

    pairs: all ordered ones, by likelihood ratio. pairs and discriminants are empty if scores are
    no probabilities. Only for members, not for their mean score or a cross-validation.
    """

    pairs: tuple[PairRejection, ...]
    discriminants: tuple[DiscriminantResult, ...]
    confusion: Confusion

    def metrics(self) -> dict[str, Measurement]:
        """`D_b.c.r70` of a discriminant, `b/c.r70` of a pair, `confusion.b.c` (true, predicted)."""
        found: dict[str, Measurement] = {}
        for one in self.discriminants:
            for pair in one.against:
                found |= pair.metrics(f"{one.name}.{pair.background}")
        for pair in self.pairs:
            found |= pair.metrics(f"{pair.signal}/{pair.background}")
        names = self.confusion.classes
        for true, row in zip(names, self.confusion.shares, strict=True):
            found |= {f"confusion.{true}.{p}": s for p, s in zip(names, row, strict=True)}
        return found

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The metrics as plain text, as `quote` writes them."""
        for one in self.discriminants:
            yield f"{one.name} = {one.formula}"
            for pair in one.against:
                yield from pair.lines(quote)
        if self.pairs:
            yield "pairs of classes, by their likelihood ratio"
        for pair in self.pairs:
            yield from pair.lines(quote)
        yield "confusion: true class, then shares by predicted class"
        for true, shares in zip(self.confusion.classes, self.confusion.shares, strict=True):
            named = zip(self.confusion.classes, shares, strict=True)
            yield f"  {true}: " + ", ".join(f"{name} {quote(share)}" for name, share in named)


@dataclass(frozen=True)
class ClassificationResult(Record):
    """Result of a method that classifies.

    signal: one of the classes. weights: "event" or "training", used for all metrics. accuracy:
    None if scores are no probabilities. discriminations: one for two classes (the signal), else
    one per class; ensemble: the same for the mean score of several members; cross_validation: for
    training rows, each scored by the member that left it out. many: additional results for three
    classes or more.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    signal: str
    accuracy: Measurement | None
    discriminations: tuple[Discrimination, ...]
    ensemble: tuple[Discrimination, ...] = ()
    cross_validation: tuple[Discrimination, ...] = ()
    many: ManyClasses | None = None
    weights: Literal["event", "training"] = "event"
    kind: Literal["classification"] = "classification"

    @property
    def main(self) -> int:
        """Number of the discrimination whose positive class is the signal; else the first."""
        positives = [d.positive for d in self.discriminations]
        return positives.index(self.signal) if self.signal in positives else 0

    def metrics(self) -> dict[str, Measurement]:
        """Metrics of the main discrimination: auc, accuracy, r50 (1/ε_B at ε_S = 50 %), ….

        For those of three classes or more see `ManyClasses`.
        """
        result = self.discriminations[self.main]
        metrics = {"auc": result.auc}
        if self.accuracy is not None:
            metrics["accuracy"] = self.accuracy
        for point in result.working_points:
            metrics[point.key] = point.rejection
        metrics |= {found.name: found.value for found in result.significances}
        return metrics | (self.many.metrics() if self.many else {})

    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The metrics as plain text, as `quote` writes them."""
        if self.accuracy is not None:
            yield f"accuracy {quote(self.accuracy)}"
        else:
            more = ", no likelihood ratios and no discriminants" if self.many else ""
            yield f"scores not declared to be probabilities: no accuracy, no reliability{more}"
        for one in self.discriminations:
            yield f"{one.positive}: AUC {quote(one.auc)}"
            for point in one.working_points:
                yield (
                    f"  signal efficiency {100 * point.signal_efficiency:g} %: rejection "
                    f"{quote(point.rejection)}; {point.left} background rows left"
                )
            for found in one.significances:
                yield (
                    f"  significance {found.name}: {quote(found.value)}; "
                    f"{found.background_count:,.0f} background rows left"
                )
        if self.many:
            yield from self.many.lines(quote)
