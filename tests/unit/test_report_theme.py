"""The looks of many methods: no two alike, apart for every reader, and a legend beside them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rootloom.evaluation.classification.discriminate import discriminate
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.classification.result import Curve
from rootloom.evaluation.classification.sample import Sample
from rootloom.report.classification import figures
from rootloom.report.classification.figures import Traced
from rootloom.report.plots import WIDE, Line
from rootloom.report.theme import COLOURS, SERIES, looks

# Simulation of full colour-vision deficiencies on linear RGB: Machado, Oliveira, Fernandes,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15 (2009).
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# CIE 1976 distance; 2.3 is just noticeable side by side.
APART = 10.0


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear sRGB, D65."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = matrix @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), ratio * 841 / 108 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


MIXED = [number % 3 == 2 for number in range(24)]
BASELINES_LAST = [number >= 9 for number in range(24)]


@pytest.mark.parametrize("baseline", [MIXED, BASELINES_LAST, [False] * 24, [True] * 24])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_two_methods_look_alike_to_anybody(baseline, scheme):
    shown = {pair[0]: pair[scheme == "dark"] for pair in COLOURS.values()}
    for one, other in combinations(looks(baseline), 2):
        # Lines have dashes; points have markers.
        if one.dashes == other.dashes or one.marker == other.marker:
            ours, theirs = (linear(shown[look.colour]) for look in (one, other))
            for matrix in VISION.values():
                assert np.linalg.norm(lab(matrix @ ours) - lab(matrix @ theirs)) > APART


def test_few_methods_are_solid_and_baselines_dashed():
    found = looks([False, True, False, True])
    assert [bool(look.dashes) for look in found] == [False, True, False, True]
    assert {look.colour for look in found} == set(SERIES[:4])


def curve_of(power):
    efficiency = np.linspace(0.02, 1, 50)
    return Curve(efficiency, efficiency**power, 0.05 * efficiency**power)


def traced_of(count):
    drawn = looks([False] * count)
    lines = [Line(f"a-method-{number}", look, False) for number, look in enumerate(drawn)]
    return [(line, Traced(curve_of(1.5 + 0.2 * n))) for n, line in enumerate(lines)]


@pytest.mark.parametrize("count", [3, 12])
def test_the_legend_of_a_figure_that_stands_alone_lies_below_its_axes(count):
    figure = figures.rejection_curves(traced_of(count), legend=True)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_legend() is None
    box, plot = figure.legends[0].get_window_extent(), axes.get_window_extent()
    assert len(figure.legends[0].get_texts()) == count + 1  # with the random choice
    assert box.y1 < plot.y0
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert plot.height > 0.6 * WIDE[1] * figure.dpi


@pytest.mark.parametrize(("count", "marked"), [(4, False), (15, True)])
def test_curves_of_many_methods_have_their_markers(count, marked):
    figure = figures.rejection_curves(traced_of(count))
    drawn = [line for line in figure.axes[0].lines if line.get_label() != "random choice"]
    assert len(drawn) == count
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == count
    assert {line.get_marker() != "None" for line in drawn} == {marked}


def few_rows(rows, apart):
    """A curve and its working points from so many rows of each class."""
    random = np.random.default_rng(5)
    signal = np.arange(2 * rows) < rows
    score = random.normal(size=2 * rows) + apart * signal
    sample = Sample(
        score, signal, np.ones(2 * rows), np.arange(2 * rows, dtype=np.uint64), {}, ("s", "b"),
        np.ones(2 * rows),
    )  # fmt: skip
    return discriminate("s", [sample], Classification(histogram_bins=5))


@pytest.mark.parametrize("draw", [figures.rejection_curves, figures.significance_curves])
@pytest.mark.parametrize("apart", [1.0, 50.0])
def test_axes_of_ten_rows_a_class_are_not_empty(draw, apart):
    """There are few points with a small error, or none at all where the classes are separated."""
    (line, _), *_ = traced_of(1)
    axes = draw([(line, Traced.of(few_rows(10, apart)))]).axes[0]
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    shown = [
        (x, y)
        for artist in axes.lines
        if artist.get_color() == line.colour
        for x, y in zip(artist.get_xdata(), artist.get_ydata(), strict=True)
        if low <= y <= high and 0 <= x <= 1
    ]
    assert len(shown) >= (10 if apart < 10 else 3)


def test_a_curve_of_many_rows_leaves_out_what_has_no_meaning():
    result = few_rows(2000, 1.0)
    (line, _), *_ = traced_of(1)
    axes = figures.rejection_curves([(line, Traced.of(result))]).axes[0]
    drawn = axes.lines[0].get_xdata()
    curve = result.curve
    relative = np.array(curve.error) / np.maximum(curve.background_efficiency, 1e-12)
    assert len(drawn) == np.sum((relative < 0.35) & (np.array(curve.background_efficiency) > 0))
    assert len(drawn) < len(curve.error)
