"""Plots of training logs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rootloom.report.inputs import History
from rootloom.report.plots import SMALL, Line, canvas
from rootloom.report.theme import NEUTRAL, styled


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
