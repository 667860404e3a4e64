"""Parts of the page on datasets other than the nominal one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment
from markupsafe import Markup

from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.report import tables
from rootloom.report.chapters import Chapter
from rootloom.report.inputs import DatasetSummary, OtherDataset, ReportInputs
from rootloom.report.plots import Line
from rootloom.report.tables import Cell, with_errors
from rootloom.report.theme import with_ids_of


@dataclass(frozen=True)
class Part:
    """A dataset as markup. chapter: its plots and tables; None if it is only scored.

    about: its rows, weights and files.
    """

    name: str
    summary: DatasetSummary
    chapter: Markup | None
    about: Markup


@dataclass(frozen=True)
class SideBySide:
    """Metrics of the methods on each dataset. groups: title, then a row for each method.

    reasons: why metrics have no error.
    """

    names: Sequence[str]
    groups: Sequence[tuple[str, Sequence[tuple[Line, Sequence[Cell]]]]]
    reasons: Sequence[str]


def parts(
    environment: Environment, inputs: ReportInputs, chapters: Mapping[str, Chapter]
) -> list[Part]:
    """The parts of all other datasets. chapters: by name, for those that are evaluated."""
    nominal = inputs.dataset.name if inputs.dataset else ""
    return [_part(environment, other, nominal, chapters.get(other.name)) for other in inputs.others]


def side_by_side(
    inputs: ReportInputs, chapter: Chapter, lines: Mapping[str, Line]
) -> SideBySide | None:
    """Metrics of all evaluated datasets; None if there is only one."""
    named = {inputs.dataset.name if inputs.dataset else "": inputs.evaluations}
    named |= {other.dataset.name: other.evaluations for other in inputs.others if other.evaluations}
    if len(named) == 1:
        return None
    metrics = chapter.main_metrics
    methods = [one.method for one in inputs.evaluations]
    by_method = [{one.method: one for one in of} for of in named.values()]
    groups = [
        (
            title,
            [(lines[m], [_cell(of[m].metric(metric)) for of in by_method]) for m in methods],
        )
        for metric, title in metrics
    ]
    return SideBySide(list(named), groups, tables.reasons(_named_metrics(metrics, named)))


def _named_metrics(
    metrics: Sequence[tuple[str, str]], named: Mapping[str, Sequence[Evaluation]]
) -> Iterator[tuple[str, Measurement]]:
    for name, evaluations in named.items():
        for one in evaluations:
            for metric, title in metrics:
                if (found := one.metric(metric)) is not None:
                    yield f"{title} of {one.method} on {name}", found


def _cell(found: Measurement | None) -> Cell:
    return Cell("–") if found is None else Cell(with_errors(found), hint=found.why or "")


def _part(
    environment: Environment, other: OtherDataset, nominal: str, chapter: Chapter | None
) -> Part:
    macros = environment.get_template("dataset.html.j2").module
    name, shown = other.name, None
    if chapter is not None:
        of_chapter = environment.get_template(chapter.template).module
        shown = _inside(f"on-{name}", macros.evaluated(other.dataset.name, chapter, of_chapter))  # type: ignore[attr-defined]
    splits = tables.split_rows(other.dataset)
    about = macros.other(other.dataset, splits, other.friends, nominal)  # type: ignore[attr-defined]
    return Part(name, other.dataset, shown, _inside(f"dataset-{name}", about, by=1))


def _inside(name: str, markup: str, *, by: int = 0) -> Markup:
    """Markup as a part of the page: ids get a prefix, headings below the first are one lower.

    by: how much lower all of them are.
    """
    first = re.search(r"<h2>.*?</h2>", markup)
    start = first.end() if first else 0
    lower = re.sub(r"(</?h)(\d)", lambda h: f"{h[1]}{int(h[2]) + 1 + by}", markup[start:])
    head = re.sub(r"(</?h)(\d)", lambda h: f"{h[1]}{int(h[2]) + by}", markup[:start])
    return Markup(with_ids_of(name, head + lower))
