"""The chapter on predicted numbers, directions, points and tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from rootloom.errors import DataError
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.regression.result import NumberError, RegressionResult, Resolution
from rootloom.evaluation.results import Evaluation
from rootloom.report.classification.figures import Line
from rootloom.report.pictures import Picture, picture
from rootloom.report.regression import figures as figures
from rootloom.report.rounding import THIN, duration, percent
from rootloom.report.tables import in_unit, parameters_of, reasons, with_errors
from rootloom.report.theme import as_png

_WORDS = {
    "angle": "angle to the true {}",
    "distance": "distance to the true {}",
    "impact": "error of the {}'s distance to the centre",
}
_AXES = {
    "zenith": "zenith angle of the {}",
    "meridian": "longitude of the {} from the meridian 0",
    "impact": "distance of the {} to the centre",
}


@dataclass(frozen=True)
class Row:
    """One method: metrics of each resolution and of each number, in the order of `headings`."""

    line: Line
    parameters: str
    time: str
    figures: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """All about one resolution or one number."""

    title: str
    spread: Picture
    profiles: Sequence[Picture]

    @property
    def paired(self) -> list[Picture]:
        """Plots in rows of two; for an even number of profiles the first plot is separate."""
        return list(self.profiles) if self.alone else [self.spread, *self.profiles]

    @property
    def alone(self) -> bool:
        """Whether the first plot is separate, in its own row."""
        return len(self.profiles) % 2 == 0


@dataclass(frozen=True)
class Regression:
    """Resolutions and their profiles, one section each; see `Chapter`."""

    template: ClassVar[str] = "regression/chapter.html.j2"

    evaluations: Sequence[Evaluation]
    lines: Mapping[str, Line]

    def __post_init__(self) -> None:
        first = self.evaluations[0]
        for other in self.evaluations[1:]:
            ours, theirs = (
                list(first.of(RegressionResult).figures()),
                list(other.of(RegressionResult).figures()),
            )
            if ours != theirs or _axes(first) != _axes(other):
                raise DataError(
                    f"evaluation of '{other.method}'",
                    expected=f"figures {ours} and profiles {_axes(first)}, as for '{first.method}'",
                    found=f"{theirs} and {_axes(other)}",
                    fix="evaluate all methods of a report with the same options",
                )

    def beside(self) -> dict[str, bytes]:
        """The densities of the first resolution, or of the first number's residuals."""
        if self._resolutions:
            title, results = self._resolutions[0]
            return {"resolution.png": as_png(figures.densities(results, title, legend=True))}
        return {"resolution.png": as_png(figures.residuals(self._numbers[0], legend=True))}

    @property
    def headings(self) -> list[tuple[str, list[str]]]:
        """Groups of columns with their titles: angle → mean, median, 68 %."""
        result = self._ranked[0][1]
        groups = [
            (in_unit(_title(one), one.unit), ["mean", "median", "68 %"])
            for one in result.resolutions
        ]
        return groups + [
            (in_unit(number.name, number.unit), ["bias", "RMS", "68 %"])
            for number in result.numbers
        ]

    @cached_property
    def rows(self) -> list[Row]:
        """Methods, the best first."""
        return [
            Row(
                line=self.lines[one.method],
                parameters=parameters_of(one),
                time=duration(one.training_seconds),
                figures=tuple(with_errors(found) for found in one.result.figures().values()),
            )
            for one in self._best_first
        ]

    @property
    def groups(self) -> list[tuple[str, list[str], list[tuple[Line, tuple[str, ...]]]]]:
        """One table per group: title, column headings, and every method's metrics."""
        tables, first = [], 0
        for title, columns in self.headings:
            last = first + len(columns)
            rows = [(row.line, row.figures[first:last]) for row in self.rows]
            tables.append((title, columns, rows))
            first = last
        return tables

    @property
    def best(self) -> tuple[str, str, str]:
        """The first method's name, the metric, and its value."""
        line, result = self._ranked[0]
        first = result.resolutions[0] if result.resolutions else result.numbers[0]
        what = f"mean {_title(first)}" if isinstance(first, Resolution) else f"RMS of {first.name}"
        space = THIN if first.unit not in ("", "°") else ""
        return line.label, what, f"{with_errors(_rank(result))}{space}{first.unit}"

    @property
    def reasons(self) -> list[str]:
        """Why metrics have no error, by method."""
        return reasons(
            (f"{self.lines[one.method].label} {name}", found)
            for one in self._best_first
            for name, found in one.result.figures().items()
        )

    @cached_property
    def sections(self) -> list[Section]:
        """One a resolution, then one a number, in their order."""
        resolutions = [self._section(f"r{k}", *one) for k, one in enumerate(self._resolutions)]
        return resolutions + [_of_number(f"n{k}", one) for k, one in enumerate(self._numbers)]

    @property
    def legend(self) -> list[Line]:
        """The methods, the best first."""
        return [line for line, _ in self._ranked]

    @property
    def numbers(self) -> bool:
        """Whether plain numbers are predicted."""
        return bool(self._numbers)

    @property
    def resolutions(self) -> bool:
        """Whether directions, points or tracks are predicted."""
        return bool(self._resolutions)

    @cached_property
    def _best_first(self) -> list[Evaluation]:
        """The smallest first figure first."""
        return sorted(self.evaluations, key=lambda e: _size(_rank(e.of(RegressionResult))))

    @cached_property
    def _ranked(self) -> list[tuple[Line, RegressionResult]]:
        """Lines and results, the best first."""
        return [(self.lines[e.method], e.of(RegressionResult)) for e in self._best_first]

    @cached_property
    def _resolutions(self) -> list[tuple[str, list[tuple[Line, Resolution]]]]:
        """Each resolution's title and the results of the methods."""
        return [
            (_title(one), [(line, result.resolutions[k]) for line, result in self._ranked])
            for k, one in enumerate(self._ranked[0][1].resolutions)
        ]

    @cached_property
    def _numbers(self) -> list[list[tuple[Line, NumberError]]]:
        """Every number by method."""
        return [
            [(line, result.numbers[k]) for line, result in self._ranked]
            for k in range(len(self._ranked[0][1].numbers))
        ]

    def _section(self, key: str, title: str, results: Sequence[tuple[Line, Resolution]]) -> Section:
        of = f"of {', '.join(line.label for line, _ in results)}"
        first = results[0][1]
        spread = picture(
            figures.densities(results, title),
            f"{key}-density",
            f"Density of the {title} {of}",
            f"{_sentence(title)}: how events are spread over it, on a logarithmic axis.",
        )
        profiles = [
            picture(
                figures.profile(results, number, title, _axis(found.variable)),
                f"{key}-profile-{number}",
                f"68 % quantile of the {title} against {found.variable} {of}",
                f"{_sentence(title)}: what 68 % of the events stay below, against the true "
                f"{_axis(found.variable)}.",
            )
            for number, found in enumerate(first.profiles)
        ]
        return Section(title=_sentence(title), spread=spread, profiles=profiles)


def _of_number(key: str, results: Sequence[tuple[Line, NumberError]]) -> Section:
    of, first = f"of {', '.join(line.label for line, _ in results)}", results[0][1]
    name, beyond = first.name, max(found.residuals.beyond for _, found in results)
    left_out = (
        f"; rows beyond the axis: at most {percent(beyond)} of a method" if beyond > 0 else ""
    )
    spread = picture(
        figures.residuals(results),
        f"{key}-residuals",
        f"Density of predicted minus true {name} {of}",
        f"Residuals of {name}{left_out}.",
    )
    profiles = [
        picture(
            figures.number_profile(results, number, field, f"true {_axis(found.variable)}"),
            f"{key}-{field}-{number}",
            f"{field} of {name} against {found.variable} {of}",
            f"{field.capitalize()} of {name} in bins of the true {_axis(found.variable)}.",
        )
        for number, found in enumerate(first.profiles)
        for field in ("bias", "resolution")
    ]
    return Section(title=name, spread=spread, profiles=profiles)


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]


def _axes(evaluation: Evaluation) -> list[str]:
    result = evaluation.of(RegressionResult)
    profiles = [one.profiles for one in result.resolutions]
    profiles_of_numbers = [one.profiles for one in result.numbers]
    return [p.variable for of in profiles for p in of] + [
        p.variable for of in profiles_of_numbers for p in of
    ]


def _rank(result: RegressionResult) -> Measurement:
    return result.resolutions[0].mean if result.resolutions else result.numbers[0].rms


def _size(found: Measurement) -> float:
    return float("inf") if found.value is None else abs(found.value)


def _title(found: Resolution) -> str:
    kind, _, of = found.name.partition("_")
    return _WORDS[kind].format(of.replace("_", " "))


def _axis(variable: str) -> str:
    """A profile's variable in words."""
    kind, _, of = variable.partition("_")
    return _AXES[kind].format(of.replace("_", " ")) if kind in _AXES and of else variable
