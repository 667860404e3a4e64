"""Plots of the inputs' distributions in the training and the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rootloom.report.classification.figures import SMALL, Line, canvas, centres_of
from rootloom.report.inputs import Distribution
from rootloom.report.pictures import Picture, picture
from rootloom.report.theme import looks, styled


def class_lines(classes: Sequence[str]) -> list[Line]:
    """Styles of the classes, the same in all plots."""
    named = zip(classes, looks([False] * len(classes)), strict=True)
    return [Line(name, look, False) for name, look in named]


@styled
def distribution(one: Distribution, lines: Sequence[Line]) -> Figure:
    """Shares of each class's weight by bin: a line for the training split, points for the test."""
    figure, axes = canvas(SMALL)
    train, test = one.sums[0]
    for place, line in enumerate(lines):
        if (total := train[place].sum()) > 0:
            axes.stairs(
                train[place] / total, one.edges, color=line.colour, linestyle=line.style,
                linewidth=1.1,
            )  # fmt: skip
        if (total := test[place].sum()) > 0:
            error = np.sqrt(one.sums[1, 1, place])
            filled = error > 0
            style = {**line.points, "linestyle": "none", "markersize": 2.5}
            axes.errorbar(
                centres_of(one.edges, place, len(lines))[filled],
                (test[place] / total)[filled],
                yerr=(error / total)[filled],
                **style,
            )
    axes.set(xlabel=one.name, ylabel="share in a bin", xlim=(one.edges[0], one.edges[-1]))
    if _logarithmic(one.edges):
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=_of_whole_numbers(one.edges)))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return figure


def distributions(
    by_representation: Mapping[str, Sequence[Distribution]], classes: Sequence[str]
) -> list[tuple[str, list[Picture]]]:
    """Plots of all inputs, by representation."""
    lines = class_lines(classes)
    return [
        (
            of,
            [
                picture(
                    distribution(one, lines),
                    f"input-{number}-{place}",
                    f"Distribution of {one.name} by class in the training and in the test split",
                )
                for place, one in enumerate(several)
            ],
        )
        for number, (of, several) in enumerate(by_representation.items())
    ]


def _of_whole_numbers(edges: np.ndarray) -> bool:
    """Whether each bin is one whole number's."""
    return bool(np.all(np.diff(edges) == 1) and np.all(edges % 1 == 0.5))


def _logarithmic(edges: np.ndarray) -> bool:
    widths = np.diff(edges)
    return bool(edges[0] > 0 and len(edges) > 2 and widths[-1] > 2 * widths[0])
