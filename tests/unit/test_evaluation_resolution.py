"""Resolutions against vector, SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import vector
from scipy.spatial.transform import Rotation

from rootloom.evaluation.bins import even_edges, in_bins
from rootloom.evaluation.regression import resolution
from rootloom.evaluation.roc import effective_rows

RNG = np.random.default_rng(3)
ROWS = 4000
ONES = np.ones(ROWS)


def vectors(rows: int = 200) -> np.ndarray:
    return RNG.normal(size=(rows, 3)) * RNG.uniform(0.1, 20, (rows, 1))


def test_opening_angles_are_those_of_vector() -> None:
    a, b = vectors(), vectors()
    ours = resolution.opening_angle(a, b)
    theirs = [vector.obj(x=p[0], y=p[1], z=p[2]).deltaangle(
        vector.obj(x=q[0], y=q[1], z=q[2])) for p, q in zip(a, b, strict=True)]  # fmt: skip
    np.testing.assert_allclose(ours, np.degrees(theirs), rtol=1e-9)
    np.testing.assert_allclose(resolution.opening_angle(a, -a), 180.0)


def test_small_angles_keep_their_digits() -> None:
    """A microdegree, at which the cosine is 1 in double precision to fifteen digits."""
    axis = np.cross(one := vectors(50), vectors(50))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    turned = Rotation.from_rotvec(np.radians(1e-6) * axis).apply(one)
    np.testing.assert_allclose(resolution.opening_angle(turned, one), 1e-6, rtol=1e-6)


def test_distances_zenith_and_longitude_are_those_of_vector() -> None:
    a, b = vectors(), vectors()
    pairs = [(vector.obj(x=p[0], y=p[1], z=p[2]), vector.obj(x=q[0], y=q[1], z=q[2]))
             for p, q in zip(a, b, strict=True)]  # fmt: skip
    np.testing.assert_allclose(resolution.distance(a, b), [(p - q).mag for p, q in pairs])
    came_from = [np.degrees((-p).theta) for p, _ in pairs]
    np.testing.assert_allclose(resolution.zenith(a), came_from, rtol=1e-9)
    np.testing.assert_allclose(
        resolution.from_meridian(a), [abs(np.degrees(p.phi)) for p, _ in pairs], rtol=1e-9
    )


def test_the_nearest_point_of_a_line_is_the_least_of_its_distances() -> None:
    point, direction = vectors(40), vectors(40)
    found = resolution.nearest_point(point, direction)
    for p, d, f in zip(point, direction, found, strict=True):
        along = scipy.optimize.minimize_scalar(lambda t, p=p, d=d: np.sum((p + t * d) ** 2)).x
        np.testing.assert_allclose(f, p + along * d, atol=1e-5)
    # |p × d| / |d|, in the textbook's words.
    cross = np.linalg.norm(np.cross(point, direction), axis=1) / np.linalg.norm(direction, axis=1)
    np.testing.assert_allclose(resolution.impact(point, direction), cross, rtol=1e-9)


def test_means_and_their_errors_are_those_of_scipy() -> None:
    values = RNG.exponential(2.0, ROWS)
    found = resolution.mean(values, ONES)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(scipy.stats.sem(values))
    square = resolution.root_mean_square(values, ONES)
    assert square.value == pytest.approx(np.sqrt(np.mean(values**2)))
    spread = scipy.stats.bootstrap(
        (values,), lambda v, axis: np.sqrt(np.mean(v**2, axis=axis)), n_resamples=2000, rng=RNG
    )
    assert square.error == pytest.approx(spread.standard_error, rel=0.1)


@pytest.mark.parametrize("share", [0.5, 0.6827, 0.95])
def test_quantiles_and_their_errors_are_those_of_scipy(share: float) -> None:
    values = RNG.exponential(2.0, ROWS)
    found = resolution.quantile(values, ONES, share)
    assert found.value == pytest.approx(np.quantile(values, share, method="hazen"))
    # The asymptotic error √(p (1 − p) / n) / f of the exponential's own density f = (1 − p) / 2.
    assert found.error == pytest.approx(2.0 * np.sqrt(share / (1.0 - share) / ROWS), rel=0.25)
    interval = scipy.stats.quantile_test(values, p=share).confidence_interval(0.6827)
    assert found.error == pytest.approx(0.5 * (interval.high - interval.low), rel=0.1)


def test_whole_weights_count_rows() -> None:
    values, weight = RNG.exponential(2.0, ROWS), RNG.integers(0, 4, ROWS).astype(float)
    repeated = np.repeat(values, weight.astype(int))
    same = np.ones(len(repeated))
    assert resolution.mean(values, weight).value == pytest.approx(repeated.mean())
    for share in (0.5, 0.6827):
        one = resolution.quantile(values, weight, share)
        other = resolution.quantile(repeated, same, share)
        assert one.value == pytest.approx(other.value, rel=2e-3)
        # Rows that count three times fluctuate three times as much.
        assert one.error > other.error
    assert effective_rows(weight) == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_no_rows_have_no_figures() -> None:
    none = np.zeros(0)
    for found in (resolution.mean(none, none), resolution.quantile(none, none, 0.5)):
        assert np.isnan(found.value)
        assert np.isnan(found.error)
    alone = resolution.mean(np.array([2.0]), np.array([1.0]))
    assert alone.value == 2.0
    assert np.isnan(alone.error)


def test_bins_hold_alike_many_rows_and_leave_nothing_out() -> None:
    values = np.append(RNG.exponential(1.0, ROWS), np.nan)
    edges = even_edges(values, 8)
    index = in_bins(values, edges)
    np.testing.assert_allclose(np.bincount(index[index >= 0]), ROWS / 8, atol=2)
    assert index[-1] == -1
    assert (index[:-1] >= 0).all()
    assert in_bins(np.array([-1.0, 1e9]), edges).tolist() == [-1, -1]
    assert np.all(np.diff(even_edges(np.full(9, 3.0), 4)) > 0)
    assert len(even_edges(np.full(3, np.nan), 4)) == 2


def test_the_central_width_is_the_deviation_of_a_normal_distribution() -> None:
    values = 3.0 + 2.5 * RNG.normal(size=ROWS)
    found = resolution.central_width(values, ONES)
    low, high = np.quantile(values, scipy.stats.norm.cdf([-1, 1]), method="hazen")
    assert found.value == pytest.approx(0.5 * (high - low), rel=1e-3)
    # Of quantiles at ±σ: variance p(1 − p)/n f², covariance p²/n f², f = φ(1)/σ.
    p, f = scipy.stats.norm.cdf(-1), scipy.stats.norm.pdf(1) / 2.5
    expected = np.sqrt((2 * p * (1 - p) - 2 * p**2) / ROWS) / f / 2
    assert found.error == pytest.approx(expected, rel=0.2)
    # Neither a shift nor a few far rows count.
    far = np.concatenate([values + 100, [1e6] * 3])
    assert resolution.central_width(far, np.ones(len(far))).value == pytest.approx(
        found.value, rel=0.01
    )


@pytest.mark.parametrize("kind", ["unit", "exponential"])
def test_the_error_of_the_central_width_is_the_spread_of_toys(kind: str) -> None:
    rng, rows = np.random.default_rng(5), 400
    found = []
    for _ in range(300):
        weight = np.ones(rows) if kind == "unit" else rng.exponential(1.0, rows)
        found.append(resolution.central_width(rng.normal(size=rows), weight))
    values, errors = np.array(found).T
    # 300 toys know their spread to 4 %; the error of 400 rows is some 8 % too large.
    assert np.sqrt(np.mean(errors**2)) / values.std() == pytest.approx(1.08, abs=0.16)
    assert values.mean() == pytest.approx(1.0, abs=0.02)


def test_few_rows_have_a_central_width_without_an_error() -> None:
    found = resolution.central_width(np.array([1.0, 2.0, 4.0]), np.ones(3))
    assert found.value > 0
    assert np.isnan(found.error)
    assert np.isnan(resolution.central_width(np.array([]), np.array([])).value)
