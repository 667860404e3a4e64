"""What the plots of all chapters share: the style of a method, sizes, axes and legends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootloom.report.theme import GRID, MARKERS, Look, looks

WIDE, SMALL = (5.3, 3.9), (3.5, 2.5)  # inches
# Range over which the points of several methods in a bin are spread: a share of the bin, and at
# most a share of the axis.
SIDE_BY_SIDE, MOST_OF_AXIS = 0.5, 0.05


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


def lines_of(methods: Sequence[str], trained: Collection[str]) -> dict[str, Line]:
    """The style of each method, in the given order; dashed for those that are not trained.

    trained: none, if that is not known of any.
    """
    baseline = [bool(trained) and name not in trained for name in methods]
    found = zip(methods, looks(baseline), baseline, strict=True)
    return {name: Line(name, look, dashed) for name, look, dashed in found}


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


def centres_of(edges: Sequence[float] | np.ndarray, place: int, of: int) -> np.ndarray:
    """Positions of the points of line `place` out of `of` in bins, side by side around the middle.

    edges: (n + 1,); returns (n,).
    """
    ends = np.asarray(edges, np.float64)
    widths = np.minimum(SIDE_BY_SIDE * np.diff(ends), MOST_OF_AXIS * (ends[-1] - ends[0]))
    return 0.5 * (ends[1:] + ends[:-1]) + widths * ((place + 0.5) / of - 0.5)
