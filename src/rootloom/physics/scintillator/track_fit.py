"""A muon's straight track through a sphere of scintillator, fitted to PMTs' first-hit times.

By least squares (`track_squares`) to whatever model of its light, or from there on by the
likelihood of `track_likelihood` with Fisher's scoring, on part of the PMTs at first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.scintillator.track_light import TrackModel
from rootloom.physics.scintillator.track_likelihood import expected, light_profile, scores
from rootloom.physics.scintillator.track_squares import (
    Expects,
    Hits,
    hits_of,
    least_squares,
    moved_by,
    seeds,
    solved,
    squares,
    tangents,
    unit,
)

LEAST_HITS = 8  # for the five numbers of a track
_FEW, _SOME = 600, 2500  # PMTs that the light's profile and the first steps of scoring look at
_BLUR = 1.0  # ns, of a track that is known to 20 cm
_SCORING, _ALL = 10, 1  # steps
# Squares a hit are 0.5 where light is even along a track; more lets a fit look for showers, which
# short tracks without them would rather take for others.
_POOR = 0.6
_ROUNDS, _CLEARLY = 30, 10.0  # of the light's profile; units of the likelihood it must gain
_SMALL = 0.005  # m: a step that is the last
_OUTLIER = 1e-4  # ns⁻¹: one hit in a hundred, at any time in a hundred nanoseconds


class TrackFit(NamedTuple):
    """A fitted track. entry: (3,) m; direction: (3,) unit vector; time: of the entry, ns.

    covariance: (7, 7) of entry point, exit point and time after the likelihood, of rank 5; infinite
    of a fit that does not find one. cost: minus the log-likelihood of the hits, or their squares.
    """

    entry: np.ndarray
    direction: np.ndarray
    time: float
    covariance: np.ndarray
    cost: float


def fit_track(
    model: TrackModel, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> TrackFit:
    """The track of one muon by the likelihood.

    pmts: (H, 3) unit vectors to the PMTs hit; charge: (H,) photoelectrons; time: (H,) ns, counted
    from anywhere. With fewer than `LEAST_HITS` hits the covariance is infinite, and the track what
    the seeds say; without a hit it goes down through the centre.
    """
    hits = hits_of(pmts, charge, time)
    if len(hits.time) < LEAST_HITS:
        return _guessed(model.radius, hits)
    few, some = hits.part(_FEW), hits.part(_SOME)
    best = least_squares(median_times(model), model.radius, hits)
    found = scoring(*some, *best[:3], model, _SCORING)
    if best.each > _POOR:
        share = light_profile(few.pmts, few.charge, *best[:2], model, _ROUNDS)
        uneven = model._replace(share=share)
        rough = squares(median_times(uneven), few, *best[:2], model.radius)
        showers = scoring(*some, *rough[:3], uneven, _SCORING)
        if showers[4] + _CLEARLY < found[4]:
            found, model = showers, uneven
    return _track(*scoring(*hits, *found[:3], model, _ALL))


def fit_times(
    expects: Expects, radius: float, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> TrackFit:
    """The track of one muon by least squares of first-hit times; arguments as of `fit_track`.

    expects: a model of the times, in a sphere of `radius` m.
    """
    hits = hits_of(pmts, charge, time)
    if len(hits.time) < LEAST_HITS:
        return _guessed(radius, hits)
    best = least_squares(expects, radius, hits)
    found = squares(expects, hits, *best[:2], radius)
    return _track(*found[:3], np.full((7, 7), np.inf), found.cost)


def median_times(model: TrackModel) -> Expects:
    """Medians of first photoelectrons; `track_likelihood.expected`, blurred by 1 ns."""

    def expects(
        pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, leaves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ways = np.empty((len(pmts), 7))
        time, spread = expected(pmts, charge, entry, leaves, model, ways)
        return time, np.hypot(spread, _BLUR), ways

    return expects


@njit(cache=True, nogil=True, error_model="numpy")
def scoring(
    pmts: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    entry: np.ndarray,
    leaves: np.ndarray,
    start: float,
    model: TrackModel,
    steps: int,
) -> tuple:
    """Entry, exit, start, their covariance (7, 7) and the cost before the last step.

    Fisher's scoring with the information that the PMTs' own scores give.
    """
    found = np.empty((len(pmts), 7))
    covariance, cost = np.zeros((7, 7)), np.inf
    for _ in range(steps):
        cost = scores(pmts, charge, time, entry, leaves, start, model, _OUTLIER, found)
        basis = tangents(entry, leaves)
        ways = found @ basis
        information = ways.T @ ways
        step = solved(information, np.sum(ways, axis=0))
        inverse = np.linalg.inv(information + 1e-9 * np.eye(5))
        covariance = basis @ inverse @ basis.T
        entry, leaves, start, moved = moved_by(entry, leaves, start, basis, step, model.radius)
        if moved < _SMALL:
            break
    return entry, leaves, start, covariance, cost


def _guessed(radius: float, hits: Hits) -> TrackFit:
    return _track(*seeds(radius, *hits)[0], 0.0, np.full((7, 7), np.inf), np.inf)


def _track(
    entry: np.ndarray, leaves: np.ndarray, start: float, covariance: np.ndarray, cost: float
) -> TrackFit:
    return TrackFit(entry, unit(leaves - entry), float(start), covariance, float(cost))
