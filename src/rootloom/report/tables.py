"""Tables of every report, as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rootloom.errors import nearest
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.report.inputs import DatasetSummary, Expected, Exported, History
from rootloom.report.plots import Line
from rootloom.report.rounding import THIN, above, duration, grouped, measurement, percent


@dataclass(frozen=True)
class Cell:
    """A value, a small text below it, and a text shown at the pointer."""

    value: str
    detail: str = ""
    hint: str = ""


def parameters_of(evaluation: Evaluation) -> str:
    """Number of parameters of a method, "–" if unknown."""
    return "–" if evaluation.parameters is None else grouped(evaluation.parameters)


def with_errors(found: Measurement) -> str:
    """Value, statistical error and spread over members; or a lower limit.

    Without a statistical error there is a dash before the spread, because the first ± is always
    the statistical error.
    """
    if found.statistical is None and found.at_least is not None:
        return above(found.at_least)
    if found.value is None or found.statistical is not None or found.spread is None:
        return measurement(found.value, found.statistical, found.spread)
    value, plus_minus, spread = measurement(found.value, found.spread).partition(f"{THIN}±{THIN}")
    return f"{value}{plus_minus}–{THIN}±{THIN}{spread}" if spread else value


def with_reason(found: Measurement) -> str:
    """Value and errors of a metric, with the reason if there is no error."""
    return with_errors(found) + (f" ({found.why})" if found.why else "")


def reasons(figures: Iterable[tuple[str, Measurement]]) -> list[str]:
    """Why metrics have no error or no value: each reason once, with its metrics."""
    names: dict[str, list[str]] = {}
    for name, found in figures:
        if found.why:
            names.setdefault(found.why, []).append(name)
    return [f"{', '.join(of)}: {why}" for why, of in names.items()]


@dataclass(frozen=True)
class ExpectedRow:
    """A published value and ours."""

    method: str
    metric: str
    published: str
    obtained: str
    difference: str
    source: str


def expected_rows(
    expected: Sequence[Expected], evaluations: Sequence[Evaluation]
) -> list[ExpectedRow]:
    """Published and obtained values, "–" if there is none of ours, or what it may be called."""
    by_method = {e.method: e for e in evaluations}
    rows = []
    for entry in expected:
        ours = by_method.get(entry.method)
        found = ours.metric(entry.metric) if ours else None
        rows.append(
            ExpectedRow(
                method=entry.method,
                metric=in_unit(metric_label(entry.metric), ours.unit(entry.metric) if ours else ""),
                published=_published(entry),
                obtained=with_errors(found) if found else _absent(entry, ours),
                difference=_difference(entry, found),
                source=entry.source,
            )
        )
    return rows


def _absent(entry: Expected, ours: Evaluation | None) -> str:
    """A figure that a method does not have: misspelt, or not asked for."""
    return f"no such figure; {nearest(entry.metric, ours.result.metrics())}" if ours else "–"


def in_unit(title: str, unit: str) -> str:
    """A heading with its unit."""
    return f"{title}, {unit}" if unit else title


def metric_label(name: str) -> str:
    """A short metric name in words."""
    wanted = re.fullmatch(r"r([\d.]+)", name.lower())
    if wanted:
        return f"rejection at {wanted[1]}{THIN}%"
    against = re.fullmatch(r"(.+)([./])(.+)\.r([\d.]+)", name, flags=re.IGNORECASE)
    if against:
        score, kind, rejected, point = against.groups()
        by = f" by {score}" if kind == "." else f" for {score}"
        return f"rejection of {rejected}{by} at {point}{THIN}%"
    confused = re.fullmatch(r"confusion\.(.+)\.(.+)", name, flags=re.IGNORECASE)
    if confused:
        return f"share of {confused[1]} called {confused[2]}"
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
    """Summary of one training."""

    line: Line
    member: int
    epochs: str
    best: str
    figures: str
    time: str
    wait: str


def training_rows(histories: Sequence[History], lines: dict[str, Line]) -> list[TrainingRow]:
    """One row per training, in the given order."""
    rows = []
    for history in histories:
        losses = np.asarray(history.validation_loss, dtype=float)
        known = losses[np.isfinite(losses)]
        best = int(np.nanargmin(losses)) + 1 if len(known) else 0
        rows.append(
            TrainingRow(
                line=lines[history.method],
                member=history.member,
                epochs=_epochs(len(losses), history.planned),
                best=f"{known.min():.4f} (epoch {best})" if len(known) else "–",
                figures=_figures(history.figures[best - 1]) if best and history.figures else "–",
                time=duration(history.seconds),
                wait="–" if history.wait_share is None else percent(history.wait_share),
            )
        )
    return rows


def _figures(of: Mapping[str, float]) -> str:
    """Metrics in words: "accuracy 0.812, AUC 0.901"."""
    return ", ".join(f"{metric_label(n).replace('_', ' ')} {x:.3f}" for n, x in of.items()) or "–"


def _epochs(number: int, planned: int | None) -> str:
    early = planned is not None and number < planned
    return f"{number} of {planned}" if early else f"{number}"


@dataclass(frozen=True)
class ExportedRow:
    """An exported network beside JAX."""

    line: Line
    member: int
    format: str
    rows: str
    largest: str
    median: str
    exact: str


def exported_rows(exported: Sequence[Exported], lines: dict[str, Line]) -> list[ExportedRow]:
    """One row a format of each member."""
    return [
        ExportedRow(
            line=lines[one.method],
            member=one.member,
            format=one.format,
            rows=grouped(one.rows),
            largest=f"{one.largest:.1e} (row {one.row}, batch of {one.batch})",
            median=f"{one.median:.1e}",
            exact=f"JAX {one.exact[0]:.1e}, exported {one.exact[1]:.1e}" if one.exact else "–",
        )
        for one in exported
    ]


@dataclass(frozen=True)
class SplitRow:
    """Rows of one split, by class."""

    split: str
    cells: tuple[Cell, ...]
    total: str


def split_rows(dataset: DatasetSummary) -> list[SplitRow]:
    """One row per split."""
    return [
        SplitRow(
            split,
            tuple(Cell(grouped(number)) for number in by_class.values()),
            grouped(sum(by_class.values())),
        )
        for split, by_class in dataset.rows.items()
    ]
