"""Fitted tracks against Fermat's principle, a slow likelihood in NumPy, and simulated muons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import approx_fprime, brentq, minimize_scalar
from scipy.spatial.transform import Rotation

from rootloom.physics.scintillator.optics import LIGHT
from rootloom.physics.scintillator.photons import DELAY_STEP, Light, trace
from rootloom.physics.scintillator.pmts import (
    ARRIVAL_STEP,
    ArrivalTimes,
    arrival_times,
    latitude_rings,
)
from rootloom.physics.scintillator.track_fit import (
    TrackFit,
    fisher_scoring,
    fit_times,
    fit_track,
    median_times,
)
from rootloom.physics.scintillator.track_light import TrackModel, light_of, track_model
from rootloom.physics.scintillator.track_likelihood import (
    light_profile,
    median_first_times,
    negative_log_likelihood,
)
from rootloom.physics.scintillator.track_squares import (
    fit_from_seeds,
    fit_least_squares,
    make_hits,
    seeds,
)
from rootloom.simulate.muon_tracks import Tracks, draw_tracks
from rootloom.simulate.muons import Muons

# Few PMTs, so that photons rather than the model's grain limit the fit, and fine pieces of tracks.
DETECTOR = Muons(rings=30, equator=60, steps=(0.1, 0.1, 0.4))
QUIET = Muons(rings=30, equator=60, steps=(0.1, 0.1, 0.4), radiative=0.0)
RADIUS, SENSORS, N1, N2 = 17.7, 19.5, 1.49, 1.33
SPREAD = 3.0
OUTLIER = 1e-4


class Detector(NamedTuple):
    """Light, arrival times and the fit's model of them."""

    light: Light
    arrivals: ArrivalTimes
    model: TrackModel


class Event(NamedTuple):
    """A muon's truth and hits. entry, exit_point: (3,); start: ns; pmts: (H, 3)."""

    entry: np.ndarray
    exit_point: np.ndarray
    start: float
    pmts: np.ndarray
    charge: np.ndarray
    time: np.ndarray


@pytest.fixture(scope="module")
def detector() -> Detector:
    light = trace(DETECTOR.optics)
    decay, shares = np.array(DETECTOR.decay_times), np.array(DETECTOR.decay_shares)
    arrivals = arrival_times(decay, shares, SPREAD, light.delays, DELAY_STEP)
    return Detector(light, arrivals, track_model(RADIUS, light.table, arrivals))


def simulated(source: Muons, muons: int, seed: int) -> list[Event]:
    rng = np.random.default_rng(seed)
    tracks: Tracks = draw_tracks(muons, RADIUS, 207.0, rng)
    exit_point = tracks.entry + tracks.length()[:, None] * tracks.direction
    return [
        Event(entry, exit_, -trigger, source.layout.direction[hits.pmt], hits.charge, hits.time)
        for entry, exit_, (_, trigger, hits) in zip(
            tracks.entry, exit_point, source._events(tracks, rng), strict=True
        )
    ]


def fitted(detector: Detector, event: Event) -> TrackFit:
    return fit_track(detector.model, event.pmts, event.charge, event.time)


def opening(one: np.ndarray, two: np.ndarray) -> float:
    """Degrees between unit vectors."""
    return float(np.degrees(2.0 * np.arcsin(min(1.0, 0.5 * np.linalg.norm(one - two)))))


def between(entry: np.ndarray, exit_point: np.ndarray, fit: TrackFit) -> tuple[float, float]:
    """Distances of entry and exit points, m."""
    away = fit.entry - 2.0 * (fit.entry @ fit.direction) * fit.direction
    return float(np.linalg.norm(fit.entry - entry)), float(np.linalg.norm(away - exit_point))


# -- light


def fermat(radius: float, angle: float) -> float:
    """Least time of a broken line, ns, from `radius` to a sensor at a central angle."""
    sensor = SENSORS * np.array([np.sin(angle), np.cos(angle)])

    def time(turn: float) -> float:
        surface = RADIUS * np.array([np.sin(turn), np.cos(turn)])
        inside, outside = surface - [0.0, radius], sensor - surface
        # A line in the water must not pass through the scintillator again.
        if surface @ outside < 0:
            return 1e6
        return (N1 * np.linalg.norm(inside) + N2 * np.linalg.norm(outside)) / LIGHT

    grid = np.linspace(-0.1, np.pi + 0.1, 500)
    best = grid[np.argmin([time(turn) for turn in grid])]
    bounds = (best - 0.01, best + 0.01)
    return float(
        minimize_scalar(time, bounds=bounds, method="bounded", options={"xatol": 1e-9}).fun
    )


def test_light_takes_the_least_time(detector: Detector) -> None:
    rng = np.random.default_rng(1)
    checked = 0
    for radius in [*np.sqrt(rng.uniform(0.01, 15.8**2, 40)), *rng.uniform(15.8, 17.7, 20)]:
        # Beyond 15.8 m some light is totally reflected, and some arrives on two derivatives.
        angles = rng.uniform(0.02, 2.9 if radius < 15.8 else 0.3, 4)
        ends = np.array([0.0, 0.0, radius]), np.array([0.0, 0.0, radius - 1e-9])
        sources = light_of(*ends, detector.model)
        place = np.sin(0.5 * angles) * (sources.rows.shape[1] - 1)
        nodes = np.arange(sources.rows.shape[1])
        found = np.interp(place, nodes, sources.rows[0, :, 2])
        for angle, time in zip(angles, found, strict=True):
            # The table's nodes are half a degree apart: a quarter of what the nearest PMT covers.
            grain = 0.01 if radius < 15.8 else 0.02
            assert time == pytest.approx(fermat(float(radius), float(angle)), abs=grain)
            checked += 1
    assert checked == 240


# -- a slow likelihood


class Slow:
    """First photoelectrons of a track of 400 even pieces, one PMT at a time, in NumPy."""

    def __init__(self, detector: Detector, entry: np.ndarray, exit_point: np.ndarray) -> None:
        place = (np.arange(400) + 0.5) / 400
        points = entry + place[:, None] * (exit_point - entry)
        radius = np.linalg.norm(points, axis=1)
        self.outward, self.rows = points / radius[:, None], detector.light.table.at(radius)
        self.start = place * np.linalg.norm(exit_point - entry) / LIGHT
        self.cumulated = detector.arrivals.cumulated
        self.times = detector.arrivals.start + ARRIVAL_STEP * np.arange(len(self.cumulated))

    def share(self, pmt: np.ndarray, time: float) -> float:
        """Share of a PMT's light that comes until `time`."""
        place = np.linalg.norm(self.outward - pmt, axis=1) / 2.0 * (self.rows.shape[1] - 1)
        low = np.minimum(place.astype(int), self.rows.shape[1] - 2)
        below, above = (self.rows[np.arange(len(low)), low + k] for k in (0, 1))
        light = below + (place - low)[:, None] * (above - below)
        later = time - self.start - light[:, 2]
        until = sum(
            light[:, c] @ np.interp(later, self.times, self.cumulated[:, c], left=0.0)
            for c in range(2)
        )
        return float(until / light[:, :2].sum())

    def density(self, pmt: np.ndarray, charge: float, time: float) -> float:
        """Of the first of `charge` photoelectrons, ns⁻¹."""
        step = 0.25
        rate = (self.share(pmt, time + step) - self.share(pmt, time - step)) / (2.0 * step)
        return charge * rate * (1.0 - self.share(pmt, time)) ** (charge - 1.0)

    def median(self, pmt: np.ndarray, charge: float) -> float:
        """Median time of the first of `charge` photoelectrons, ns."""
        early = 1.0 - 0.5 ** (1.0 / charge)
        return float(brentq(lambda time: self.share(pmt, time) - early, -20.0, 600.0, xtol=1e-4))


@pytest.fixture(scope="module")
def event() -> Event:
    """A muon half way out."""
    events = simulated(DETECTOR, 12, seed=5)
    return min(events, key=lambda e: abs(np.linalg.norm(e.entry + e.exit_point) - RADIUS))


def test_the_likelihood_is_that_of_a_slow_one(detector: Detector, event: Event) -> None:
    rng = np.random.default_rng(2)
    few = rng.choice(len(event.time), 150, replace=False)
    hits = (
        event.pmts[few].astype(float),
        event.charge[few].astype(float),
        event.time[few].astype(float),
    )
    slow = Slow(detector, event.entry, event.exit_point)
    found = np.empty((len(few), 7))
    cost = negative_log_likelihood(
        *hits, event.entry, event.exit_point, event.start, detector.model, OUTLIER, found
    )
    density = np.array([
        slow.density(pmt, charge, time - event.start)
        for pmt, charge, time in zip(*hits, strict=True)
    ])  # fmt: skip
    # Pieces of 0.3 to 1.5 m in place of 5 cm, and a step of 0.25 ns: 1 % of a density.
    assert cost == pytest.approx(-np.log(density + OUTLIER).sum(), abs=0.01 * len(few))


def test_scores_are_the_likelihoods_derivatives(detector: Detector, event: Event) -> None:
    hits = [np.asarray(a[::5], np.float64) for a in (event.pmts, event.charge, event.time)]
    start = np.concatenate([0.995 * event.entry, 0.995 * event.exit_point, [event.start]])
    found = np.empty((len(hits[2]), 7))

    def cost(x: np.ndarray) -> float:
        return float(
            negative_log_likelihood(*hits, x[:3], x[3:6], x[6], detector.model, OUTLIER, found)
        )

    # Over a distance that passes many of the table's and the arrival times' kinks.
    steps = [0.02] * 6 + [0.05]
    forward, back = (approx_fprime(start, cost, sign * np.array(steps)) for sign in (1.0, -1.0))
    cost(start)
    size = np.sqrt((found**2).sum(axis=0))
    assert np.all(np.abs(found.sum(axis=0) + 0.5 * (forward + back)) < 0.1 * size)


def test_expected_times_are_medians_and_give_the_track_back(
    detector: Detector, event: Event
) -> None:
    slow = Slow(detector, event.entry, event.exit_point)
    pmts, charge = event.pmts[::4].astype(float), np.maximum(event.charge[::4], 1.0).astype(float)
    exact = np.array([slow.median(*pair) for pair in zip(pmts, charge, strict=True)])
    derivatives = np.empty((len(pmts), 7))
    time, spread = median_first_times(
        pmts, charge, event.entry, event.exit_point, detector.model, derivatives
    )
    assert np.median(np.abs(time - exact)) < 0.05
    # Pieces in the middle of a track are 1.5 m long: few PMTs see one of them first.
    assert np.quantile(np.abs(time - exact), 0.8) < 0.1
    assert np.all(spread > 0)
    seed = seeds(RADIUS, event.pmts, event.charge, event.time)[0]
    assert np.linalg.norm(seed[0] - event.entry) > 0.2
    hits = make_hits(pmts, charge, exact + 12.3)
    entry, exit_point, start, *_ = fit_least_squares(
        median_times(detector.model), hits, *seed, RADIUS
    )
    assert np.linalg.norm(entry - event.entry) < 0.02
    assert np.linalg.norm(exit_point - event.exit_point) < 0.05
    assert start == pytest.approx(12.3, abs=0.05)


# -- whole fits


def test_pulls_and_resolution(detector: Detector) -> None:
    """Without showers deviations are what the covariance says."""
    pulls, angles = [], []
    for event in simulated(QUIET, 60, seed=3):
        fit = fitted(detector, event)
        away = fit.entry - 2.0 * (fit.entry @ fit.direction) * fit.direction
        error = np.concatenate([fit.entry - event.entry, away - event.exit_point, [0.0]])
        error[6] = fit.time - event.start
        # Along five derivatives that the covariance holds; its other two are across the sphere.
        value, way = np.linalg.eigh(fit.covariance)
        pulls.append((way.T @ error)[2:] / np.sqrt(value[2:]))
        angles.append(opening(fit.direction, (event.exit_point - event.entry) / np.linalg.norm(
            event.exit_point - event.entry)))  # fmt: skip
    pulls = np.array(pulls)
    count = pulls.size
    # χ² of that many, and a tenth for pieces of tracks that are not infinitely fine.
    assert 1.0 - 5 * np.sqrt(2 / count) < np.mean(pulls**2) < 1.35 + 5 * np.sqrt(2 / count)
    assert np.all(np.abs(pulls.mean(axis=0)) < 5 * 1.2 / np.sqrt(len(pulls)))
    assert np.median(angles) < 0.3


def test_showers_do_little_harm(detector: Detector) -> None:
    events = simulated(DETECTOR, 40, seed=4)
    found = [between(e.entry, e.exit_point, fitted(detector, e)) for e in events]
    entry, exit_point = np.array(found).T
    assert np.median(entry) < 0.08
    assert np.median(exit_point) < 0.15
    assert np.mean(exit_point > 1.0) < 0.1


def test_light_is_found_where_it_is_made(detector: Detector, event: Event) -> None:
    """A third of the light from one place: the profile shows it, and the fit is not misled."""
    slow = Slow(detector, event.entry, event.exit_point)
    shower = np.ones(len(slow.rows))
    shower[270:274] += 50.0
    place = np.linalg.norm(event.pmts[:, None] - slow.outward, axis=2) / 2.0
    nodes = np.linspace(0.0, 1.0, slow.rows.shape[1])
    light = np.stack([
        np.interp(u, nodes, row[:, 0] + row[:, 1])
        for u, row in zip(place.T, slow.rows, strict=True)
    ])  # fmt: skip
    charge = shower @ light
    charge *= 200.0 / charge.mean()
    pmts, model = event.pmts.astype(float), detector.model
    share = light_profile(pmts, charge, event.entry, event.exit_point, model, 30)
    assert share.sum() == pytest.approx(1.0)
    excess = share / model.even
    assert abs(model.place[np.argmax(excess)] - 0.68) < 0.05
    near = np.abs(model.place - 0.68) < 0.1
    # A third of the light is a shower's; few rounds leave part of it beside its place.
    assert 0.5 * 200 / 600 < (share - model.even * 400 / 600)[near].sum() < 200 / 600


def test_a_shower_beside_the_entry_does_not_hide_the_exit(detector: Detector) -> None:
    """The brightest hits are a shower's, and seeds that believe in them end nowhere."""
    tracks = Tracks(np.array([[0.0, 9.0, 15.24]]), np.array([[0.6, -0.48, -0.64]]), np.ones(1))
    exit_point = tracks.entry + tracks.length()[:, None] * tracks.direction
    rng = np.random.default_rng(9)
    edges = np.linspace(0.0, tracks.length()[0], 80)
    lost = np.full(79, 100.0)
    lost[1] = 1e6
    _, hits = QUIET._hits(tracks.entry[0], tracks.direction[0], edges, lost, rng)
    found = make_hits(QUIET.layout.direction[hits.pmt], hits.charge, hits.time)
    time_model, starts = median_times(detector.model), seeds(RADIUS, *found)
    assert (
        min(
            fit_least_squares(time_model, found.part(600), *s, RADIUS).half_chi2_per_hit
            for s in starts
        )
        > 1.5
    )
    best = fit_from_seeds(time_model, RADIUS, found)
    assert np.linalg.norm(best.exit_point - exit_point[0]) < 2.0


def test_short_tracks_are_not_taken_the_wrong_way_round(detector: Detector) -> None:
    rng = np.random.default_rng(10)
    tracks = draw_tracks(3000, RADIUS, 207.0, rng)
    short = np.flatnonzero(tracks.length() < 3.0)
    assert len(short) > 10
    tracks = Tracks(*(column[short] for column in tracks))
    seen = 0
    for direction, (_, _, hits) in zip(tracks.direction, QUIET._events(tracks, rng), strict=True):
        pmts = QUIET.layout.direction[hits.pmt]
        for fit in (
            fit_track(detector.model, pmts, hits.charge, hits.time),
            fit_times(median_times(detector.model), RADIUS, pmts, hits.charge, hits.time),
        ):
            assert fit.direction @ direction > 0.0
            seen += 1
    assert seen == 2 * len(short)


def test_times_alone_give_the_track(detector: Detector) -> None:
    angles = []
    for event in simulated(QUIET, 20, seed=6):
        hits = event.pmts, event.charge, event.time
        fit = fit_times(median_times(detector.model), RADIUS, *hits)
        true = (event.exit_point - event.entry) / np.linalg.norm(event.exit_point - event.entry)
        angles.append(opening(fit.direction, true))
        assert np.all(np.isinf(fit.covariance))
    assert np.median(angles) < 0.4


def test_a_turned_detector_turns_the_track(detector: Detector, event: Event) -> None:
    turn = Rotation.random(random_state=7).as_matrix()
    fit = fitted(detector, event)
    other = fitted(detector, event._replace(pmts=event.pmts @ turn.T))
    np.testing.assert_allclose(other.entry, turn @ fit.entry, atol=1e-4)
    np.testing.assert_allclose(other.direction, turn @ fit.direction, atol=1e-5)
    assert other.time == pytest.approx(fit.time, abs=1e-3)
    later = fitted(detector, event._replace(time=event.time + 64.0))
    np.testing.assert_allclose(later.entry, fit.entry, atol=1e-3)
    assert later.time - fit.time == pytest.approx(64.0, abs=1e-3)


def test_late_hits_do_not_pull_the_track(detector: Detector, event: Event) -> None:
    time = event.time.copy()
    time[::20] += np.random.default_rng(8).uniform(-20.0, 60.0, len(time[::20]))
    clean, spoilt = fitted(detector, event), fitted(detector, event._replace(time=time))
    sigma = np.sqrt(np.trace(clean.covariance[:6, :6]))
    moved = np.hypot(*between(clean.entry, clean.entry - 2.0 * (clean.entry @ clean.direction)
                              * clean.direction, spoilt))  # fmt: skip
    assert moved < 3 * sigma


@pytest.mark.parametrize("hits", [0, 1, 3, 7])
def test_few_hits_give_a_track_all_the_same(detector: Detector, event: Event, hits: int) -> None:
    fit = fit_track(detector.model, event.pmts[:hits], event.charge[:hits], event.time[:hits])
    assert np.linalg.norm(fit.entry) == pytest.approx(RADIUS)
    assert np.linalg.norm(fit.direction) == pytest.approx(1.0)
    assert np.all(np.isinf(fit.covariance))


def test_hits_of_equal_time_and_place_end_in_a_track(detector: Detector) -> None:
    pmts = np.tile(latitude_rings(30, 60).direction[7], (40, 1))
    fit = fit_track(detector.model, pmts, np.ones(40), np.zeros(40))
    assert np.linalg.norm(fit.entry) == pytest.approx(RADIUS)
    assert np.linalg.norm(fit.direction) == pytest.approx(1.0)


def test_scoring_stays_where_the_likelihood_is_largest(detector: Detector, event: Event) -> None:
    hits = [np.asarray(a, np.float64) for a in (event.pmts, event.charge, event.time)]
    once = fisher_scoring(*hits, event.entry, event.exit_point, event.start, detector.model, 20)
    again = fisher_scoring(*hits, *once[:3], detector.model, 1)
    np.testing.assert_allclose(again[0], once[0], atol=0.005)
    assert (
        again[4]
        <= fisher_scoring(*hits, event.entry, event.exit_point, event.start, detector.model, 1)[4]
    )
