"""Least squares of first-hit times to what a model of a muon's light expects of them.

After arXiv:1803.10407. A track through a sphere of scintillator is its entry and exit point, (3,) m
on the sphere, and the time of its entry, ns. Whatever model says when light comes, steps are Gauss
and Newton's with Huber's loss, from seeds that charges and the earliest hits give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

# pmts (H, 3) unit vectors, charge (H,), entry and exit (3,) m → times (H,), ns after the entry,
# their spread (H,), ns, and their derivatives (H, 7) in entry, exit, ns m⁻¹, and start, 1.
Expects = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
]

HUBER = 2.0  # deviations beyond so many spreads count less
_EARLIEST, _BRIGHTEST = 0.01, 0.03  # shares of the hits that seeds come from
_APART = np.cos(np.radians(40.0))  # of the brightest hits that are not the entry's
_LONGEST = 3.0  # m, of a step
_STEPS = 15
_SMALL = 0.005  # m: a step that is the last
_FEW = 600  # hits that seeds are judged by
_LOST = 1.5  # squares a hit of a track that is another one
_AGAIN = 40  # exits to start from again: PMTs all over the sphere
_SHORT = 6.0  # m: a track that may as well be taken the other way round


class Hits(NamedTuple):
    """PMTs hit. pmts: (H, 3) unit vectors; charge: (H,) photoelectrons; time: (H,) ns."""

    pmts: np.ndarray
    charge: np.ndarray
    time: np.ndarray

    def part(self, number: int) -> Hits:
        """Every k-th hit, so that about `number` are left."""
        step = max(1, len(self.time) // number)
        return Hits(*(np.ascontiguousarray(column[::step]) for column in self))


class Squares(NamedTuple):
    """A track by least squares. entry, leaves: (3,) m; start: ns.

    cost: minus the logarithm of the hits' normal density, which tracks are compared by. each: half
    a squared deviation, the mean of the hits; 0.5 where a model holds.
    """

    entry: np.ndarray
    leaves: np.ndarray
    start: float
    cost: float
    each: float


def hits_of(pmts: np.ndarray, charge: np.ndarray, time: np.ndarray) -> Hits:
    """Hits in double precision."""
    return Hits(*(np.ascontiguousarray(column, np.float64) for column in (pmts, charge, time)))


def least_squares(expects: Expects, radius: float, hits: Hits) -> Squares:
    """The best track from all seeds, by part of the hits, of a model in a sphere of `radius` m.

    Where none of them fits it starts again from exits all over the sphere: a shower near the entry
    outshines the exit. A short track is also taken the other way round, and judged by all hits: its
    light looks much the same from both ends.
    """
    few = hits.part(_FEW)
    best = _best(expects, few, seeds(radius, *hits), radius)
    if best.each > _LOST:
        exits = radius * few.part(_AGAIN).pmts
        best = _best(expects, few, [(best.entry, leaves) for leaves in exits], radius)
    if math.dist(best.entry, best.leaves) < _SHORT:
        both = [(best.entry, best.leaves), (best.leaves, best.entry)]
        best = _best(expects, hits, both, radius)
    return best


def squares(
    expects: Expects, hits: Hits, entry: np.ndarray, leaves: np.ndarray, radius: float
) -> Squares:
    """Least squares from one entry and exit point on; deviations beyond `HUBER` cost linearly."""
    best, start = Squares(entry, leaves, 0.0, np.inf, np.inf), np.nan
    for _ in range(_STEPS):
        middle, spread, ways = expects(hits.pmts, hits.charge, entry, leaves)
        if np.isnan(start):
            start = float(np.median(hits.time - middle))
        pull = (hits.time - middle - start) / spread
        here = entry, leaves, start
        *there, moved, half = _stepped(pull, spread, ways, *here, radius)
        cost = half + float(np.log(spread).sum())
        if cost < best.cost:
            best = Squares(*here, cost, half / len(pull))
        entry, leaves, start = there
        if moved < _SMALL:
            break
    return best


def seeds(
    radius: float, pmts: np.ndarray, charge: np.ndarray, time: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Entry and exit points, (3,) m each, to start a fit from; hits as of `Hits`.

    The entry is the charge-weighted middle of the earliest hits. Exits are that of the brightest
    hits away from it, and the entry's mirror image in the charge-weighted middle of all hits, which
    lies on the radius to the middle of the track. Without a hit it goes down through the centre.
    """
    if not len(time):
        down = np.array([0.0, 0.0, -radius])
        return [(-down, down)]
    order = np.argsort(time, kind="stable")[: max(3, int(_EARLIEST * len(time)))]
    entry = unit(charge[order] @ pmts[order])
    middle = unit(charge @ pmts)
    mirrored = 2.0 * (entry @ middle) * middle - entry
    away = np.flatnonzero(pmts @ entry < _APART)
    number = max(1, int(_BRIGHTEST * len(away)))
    bright = away[np.argsort(-charge[away], kind="stable")[:number]]
    exits = [mirrored, unit(charge[bright] @ pmts[bright])] if len(away) else [mirrored]
    return [(radius * entry, radius * leaves) for leaves in exits]


def unit(vector: np.ndarray) -> np.ndarray:
    """The unit vector (3,) along another; down for none."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else np.array([0.0, 0.0, -1.0])


@njit(cache=True, nogil=True, error_model="numpy")
def tangents(entry: np.ndarray, leaves: np.ndarray) -> np.ndarray:
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
def solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The step (5,) of a normal equation, not longer than allowed."""
    damped = matrix + 1e-9 * (1.0 + np.trace(matrix)) * np.eye(len(vector))
    step = np.linalg.solve(damped, vector)
    length = math.sqrt(np.sum(step[:4] ** 2))
    return step * min(1.0, _LONGEST / max(length, 1e-12))


@njit(cache=True, nogil=True, error_model="numpy")
def moved_by(
    entry: np.ndarray,
    leaves: np.ndarray,
    start: float,
    basis: np.ndarray,
    step: np.ndarray,
    radius: float,
) -> tuple:
    """Entry, exit and start after a step (5,) of `tangents`, and how far the points went, m."""
    change = basis @ step
    one, two = entry + change[:3], leaves + change[3:6]
    one *= radius / math.sqrt(np.sum(one * one))
    two *= radius / math.sqrt(np.sum(two * two))
    return one, two, start + change[6], math.sqrt(np.sum(step[:4] ** 2))


@njit(cache=True, nogil=True, error_model="numpy")
def _stepped(
    pull: np.ndarray,
    spread: np.ndarray,
    ways: np.ndarray,
    entry: np.ndarray,
    leaves: np.ndarray,
    start: float,
    radius: float,
) -> tuple:
    """Entry, exit and start after Gauss and Newton's step, its length, m, and the cost before."""
    cost, normal, slope = 0.0, np.zeros((5, 5)), np.zeros(5)
    basis = tangents(entry, leaves)
    scaled = ways @ basis
    for h in range(len(pull)):
        size = abs(pull[h])
        cost += 0.5 * size * size if size < HUBER else HUBER * (size - 0.5 * HUBER)
        row = scaled[h] / spread[h]
        weight = min(1.0, HUBER / max(size, 1e-9))
        for k in range(5):
            slope[k] += weight * pull[h] * row[k]
            for j in range(5):
                normal[k, j] += weight * row[k] * row[j]
    one, two, begin, moved = moved_by(entry, leaves, start, basis, solved(normal, slope), radius)
    return one, two, begin, moved, cost


def _best(
    expects: Expects, hits: Hits, starts: Iterable[tuple[np.ndarray, np.ndarray]], radius: float
) -> Squares:
    return min((squares(expects, hits, *start, radius) for start in starts), key=lambda s: s.cost)
