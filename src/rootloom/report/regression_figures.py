"""Figures of resolutions; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rootloom.evaluation.regression_results import Resolution
from rootloom.report.figures import WIDE, Line, canvas
from rootloom.report.theme import styled


@styled
def densities(results: Sequence[tuple[Line, Resolution]], title: str) -> Figure:
    """Density of the logarithm of an angle or a distance, a line a method."""
    figure, axes = canvas(WIDE)
    for line, found in results:
        axes.stairs(
            found.spread.density,
            found.spread.edges,
            color=line.colour,
            linestyle=line.style,
            linewidth=1.3,
            label=line.label,
        )
    unit = results[0][1].unit
    axes.set(xlabel=_with(title, unit), ylabel="share of events per e-fold", xscale="log")
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.xaxis.set_minor_formatter(lambda number, _: "")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    return figure


@styled
def profile(
    results: Sequence[tuple[Line, Resolution]], number: int, title: str, variable: str
) -> Figure:
    """The 68 % quantile in bins of the profile of that number, logarithmic if none is 0."""
    figure, axes = canvas(WIDE)
    for line, found in results:
        bins = found.profiles[number]
        edges = np.array(bins.edges)
        value, error = (
            np.array([np.nan if b[k] is None else b[k] for b in bins.contained], dtype=float)
            for k in (0, 1)
        )
        axes.errorbar(
            0.5 * (edges[1:] + edges[:-1]),
            value,
            yerr=error,
            xerr=0.5 * np.diff(edges),
            color=line.colour,
            linestyle="none",
            elinewidth=1.1,
            marker="o",
            markersize=3,
            markerfacecolor="none" if line.dashed else line.colour,
            label=line.label,
        )
    unit = results[0][1].profiles[number].unit
    axes.set(xlabel=_with(variable, unit), ylabel=f"68 % of {_with(title, results[0][1].unit)}")
    if all((value or 0) > 0 for _, one in results for value, _ in one.profiles[number].contained):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
        axes.yaxis.set_minor_formatter(lambda number, _: _few(number))
    axes.legend(loc="best")
    return figure


def _few(number: float) -> str:
    """Labels of a decade's 2 and 5 only."""
    leading = f"{number:.0e}"[0]
    return f"{number:g}" if leading in "25" else ""


def _with(title: str, unit: str) -> str:
    return f"{title} / {unit}" if unit else title
