"""Figures of generated showers beside real ones; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from rootloom.evaluation.generation.result import (
    AverageShowers,
    FeatureHistogram,
    GenerationResult,
)
from rootloom.report.classification.figures import WIDE, Line
from rootloom.report.images import logarithmic_bar
from rootloom.report.theme import GRID, INK, NEUTRAL, OWN_MARKER, Look, styled

Results = Sequence[tuple[Line, GenerationResult]]
REAL = "real"
# In black and solid, with a marker that no method has.
REAL_LINE = Line(REAL, Look(INK, (), OWN_MARKER), False)
# Ratios beyond these say no more than that there is nothing to compare.
RATIO = (0.0, 2.0)
DECADES = 5.0  # of the colour scale below the brightest cell


@styled
def feature(results: Results, number: int) -> Figure:
    """Densities of a feature, and below their ratios to the real one."""
    figure = Figure(figsize=(3.5, 3.2), layout="constrained")
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
    below.set(xlabel=first.name, ylabel="ratio", ylim=RATIO)
    for axes in (above, below):
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.minorticks_off()
    return figure


@styled
def response(results: Results, field: str) -> Figure:
    """The "mean" or "width" of seen over requested energy, against the latter."""
    figure = Figure(figsize=WIDE, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, color=GRID, linewidth=0.6)
    curve = results[0][1].response
    _response(axes, curve.edges, curve.real, field, REAL_LINE)
    for line, result in results:
        _response(axes, result.response.edges, result.response.generated, field, line)
    axes.set(xlabel="requested energy / GeV", ylabel=f"{field} of seen over requested energy")
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
def average_showers(results: Results) -> Figure:
    """Mean energy of every cell: a row for the real showers and each method, a column a layer."""
    first = results[0][1].average
    rows = [(REAL, first.real), *((line.label, r.average.generated) for line, r in results)]
    brightest = max(max(cells) for _, cells in rows)
    darkest = brightest * 10**-DECADES
    norm = LogNorm(darkest, brightest)
    columns = len(first.layers)
    figure = Figure(figsize=(2.3 * columns + 0.9, 1.9 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for axes, (label, cells) in zip(panels, rows, strict=True):
        axes[0].set_ylabel(label)
        for number, image in enumerate(_layers(first, cells)):
            # Empty cells take the lowest colour: on this scale they have none of their own.
            shown = axes[number].imshow(
                np.maximum(image.T, darkest),
                norm=norm,
                cmap=colormaps["viridis"],
                extent=(0, 1, 0, 1),
                origin="lower",
                interpolation="none",
                aspect="equal",
            )
            axes[number].set(xticks=[], yticks=[])
    for number, (nx, ny) in enumerate(first.layers):
        panels[0][number].set_title(f"layer {number}: {nx} × {ny} cells")
    logarithmic_bar(figure, shown, panels.flat, "mean energy of a cell / GeV")
    return figure


@styled
def correlations(results: Results) -> Figure:
    """Rank correlations of real showers, and what each method's differ from them by."""
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


def _layers(average: AverageShowers, cells: Sequence[float]) -> list[np.ndarray]:
    """Images (nx, ny) of the layers."""
    sizes = [nx * ny for nx, ny in average.layers]
    parts = np.split(np.asarray(cells), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, average.layers, strict=True)]
