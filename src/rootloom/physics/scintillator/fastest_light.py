"""The fastest light of a muon: straight lines at one speed, with a measured correction.

A PMT's first light leaves the track at the Cherenkov angle, cos θ = 1/n, or at the nearer end of
the track: t = min over s of s/c + n d(s)/c, where d is the straight distance from the point s along
the track. JUNO's muons are fitted like this (arXiv:1803.10407), with a correction of first-hit
times by charge and position from muons with known tracks. Refraction, attenuation, scattering,
decay and transit times enter only through this correction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import distance_transform_edt

from rootloom.physics.scintillator.optics import LIGHT
from rootloom.physics.scintillator.track_squares import HUBER_SIGMAS, Hits, TimeModel

_LENGTH_NODES, _CHARGE_NODES, _POSITION_NODES = 32, 16, 24  # nodes of the correction
_MAX_CHARGE = 30_000.0  # photoelectrons, at the last node; 1 at the first
_MIN_HITS_PER_NODE = 30  # with fewer, a node takes the correction of the nearest one
_ROUNDS = 5
_MIN_LENGTH_M = 1e-6
_DEFAULT_SPREAD_NS = 5.0  # of first hits without a correction
# Mean square of a standard normal variable that is clipped at ±HUBER_SIGMAS.
_CLIPPED_VARIANCE = 0.9205


class FastestLight(NamedTuple):
    """The model of the fastest light. radius, sensors: of the scintillator's and PMTs' spheres, m.

    refractive: refractive index. correction, spread: (C, Q, D) ns, mean delay of first hits after
    the fastest light and their spread; nodes in the track's length, the logarithm of the charge
    and the PMT's position along the track, with linear interpolation.
    muons: number of muons from which they were determined.
    """

    radius: float
    sensors: float
    refractive: float
    correction: np.ndarray
    spread: np.ndarray
    muons: int = 0


class Muon(NamedTuple):
    """A muon of known track. entry, exit_point: (3,) m on the sphere of scintillator."""

    entry: np.ndarray
    exit_point: np.ndarray
    hits: Hits


def uncorrected(radius: float, sensors: float, index: float) -> FastestLight:
    """The fastest light without a correction."""
    shape = _LENGTH_NODES, _CHARGE_NODES, _POSITION_NODES
    return FastestLight(radius, sensors, index, np.zeros(shape), np.full(shape, _DEFAULT_SPREAD_NS))


def fit_correction(model: FastestLight, muons: Iterable[Muon], part: int = 2500) -> FastestLight:
    """Determine the correction from about `part` first hits of each muon with a known track.

    The correction of a node is Huber's mean of the delays of its hits, and the spread is Huber's
    second proposal. The time of a muon is unknown; it is the median over its hits with the current
    correction. Both are found by iteration. A node with fewer than 30 hits takes the values of the
    nearest one; without any muon the model does not change. Memory: 40 kB per muon.
    """
    bare = uncorrected(*model[:3])
    seen = [_delays(bare, muon, part) for muon in muons if len(muon.hits.time)]
    if not seen:
        return model
    offsets = np.cumsum([0, *(len(late) for _, late in seen)])
    place = np.concatenate([place for place, _ in seen])
    late = np.concatenate([late for _, late in seen])
    for _ in range(_ROUNDS):
        number, clipped, square = _sum_at_nodes(
            place, late, offsets, model.correction, model.spread
        )
        full = number >= _MIN_HITS_PER_NODE
        many = np.maximum(number, 1)
        nearest = distance_transform_edt(
            ~full, sampling=(_POSITION_NODES, 1, 1), return_distances=False, return_indices=True
        )
        model = model._replace(
            correction=(model.correction + clipped / many)[tuple(nearest)],
            spread=np.sqrt(square / many / _CLIPPED_VARIANCE)[tuple(nearest)],
        )
    return model._replace(muons=len(seen))


def fastest_times(model: FastestLight) -> TimeModel:
    """The `track_squares.TimeModel` of the fastest light."""

    def time_model(
        pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, exit_point: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = np.empty((2, len(pmts)))
        derivatives = np.empty((len(pmts), 7))
        _expect(pmts, charge, entry, exit_point, *model[:5], *found, derivatives)
        return *found, derivatives

    return time_model


def _delays(bare: FastestLight, muon: Muon, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Node coordinates (h, 3) and delays (h,), ns, of part of a muon's hits."""
    pmts, charge, time = muon.hits.part(part)
    found, _, _ = fastest_times(bare)(pmts, charge, muon.entry, muon.exit_point)
    place = _node_coordinates(pmts, charge, muon.entry, muon.exit_point, bare.radius)
    return place.astype(np.float32), (time - found).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_at_nodes(
    place: np.ndarray,
    late: np.ndarray,
    offsets: np.ndarray,
    correction: np.ndarray,
    spread: np.ndarray,
) -> tuple:
    """Number of hits at each node, and sums of their clipped deviations and of the squares."""
    number = np.zeros(correction.shape)
    clipped, square = np.zeros(correction.shape), np.zeros(correction.shape)
    for muon in range(len(offsets) - 1):
        first, last = offsets[muon], offsets[muon + 1]
        away = np.empty(last - first)
        for h in range(last - first):
            away[h] = late[first + h] - _interpolate(correction, place[first + h])[0]
        start = np.median(away)
        for h in range(last - first):
            at = place[first + h]
            c, q, d = int(at[0] + 0.5), int(at[1] + 0.5), int(at[2] + 0.5)
            far = HUBER_SIGMAS * spread[c, q, d]
            value = min(max(away[h] - start, -far), far)
            number[c, q, d] += 1.0
            clipped[c, q, d] += value
            square[c, q, d] += value * value
    return number, clipped, square


@njit(cache=True, nogil=True, error_model="numpy")
def _expect(
    pmts: np.ndarray,
    charge: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    radius: float,
    sensors: float,
    index: float,
    correction: np.ndarray,
    spread: np.ndarray,
    time: np.ndarray,
    spreads: np.ndarray,
    derivatives: np.ndarray,
) -> None:
    chord = exit_point - entry
    length = max(math.sqrt(np.sum(chord * chord)), _MIN_LENGTH_M)
    way = chord / length
    places = _node_coordinates(pmts, charge, entry, exit_point, radius)
    nodes = (len(correction) - 1) / (2.0 * radius), 0.5 * (correction.shape[2] - 1)
    cotangent = 1.0 / math.sqrt(index * index - 1.0)
    for p in range(len(pmts)):
        away = sensors * pmts[p] - entry
        along = np.sum(away * way)
        aside = math.sqrt(max(np.sum(away * away) - along * along, 0.0))
        source = min(max(along - aside * cotangent, 0.0), length)
        line = away - source * way
        distance = math.sqrt(np.sum(line * line))
        share, cosine = source / length, np.sum(pmts[p] * way)
        later, by_length, by_place = _interpolate(correction, places[p])
        for k in range(3):
            # A shift of the source along the track does not change the time, except at its ends.
            nearer = -index * line[k] / (distance * LIGHT)
            turned = by_place * nodes[1] * (pmts[p, k] - cosine * way[k]) / length
            longer = by_length * nodes[0] * way[k] + turned
            derivatives[p, k] = (1.0 - share) * nearer - share * way[k] / LIGHT - longer
            derivatives[p, 3 + k] = share * (nearer + way[k] / LIGHT) + longer
        derivatives[p, 6] = 1.0
        time[p] = (source + index * distance) / LIGHT + later
        spreads[p] = _interpolate(spread, places[p])[0]


@njit(cache=True, nogil=True, error_model="numpy")
def _node_coordinates(
    pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, exit_point: np.ndarray, radius: float
) -> np.ndarray:
    """Node coordinates (H, 3) of the track's length, the charge and the PMT's position."""
    chord = exit_point - entry
    length = max(math.sqrt(np.sum(chord * chord)), _MIN_LENGTH_M)
    places = np.empty((len(pmts), 3))
    for p in range(len(pmts)):
        bright = math.log(max(charge[p], 1.0)) / math.log(_MAX_CHARGE)
        cosine = np.sum(pmts[p] * chord) / length
        places[p, 0] = (_LENGTH_NODES - 1) * min(length / (2.0 * radius), 1.0)
        places[p, 1] = (_CHARGE_NODES - 1) * min(bright, 1.0)
        places[p, 2] = (_POSITION_NODES - 1) * 0.5 * min(max(1.0 + cosine, 0.0), 2.0)
    return places


@njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(table: np.ndarray, place: np.ndarray) -> tuple:
    """Linear interpolation in a table, with the slopes in its first and last coordinate."""
    c = min(int(place[0]), table.shape[0] - 2)
    q = min(int(place[1]), table.shape[1] - 2)
    d = min(int(place[2]), table.shape[2] - 2)
    x, y, z = place[0] - c, place[1] - q, place[2] - d
    value, by_first, by_last = 0.0, 0.0, 0.0
    for i in range(2):
        for j in range(2):
            bright = y if j else 1.0 - y
            low, high = table[c + i, q + j, d], table[c + i, q + j, d + 1]
            here = bright * (low + z * (high - low))
            value += (x if i else 1.0 - x) * here
            by_first += here if i else -here
            by_last += (x if i else 1.0 - x) * bright * (high - low)
    return value, by_first, by_last
