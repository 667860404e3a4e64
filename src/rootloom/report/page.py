"""The report: one self-contained HTML page, and its main plots as PNG files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rootloom.report import tables
from rootloom.report.chapters import Chapter, chapter_of
from rootloom.report.distributions import class_lines, distributions
from rootloom.report.images import class_images, image_pictures
from rootloom.report.inputs import ReportInputs
from rootloom.report.losses import loss_curves
from rootloom.report.others import parts, side_by_side
from rootloom.report.pictures import Picture, picture
from rootloom.report.plots import Line, lines_of
from rootloom.report.rounding import grouped, percent
from rootloom.report.theme import as_png, css_colour, css_variables
from rootloom.report.weights import weight_words
from rootloom.system.atomic import write_bytes, write_text
from rootloom.system.paths import plot_on


def write_report(path: str | Path, inputs: ReportInputs) -> list[Path]:
    """Write the page, and beside it its chapter's plots and the average images, if any.

    Every file is complete or absent. Returns their paths, the page first. Raises DataError
    if there is nothing to report or the evaluations do not belong together.
    """
    path = Path(path)
    lines = method_lines(inputs)
    chapter = chapter_of(inputs.evaluations, lines)
    chapters = {
        other.name: chapter_of(other.evaluations, lines)
        for other in inputs.others
        if other.evaluations
    }
    beside = chapter.beside()
    for of, one in chapters.items():
        beside |= {plot_on(of, name): content for name, content in one.beside().items()}
    if inputs.images:
        beside["images.png"] = as_png(class_images(inputs.images, titled=True))
    for name, content in beside.items():
        write_bytes(path.parent / name, content)
    write_text(path, render(inputs, lines, chapter, chapters))
    return [path, *(path.parent / name for name in beside)]


def render(
    inputs: ReportInputs,
    lines: dict[str, Line],
    chapter: Chapter,
    chapters: Mapping[str, Chapter],
) -> str:
    """The page as HTML text. chapters: of datasets other than the nominal one, by name."""
    folder = resources.files("rootloom.report")
    environment = Environment(
        loader=PackageLoader("rootloom", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"grouped": grouped, "percent": percent, "css_colour": css_colour}
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        css=Markup(css_variables() + folder.joinpath("style.css").read_text("utf-8")),
        chapter=chapter,
        others=parts(environment, inputs, chapters),
        compared=side_by_side(inputs, chapter, lines),
        split=inputs.evaluations[0].split,
        dashed=any(line.dashed for line in lines.values()),
        tested=inputs.evaluations[0].rows,
        expected=tables.expected_rows(inputs.expected, inputs.evaluations),
        images=image_pictures(inputs.images, "image", "Average images"),
        examples=image_pictures(inputs.dataset.examples, "example", "An example row of each class")
        if inputs.dataset
        else [],
        distributions=distributions(inputs.dataset.distributions, inputs.evaluations[0].classes)
        if inputs.dataset
        else [],
        class_lines=class_lines(inputs.evaluations[0].classes),
        losses=_losses(inputs, lines),
        trainings=tables.training_rows(inputs.histories, lines),
        exported=tables.exported_rows(inputs.exported, lines),
        weights_used=_weights_used(inputs),
        splits=tables.split_rows(inputs.dataset) if inputs.dataset else [],
        provenance=_provenance(inputs),
    )


def _weights_used(inputs: ReportInputs) -> str:
    return weight_words([evaluation.result.weights for evaluation in inputs.evaluations])


def method_lines(inputs: ReportInputs) -> dict[str, Line]:
    """The style of each method, in the given order; dashed for baselines, which have no log."""
    trained = {history.method for history in inputs.histories}
    names = [e.method for e in inputs.evaluations]
    names += [method for method in sorted(trained) if method not in names]
    return lines_of(names, trained)


def _losses(inputs: ReportInputs, lines: dict[str, Line]) -> list[Picture]:
    methods = dict.fromkeys(history.method for history in inputs.histories)
    return [
        picture(
            loss_curves(lines[name], [h for h in inputs.histories if h.method == name]),
            f"loss-{number}",
            f"Training and validation loss of {name} by epoch",
        )
        for number, name in enumerate(methods)
    ]


def _provenance(inputs: ReportInputs) -> dict[str, str]:
    entries: dict[str, Any] = dict(inputs.provenance)
    entries |= {e.method: e.provenance for e in inputs.evaluations if e.provenance}
    return {
        name: json.dumps(content, indent=2, ensure_ascii=False, default=str)
        for name, content in entries.items()
    }
