"""Images of the classes, means or examples; each group has its own colour scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rootloom.errors import DataError
from rootloom.report.inputs import ClassImages
from rootloom.report.pictures import Picture, picture
from rootloom.report.theme import styled

DECADES = 4.5  # of the colour scale below the brightest pixel


@styled
def class_images(groups: Sequence[ClassImages], *, titled: bool = False) -> Figure:
    """One row per group: the classes side by side and their colour bar.

    titled: write each group's title above it. Raises DataError for images that have another shape
    than their panel or are not finite.
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


def image_pictures(groups: Sequence[ClassImages], key: str, what: str) -> list[Picture]:
    """A picture of each group, for the page. key: of their anchors. what: they show, in words."""
    return [
        picture(
            class_images([group]),
            f"{key}-{number}",
            f"{what}, {group.title}: {', '.join(group.images)}",
            group.title,
        )
        for number, group in enumerate(groups)
    ]


def _draw(figure: FigureBase | SubFigure, group: ClassImages) -> None:
    panel = group.panel
    arrays = {name: _checked(group, name, image) for name, image in group.images.items()}
    brightest = max(float(image.max()) for image in arrays.values())
    # Classes without rows, or with cancelling negative weights, are dark everywhere.
    logarithmic = panel.logarithmic and brightest > 0
    darkest = brightest * 10**-DECADES
    scale = LogNorm(darkest, brightest) if logarithmic else Normalize(0, max(brightest, 1e-300))
    panels = figure.subplots(1, len(arrays), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, image) in zip(panels, arrays.items(), strict=True):
        # On a logarithmic scale empty pixels get the lowest colour.
        shown = axes.imshow(
            np.maximum(image, darkest if logarithmic else 0.0),
            norm=scale,
            cmap=colormaps["viridis"],
            extent=panel.extent,
            origin="lower",
            interpolation="none",
            aspect="equal" if panel.equal else "auto",
        )
        axes.set(title=name, xlabel=panel.x_label)
        axes.minorticks_off()
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(color="white")
    panels[0].set_ylabel(panel.y_label)
    _bar(figure, shown, panels, panel.quantity, logarithmic=logarithmic)


def _bar(
    figure: FigureBase | SubFigure,
    shown: ScalarMappable,
    panels: Iterable[Axes],
    label: str,
    *,
    logarithmic: bool,
) -> None:
    """The colour bar of panels with one scale; of a logarithmic one powers of ten written out."""
    bar = figure.colorbar(shown, ax=list(panels), pad=0.02, aspect=22, shrink=0.9)
    bar.set_label(label)
    bar.ax.minorticks_off()
    bar.ax.tick_params(direction="out", right=True)
    bar.outline.set_linewidth(0.5)
    if logarithmic:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(_power))


def _power(value: float, _: object) -> str:
    """A power of ten in plain characters: the page's own font has no mathematics."""
    exponent = f"{np.log10(value):.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{exponent}"


def _checked(group: ClassImages, name: str, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    if image.shape != tuple(group.panel.shape) or not np.isfinite(image).all():
        raise DataError(
            f"image '{group.title}' of class '{name}'",
            expected=f"a finite array of shape {tuple(group.panel.shape)}",
            found=f"shape {image.shape}, "
            f"{int((~np.isfinite(image)).sum())} pixels that are not finite",
        )
    return image
