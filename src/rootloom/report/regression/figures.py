"""Plots of resolutions and residuals; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootloom.evaluation.regression.result import NumberError, Resolution
from rootloom.report.classification.figures import WIDE, Line, canvas, centres_of, legend_below
from rootloom.report.theme import NEUTRAL, styled


@styled
def densities(
    results: Sequence[tuple[Line, Resolution]], title: str, *, legend: bool = False
) -> Figure:
    """Density of the logarithm of an angle or a distance, a line a method."""
    figure, axes = canvas(WIDE)
    for line, found in results:
        _stairs(axes, line, found.spread.density, found.spread.edges)
    unit = results[0][1].unit
    axes.set(xlabel=_with(title, unit), ylabel="share of events per e-fold", xscale="log")
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.xaxis.set_minor_formatter(lambda number, _: "")
    axes.set_ylim(bottom=0)
    if legend:
        legend_below(axes)
    return figure


@styled
def residuals(results: Sequence[tuple[Line, NumberError]], *, legend: bool = False) -> Figure:
    """Density of predicted minus true, a line a method."""
    figure, axes = canvas(WIDE)
    for line, found in results:
        _stairs(axes, line, found.residuals.density, found.residuals.edges)
    axes.axvline(0, linestyle=":", color=NEUTRAL, linewidth=1)
    first = results[0][1]
    axes.set(
        xlabel=_with(f"{first.name}: predicted − true", first.unit),
        ylabel=f"share of rows per {first.unit or 'unit'}",
    )
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if legend:
        legend_below(axes)
    return figure


@styled
def number_profile(
    results: Sequence[tuple[Line, NumberError]], number: int, field: str, variable: str
) -> Figure:
    """The "bias" or "resolution" of a number in bins of the profile of that number."""
    figure, axes = canvas(WIDE)
    for place, (line, found) in enumerate(results):
        bins = found.profiles[number]
        _bars(axes, line, bins.edges, getattr(bins, field), place, len(results))
    if field == "bias":
        axes.axhline(0, linestyle=":", color=NEUTRAL, linewidth=1)
    else:
        axes.set_ylim(bottom=0)
    first = results[0][1]
    axes.set(
        xlabel=_with(variable, first.profiles[number].unit),
        ylabel=_with(f"{field} of {first.name}", first.unit),
    )
    return figure


@styled
def profile(
    results: Sequence[tuple[Line, Resolution]], number: int, title: str, variable: str
) -> Figure:
    """The 68 % quantile in bins of the profile of that number, logarithmic if none is 0."""
    figure, axes = canvas(WIDE)
    for place, (line, found) in enumerate(results):
        bins = found.profiles[number]
        _bars(axes, line, bins.edges, bins.contained, place, len(results))
    unit = results[0][1].profiles[number].unit
    axes.set(xlabel=_with(variable, unit), ylabel=f"68 % of {_with(title, results[0][1].unit)}")
    if all((value or 0) > 0 for _, one in results for value, _ in one.profiles[number].contained):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
        axes.yaxis.set_minor_formatter(lambda number, _: _few(number))
    return figure


def _stairs(axes: Axes, line: Line, density: Sequence[float], edges: Sequence[float]) -> None:
    axes.stairs(
        density, edges, color=line.colour, linestyle=line.style, linewidth=1.3, label=line.label
    )


def _bars(
    axes: Axes,
    line: Line,
    edges: Sequence[float],
    bins: Sequence[tuple[float | None, float | None]],
    place: int,
    of: int,
) -> None:
    """Values with errors in bins, whose widths are thin lines."""
    ends, centres = np.array(edges), centres_of(edges, place, of)
    value, error = (
        np.array([np.nan if b[k] is None else b[k] for b in bins], dtype=float) for k in (0, 1)
    )
    axes.hlines(value, ends[:-1], ends[1:], color=line.colour, linewidth=0.6, alpha=0.5)
    axes.errorbar(centres, value, yerr=error, **{**line.points, "linestyle": "none"})


def _few(number: float) -> str:
    """Labels of a decade's 2 and 5 only."""
    leading = f"{number:.0e}"[0]
    return f"{number:g}" if leading in "25" else ""


def _with(title: str, unit: str) -> str:
    return f"{title} / {unit}" if unit else title
