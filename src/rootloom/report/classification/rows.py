"""Table rows of classifiers, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rootloom.evaluation.classification.result import (
    ClassificationResult,
    Discrimination,
    Significance,
    WorkingPoint,
)
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.evaluation.uncertainties import rows_behind_rejection, rows_behind_share
from rootloom.report.plots import Line
from rootloom.report.rounding import THIN, duration, fixed, grouped, measurement, percent, places
from rootloom.report.tables import Cell, parameters_of, reasons, with_errors, with_reason


@dataclass(frozen=True)
class MethodRow:
    """One method in the table of results. members: (name, figures) of each training.

    ensemble: figures of the members' mean score; held_out: of cross-validation.
    """

    line: Line
    parameters: str
    time: str
    auc: Cell
    points: tuple[Cell, ...]
    members: tuple[tuple[str, tuple[str, ...]], ...]
    median: tuple[str, ...]
    ensemble: tuple[str, ...]
    held_out: tuple[str, ...]


def method_rows(
    evaluations: Sequence[Evaluation], lines: Mapping[str, Line], number: int
) -> list[MethodRow]:
    """Rows for discrimination `number`, highest AUC first."""
    return [_method_row(e, number, lines[e.method]) for e in ranked(evaluations, number)]


def ranked(evaluations: Sequence[Evaluation], number: int) -> list[Evaluation]:
    """Highest AUC first, by the printed value, or by the limit if there is no value."""
    return sorted(evaluations, key=lambda e: -_printed(_auc(e, number)))


def best_words(evaluations: Sequence[Evaluation], number: int) -> tuple[str, str, str, str]:
    """Best method, the metric, its value, and a sentence on methods with only a limit.

    The highest AUC with an error comes first, unless a lower limit exceeds it; the sentence says
    that methods with only a limit may have a higher AUC.
    """
    order = ranked(evaluations, number)
    limited = [e for e in order if _only_a_limit(_auc(e, number))]
    first, what = order[0], "AUC"
    if order[0] in limited:
        what = "lower limit of the AUC"
        limited = limited[1:]
    elif limited:
        what = "measured AUC"
    more = ", ".join(f"{e.method} ({with_errors(_auc(e, number))})" for e in limited)
    words = f" Of others only a lower limit of the AUC is known: {more}." if more else ""
    found = _auc(first, number)
    value = with_errors(found) if _only_a_limit(found) else with_reason(found)
    return first.method, what, value, words


def _auc(evaluation: Evaluation, number: int) -> Measurement:
    return evaluation.of(ClassificationResult).discriminations[number].auc


def _only_a_limit(found: Measurement) -> bool:
    return found.statistical is None and found.at_least is not None


def _printed(found: Measurement) -> float:
    printed = found.at_least if _only_a_limit(found) else found.value
    return 0.0 if printed is None else printed


def _method_row(evaluation: Evaluation, number: int, line: Line) -> MethodRow:
    result = evaluation.of(ClassificationResult).discriminations[number]
    figures = _figures(result)
    several = len(evaluation.members) > 1
    return MethodRow(
        line=line,
        parameters=parameters_of(evaluation),
        time=duration(evaluation.training_seconds),
        auc=Cell(
            with_errors(result.auc),
            ", ".join(_behind_auc(result.auc, len(evaluation.members))),
            result.auc.why or "",
        ),
        points=rejection_cells(result.working_points, len(evaluation.members)),
        members=tuple(
            (str(member), tuple(_alone(f, f.members[i]) for f in figures))
            for i, member in enumerate(evaluation.members)
        )
        if several
        else (),
        median=tuple(_alone(f, f.median) for f in figures),
        ensemble=_combined(evaluation.of(ClassificationResult).ensemble, number),
        held_out=_combined(evaluation.of(ClassificationResult).cross_validation, number),
    )


def _combined(results: Sequence[Discrimination], number: int) -> tuple[str, ...]:
    """Metrics of scores combined over members, if there are any."""
    return tuple(with_errors(f) for f in _figures(results[number])) if results else ()


def _figures(result: Discrimination) -> list[Measurement]:
    return [result.auc, *(point.rejection for point in result.working_points)]


def _alone(found: Measurement, value: float | None) -> str:
    """One member's value, with the digits of the whole."""
    if value is None:
        return "–"
    return fixed(value, places(found.statistical)) if found.statistical else measurement(value)


def _behind_auc(auc: Measurement, members: int) -> Iterator[str]:
    """Small text below an AUC: members, and the rows of a limit."""
    if members > 1:
        yield f"{'lowest' if _only_a_limit(auc) else 'mean'} of {members} members"
    if _only_a_limit(auc) and auc.at_least is not None:
        yield f"limit of {grouped(rows_behind_share(auc.at_least))} rows of the largest weight"


def _rejection(point: WorkingPoint, members: int) -> Cell:
    mean = "on average " if members > 1 else ""
    left, total = grouped(point.background_count), grouped(point.background_total)
    count = f"{mean}{left} of {total} left"
    if point.background_effective < 0.9 * point.background_count:
        count += f" ({grouped(point.background_effective)} effective)"
    if point.at_least is not None:
        heaviest = grouped(rows_behind_rejection(point.at_least))
        if heaviest != total:
            count = f"{mean}{left} of {total} ({heaviest}) left"
        return Cell(with_errors(point.rejection), count, "68.27 % confidence level")
    if point.rejection.why:
        return Cell(with_errors(point.rejection), count, point.rejection.why)
    hint = (
        f"effective count {grouped(point.background_effective)}; significance improvement "
        f"{with_errors(point.significance_improvement)}"
    )
    return Cell(with_errors(point.rejection), count, hint)


def rejection_cells(points: Sequence[WorkingPoint], members: int = 1) -> tuple[Cell, ...]:
    """The rejection at each working point, with the rows that pass; means over members."""
    return tuple(_rejection(point, members) for point in points)


def point_labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """Column headings of the working points: signal efficiencies in per cent."""
    points = evaluations[0].of(ClassificationResult).discriminations[0].working_points
    return [_at(p) for p in points]


def _at(point: WorkingPoint) -> str:
    # All digits: 0.5 % and 99.5 % must not be rounded to 0 and 100.
    return f"{100 * point.signal_efficiency:g}{THIN}%"


@dataclass(frozen=True)
class SignificanceRow:
    """The expected significances of one method, in the order of the configuration."""

    line: Line
    values: tuple[Cell, ...]


def significance_rows(ranked: Sequence[tuple[Line, Discrimination]]) -> list[SignificanceRow]:
    """Expected significances, if there are any."""
    return [
        SignificanceRow(line, tuple(_significance(found) for found in result.significances))
        for line, result in ranked
        if result.significances
    ]


def _significance(found: Significance) -> Cell:
    share, rows = percent(found.signal_efficiency), grouped(found.background_count)
    detail = f"{share} of signal, {rows} rows of background left"
    return Cell(with_errors(found.value), detail, found.value.why or "")


def reasons_of(ranked: Sequence[tuple[Line, Discrimination]]) -> list[str]:
    """Why metrics of a section have no error, by method."""
    return reasons(
        (f"{line.label} {name}", found)
        for line, result in ranked
        for name, found in (
            ("AUC", result.auc),
            *((f"rejection at {_at(p)}", p.rejection) for p in result.working_points),
            *((found.name, found.value) for found in result.significances),
        )
    )
