"""The report: one HTML page that needs nothing else, and its main figures as PNG files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from rootloom.errors import DataError
from rootloom.evaluation.results import Discrimination, Evaluation
from rootloom.fileio import write_bytes, write_text
from rootloom.report import figures, tables
from rootloom.report.figures import Line
from rootloom.report.images import average_images
from rootloom.report.inputs import ReportInputs
from rootloom.report.rounding import grouped, percent
from rootloom.report.theme import as_png, as_svg, css_colour, css_variables, looks


@dataclass(frozen=True)
class Picture:
    """A figure on the page. svg: safe markup; caption: plain text."""

    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """All about one class against the others."""

    positive: str
    rejection: Picture
    significance: Picture
    rows: Sequence[tables.MethodRow]
    scores: Sequence[Picture]
    reliability: Picture | None
    profiles: Sequence[Picture]
    cuts: Sequence[Picture]
    expected: Sequence[tables.SignificanceRow]


def write_report(path: str | Path, inputs: ReportInputs) -> list[Path]:
    """Write the page, `roc.png` and, where there are images, `images.png` beside it.

    Every file appears whole or not at all. Returns their paths, the page first. Raises DataError
    when there is nothing to report or the evaluations do not belong together.
    """
    path = Path(path)
    _check(inputs.evaluations)
    lines = method_lines(inputs)
    beside = {"roc.png": as_png(figures.rejection_curves(_ranked(inputs, lines, _main(inputs))))}
    if inputs.images:
        beside["images.png"] = as_png(average_images(inputs.images, titled=True))
    for name, content in beside.items():
        write_bytes(path.with_name(name), content)
    write_text(path, render(inputs, lines))
    return [path, *(path.with_name(name) for name in beside)]


def render(inputs: ReportInputs, lines: dict[str, Line]) -> str:
    """The page as HTML text."""
    folder = resources.files("rootloom.report")
    environment = Environment(
        loader=DictLoader({"page": folder.joinpath("page.html.j2").read_text("utf-8")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"grouped": grouped, "percent": percent, "css_colour": css_colour}
    numbers = range(len(inputs.evaluations[0].discriminations))
    sections = [_section(inputs, lines, number) for number in numbers]
    return environment.get_template("page").render(
        inputs=inputs,
        css=Markup(css_variables() + folder.joinpath("style.css").read_text("utf-8")),
        sections=sections,
        best=sections[_main(inputs)].rows[0],
        main=sections[_main(inputs)],
        split=inputs.evaluations[0].split,
        points=tables.point_labels(inputs.evaluations),
        dashed=any(line.dashed for line in lines.values()),
        significances=[s.name for s in inputs.evaluations[0].discriminations[0].significances],
        tested=inputs.evaluations[0].rows,
        expected=tables.expected_rows(inputs.expected, inputs.evaluations),
        images=_images(inputs),
        losses=_losses(inputs, lines),
        trainings=tables.training_rows(inputs.histories, lines),
        splits=tables.split_rows(inputs.dataset) if inputs.dataset else [],
        provenance=_provenance(inputs),
    )


def method_lines(inputs: ReportInputs) -> dict[str, Line]:
    """How each method is drawn, in the order given; baselines, without a log, dashed."""
    trained = {history.method for history in inputs.histories}
    names = [e.method for e in inputs.evaluations]
    names += [method for method in sorted(trained) if method not in names]
    baseline = [bool(trained) and name not in trained for name in names]
    found = zip(names, looks(baseline), baseline, strict=True)
    return {name: Line(name, look, dashed) for name, look, dashed in found}


def _section(inputs: ReportInputs, lines: dict[str, Line], number: int) -> Section:
    ranked = _ranked(inputs, lines, number)
    positive = ranked[0][1].positive
    key = f"c{number}"
    figures_of = f"of {', '.join(line.label for line, _ in ranked)}"
    has_reliability = any(result.calibration for _, result in ranked)
    return Section(
        positive=positive,
        rejection=_picture(
            figures.rejection_curves(ranked),
            f"{key}-rejection",
            f"Background rejection against signal efficiency {figures_of}",
            "Background rejection, the inverse of the background efficiency.",
        ),
        significance=_picture(
            figures.significance_curves(ranked),
            f"{key}-significance",
            f"Significance improvement against signal efficiency {figures_of}",
            "Significance improvement εS/√εB, the factor that a cut brings to S/√B.",
        ),
        rows=tables.method_rows(inputs.evaluations, lines, number),
        scores=[
            _picture(
                figures.score_densities(line, result),
                f"{key}-score-{place}",
                f"Score densities of {line.label} for {', '.join(result.scores.density)}",
            )
            for place, (line, result) in enumerate(ranked)
        ],
        reliability=_picture(
            figures.reliability(ranked),
            f"{key}-reliability",
            f"Observed share against predicted probability {figures_of}",
        )
        if has_reliability
        else None,
        profiles=_profiles(ranked, key),
        cuts=_cuts(ranked, key),
        expected=tables.significance_rows(ranked),
    )


def _cuts(ranked: Sequence[tuple[Line, Discrimination]], key: str) -> list[Picture]:
    return [
        _picture(
            figures.cut_scan(ranked, number),
            f"{key}-cut-{number}",
            f"Expected significance '{found.name}' against signal efficiency",
            f"{found.name}: expected significance for a cut at each signal efficiency.",
        )
        for number, found in enumerate(ranked[0][1].significances)
    ]


def _profiles(ranked: Sequence[tuple[Line, Discrimination]], key: str) -> list[Picture]:
    return [
        _picture(
            figures.efficiency_profile(ranked, number, kind),
            f"{key}-{kind}-{number}",
            f"{kind} efficiency against {profile.variable}",
            f"{kind.capitalize()} efficiency in bins of {profile.variable}, at a signal "
            f"efficiency of {percent(profile.signal_efficiency)} overall.",
        )
        for number, profile in enumerate(ranked[0][1].profiles)
        for kind in ("signal", "background")
    ]


def _images(inputs: ReportInputs) -> list[Picture]:
    return [
        _picture(
            average_images([group]),
            f"image-{number}",
            f"Average images, {group.title}: {', '.join(group.images)}",
            group.title,
        )
        for number, group in enumerate(inputs.images)
    ]


def _losses(inputs: ReportInputs, lines: dict[str, Line]) -> list[Picture]:
    methods = dict.fromkeys(history.method for history in inputs.histories)
    return [
        _picture(
            figures.loss_curves(lines[name], [h for h in inputs.histories if h.method == name]),
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


def _picture(figure: Figure, name: str, alt: str, caption: str = "") -> Picture:
    return Picture(Markup(as_svg(figure, name, alt)), caption)


def _ranked(
    inputs: ReportInputs, lines: dict[str, Line], number: int
) -> list[tuple[Line, Discrimination]]:
    results = {e.method: e.discriminations[number] for e in inputs.evaluations}
    return figures.legend_order(lines, results)


def _main(inputs: ReportInputs) -> int:
    """Number of the discrimination whose positive class is the signal."""
    first = inputs.evaluations[0]
    positives = [d.positive for d in first.discriminations]
    return positives.index(first.signal) if first.signal in positives else 0


def _check(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations:
        raise DataError("report", expected="an evaluation or more", found="none")
    first = evaluations[0]
    for other in evaluations[1:]:
        for name in ("classes", "split"):
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise DataError(
                    f"evaluation of '{other.method}'",
                    expected=f"{name} {ours!r}, as for '{first.method}'",
                    found=repr(theirs),
                    fix="evaluate all methods of a report on the same split of the same data",
                )
        different = [
            (a, b)
            for a, b in zip_longest(_efficiencies(first), _efficiencies(other))
            if a is None or b is None or abs(a - b) > 1e-9
        ]
        if different:
            raise DataError(
                f"evaluation of '{other.method}'",
                expected=f"working points {_efficiencies(first)}, as for '{first.method}'",
                found=f"{_efficiencies(other)}",
                fix="evaluate all methods of a report with the same options",
            )


def _efficiencies(evaluation: Evaluation) -> list[float]:
    return [p.signal_efficiency for p in evaluation.discriminations[0].working_points]
