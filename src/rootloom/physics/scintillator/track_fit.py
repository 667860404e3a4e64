"""A muon's straight track through a sphere of scintillator, fitted to PMTs' first-hit times.

`fit_times` uses least squares (`track_squares`) with any model of the light. `fit_track` continues
with the likelihood of `track_likelihood` and Fisher scoring, first on part of the PMTs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.scintillator.track_light import TrackModel
from rootloom.physics.scintillator.track_likelihood import (
    light_profile,
    median_first_times,
    negative_log_likelihood,
)
from rootloom.physics.scintillator.track_squares import (
    Hits,
    TimeModel,
    apply_step,
    fit_from_seeds,
    fit_least_squares,
    limited_step,
    make_hits,
    seeds,
    tangents,
    unit,
)

MIN_HITS = 8  # to fit the five parameters of a track
_PROFILE_HITS, _SCORING_HITS = (
    600,
    2500,
)  # used for the light profile and the first scoring steps
_TIME_BLUR_NS = 1.0  # time uncertainty of a track that is known to 20 cm
_SCORING_STEPS, _FINAL_STEPS = 10, 1
# Half the squared deviation per hit is 0.5 for uniform light along the track. Only above this value
# a fit looks for showers: short tracks without showers would be fitted with false ones.
_SHOWER_HALF_CHI2_PER_HIT = 0.6
_PROFILE_ROUNDS, _MIN_LIKELIHOOD_GAIN = (
    30,
    10.0,
)  # of the light profile; in log-likelihood
_MIN_STEP_M = 0.005  # the fit ends after a shorter step
_OUTLIER_DENSITY = 1e-4  # ns⁻¹: one hit in a hundred, at any time in a hundred nanoseconds


class TrackFit(NamedTuple):
    """A fitted track. entry: (3,) m; direction: (3,) unit vector; time: of the entry, ns.

    covariance: (7, 7) of entry point, exit point and time from the likelihood, of rank 5; infinite
    for a fit without one. cost: minus the log-likelihood of the hits, or that of `LeastSquaresFit`.
    """

    entry: np.ndarray
    direction: np.ndarray
    time: float
    covariance: np.ndarray
    cost: float


def fit_track(
    model: TrackModel, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> TrackFit:
    """Fit the track of one muon by its likelihood.

    pmts: (H, 3) unit vectors to the PMTs hit; charge: (H,) photoelectrons; time: (H,) ns, with any
    offset. With fewer than `MIN_HITS` hits the track is the first seed and the covariance infinite;
    without a hit the track goes down through the centre.
    """
    hits = make_hits(pmts, charge, time)
    if len(hits.time) < MIN_HITS:
        return _guessed(model.radius, hits)
    few, some = hits.part(_PROFILE_HITS), hits.part(_SCORING_HITS)
    best = fit_from_seeds(median_times(model), model.radius, hits)
    found = fisher_scoring(*some, *best[:3], model, _SCORING_STEPS)
    if best.half_chi2_per_hit > _SHOWER_HALF_CHI2_PER_HIT:
        share = light_profile(few.pmts, few.charge, *best[:2], model, _PROFILE_ROUNDS)
        uneven = model._replace(share=share)
        rough = fit_least_squares(median_times(uneven), few, *best[:2], model.radius)
        showers = fisher_scoring(*some, *rough[:3], uneven, _SCORING_STEPS)
        if showers[4] + _MIN_LIKELIHOOD_GAIN < found[4]:
            found, model = showers, uneven
    return _track(*fisher_scoring(*hits, *found[:3], model, _FINAL_STEPS))


def fit_times(
    time_model: TimeModel, radius: float, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> TrackFit:
    """Fit the track of one muon by least squares of first-hit times; arguments as in `fit_track`.

    time_model: a model of the times, in a sphere of `radius` m.
    """
    hits = make_hits(pmts, charge, time)
    if len(hits.time) < MIN_HITS:
        return _guessed(radius, hits)
    best = fit_from_seeds(time_model, radius, hits)
    found = fit_least_squares(time_model, hits, *best[:2], radius)
    return _track(*found[:3], np.full((7, 7), np.inf), found.cost)


def median_times(model: TrackModel) -> TimeModel:
    """A model of the median times of first photoelectrons, with 1 ns added to their spread."""

    def time_model(
        pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, exit_point: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        derivatives = np.empty((len(pmts), 7))
        time, spread = median_first_times(pmts, charge, entry, exit_point, model, derivatives)
        return time, np.hypot(spread, _TIME_BLUR_NS), derivatives

    return time_model


@njit(cache=True, nogil=True, error_model="numpy")
def fisher_scoring(
    pmts: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    start: float,
    model: TrackModel,
    steps: int,
) -> tuple:
    """Maximise the likelihood by Fisher scoring, with the information from the PMTs' scores.

    Returns entry, exit, start, their covariance (7, 7) and the cost before the last step.
    """
    found = np.empty((len(pmts), 7))
    covariance, cost = np.zeros((7, 7)), np.inf
    for _ in range(steps):
        cost = negative_log_likelihood(
            pmts, charge, time, entry, exit_point, start, model, _OUTLIER_DENSITY, found
        )
        basis = tangents(entry, exit_point)
        derivatives = found @ basis
        information = derivatives.T @ derivatives
        step = limited_step(information, np.sum(derivatives, axis=0))
        inverse = np.linalg.inv(information + 1e-9 * np.eye(5))
        covariance = basis @ inverse @ basis.T
        entry, exit_point, start, moved = apply_step(
            entry, exit_point, start, basis, step, model.radius
        )
        if moved < _MIN_STEP_M:
            break
    return entry, exit_point, start, covariance, cost


def _guessed(radius: float, hits: Hits) -> TrackFit:
    return _track(*seeds(radius, *hits)[0], 0.0, np.full((7, 7), np.inf), np.inf)


def _track(
    entry: np.ndarray, exit_point: np.ndarray, start: float, covariance: np.ndarray, cost: float
) -> TrackFit:
    return TrackFit(entry, unit(exit_point - entry), float(start), covariance, float(cost))
