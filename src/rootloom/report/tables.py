"""The rows of the report's tables: text ready to be printed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rootloom.evaluation.results import (
    Discrimination,
    Evaluation,
    Measurement,
    Significance,
    WorkingPoint,
)
from rootloom.report.figures import Line
from rootloom.report.inputs import DatasetSummary, Expected, History
from rootloom.report.rounding import THIN, duration, fixed, grouped, measurement, percent, places


@dataclass(frozen=True)
class Cell:
    """A figure, what stands small below it, and what the pointer reveals."""

    value: str
    detail: str = ""
    hint: str = ""


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
    evaluations: Sequence[Evaluation], lines: dict[str, Line], number: int
) -> list[MethodRow]:
    """Rows for discrimination `number`, highest AUC first."""
    ranked = sorted(evaluations, key=lambda e: -(e.discriminations[number].auc.value or 0.0))
    return [_method_row(e, number, lines[e.method]) for e in ranked]


def _method_row(evaluation: Evaluation, number: int, line: Line) -> MethodRow:
    result = evaluation.discriminations[number]
    figures = _figures(result)
    several = len(evaluation.members) > 1
    return MethodRow(
        line=line,
        parameters="–" if evaluation.parameters is None else grouped(evaluation.parameters),
        time=duration(evaluation.training_seconds),
        auc=Cell(_both(result.auc), f"{len(evaluation.members)} members" if several else ""),
        points=tuple(_rejection(point) for point in result.working_points),
        members=tuple(
            (str(member), tuple(_alone(f, f.members[i]) for f in figures))
            for i, member in enumerate(evaluation.members)
        )
        if several
        else (),
        median=tuple(_alone(f, f.median) for f in figures),
        ensemble=_combined(evaluation.ensemble, number),
        held_out=_combined(evaluation.cross_validation, number),
    )


def _combined(results: Sequence[Discrimination], number: int) -> tuple[str, ...]:
    """Figures of scores combined over members, where there are any."""
    return tuple(_both(f) for f in _figures(results[number])) if results else ()


def _figures(result: Discrimination) -> list[Measurement]:
    return [result.auc, *(point.rejection for point in result.working_points)]


def _both(found: Measurement) -> str:
    return measurement(found.value, found.statistical, found.spread)


def _alone(found: Measurement, value: float | None) -> str:
    """One member's value, with the digits of the whole."""
    if value is None:
        return "–"
    return fixed(value, places(found.statistical)) if found.statistical else measurement(value)


def _rejection(point: WorkingPoint) -> Cell:
    count = f"{grouped(point.background_count)} of {grouped(point.background_total)} left"
    if point.at_least is not None:
        limit = measurement(point.at_least, point.at_least / 10)
        return Cell(f">{THIN}{limit.split(THIN + '±')[0]}", count, "68.27 % confidence level")
    hint = (
        f"effective count {grouped(point.background_effective)}; significance improvement "
        f"{_both(point.significance_improvement)}"
    )
    return Cell(_both(point.rejection), count, hint)


def point_labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """Column headings of the working points: signal efficiencies in per cent."""
    points = evaluations[0].discriminations[0].working_points
    return [f"{fixed(100 * p.signal_efficiency, 0)}{THIN}%" for p in points]


@dataclass(frozen=True)
class SignificanceRow:
    """The expected significances of one method, in the order of the configuration."""

    line: Line
    values: tuple[Cell, ...]


def significance_rows(ranked: Sequence[tuple[Line, Discrimination]]) -> list[SignificanceRow]:
    """Expected significances, where there are any."""
    return [
        SignificanceRow(line, tuple(_significance(found) for found in result.significances))
        for line, result in ranked
        if result.significances
    ]


def _significance(found: Significance) -> Cell:
    share = f"{fixed(100 * found.signal_efficiency, 0)}{THIN}%"
    detail = f"{share} of signal, {grouped(found.background_count)} rows of background left"
    return Cell(_both(found.value), detail)


@dataclass(frozen=True)
class ExpectedRow:
    """A published figure beside ours."""

    method: str
    metric: str
    published: str
    obtained: str
    difference: str
    source: str


def expected_rows(
    expected: Sequence[Expected], evaluations: Sequence[Evaluation]
) -> list[ExpectedRow]:
    """Published and obtained figures side by side, "–" where there is none of ours."""
    by_method = {e.method: e for e in evaluations}
    rows = []
    for entry in expected:
        ours = by_method.get(entry.method)
        found = metric(ours, entry.metric) if ours else None
        rows.append(
            ExpectedRow(
                method=entry.method,
                metric=metric_label(entry.metric),
                published=_published(entry),
                obtained=_both(found) if found else "–",
                difference=_difference(entry, found),
                source=entry.source,
            )
        )
    return rows


def metric(evaluation: Evaluation, name: str) -> Measurement | None:
    """A figure by its short name (see `Expected`), or None where it was not evaluated."""
    result = next(
        (d for d in evaluation.discriminations if d.positive == evaluation.signal),
        evaluation.discriminations[0],
    )
    if name.lower() == "auc":
        return result.auc
    if name.lower() == "accuracy":
        return evaluation.accuracy
    for significance in result.significances:
        if significance.name == name:
            return significance.value
    wanted = re.fullmatch(r"r(\d+)", name.lower())
    for point in result.working_points if wanted else ():
        if wanted and math.isclose(point.signal_efficiency, int(wanted[1]) / 100):
            return point.rejection
    return None


def metric_label(name: str) -> str:
    """A short metric name in words."""
    wanted = re.fullmatch(r"r(\d+)", name.lower())
    if wanted:
        return f"rejection at {wanted[1]}{THIN}%"
    return {"auc": "AUC"}.get(name.lower(), name)


def _published(entry: Expected) -> str:
    return measurement(entry.value, entry.error) if entry.error else f"{entry.value:g}"


def _difference(entry: Expected, found: Measurement | None) -> str:
    if found is None or found.value is None:
        return "–"
    error = math.hypot(found.statistical or 0.0, found.spread or 0.0, entry.error or 0.0)
    text = measurement(found.value - entry.value, error)
    return text if text.startswith("\u2212") else f"+{text}"


@dataclass(frozen=True)
class TrainingRow:
    """How one training went."""

    line: Line
    member: int
    epochs: int
    best: str
    time: str
    wait: str


def training_rows(histories: Sequence[History], lines: dict[str, Line]) -> list[TrainingRow]:
    """One row a training, in the order given."""
    rows = []
    for history in histories:
        losses = np.asarray(history.validation_loss, dtype=float)
        known = losses[np.isfinite(losses)]
        best = int(np.nanargmin(losses)) + 1 if len(known) else 0
        rows.append(
            TrainingRow(
                line=lines[history.method],
                member=history.member,
                epochs=len(losses),
                best=f"{known.min():.4f} (epoch {best})" if len(known) else "–",
                time=duration(history.seconds),
                wait="–" if history.wait_share is None else percent(history.wait_share),
            )
        )
    return rows


@dataclass(frozen=True)
class SplitRow:
    """Rows and weights of one split, by class."""

    split: str
    cells: tuple[Cell, ...]
    total: str


def split_rows(dataset: DatasetSummary) -> list[SplitRow]:
    """One row a split."""
    return [
        SplitRow(
            split,
            tuple(
                Cell(grouped(number), f"weight {_weight(dataset.weights, split, name)}")
                for name, number in by_class.items()
            ),
            grouped(sum(by_class.values())),
        )
        for split, by_class in dataset.rows.items()
    ]


def _weight(weights: object, split: str, name: str) -> str:
    found = weights.get(split, {}).get(name) if isinstance(weights, dict) else None
    return "–" if found is None else f"{found:.4g}"
