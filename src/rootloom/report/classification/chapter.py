"""The chapter on classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import ClassVar

from matplotlib.figure import Figure

from rootloom.errors import DataError
from rootloom.evaluation.classification.result import ClassificationResult, Discrimination
from rootloom.evaluation.results import Evaluation
from rootloom.report.classification import figures
from rootloom.report.classification.figures import Traced
from rootloom.report.classification.many_classes import (
    ManyClassesSection,
    many_classes,
    require_alike,
)
from rootloom.report.classification.rows import (
    MethodRow,
    SignificanceRow,
    best_words,
    method_rows,
    point_labels,
    ranked,
    reasons_of,
    significance_rows,
)
from rootloom.report.pictures import Picture, picture
from rootloom.report.plots import Line
from rootloom.report.rounding import percent
from rootloom.report.tables import metric_label
from rootloom.report.theme import as_png


@dataclass(frozen=True)
class Section:
    """All about one class against the others."""

    positive: str
    other: str
    rejection: Picture
    significance: Picture
    rows: Sequence[MethodRow]
    scores: Sequence[Picture]
    reliability: Picture | None
    profiles: Sequence[Picture]
    cuts: Sequence[Picture]
    expected: Sequence[SignificanceRow]
    reasons: Sequence[str]


@dataclass(frozen=True)
class Classification:
    """Rejection, significance and scores, one section a class; see `Chapter`."""

    template: ClassVar[str] = "classification/chapter.html.j2"

    evaluations: Sequence[Evaluation]
    lines: Mapping[str, Line]

    def __post_init__(self) -> None:
        first = self.evaluations[0]
        for other in self.evaluations[1:]:
            pairs = zip_longest(_efficiencies(first), _efficiencies(other))
            if any(a is None or b is None or abs(a - b) > 1e-9 for a, b in pairs):
                raise DataError(
                    f"evaluation of '{other.method}'",
                    expected=f"working points {_efficiencies(first)}, as for '{first.method}'",
                    found=f"{_efficiencies(other)}",
                    fix="evaluate all methods of a report with the same options",
                )
        require_alike(self.evaluations)

    def beside(self) -> dict[str, bytes]:
        """The rejection of the signal's background."""
        return {"roc.png": as_png(self.figure())}

    def figure(self) -> Figure:
        """The rejection of the signal's background, with a legend."""
        curves = _curves(self._ranked(self._main))
        return figures.rejection_curves(curves, legend=True)

    @cached_property
    def sections(self) -> list[Section]:
        """One a discrimination, in their order."""
        numbers = range(len(self.evaluations[0].of(ClassificationResult).discriminations))
        return [self._section(number) for number in numbers]

    @cached_property
    def many(self) -> ManyClassesSection | None:
        """Pairs of classes, discriminants and confusion; None of two classes."""
        return many_classes(self.evaluations, self.lines, self.points)

    @property
    def best(self) -> tuple[str, str, str, str]:
        """The best method, the metric, its value, and a sentence on methods with only a limit."""
        return best_words(self.evaluations, self._main)

    @property
    def legend(self) -> list[Line]:
        """The methods, in the order of the main table."""
        return [line for line, _ in self._ranked(self._main)]

    @property
    def several(self) -> bool:
        """Whether a method has several members."""
        return any(len(e.members) > 1 for e in self.evaluations)

    @property
    def untrained(self) -> bool:
        """Whether there are probabilities of rows of a dataset on which nothing is trained."""
        probable = (e.of(ClassificationResult).accuracy is not None for e in self.evaluations)
        return any(probable) and not any(e.training_effective for e in self.evaluations)

    @property
    def limited(self) -> bool:
        """Whether any rejection is only a limit."""
        return any(
            point.at_least is not None
            for number in range(len(self.evaluations[0].of(ClassificationResult).discriminations))
            for _, result in self._ranked(number)
            for point in result.working_points
        )

    @property
    def main(self) -> Section:
        """The section of the signal."""
        return self.sections[self._main]

    @property
    def points(self) -> list[str]:
        """Headings of the working points."""
        return point_labels(self.evaluations)

    @property
    def main_metrics(self) -> list[tuple[str, str]]:
        """AUC and rejections of the signal's section."""
        points = self.evaluations[0].of(ClassificationResult).discriminations[self._main]
        names = ["auc", *(point.key for point in points.working_points)]
        return [(name, metric_label(name)) for name in names]

    @property
    def significances(self) -> list[str]:
        """Names of the expected significances."""
        first = self.evaluations[0].of(ClassificationResult).discriminations[0]
        return [found.name for found in first.significances]

    @property
    def _main(self) -> int:
        return self.evaluations[0].of(ClassificationResult).main

    def _ranked(self, number: int) -> list[tuple[Line, Discrimination]]:
        return [
            (self.lines[e.method], e.of(ClassificationResult).discriminations[number])
            for e in ranked(self.evaluations, number)
        ]

    def _section(self, number: int) -> Section:
        ranked = self._ranked(number)
        positive = ranked[0][1].positive
        key = f"c{number}"
        figures_of = f"of {', '.join(line.label for line, _ in ranked)}"
        has_reliability = any(result.calibration for _, result in ranked)
        return Section(
            positive=positive,
            other=", ".join(name for name in ranked[0][1].scores.density if name != positive),
            rejection=picture(
                figures.rejection_curves(_curves(ranked)),
                f"{key}-rejection",
                f"Background rejection against signal efficiency {figures_of}",
                "Background rejection, the inverse of the background efficiency. Dotted: random "
                "choice.",
            ),
            significance=picture(
                figures.significance_curves(_curves(ranked)),
                f"{key}-significance",
                f"Significance improvement against signal efficiency {figures_of}",
                "Significance improvement εS/√εB, the factor that a cut brings to S/√B.",
            ),
            rows=method_rows(self.evaluations, self.lines, number),
            scores=[
                picture(
                    figures.score_densities(line, result),
                    f"{key}-score-{place}",
                    f"Score densities of {line.label} for {', '.join(result.scores.density)}",
                )
                for place, (line, result) in enumerate(ranked)
            ],
            reliability=picture(
                figures.reliability(ranked),
                f"{key}-reliability",
                f"Observed share against predicted probability {figures_of}",
                f"Expected calibration error: {_calibration_errors(ranked)}.",
            )
            if has_reliability
            else None,
            profiles=_profiles(ranked, key),
            cuts=_cuts(ranked, key),
            expected=significance_rows(ranked),
            reasons=reasons_of(ranked),
        )


def _curves(ranked: Sequence[tuple[Line, Discrimination]]) -> list[tuple[Line, Traced]]:
    return [(line, Traced.of(result)) for line, result in ranked]


def _calibration_errors(ranked: Sequence[tuple[Line, Discrimination]]) -> str:
    found = ((line.label, result.calibration) for line, result in ranked)
    return ", ".join(f"{name} {one.expected_error:.3f}" for name, one in found if one)


def _cuts(ranked: Sequence[tuple[Line, Discrimination]], key: str) -> list[Picture]:
    return [
        picture(
            figures.cut_scan(ranked, number),
            f"{key}-cut-{number}",
            f"Expected significance '{found.name}' against signal efficiency",
            f"{found.name}: expected significance for a cut at each signal efficiency.",
        )
        for number, found in enumerate(ranked[0][1].significances)
    ]


def _profiles(ranked: Sequence[tuple[Line, Discrimination]], key: str) -> list[Picture]:
    return [
        picture(
            figures.efficiency_profile(ranked, number, kind),
            f"{key}-{kind}-{number}",
            f"{kind} efficiency against {profile.variable}",
            f"{kind.capitalize()} efficiency in bins of {profile.variable}, at a signal "
            f"efficiency of {percent(profile.signal_efficiency)} overall.",
        )
        for number, profile in enumerate(ranked[0][1].profiles)
        for kind in ("signal", "background")
    ]


def _efficiencies(evaluation: Evaluation) -> list[float]:
    return [
        p.signal_efficiency
        for p in evaluation.of(ClassificationResult).discriminations[0].working_points
    ]
