"""Figures of curves and distributions; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from rootloom.evaluation.classification_results import Curve, Discrimination
from rootloom.report.inputs import History
from rootloom.report.rounding import THIN
from rootloom.report.theme import GRID, NEUTRAL, Look, styled

WIDE, SMALL = (5.3, 3.9), (3.5, 2.5)
# Beyond this relative error a point of a ROC curve says nothing and only stretches the axis.
READABLE = 0.35
# More lines than this leave a legend no place among them.
CROWDED = 6


@dataclass(frozen=True)
class Line:
    """How a method is drawn everywhere. dashed: it is a baseline."""

    label: str
    look: Look
    dashed: bool

    @property
    def colour(self) -> str:
        """One of the theme's light series colours."""
        return self.look.colour

    @property
    def style(self) -> Any:
        """Matplotlib's line style."""
        return (0, self.look.dashes) if self.look.dashes else "-"

    @property
    def svg_dashes(self) -> str:
        """`stroke-dasharray` of a line two pixels wide; empty for a solid one."""
        return " ".join(f"{2 * length:g}" for length in self.look.dashes)


@styled
def rejection_curves(results: Sequence[tuple[Line, Curve]]) -> Figure:
    """1/ε_B against ε_S, logarithmic, with the statistical band."""
    figure, axes = canvas(WIDE)
    for line, curve in results:
        efficiency, background, relative = _readable(curve)
        axes.fill_between(
            efficiency,
            np.exp(-relative) / background,
            np.exp(relative) / background,
            color=line.colour,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(
            efficiency, 1 / background, linestyle=line.style, color=line.colour, label=line.label
        )
    grid = np.linspace(0.05, 1, 50)
    axes.plot(grid, 1 / grid, ":", color=NEUTRAL, linewidth=1, label="random choice")
    axes.set(xlim=(0, 1), yscale="log", xlabel="signal efficiency", ylabel="background rejection")
    axes.set_ylim(bottom=1)
    _plain_log(axes)
    _legend(axes, "upper right")
    return figure


@styled
def class_rejection_curves(
    title: str, signal: str, results: Sequence[tuple[Line, Curve]]
) -> Figure:
    """Rejection of several classes, a line each, against the efficiency of one."""
    figure = rejection_curves(results)
    axes = figure.axes[0]
    axes.set(title=title, xlabel=f"{signal} efficiency", ylabel="rejection")
    return figure


@styled
def significance_curves(results: Sequence[tuple[Line, Discrimination]]) -> Figure:
    """ε_S/√ε_B against ε_S."""
    figure, axes = canvas(WIDE)
    top = 1.0
    for line, result in results:
        efficiency, background, relative = _readable(result.curve)
        improvement = efficiency / np.sqrt(background)
        axes.fill_between(
            efficiency,
            improvement * np.exp(-relative / 2),
            improvement * np.exp(relative / 2),
            color=line.colour,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(
            efficiency, improvement, linestyle=line.style, color=line.colour, label=line.label
        )
        top = max(top, float(improvement.max(initial=0)))
    axes.axhline(1, linestyle=":", color=NEUTRAL, linewidth=1)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.15 * top),
        xlabel="signal efficiency",
        ylabel="significance improvement",
    )
    if len(results) > CROWDED:  # few lines have the legend of the figure beside this one
        _legend(axes, "best")
    return figure


@styled
def cut_scan(results: Sequence[tuple[Line, Discrimination]], number: int) -> Figure:
    """Expected significance of that number against the signal efficiency of the cut."""
    figure, axes = canvas(WIDE)
    for line, result in results:
        found = np.array(result.significances[number].curve).reshape(-1, 2)
        axes.plot(*found.T, linestyle=line.style, color=line.colour, label=line.label)
    axes.set(xlim=(0, 1), xlabel="signal efficiency", ylabel="expected significance / σ")
    axes.set_ylim(bottom=0)
    _legend(axes, "best")
    return figure


@styled
def score_densities(line: Line, result: Discrimination) -> Figure:
    """Score densities of the classes: the positive one in the method's colour, the rest grey."""
    figure, axes = canvas(SMALL)
    for name, density in result.scores.density.items():
        positive = name == result.positive
        colour = line.colour if positive else NEUTRAL
        axes.stairs(density, result.scores.edges, color=colour, linewidth=1.3, label=name)
        axes.stairs(density, result.scores.edges, fill=True, color=colour, alpha=0.2)
    axes.set(xlabel="score", ylabel="density", title=line.label)
    axes.set_xlim(result.scores.edges[0], result.scores.edges[-1])
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", handlelength=1.4)
    return figure


@styled
def reliability(results: Sequence[tuple[Line, Discrimination]]) -> Figure:
    """Observed share of signal against the predicted probability."""
    figure, axes = canvas(WIDE)
    axes.plot([0, 1], [0, 1], ":", color=NEUTRAL, linewidth=1)
    for line, result in results:
        if result.calibration is None:
            continue
        found = result.calibration
        axes.errorbar(
            found.predicted,
            found.observed,
            yerr=np.array(found.error, dtype=float),  # None becomes NaN: no bar
            **_points(line),
            label=f"{line.label}  (ECE {found.expected_error:.3f})",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed share")
    _legend(axes, "upper left")
    return figure


@styled
def efficiency_profile(
    results: Sequence[tuple[Line, Discrimination]], number: int, kind: str
) -> Figure:
    """Efficiency of "signal" or "background" against the auxiliary variable of that number."""
    figure, axes = canvas(WIDE)
    for line, result in results:
        found = result.profiles[number]
        _efficiency_bars(axes, line, found.edges, getattr(found, kind))
    profile = results[0][1].profiles[number]
    axes.set(xlabel=profile.variable, ylabel=f"{kind} efficiency")
    if kind == "background":
        _logarithmic_efficiency(axes)
    _legend(axes, "best")
    return figure


@styled
def class_efficiencies(
    variable: str,
    edges: Sequence[float],
    classes: Sequence[tuple[Line, Sequence[tuple[float | None, float, float]]]],
) -> Figure:
    """Efficiency of each class in bins of a variable: (efficiency, low, high) a bin."""
    figure, axes = canvas(WIDE)
    for line, bins in classes:
        _efficiency_bars(axes, line, edges, bins)
    axes.set(xlabel=variable, ylabel="efficiency")
    _logarithmic_efficiency(axes)
    _legend(axes, "best", most=0)  # lines run through the whole width and height
    return figure


def _efficiency_bars(
    axes: Axes,
    line: Line,
    edges: Sequence[float],
    bins: Sequence[tuple[float | None, float, float]],
) -> None:
    centre = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
    # On a logarithmic axis a bin in which nothing passed has no place.
    value = np.array([b[0] or np.nan for b in bins], dtype=float)
    low, high = (np.array([b[i] for b in bins]) for i in (1, 2))
    axes.errorbar(
        centre,
        value,
        yerr=[np.fmax(value - low, 0), np.fmax(high - value, 0)],
        **_points(line),
        label=line.label,
    )


def _points(line: Line) -> dict[str, Any]:
    """How measured points with error bars are drawn in a method's line."""
    return {
        "color": line.colour, "linestyle": line.style, "linewidth": 1.2, "elinewidth": 0.9,
        "marker": "o", "markersize": 3,
    }  # fmt: skip


def _logarithmic_efficiency(axes: Axes) -> None:
    axes.set_yscale("log", nonpositive="clip")
    # Few efficiencies span a power of ten: 0.2 and 0.5 are labelled as well.
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


@styled
def loss_curves(line: Line, histories: Sequence[History]) -> Figure:
    """Training (thin) and validation (thick) loss by epoch, one pair a member."""
    figure, axes = canvas(SMALL)
    opacity = 1.0 if len(histories) == 1 else 0.55
    for number, history in enumerate(histories):
        for losses, width, colour, name in (
            (history.train_loss, 1.0, NEUTRAL, "training"),
            (history.validation_loss, 1.6, line.colour, "validation"),
        ):
            epochs = np.arange(1, len(losses) + 1)
            marker = "o" if len(losses) < 3 else ""
            axes.plot(
                epochs,
                np.asarray(losses, dtype=float),
                color=colour,
                linewidth=width,
                alpha=opacity,
                marker=marker,
                markersize=3,
                label=name if number == 0 else None,
            )
    axes.set(xlabel="epoch", ylabel="loss", title=line.label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(loc="upper right", handlelength=1.4)
    return figure


def legend_order(
    lines: Mapping[str, Line], results: Mapping[str, Discrimination]
) -> list[tuple[Line, Discrimination]]:
    """Lines and results, highest AUC first."""
    ranked = sorted(results, key=lambda name: -(results[name].auc.value or 0.0))
    return [(lines[name], results[name]) for name in ranked]


def _readable(curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ε_S, ε_B, σ/ε_B) of the points whose relative error is small enough to be shown."""
    efficiency, background, error = (
        np.array(values)
        for values in (curve.signal_efficiency, curve.background_efficiency, curve.error)
    )
    relative = np.divide(error, background, out=np.full_like(error, np.inf), where=background > 0)
    keep = relative < READABLE
    return efficiency[keep], background[keep], relative[keep]


def canvas(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of one panel, inches, as all of them look."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, color=GRID, linewidth=0.6)
    if size == SMALL:
        axes.minorticks_off()
    return figure, axes


def _legend(
    axes: Axes, place: Literal["upper right", "upper left", "best"], most: int = CROWDED
) -> None:
    """A legend at that place of the axes or, of more lines, below them, where the figure grows."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) <= most:
        axes.legend(loc=place)
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    size = rcParams["legend.fontsize"] / 72  # inches; a letter is 0.6 of it wide
    columns = max(1, int(width / (size * (6 + 0.6 * max(map(len, labels))))))
    rows = -(-len(handles) // columns)
    figure.set_size_inches(width, height + 1.5 * size * rows)
    # A handle holds a pattern and its repetition.
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.6)


def _plain_log(axes: Axes) -> None:
    """Powers of ten written out: 10, 100, 1 000."""
    axes.yaxis.set_major_locator(LogLocator(10, numticks=12))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}".replace(",", THIN))
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
