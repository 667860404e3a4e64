"""PMTs: where they are, and their hits against closed forms and photon-by-photon draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import chisquare, exponnorm, kstest, poisson

from rootloom.physics.scintillator.pmts import (
    ArrivalTimes,
    Layout,
    arrival_times,
    first_hits,
    latitude_rings,
)

DECAY, SHARES, SPREAD = np.array([5.0, 40.0]), np.array([0.8, 0.2]), 1.5
# Half of the scattered light is 10 ns late, half 30 ns, each spread over 1 ns.
DELAYS = np.zeros(64)
DELAYS[[10, 30]] = 0.5


def arrivals() -> ArrivalTimes:
    return arrival_times(DECAY, SHARES, SPREAD, DELAYS, 1.0)


def after_light(size: int, rng: np.random.Generator) -> np.ndarray:
    tau = rng.choice(DECAY, size, p=SHARES)
    return rng.exponential(tau) + rng.normal(0.0, SPREAD, size)


def same_pmts(number: int) -> Layout:
    """Many PMTs in one place: many events of one PMT."""
    return Layout(np.tile([[0.0, 0.0, 1.0]], (number, 1)), np.zeros(number, np.int32))


def rows(direct: list[float], scattered: list[float], times: list[float]) -> np.ndarray:
    values = np.array([direct, scattered, times], np.float32).T
    return np.repeat(values[:, None], 5, axis=1)


def test_rings_are_those_of_the_detector() -> None:
    layout = latitude_rings(117, 235)
    assert abs(len(layout.ring) - 17_500) < 100
    np.testing.assert_allclose(np.linalg.norm(layout.direction, axis=1), 1.0)
    distance = cKDTree(19.5 * layout.direction).query(19.5 * layout.direction, k=2)[0][:, 1]
    # Wider than a PMT, 0.508 m, but for the three around each pole.
    polar = (layout.ring == 0) | (layout.ring == 116)
    assert np.sum(polar) == 6
    assert distance[~polar].min() > 0.508
    assert np.median(distance) == pytest.approx(0.52, abs=0.01)
    counts = np.bincount(layout.ring)
    assert len(counts) == 117
    assert counts.max() == counts[58] == 235
    np.testing.assert_array_equal(counts, counts[::-1])


def test_arrival_times_are_decays_smeared_by_the_transit_time() -> None:
    found = arrivals()
    time = found.start + 0.25 * np.arange(len(found.cumulated))
    exact = sum(
        s * exponnorm.cdf(time, t / SPREAD, scale=SPREAD)
        for t, s in zip(DECAY, SHARES, strict=True)
    )
    np.testing.assert_allclose(found.cumulated[:, 0], exact, atol=1e-6)
    rng = np.random.default_rng(1)
    late = after_light(200_000, rng) + rng.choice([10.0, 30.0], 200_000) + rng.random(200_000)
    drawn = np.searchsorted(np.sort(late), time) / len(late)
    np.testing.assert_allclose(found.cumulated[:, 1], drawn, atol=5 / np.sqrt(len(late)))


def test_one_source_against_the_closed_form() -> None:
    """First of N ~ Poisson(μ) photoelectrons: P(none before t) = exp(−μ F(t))."""
    events, mean = 20_000, 3.0
    count, time = first_hits(
        same_pmts(events),
        np.full(events, 0.5),
        np.array([[0.0, 0.6, 0.8]]),
        rows([1.0], [0.0], [40.0]),
        np.array([2 * mean]),
        np.array([7.0]),
        arrivals(),
        np.random.default_rng(3),
    )
    values, counts = np.unique(np.minimum(count, 8), return_counts=True)
    expected = events * np.append(poisson.pmf(values[:-1], mean), poisson.sf(7, mean))
    assert chisquare(counts, expected).pvalue > 1e-3
    assert np.array_equal(np.isnan(time), count == 0)

    def survived(t: np.ndarray) -> np.ndarray:
        each = (
            s * exponnorm.cdf(t, k / SPREAD, scale=SPREAD)
            for k, s in zip(DECAY, SHARES, strict=True)
        )
        return np.exp(-mean * sum(each))

    found = time[count > 0] - 47.0
    cdf = lambda t: (1 - survived(t)) / (1 - np.exp(-mean))  # noqa: E731
    assert kstest(found, cdf).pvalue > 1e-3


def test_a_track_against_photon_by_photon_draws() -> None:
    events = 20_000
    direct, scattered = np.array([0.8, 1.5, 0.1, 2.0]), np.array([0.2, 0.1, 0.5, 0.0])
    times, start = np.array([30.0, 26.0, 31.0, 60.0]), np.array([0.0, 5.0, 10.0, 15.0])
    count, time = first_hits(
        same_pmts(events),
        np.ones(events),
        np.tile([[0.0, 0.6, 0.8]], (4, 1)),
        rows(direct.tolist(), scattered.tolist(), times.tolist()),
        np.ones(4),
        start,
        arrivals(),
        np.random.default_rng(4),
    )
    rng = np.random.default_rng(5)
    event, light = [], []
    for source in range(4):
        for mean, late in ((direct[source], False), (scattered[source], True)):
            seen = np.repeat(np.arange(events), rng.poisson(mean, events))
            delay = rng.choice([10.0, 30.0], len(seen)) + rng.random(len(seen)) if late else 0.0
            event.append(seen)
            light.append(times[source] + start[source] + delay + after_light(len(seen), rng))
    drawn = np.full(events, np.inf)
    np.minimum.at(drawn, np.concatenate(event), np.concatenate(light))
    assert kstest(time[count > 0], drawn[np.isfinite(drawn)]).pvalue > 1e-3
    mean = direct.sum() + scattered.sum()
    assert count.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / events))
    # More photoelectrons, an earlier first: the two are drawn from one process.
    drawn_count = np.bincount(np.concatenate(event), minlength=events)
    for number in (1, 3, 6):
        ours, theirs = time[count == number], drawn[drawn_count == number]
        error = np.hypot(ours.std() / len(ours) ** 0.5, theirs.std() / len(theirs) ** 0.5)
        assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * error)


def test_a_pmt_that_accepts_nothing_sees_nothing() -> None:
    count, time = first_hits(
        same_pmts(3),
        np.array([1.0, 0.0, 1.0]),
        np.array([[0.0, 0.0, 1.0]]),
        rows([100.0], [0.0], [1.0]),
        np.ones(1),
        np.zeros(1),
        arrivals(),
        np.random.default_rng(1),
    )
    assert count[1] == 0
    assert np.isnan(time[1])
    assert np.all(count[[0, 2]] > 50)
