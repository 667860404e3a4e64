"""Plots of curves and distributions; each function draws one and returns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from rootloom.evaluation.classification.result import Curve, Discrimination, PairRejection
from rootloom.report.inputs import History
from rootloom.report.rounding import THIN
from rootloom.report.theme import GRID, LINES_PER_PATTERN, MARKERS, NEUTRAL, Look, styled

WIDE, SMALL = (5.3, 3.9), (3.5, 2.5)
# Points of a ROC curve with a larger relative error are useless and only stretch the axis.
MAX_RELATIVE_ERROR = 0.35
# A curve with a smaller share of readable points is drawn as a whole.
MIN_READABLE_SHARE = 0.1
MARKER_SPACING = 0.25  # distance between two markers of a curve, in diagonals of the axes
# Range over which the points of several methods in a bin are spread: a share of the bin, and at
# most a share of the axis.
SIDE_BY_SIDE, MOST_OF_AXIS = 0.5, 0.05
LIMIT_SPACING = 0.008  # of signal efficiency


@dataclass(frozen=True)
class Line:
    """The style of a method in all plots. dashed: it is a baseline."""

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
    def points(self) -> dict[str, Any]:
        """Style of points with error bars: open markers for a baseline."""
        return {
            "color": self.colour, "linestyle": self.style, "linewidth": 1.2, "elinewidth": 0.9,
            "marker": self.look.marker, "markersize": 4, "label": self.label,
            "markerfacecolor": "none" if self.dashed else self.colour,
        }  # fmt: skip

    @property
    def svg_marker(self) -> str:
        """The outline of its marker about (18, 6)."""
        return MARKERS[self.look.marker]

    @property
    def svg_dashes(self) -> str:
        """`stroke-dasharray` of a line two pixels wide; empty for a solid one."""
        return " ".join(f"{2 * length:g}" for length in self.look.dashes)


@dataclass(frozen=True)
class Traced:
    """A ROC curve. limits: (signal efficiency, lower limit of the rejection) without a value."""

    curve: Curve
    limits: Sequence[tuple[float, float]] = ()

    @classmethod
    def of(cls, result: Discrimination | PairRejection) -> Traced:
        """The curve of a result, and the limits at its working points."""
        assert result.curve is not None
        points = result.working_points
        found = [(p.signal_efficiency, p.at_least) for p in points if p.at_least is not None]
        return cls(result.curve, found)


@styled
def rejection_curves(
    results: Sequence[tuple[Line, Traced]], *, legend: bool = False, own: str = "signal"
) -> Figure:
    """1/ε_B against ε_S, logarithmic, with the statistical band; arrows are lower limits.

    legend: draw one below the axes, for a plot in its own file. own: class of the efficiency.
    """
    figure, axes = canvas(WIDE)
    for number, (line, traced) in enumerate(results):
        efficiency, background, relative = _readable(traced.curve)
        _band(
            axes,
            line,
            efficiency,
            1 / background,
            np.exp(-relative) / background,
            np.exp(relative) / background,
        )
        _curve(axes, line, efficiency, 1 / background, number, len(results))
        _limits(axes, line, traced.limits, number, len(results))
    grid = np.linspace(0.05, 1, 50)
    axes.plot(grid, 1 / grid, ":", color=NEUTRAL, linewidth=1, label="random choice")
    axes.set(xlim=(0, 1), yscale="log", xlabel=f"{own} efficiency", ylabel="background rejection")
    axes.set_ylim(bottom=1)
    _plain_log(axes)
    if legend:
        legend_below(axes)
    return figure


@styled
def class_rejection_curves(
    title: str, signal: str, results: Sequence[tuple[Line, Traced]]
) -> Figure:
    """Rejection of several classes, a line each, against the efficiency of one."""
    figure = rejection_curves(results, own=signal)
    figure.axes[0].set(title=title, ylabel="rejection")
    return figure


@styled
def significance_curves(results: Sequence[tuple[Line, Traced]]) -> Figure:
    """ε_S/√ε_B against ε_S; arrows are lower limits."""
    figure, axes = canvas(WIDE)
    top = 1.0
    for number, (line, traced) in enumerate(results):
        efficiency, background, relative = _readable(traced.curve)
        improvement = efficiency / np.sqrt(background)
        _band(
            axes,
            line,
            efficiency,
            improvement,
            improvement * np.exp(-relative / 2),
            improvement * np.exp(relative / 2),
        )
        _curve(axes, line, efficiency, improvement, number, len(results))
        limits = [(own, own * limit**0.5) for own, limit in traced.limits]
        _limits(axes, line, limits, number, len(results))
        top = max(top, float(improvement.max(initial=0)), *(1.3 * limit for _, limit in limits))
    axes.axhline(1, linestyle=":", color=NEUTRAL, linewidth=1)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.15 * top),
        xlabel="signal efficiency",
        ylabel="significance improvement",
    )
    return figure


@styled
def cut_scan(results: Sequence[tuple[Line, Discrimination]], number: int) -> Figure:
    """Expected significance of that number against the signal efficiency of the cut.

    Points: the quoted significances, where the cut was chosen.
    """
    figure, axes = canvas(WIDE)
    for line, result in results:
        found = result.significances[number]
        curve = np.array(found.curve).reshape(-1, 2)
        axes.plot(*curve.T, linestyle=line.style, color=line.colour)
        if found.value.value is not None:
            error = found.value.statistical
            best = (found.signal_efficiency, found.value.value, np.nan if error is None else error)
            axes.errorbar(*best, **line.points)
    axes.set(xlim=(0, 1.02), xlabel="signal efficiency", ylabel="expected significance / σ")
    axes.set_ylim(bottom=0)
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
            **line.points,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed share")
    return figure


@styled
def efficiency_profile(
    results: Sequence[tuple[Line, Discrimination]], number: int, kind: str
) -> Figure:
    """Efficiency of "signal" or "background" against the auxiliary variable with that number."""
    figure, axes = canvas(WIDE)
    for place, (line, result) in enumerate(results):
        found = result.profiles[number]
        centres = centres_of(found.edges, place, len(results))
        _efficiency_bars(axes, line, centres, getattr(found, kind))
    profile = results[0][1].profiles[number]
    axes.set(xlabel=profile.variable, ylabel=f"{kind} efficiency")
    if kind == "background":
        _logarithmic_efficiency(axes)
    return figure


@styled
def class_efficiencies(
    variable: str,
    edges: Sequence[float],
    classes: Sequence[tuple[Line, Sequence[tuple[float | None, float, float]]]],
) -> Figure:
    """Efficiency of each class in bins of a variable: (efficiency, low, high) a bin."""
    figure, axes = canvas(WIDE)
    for place, (line, bins) in enumerate(classes):
        _efficiency_bars(axes, line, centres_of(edges, place, len(classes)), bins)
    axes.set(xlabel=variable, ylabel="efficiency")
    _logarithmic_efficiency(axes)
    return figure


def centres_of(edges: Sequence[float] | np.ndarray, place: int, of: int) -> np.ndarray:
    """Positions of the points of line `place` out of `of` in bins, side by side around the middle.

    edges: (n + 1,); returns (n,).
    """
    ends = np.asarray(edges, np.float64)
    widths = np.minimum(SIDE_BY_SIDE * np.diff(ends), MOST_OF_AXIS * (ends[-1] - ends[0]))
    return 0.5 * (ends[1:] + ends[:-1]) + widths * ((place + 0.5) / of - 0.5)


def _efficiency_bars(
    axes: Axes,
    line: Line,
    centre: np.ndarray,
    bins: Sequence[tuple[float | None, float, float]],
) -> None:
    # On a logarithmic axis, a bin in which no row passes is drawn at its upper limit.
    value = np.array([b[0] or np.nan for b in bins], dtype=float)
    low, high = (np.array([b[i] for b in bins]) for i in (1, 2))
    axes.errorbar(
        centre,
        value,
        yerr=[np.fmax(value - low, 0), np.fmax(high - value, 0)],
        **line.points,
    )
    none = np.array([b[0] == 0 for b in bins])
    style = {**line.points, "linestyle": "none", "label": None}
    axes.errorbar(centre[none], high[none], yerr=0.3 * high[none], uplims=True, **style)


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
    for history in histories:
        for losses, width, colour in (
            (history.train_loss, 1.0, NEUTRAL),
            (history.validation_loss, 1.6, line.colour),
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
            )
    axes.set(xlabel="epoch", ylabel="loss", title=line.label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _curve(axes: Axes, line: Line, x: np.ndarray, y: np.ndarray, number: int, of: int) -> None:
    """Line `number` of so many; with markers if there are more lines than colours."""
    marks: dict[str, Any] = {}
    if of > LINES_PER_PATTERN or len(x) < 3:
        offset = MARKER_SPACING * (number + 0.5) / of
        marks = {"marker": line.look.marker, "markersize": 4, "markevery": (offset, MARKER_SPACING)}
        marks["markerfacecolor"] = "none" if line.dashed else line.colour
    if len(x) < 3:
        marks["markevery"] = 1
    axes.plot(x, y, linestyle=line.style, color=line.colour, label=line.label, **marks)


def _band(
    axes: Axes, line: Line, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    # Bands do not count in the axes' limits, because those of few rows are very wide.
    axes.fill_between(
        x, np.maximum(low, y / 10), np.minimum(high, 10 * y), color=line.colour, alpha=0.18,
        linewidth=0,
    )  # fmt: skip


def _limits(
    axes: Axes, line: Line, limits: Sequence[tuple[float, float]], number: int, of: int
) -> None:
    """Lower limits (x, y) as arrows upwards, side by side for so many lines."""
    for x, limit in limits:
        axes.errorbar(
            x + LIMIT_SPACING * (number - 0.5 * (of - 1)), limit, yerr=0.25 * limit, lolims=True,
            color=line.colour, linestyle="none", elinewidth=1.2,
            marker=line.look.marker, markersize=4,
            markerfacecolor="none" if line.dashed else line.colour,
        )  # fmt: skip


def _readable(curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ε_S, ε_B, σ/ε_B) of the points that are shown.

    Those with a sufficiently small relative error; if there are hardly any, all.
    """
    efficiency, background, error = (
        np.array(values)
        for values in (curve.signal_efficiency, curve.background_efficiency, curve.error)
    )
    some = background > 0
    relative = np.divide(error, background, out=np.full_like(error, np.inf), where=some)
    keep = relative < MAX_RELATIVE_ERROR
    if keep.sum() < MIN_READABLE_SHARE * len(keep):
        keep = some & np.isfinite(relative)
    return efficiency[keep], background[keep], relative[keep]


def canvas(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of one panel, inches, as all of them look."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, color=GRID, linewidth=0.6)
    if size == SMALL:
        axes.minorticks_off()
    return figure, axes


def legend_below(axes: Axes) -> None:
    """A legend below the axes, for which the figure is enlarged."""
    handles, labels = axes.get_legend_handles_labels()
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
