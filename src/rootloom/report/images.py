"""Average images of the classes, on a common logarithmic colour scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.ticker import FuncFormatter

from rootloom.errors import DataError
from rootloom.report.inputs import AverageImages
from rootloom.report.theme import styled

DECADES = 4.5  # of the colour scale below the brightest pixel


@styled
def average_images(groups: Sequence[AverageImages], *, titled: bool = False) -> Figure:
    """One row a group: the classes side by side and their colour bar.

    titled: write each group's title above it. Raises DataError for images that are not
    two-dimensional, not finite or nowhere positive.
    """
    classes = max(len(group.images) for group in groups)
    height = 2.5 + 0.2 * titled
    figure = Figure(figsize=(2.1 * classes + 0.8, height * len(groups)), layout="constrained")
    rows = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for row, group in zip(rows, groups, strict=True):
        _draw(row, group)
        if titled:
            row.suptitle(group.title, x=0.01, ha="left", fontsize=10.5)
    return figure


def _draw(figure: FigureBase | SubFigure, group: AverageImages) -> None:
    arrays = {name: _checked(group.title, name, image) for name, image in group.images.items()}
    brightest = max(float(image.max()) for image in arrays.values())
    darkest = brightest * 10**-DECADES
    panels = figure.subplots(1, len(arrays), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, image) in zip(panels, arrays.items(), strict=True):
        # Empty pixels take the lowest colour: on a logarithmic scale they have none of their own.
        shown = axes.imshow(
            np.maximum(image, darkest),
            norm=LogNorm(darkest, brightest),
            cmap=colormaps["viridis"],
            extent=group.extent,
            origin="lower",
            interpolation="none",
            aspect="equal",
        )
        axes.set(title=name, xlabel=group.x_label)
        axes.minorticks_off()
        axes.tick_params(color="white")
    panels[0].set_ylabel(group.y_label)
    logarithmic_bar(figure, shown, panels, group.quantity)


def logarithmic_bar(
    figure: FigureBase | SubFigure, shown: ScalarMappable, panels: Iterable[Axes], label: str
) -> None:
    """The colour bar of panels with one logarithmic scale, powers of ten written out."""
    bar = figure.colorbar(shown, ax=list(panels), pad=0.02, aspect=22, shrink=0.9)
    bar.set_label(label)
    bar.ax.minorticks_off()
    bar.ax.tick_params(direction="out", right=True)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_power))
    bar.outline.set_linewidth(0.5)


def _power(value: float, _: object) -> str:
    """A power of ten in plain characters: the page's own font has no mathematics."""
    exponent = f"{np.log10(value):.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{exponent}"


def _checked(title: str, name: str, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or not np.isfinite(image).all() or not image.max() > 0:
        raise DataError(
            f"average image '{title}' of class '{name}'",
            expected="a finite (H, W) array with a positive pixel",
            found=f"shape {image.shape}, "
            f"maximum {np.nanmax(image) if image.size else 'of nothing'}",
        )
    return image
