"""Plots as parts of the page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from rootloom.report.theme import as_svg


@dataclass(frozen=True)
class Picture:
    """A plot on the page. svg: safe markup; caption: plain text."""

    svg: Markup
    caption: str = ""


def picture(figure: Figure, name: str, alt: str, caption: str = "") -> Picture:
    """A plot for the page. name: unique there; alt: its description in words."""
    return Picture(Markup(as_svg(figure, name, alt)), caption)
