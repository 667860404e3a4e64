"""Least-squares fit of a muon track to first-hit times, with any model of the expected times.

After arXiv:1803.10407. A track through a sphere of scintillator is its entry and exit point, (3,) m
on the sphere, and the time of its entry, ns. The fit makes Gauss-Newton steps with Huber's loss,
from seeds that follow from the charges and the earliest hits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

# pmts (H, 3) unit vectors, charge (H,), entry and exit (3,) m → times (H,), ns after the entry,
# their spread (H,), ns, and their derivatives (H, 7) in entry, exit, ns m⁻¹, and start, 1.
TimeModel = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
]

HUBER_SIGMAS = 2.0  # larger deviations enter the loss linearly
_EARLIEST_SHARE, _BRIGHTEST_SHARE = (
    0.01,
    0.03,
)  # shares of the hits used for the seeds of entry and exit
_MAX_COS_ENTRY_EXIT = np.cos(np.radians(40.0))  # hits of the exit are farther from the entry
_MAX_STEP_M = 3.0
_MAX_STEPS = 15
_MIN_STEP_M = 0.005  # the fit ends after a shorter step
_SEED_HITS = 600  # used to compare the seeds
_MAX_HALF_CHI2_PER_HIT = 1.5  # above it the fit has found a wrong track
_RESTART_EXITS = 40  # further exits to start from, all over the sphere
_SHORT_TRACK_M = 6.0  # shorter tracks are also fitted in the opposite direction


class Hits(NamedTuple):
    """PMTs hit. pmts: (H, 3) unit vectors; charge: (H,) photoelectrons; time: (H,) ns."""

    pmts: np.ndarray
    charge: np.ndarray
    time: np.ndarray

    def part(self, number: int) -> Hits:
        """About `number` of the hits: every k-th."""
        step = max(1, len(self.time) // number)
        return Hits(*(np.ascontiguousarray(column[::step]) for column in self))


class LeastSquaresFit(NamedTuple):
    """A track fitted by least squares. entry, exit_point: (3,) m; start: ns.

    cost: minus the logarithm of the normal density of the hits, used to compare tracks.
    half_chi2_per_hit: mean of half the squared deviation of a hit; 0.5 is expected.
    """

    entry: np.ndarray
    exit_point: np.ndarray
    start: float
    cost: float
    half_chi2_per_hit: float


def make_hits(pmts: np.ndarray, charge: np.ndarray, time: np.ndarray) -> Hits:
    """Hits in double precision."""
    return Hits(*(np.ascontiguousarray(column, np.float64) for column in (pmts, charge, time)))


def fit_from_seeds(time_model: TimeModel, radius: float, hits: Hits) -> LeastSquaresFit:
    """Fit part of the hits from all seeds, in a sphere of `radius` m; return the best track.

    If no seed gives a good fit, exits all over the sphere are tried, because a shower near the
    entry can outshine the exit. A short track is also fitted in the opposite direction, to all
    hits, because the light of both directions is similar.
    """
    few = hits.part(_SEED_HITS)
    best = _best(time_model, few, seeds(radius, *hits), radius)
    if best.half_chi2_per_hit > _MAX_HALF_CHI2_PER_HIT:
        exits = radius * few.part(_RESTART_EXITS).pmts
        best = _best(time_model, few, [(best.entry, exit_point) for exit_point in exits], radius)
    if math.dist(best.entry, best.exit_point) < _SHORT_TRACK_M:
        both = [(best.entry, best.exit_point), (best.exit_point, best.entry)]
        best = _best(time_model, hits, both, radius)
    return best


def fit_least_squares(
    time_model: TimeModel, hits: Hits, entry: np.ndarray, exit_point: np.ndarray, radius: float
) -> LeastSquaresFit:
    """Fit a track from one entry and exit point on, with Huber's loss."""
    best, start = LeastSquaresFit(entry, exit_point, 0.0, np.inf, np.inf), np.nan
    for _ in range(_MAX_STEPS):
        middle, spread, derivatives = time_model(hits.pmts, hits.charge, entry, exit_point)
        if np.isnan(start):
            start = float(np.median(hits.time - middle))
        pull = (hits.time - middle - start) / spread
        here = entry, exit_point, start
        *there, moved, half = _gauss_newton_step(pull, spread, derivatives, *here, radius)
        cost = half + float(np.log(spread).sum())
        if cost < best.cost:
            best = LeastSquaresFit(*here, cost, half / len(pull))
        entry, exit_point, start = there
        if moved < _MIN_STEP_M:
            break
    return best


def seeds(
    radius: float, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Entry and exit points, (3,) m each, to start a fit from; hits as of `Hits`.

    The entry is the charge-weighted mean direction of the earliest hits. One exit is that of the
    brightest hits away from the entry. The other is the entry reflected at the charge-weighted mean
    direction of all hits, which points to the middle of the track. Without a hit the track goes
    down through the centre.
    """
    if not len(time):
        down = np.array([0.0, 0.0, -radius])
        return [(-down, down)]
    order = np.argsort(time, kind="stable")[: max(3, int(_EARLIEST_SHARE * len(time)))]
    entry = unit(charge[order] @ pmts[order])
    middle = unit(charge @ pmts)
    mirrored = 2.0 * (entry @ middle) * middle - entry
    away = np.flatnonzero(pmts @ entry < _MAX_COS_ENTRY_EXIT)
    number = max(1, int(_BRIGHTEST_SHARE * len(away)))
    bright = away[np.argsort(-charge[away], kind="stable")[:number]]
    exits = [mirrored, unit(charge[bright] @ pmts[bright])] if len(away) else [mirrored]
    return [(radius * entry, radius * exit_point) for exit_point in exits]


def unit(vector: np.ndarray) -> np.ndarray:
    """The unit vector along `vector` (3,); (0, 0, −1) for a zero vector."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else np.array([0.0, 0.0, -1.0])


@njit(cache=True, nogil=True, error_model="numpy")
def tangents(entry: np.ndarray, exit_point: np.ndarray) -> np.ndarray:
    """Basis (7, 5) of the moves of entry and exit point along the sphere, and of the start time."""
    basis = np.zeros((7, 5))
    basis[6, 4] = 1.0
    for k in range(2):
        point = entry if k == 0 else exit_point
        normal = point / math.sqrt(np.sum(point * point))
        other = np.zeros(3)
        other[np.argmin(np.abs(normal))] = 1.0
        across = np.cross(normal, other)
        across /= math.sqrt(np.sum(across * across))
        basis[3 * k : 3 * k + 3, 2 * k] = across
        basis[3 * k : 3 * k + 3, 2 * k + 1] = np.cross(normal, across)
    return basis


@njit(cache=True, nogil=True, error_model="numpy")
def limited_step(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve a normal equation for the step (5,), at most `_MAX_STEP_M` long."""
    damped = matrix + 1e-9 * (1.0 + np.trace(matrix)) * np.eye(len(vector))
    step = np.linalg.solve(damped, vector)
    length = math.sqrt(np.sum(step[:4] ** 2))
    return step * min(1.0, _MAX_STEP_M / max(length, 1e-12))


@njit(cache=True, nogil=True, error_model="numpy")
def apply_step(
    entry: np.ndarray,
    exit_point: np.ndarray,
    start: float,
    basis: np.ndarray,
    step: np.ndarray,
    radius: float,
) -> tuple:
    """Entry, exit and start after a step (5,) in the basis of `tangents`, and its length, m."""
    change = basis @ step
    one, two = entry + change[:3], exit_point + change[3:6]
    one *= radius / math.sqrt(np.sum(one * one))
    two *= radius / math.sqrt(np.sum(two * two))
    return one, two, start + change[6], math.sqrt(np.sum(step[:4] ** 2))


@njit(cache=True, nogil=True, error_model="numpy")
def _gauss_newton_step(
    pull: np.ndarray,
    spread: np.ndarray,
    derivatives: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    start: float,
    radius: float,
) -> tuple:
    """Entry, exit and start after a Gauss-Newton step, its length, m, and the cost before it."""
    cost, normal, slope = 0.0, np.zeros((5, 5)), np.zeros(5)
    basis = tangents(entry, exit_point)
    scaled = derivatives @ basis
    for h in range(len(pull)):
        size = abs(pull[h])
        cost += (
            0.5 * size * size if size < HUBER_SIGMAS else HUBER_SIGMAS * (size - 0.5 * HUBER_SIGMAS)
        )
        row = scaled[h] / spread[h]
        weight = min(1.0, HUBER_SIGMAS / max(size, 1e-9))
        for k in range(5):
            slope[k] += weight * pull[h] * row[k]
            for j in range(5):
                normal[k, j] += weight * row[k] * row[j]
    one, two, begin, moved = apply_step(
        entry, exit_point, start, basis, limited_step(normal, slope), radius
    )
    return one, two, begin, moved, cost


def _best(
    time_model: TimeModel,
    hits: Hits,
    starts: Iterable[tuple[np.ndarray, np.ndarray]],
    radius: float,
) -> LeastSquaresFit:
    return min(
        (fit_least_squares(time_model, hits, *start, radius) for start in starts),
        key=lambda s: s.cost,
    )
