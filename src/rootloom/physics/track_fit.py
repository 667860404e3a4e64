"""A muon's straight track through a sphere of scintillator, fitted to PMTs' first-hit times.

Least squares of first-hit times, as in arXiv:1803.10407, from seeds that charges and the earliest
hits give; from there the likelihood of `track_likelihood` by Fisher's scoring, on part of the PMTs
at first. A track is its entry and exit point on the sphere and its time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.track_light import TrackModel
from rootloom.physics.track_likelihood import expected, light_profile, scores

LEAST_HITS = 8  # for the five numbers of a track
_FEW, _SOME = 600, 2500  # PMTs that least squares and the first steps of scoring look at
_EARLIEST, _BRIGHTEST = 0.01, 0.03  # shares of the hits that seeds come from
_APART = np.cos(np.radians(40.0))  # of the brightest hits that are not the entry's
_HUBER = 2.0  # deviations beyond so many spreads count less
_BLUR = 1.0  # ns, of a track that is known to 20 cm
_LONGEST = 3.0  # m, of a step
_SQUARES, _SCORING, _ALL = 15, 10, 1  # steps
# Least squares a hit are 0.5 where light is even along a track; more lets a fit look for showers,
# which short tracks without them would rather take for others.
_POOR = 0.6
_ROUNDS, _CLEARLY = 30, 10.0  # of the light's profile; units of the likelihood it must gain
_SMALL = 0.005  # m: a step that is the last
_OUTLIER = 1e-4  # ns⁻¹: one hit in a hundred, at any time in a hundred nanoseconds


class TrackFit(NamedTuple):
    """A fitted track. entry: (3,) m; direction: (3,) unit vector; time: of the entry, ns.

    covariance: (7, 7) of entry point, exit point and time after the likelihood; of rank 5.
    cost: minus the log-likelihood of the hits.
    """

    entry: np.ndarray
    direction: np.ndarray
    time: float
    covariance: np.ndarray
    cost: float


class _Hits(NamedTuple):
    pmts: np.ndarray
    charge: np.ndarray
    time: np.ndarray


def fit_track(
    model: TrackModel, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> TrackFit:
    """The track of one muon.

    pmts: (H, 3) unit vectors to the PMTs hit; charge: (H,) photoelectrons; time: (H,) ns, counted
    from anywhere. With fewer than `LEAST_HITS` hits the covariance is infinite, and the track what
    the seeds say; without a hit it goes down through the centre.
    """
    hits = _Hits(
        np.ascontiguousarray(pmts, np.float64),
        np.ascontiguousarray(charge, np.float64),
        np.ascontiguousarray(time, np.float64),
    )
    starts = seeds(model.radius, *hits)
    if len(hits.time) < LEAST_HITS:
        return _track(*starts[0], 0.0, np.full((7, 7), np.inf), np.inf)
    few, some = (_Hits(*_part(hits, number)) for number in (_FEW, _SOME))
    rough = [squares(*few, *seed, model) for seed in starts]
    best = min(rough, key=lambda fit: fit[3])
    found = scoring(*some, *best[:3], model, _SCORING)
    if best[3] > _POOR * len(few.time):
        share = light_profile(few.pmts, few.charge, *best[:2], model, _ROUNDS)
        uneven = model._replace(share=share)
        showers = scoring(*some, *squares(*few, *best[:2], uneven)[:3], uneven, _SCORING)
        if showers[4] + _CLEARLY < found[4]:
            found, model = showers, uneven
    return _track(*scoring(*hits, *found[:3], model, _ALL))


def seeds(
    radius: float, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Entry and exit points, (3,) m each, to start a fit from; arguments as `fit_track`'s.

    The entry is the charge-weighted middle of the earliest hits. Exits are that of the brightest
    hits away from it, and the entry's mirror image in the charge-weighted middle of all hits, which
    lies on the radius to the middle of the track.
    """
    if not len(time):
        down = np.array([0.0, 0.0, -radius])
        return [(-down, down)]
    order = np.argsort(time, kind="stable")[: max(3, int(_EARLIEST * len(time)))]
    entry = _unit(charge[order] @ pmts[order])
    middle = _unit(charge @ pmts)
    mirrored = 2.0 * (entry @ middle) * middle - entry
    away = np.flatnonzero(pmts @ entry < _APART)
    number = max(1, int(_BRIGHTEST * len(away)))
    bright = away[np.argsort(-charge[away], kind="stable")[:number]]
    exits = [mirrored, _unit(charge[bright] @ pmts[bright])] if len(away) else [mirrored]
    return [(radius * entry, radius * leaves) for leaves in exits]


@njit(cache=True, nogil=True, error_model="numpy")
def squares(
    pmts: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    entry: np.ndarray,
    leaves: np.ndarray,
    model: TrackModel,
) -> tuple:
    """Entry, exit, start and cost of least squares of hits' times to the times expected.

    Deviations beyond a few times their spread cost linearly (Huber); steps are Gauss and Newton's.
    """
    ways = np.empty((len(pmts), 7))
    best, best_cost, start = (entry, leaves, 0.0), np.inf, np.nan
    for _ in range(_SQUARES):
        middle, spread = expected(pmts, charge, entry, leaves, model, ways)
        if np.isnan(start):
            start = np.median(time - middle)
        sigma = np.sqrt(spread**2 + _BLUR**2)
        pull = (time - middle - start) / sigma
        size = np.abs(pull)
        cost = np.sum(np.where(size < _HUBER, 0.5 * size**2, _HUBER * (size - 0.5 * _HUBER)))
        if cost < best_cost:
            best, best_cost = (entry, leaves, start), cost
        basis = _basis(entry, leaves)
        scaled = (ways @ basis) / sigma.reshape(-1, 1)
        weighted = scaled * np.minimum(1.0, _HUBER / np.maximum(size, 1e-9)).reshape(-1, 1)
        step = _solved(weighted.T @ scaled, weighted.T @ pull)
        entry, leaves, start, moved = _moved(entry, leaves, start, basis, step, model.radius)
        if moved < _SMALL:
            break
    return best[0], best[1], best[2], best_cost


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
        basis = _basis(entry, leaves)
        ways = found @ basis
        information = ways.T @ ways
        step = _solved(information, np.sum(ways, axis=0))
        inverse = np.linalg.inv(information + 1e-9 * np.eye(5))
        covariance = basis @ inverse @ basis.T
        entry, leaves, start, moved = _moved(entry, leaves, start, basis, step, model.radius)
        if moved < _SMALL:
            break
    return entry, leaves, start, covariance, cost


@njit(cache=True, nogil=True, error_model="numpy")
def _basis(entry: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """(7, 5): moves of entry and exit point along the sphere, and of the start."""
    basis = np.zeros((7, 5))
    basis[6, 4] = 1.0
    for k in range(2):
        point = entry if k == 0 else leaves
        normal = point / math.sqrt(np.sum(point * point))
        other = np.zeros(3)
        other[np.argmin(np.abs(normal))] = 1.0
        across = np.cross(normal, other)
        across /= math.sqrt(np.sum(across * across))
        basis[3 * k : 3 * k + 3, 2 * k] = across
        basis[3 * k : 3 * k + 3, 2 * k + 1] = np.cross(normal, across)
    return basis


@njit(cache=True, nogil=True, error_model="numpy")
def _solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The step of a normal equation, not longer than allowed."""
    damped = matrix + 1e-9 * (1.0 + np.trace(matrix)) * np.eye(len(vector))
    step = np.linalg.solve(damped, vector)
    length = math.sqrt(np.sum(step[:4] ** 2))
    return step * min(1.0, _LONGEST / max(length, 1e-12))


@njit(cache=True, nogil=True, error_model="numpy")
def _moved(
    entry: np.ndarray,
    leaves: np.ndarray,
    start: float,
    basis: np.ndarray,
    step: np.ndarray,
    radius: float,
) -> tuple:
    """Entry, exit and start after a step, and how far the points went, m."""
    change = basis @ step
    one, two = entry + change[:3], leaves + change[3:6]
    one *= radius / math.sqrt(np.sum(one * one))
    two *= radius / math.sqrt(np.sum(two * two))
    return one, two, start + change[6], math.sqrt(np.sum(step[:4] ** 2))


def _part(hits: _Hits, number: int) -> _Hits:
    """Every k-th hit, so that about `number` are left."""
    step = max(1, len(hits.time) // number)
    return _Hits(*(np.ascontiguousarray(column[::step]) for column in hits))


def _track(
    entry: np.ndarray, leaves: np.ndarray, start: float, covariance: np.ndarray, cost: float
) -> TrackFit:
    return TrackFit(entry, _unit(leaves - entry), float(start), covariance, float(cost))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else np.array([0.0, 0.0, -1.0])
