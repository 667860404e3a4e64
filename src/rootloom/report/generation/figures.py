"""Plots of generated and real examples; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rootloom.evaluation.generation.result import FeatureHistogram, GenerationResult, ResponseCurve
from rootloom.report.plots import WIDE, Line, canvas
from rootloom.report.theme import GRID, INK, NEUTRAL, OWN_MARKER, Look, styled
from rootloom.representations.base import Quantity

Results = Sequence[tuple[Line, GenerationResult]]
REAL = "real"
# In black and solid, with a marker that no method has.
REAL_LINE = Line(REAL, Look(INK, (), OWN_MARKER), False)
# Ratios beyond these say no more than that there is nothing to compare.
RATIO = (0.0, 2.0)


@styled
def feature(results: Results, number: int) -> Figure:
    """Densities of a feature, and below their ratios to the real one."""
    figure = Figure(figsize=(3.5, 3.2), layout="constrained")
    _feature(figure, results, number)
    return figure


@styled
def features(results: Results) -> Figure:
    """Histograms of all features, three in a row."""
    number = len(results[0][1].features)
    columns, rows = min(number, 3), ceil(number / 3)
    figure = Figure(figsize=(3.5 * columns, 3.2 * rows), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).flat
    for part, place in zip(parts, range(number), strict=False):
        _feature(part, results, place)
    return figure


def _feature(figure: Figure | SubFigure, results: Results, number: int) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    first = results[0][1].features[number]
    above.stairs(first.real, first.edges, fill=True, color=NEUTRAL, alpha=0.35)
    above.stairs(first.real, first.edges, color=INK, linewidth=0.9)
    for line, result in results:
        found = result.features[number]
        style = {"color": line.colour, "linestyle": line.style, "linewidth": 1.3}
        above.stairs(found.generated, found.edges, **style)
        below.stairs(_ratio(found), found.edges, baseline=None, **style)
    below.axhline(1, color=INK, linewidth=0.9)
    above.set(ylabel="density", ylim=(0, None), xlim=(first.edges[0], first.edges[-1]))
    below.set(xlabel=Quantity(first.name, first.unit).label, ylabel="ratio", ylim=RATIO)
    for axes in (above, below):
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.minorticks_off()


@styled
def response(results: Results, field: str) -> Figure:
    """The "mean" or "width" of measured over requested condition, against the latter."""
    figure, axes = canvas(WIDE)
    curves = [(line, result.response) for line, result in results]
    known = [(line, curve) for line, curve in curves if isinstance(curve, ResponseCurve)]
    first = known[0][1]
    _response(axes, first.edges, first.real, field, REAL_LINE)
    for line, curve in known:
        _response(axes, curve.edges, curve.generated, field, line)
    name = first.condition.name
    axes.set(
        xlabel=f"requested {first.condition.label}",
        ylabel=f"{field} of seen over requested {name}",
    )
    return figure


def _response(
    axes: Axes,
    edges: Sequence[float],
    bins: Sequence[tuple[float | None, ...]],
    field: str,
    line: Line,
) -> None:
    column = {"mean": 0, "width": 2}[field]
    value, error = np.array(bins, dtype=float)[:, column : column + 2].T
    centre = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
    axes.errorbar(centre, value, yerr=error, **line.points)


@styled
def correlations(results: Results) -> Figure:
    """Rank correlations of real examples, and the differences of each method from them."""
    names = [found.name for found in results[0][1].features]
    real = np.array(results[0][1].correlations.real)
    matrices = [(REAL, real)]
    matrices += [
        (f"{line.label} − {REAL}", np.array(r.correlations.generated) - real) for line, r in results
    ]
    figure = Figure(figsize=(3.1 * len(matrices) + 1.2, 3.9), layout="constrained")
    panels = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axes, (title, matrix) in zip(panels, matrices, strict=True):
        shown = axes.imshow(matrix, cmap=colormaps["RdBu_r"], vmin=-1, vmax=1)
        axes.set_title(title)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.minorticks_off()
        axes.tick_params(length=0)
    bar = figure.colorbar(shown, ax=list(panels), pad=0.02, aspect=22, shrink=0.8)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.5)
    return figure


def _ratio(found: FeatureHistogram) -> np.ndarray:
    real, generated = np.array(found.real), np.array(found.generated)
    return np.divide(generated, real, out=np.full(len(real), np.nan), where=real > 0)
