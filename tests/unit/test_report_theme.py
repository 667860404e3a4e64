"""The looks of many methods: no two alike, apart for every reader, and a legend beside them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rootloom.evaluation.classification_results import Curve
from rootloom.report import figures
from rootloom.report.figures import Line
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
        if one.dashes == other.dashes:
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


@pytest.mark.parametrize("count", [3, 12])
def test_the_legend_of_many_lies_below_the_axes(count):
    drawn = looks([False] * count)
    lines = [Line(f"a-method-{number}", look, False) for number, look in enumerate(drawn)]
    results = [(line, curve_of(1.5 + 0.2 * number)) for number, line in enumerate(lines)]
    figure = figures.rejection_curves(results)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    inside = axes.get_legend()
    assert (inside is not None) == (count == 3)
    if inside is None:
        box, plot = figure.legends[0].get_window_extent(), axes.get_window_extent()
        assert len(figure.legends[0].get_texts()) == count + 1  # with the random choice
        assert box.y1 < plot.y0
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert plot.height > 0.6 * figures.WIDE[1] * figure.dpi
