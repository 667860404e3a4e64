"""What figures show, read back from their axes: curves, bands, error bars and limits."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.container import ErrorbarContainer

from rootloom.evaluation.classification.result import Calibration, Curve, Discrimination, Histogram
from rootloom.evaluation.measurement import Measurement
from rootloom.report.classification import figures
from rootloom.report.classification.figures import Traced
from rootloom.report.distributions import class_lines, distribution
from rootloom.report.inputs import Distribution

LINE = class_lines(["dnn", "trees"])[0]
EFFICIENCY, BACKGROUND = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.0, 0.01, 0.04, 0.2])
RELATIVE = np.array([0.0, 0.5, 0.2, 0.05])  # the second is beyond what is shown
CURVE = Curve(tuple(EFFICIENCY), tuple(BACKGROUND), tuple(BACKGROUND * RELATIVE))
SHOWN = slice(2, None)


def curve_of(axes: Axes) -> np.ndarray:
    """(x, y) of the first line, (2, N)."""
    return np.array(axes.lines[0].get_data(), dtype=float)


def band_of(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of the first band, (N,) each, where the curve has its points."""
    (band, *_) = (c for c in axes.collections if isinstance(c, PolyCollection))
    at = band.get_paths()[0].vertices
    x = curve_of(axes)[0]
    return tuple(np.array([of(at[np.isclose(at[:, 0], one), 1]) for one in x]) for of in (min, max))


def bars_of(container: ErrorbarContainer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and y of points, and the ends (M, 2) of the bars of those that have one."""
    points, _, (bars,) = container
    assert isinstance(bars, LineCollection)
    ends = np.array([segment[:, 1] for segment in bars.get_segments() if len(segment)])
    return *np.array(points.get_data(), dtype=float), ends


def test_a_rejection_has_the_relative_error_of_the_background() -> None:
    (axes,) = figures.rejection_curves([(LINE, Traced(CURVE, [(0.3, 50.0)]))]).axes
    np.testing.assert_allclose(curve_of(axes), [EFFICIENCY[SHOWN], 1 / BACKGROUND[SHOWN]])
    low, high = band_of(axes)
    np.testing.assert_allclose(low, np.exp(-RELATIVE[SHOWN]) / BACKGROUND[SHOWN])
    np.testing.assert_allclose(high, np.exp(RELATIVE[SHOWN]) / BACKGROUND[SHOWN])
    (limit,) = (c for c in axes.containers if isinstance(c, ErrorbarContainer))
    assert limit.lines[0].get_ydata()[0] == 50.0


def test_a_significance_improvement_has_half_of_it() -> None:
    (axes,) = figures.significance_curves([(LINE, Traced(CURVE, [(0.3, 64.0)]))]).axes
    improvement = EFFICIENCY[SHOWN] / np.sqrt(BACKGROUND[SHOWN])
    np.testing.assert_allclose(curve_of(axes), [EFFICIENCY[SHOWN], improvement])
    low, high = band_of(axes)
    np.testing.assert_allclose(low, improvement * np.exp(-RELATIVE[SHOWN] / 2))
    np.testing.assert_allclose(high, improvement * np.exp(RELATIVE[SHOWN] / 2))
    (limit,) = (c for c in axes.containers if isinstance(c, ErrorbarContainer))
    assert limit.lines[0].get_ydata()[0] == pytest.approx(0.3 * 8)


def test_a_curve_of_few_rows_is_drawn_as_a_whole() -> None:
    poor = Curve(CURVE.signal_efficiency, CURVE.background_efficiency, tuple(BACKGROUND))
    (axes,) = figures.rejection_curves([(LINE, Traced(poor))]).axes
    np.testing.assert_allclose(curve_of(axes), [EFFICIENCY[1:], 1 / BACKGROUND[1:]])


def test_reliability_has_the_errors_of_the_observed_shares() -> None:
    calibration = Calibration((0.2, 0.7), (0.25, 0.8), (0.05, None), (0.5, 0.5), 0.1)
    auc = Measurement(0.9, 0.01, None, 0.9, (0.9,))
    none = Histogram((0.0, 1.0), {})
    result = Discrimination("w", auc, (), CURVE, none, calibration, ())
    (axes,) = figures.reliability([(LINE, result)]).axes
    x, y, ends = bars_of(axes.containers[0])
    np.testing.assert_allclose((x, y), [(0.2, 0.7), (0.25, 0.8)])
    np.testing.assert_allclose(ends[0], [0.2, 0.3])


def test_efficiencies_have_both_ends_of_their_intervals() -> None:
    bins = [(0.5, 0.4, 0.7), (None, 0.0, 1.0), (0.0, 0.0, 0.1)]
    (axes,) = figures.class_efficiencies("pt", [0.0, 1.0, 2.0, 3.0], [(LINE, bins)]).axes
    measured, limits = axes.containers
    x, y, ends = bars_of(measured)
    np.testing.assert_allclose((x[0], y[0]), (0.5, 0.5))
    np.testing.assert_allclose(ends[0], (0.4, 0.7))
    assert np.isnan(y[1:]).all()
    # Where none of the rows passes, what may pass is all that is known.
    np.testing.assert_allclose(np.array(limits.lines[0].get_data(), dtype=float), [[2.5], [0.1]])


def test_a_distribution_is_of_shares_with_errors_of_the_test_rows() -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(1.0, 0.5, (2, 2, 5, 40))  # split, class, bin, row
    sums = np.stack([weights.sum(axis=3), (weights**2).sum(axis=3)])
    one = Distribution("pt", np.arange(6.0), sums)
    (axes,) = distribution(one, class_lines(["qcd", "w"])).axes
    for place, (stairs, points) in enumerate(zip(axes.patches, axes.containers, strict=True)):
        train, test = weights[0, place], weights[1, place]
        np.testing.assert_allclose(stairs.get_data().values, train.sum(axis=1) / train.sum())
        _, y, ends = bars_of(points)
        np.testing.assert_allclose(y, test.sum(axis=1) / test.sum())
        error = np.sqrt((test**2).sum(axis=1)) / test.sum()
        np.testing.assert_allclose(ends, np.stack([y - error, y + error], axis=1))


def test_counts_have_whole_ticks() -> None:
    sums = np.ones((2, 2, 2, 3))
    for edges, whole in (([-0.5, 0.5, 1.5, 2.5], True), ([0.0, 1.0, 2.0, 2.9], False)):
        one = Distribution("n", np.array(edges), sums)
        (axes,) = distribution(one, class_lines(["qcd", "w"])).axes
        assert bool(np.all(axes.get_xticks() % 1 == 0)) == whole
