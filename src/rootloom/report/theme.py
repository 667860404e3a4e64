"""The style of plots and page, in light and dark.

Plots are drawn once in the light colours. On the page they are inline SVG in which each of these
colours is a CSS variable, so that they follow the reader's scheme and print dark on white.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from matplotlib import rc_context
from matplotlib.figure import Figure

DECIDES_NO_VALUE = "tests/unit/test_report_page.py::test_a_page_in_another_style_says_the_same"

P = ParamSpec("P")

# name: (light, dark). Series colours have a contrast of at least 3 with both surfaces. Any four in
# a row stay apart under the common colour-vision deficiencies; the pairs that do not (blue and
# purple, orange and ochre, green and teal, pink and grey) are four places apart, see `looks`.
COLOURS = {
    "ink": ("#20252c", "#e6e8eb"),
    "muted": ("#656d78", "#9aa3af"),
    "grid": ("#e3e6ea", "#31363e"),
    "neutral": ("#8d96a3", "#7c8592"),
    "s1": ("#1f6fb5", "#6db3f2"),
    "s2": ("#c7511f", "#ff8a5c"),
    "s3": ("#2b8a57", "#6fcf97"),
    "s4": ("#bf3f7c", "#f38dbb"),
    "s5": ("#8650b0", "#c79df0"),
    "s6": ("#a97c0a", "#e3bb55"),
    "s7": ("#0d8f9e", "#5fd1de"),
    "s8": ("#5b6472", "#9aa1ad"),
}
INK, MUTED, GRID, NEUTRAL = (COLOURS[name][0] for name in ("ink", "muted", "grid", "neutral"))
SERIES = tuple(light for name, (light, _) in COLOURS.items() if re.fullmatch(r"s\d", name))
# Number of lines with the same pattern, so that none of them have confusable colours.
LINES_PER_PATTERN = len(SERIES) // 2
# Shapes of points, as Matplotlib names them, and their outlines about (18, 6) for the page.
MARKERS = {
    "o": "M14.5 6a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "s": "M14.9 2.9h6.2v6.2h-6.2z",
    "^": "M18 1.9L22 9.1L14 9.1z",
    "D": "M18 1.6L22.4 6L18 10.4L13.6 6z",
    "v": "M18 10.1L22 2.9L14 2.9z",
    "P": "M16.6 2h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
    "X": "M14.4 4.2L16.2 2.4L18 4.2L19.8 2.4L21.6 4.2L19.8 6L21.6 7.8L19.8 9.6L18 7.8"
    "L16.2 9.6L14.4 7.8L16.2 6z",
    "p": "M18 2L22 4.9L20.5 9.6L15.5 9.6L14 4.9z",
}
OWN_MARKER = "p"  # for lines that are not methods
_OF_METHODS = tuple(marker for marker in MARKERS if marker != OWN_MARKER)

_RC: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.major.pad": 5,
    "ytick.major.pad": 4,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Look:
    """Colour and dashes of a line, and the shape of its points.

    dashes: lengths on and off, in line widths; none for a solid line. marker: one of `MARKERS`.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str = "o"


def looks(baseline: Sequence[bool]) -> list[Look]:
    """A different style for each method; baselines are dashed, the others solid if there are few.

    Each method has the next colour. After every four networks, and every four baselines, the
    pattern changes: a long stroke with one more dot than before, or one more short dash. After
    every four methods the marker changes, to distinguish points without a line.
    """
    # Networks first: methods with the same kind of pattern must have consecutive colours.
    order = sorted(range(len(baseline)), key=lambda number: baseline[number])
    trained = len(baseline) - sum(baseline)
    found = {
        number: Look(
            SERIES[place % len(SERIES)],
            _dashes(place - trained if baseline[number] else place, dashed=baseline[number]),
            _OF_METHODS[place // LINES_PER_PATTERN % len(_OF_METHODS)],
        )
        for place, number in enumerate(order)
    }
    return [found[number] for number in range(len(baseline))]


def _dashes(place: int, *, dashed: bool) -> tuple[float, ...]:
    more = place // LINES_PER_PATTERN
    if dashed:
        return (3.7, 1.6, *(1.6, 1.6) * more)
    return (6.4, 1.6, *(1.0, 1.6) * more) if more else ()


def style() -> Any:
    """The context in which figures are drawn and saved."""
    return rc_context(_RC)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function in our style."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return wrapper


def css_variables() -> str:
    """The colours as CSS custom properties for both schemes."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in COLOURS.items())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def css_colour(colour: str) -> str:
    """The CSS variable of one of our light colours."""
    return next(f"var(--{name})" for name, (light, _) in COLOURS.items() if light == colour)


def as_svg(figure: Figure, name: str, alt: str) -> str:
    """Inline SVG of a figure. name: unique on the page, prefixes all ids; alt: its description."""
    buffer = io.StringIO()
    with style(), rc_context({"svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = with_ids_of(name, text)
    # Text takes the page's font at the figure's size.
    text = re.sub(r"font: (?:(\d+) )?([\d.]+)px [^;\"]+", _font, text)
    for variable, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{variable})")
    head, rest = text.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{_escape(alt)}">{rest}'


def with_ids_of(name: str, text: str) -> str:
    """Markup whose ids, and references to them, begin with `name`; all of them must be its own."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return re.sub(r'href="#', f'href="#{name}-', text)


def as_png(figure: Figure) -> bytes:
    """A figure as PNG on white, for pages that are not ours."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer, format="png", dpi=200, facecolor="white", metadata={"Software": None}
        )
    return buffer.getvalue()


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
