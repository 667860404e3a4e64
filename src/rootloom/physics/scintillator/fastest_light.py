"""The fastest light of a muon: straight lines at one speed, corrected by what hits are seen to do.

A PMT's first light comes from where its line makes the Cherenkov angle, cos θ = 1/n, with the
track, or from the nearer end of that: t = min over s of s/c + n d(s)/c, d being the straight
distance from the point s along the track. So JUNO's muons are fitted (arXiv:1803.10407), with a
correction of first-hit times by charge and place that muons of known tracks give. Nothing is known
of refraction, attenuation, scattering, decay or transit times but what they do to first hits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import distance_transform_edt

from rootloom.physics.scintillator.optics import LIGHT
from rootloom.physics.scintillator.track_squares import HUBER, Expects, Hits

_CHORDS, _CHARGES, _PLACES = 32, 16, 24  # nodes of the correction
_BRIGHTEST = 30_000.0  # photoelectrons, from 1 on
_FEW = 30  # hits that a node's own correction needs
_ROUNDS = 5
_TINY = 1e-6  # m
_UNCORRECTED = 5.0  # ns: spread of first hits where no muon has shown any
# Of a standard normal distribution, the mean square that is left when values stop at HUBER.
_CLIPPED_SQUARE = 0.9205


class FastestLight(NamedTuple):
    """What a fit by the fastest light knows. radius, sensors: of the scintillator and PMTs, m.

    refractive: index of what light goes through. correction, spread: (C, Q, D) ns, by which first
    hits are later than the fastest light, and how they spread about that; nodes over the track's
    length, the logarithm of the charge and the PMT's place along the track, linear in between.
    muons: how many of them have been looked at for that.
    """

    radius: float
    sensors: float
    refractive: float
    correction: np.ndarray
    spread: np.ndarray
    muons: int = 0


class Muon(NamedTuple):
    """A muon of known track. entry, leaves: (3,) m on the sphere of scintillator."""

    entry: np.ndarray
    leaves: np.ndarray
    hits: Hits


def uncorrected(radius: float, sensors: float, index: float) -> FastestLight:
    """The fastest light alone."""
    shape = _CHORDS, _CHARGES, _PLACES
    return FastestLight(radius, sensors, index, np.zeros(shape), np.full(shape, _UNCORRECTED))


def corrected(model: FastestLight, muons: Iterable[Muon], part: int = 2500) -> FastestLight:
    """A model corrected by what the first hits of muons do, some `part` of each muon's.

    The correction of a node is Huber's mean of what its hits are later than the fastest light, the
    spread his second proposal. Each muon's own time is not known: it is the median of its hits',
    corrected so far. Both are found in turns. A node with less than 30 hits has those of the
    nearest one; without a muon the model stays as it is. Memory: 40 kB a muon.
    """
    bare = uncorrected(*model[:3])
    seen = [_late(bare, muon, part) for muon in muons if len(muon.hits.time)]
    if not seen:
        return model
    offsets = np.cumsum([0, *(len(late) for _, late in seen)])
    place = np.concatenate([place for place, _ in seen])
    late = np.concatenate([late for _, late in seen])
    for _ in range(_ROUNDS):
        number, clipped, square = _gathered(place, late, offsets, model.correction, model.spread)
        full = number >= _FEW
        many = np.maximum(number, 1)
        nearest = distance_transform_edt(
            ~full, sampling=(_PLACES, 1, 1), return_distances=False, return_indices=True
        )
        model = model._replace(
            correction=(model.correction + clipped / many)[tuple(nearest)],
            spread=np.sqrt(square / many / _CLIPPED_SQUARE)[tuple(nearest)],
        )
    return model._replace(muons=len(seen))


def fastest_times(model: FastestLight) -> Expects:
    """Times, spreads and derivatives of `track_squares.Expects`."""

    def expects(
        pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, leaves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = np.empty((2, len(pmts)))
        ways = np.empty((len(pmts), 7))
        _expect(pmts, charge, entry, leaves, *model[:5], *found, ways)
        return *found, ways

    return expects


def _late(bare: FastestLight, muon: Muon, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (h, 3) among the nodes and how late (h,) ns, of part of a muon's hits."""
    pmts, charge, time = muon.hits.part(part)
    found, _, _ = fastest_times(bare)(pmts, charge, muon.entry, muon.leaves)
    place = _places(pmts, charge, muon.entry, muon.leaves, bare.radius)
    return place.astype(np.float32), (time - found).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _gathered(
    place: np.ndarray,
    late: np.ndarray,
    offsets: np.ndarray,
    correction: np.ndarray,
    spread: np.ndarray,
) -> tuple:
    """Hits at each node, their deviations, not beyond HUBER spreads, and the squares of these."""
    number = np.zeros(correction.shape)
    clipped, square = np.zeros(correction.shape), np.zeros(correction.shape)
    for muon in range(len(offsets) - 1):
        first, last = offsets[muon], offsets[muon + 1]
        away = np.empty(last - first)
        for h in range(last - first):
            away[h] = late[first + h] - _between(correction, place[first + h])[0]
        start = np.median(away)
        for h in range(last - first):
            at = place[first + h]
            c, q, d = int(at[0] + 0.5), int(at[1] + 0.5), int(at[2] + 0.5)
            far = HUBER * spread[c, q, d]
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
    leaves: np.ndarray,
    radius: float,
    sensors: float,
    index: float,
    correction: np.ndarray,
    spread: np.ndarray,
    time: np.ndarray,
    spreads: np.ndarray,
    ways: np.ndarray,
) -> None:
    chord = leaves - entry
    length = max(math.sqrt(np.sum(chord * chord)), _TINY)
    way = chord / length
    places = _places(pmts, charge, entry, leaves, radius)
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
        later, by_length, by_place = _between(correction, places[p])
        for k in range(3):
            # The source lies where the time does not change along the track, or at an end of it.
            nearer = -index * line[k] / (distance * LIGHT)
            turned = by_place * nodes[1] * (pmts[p, k] - cosine * way[k]) / length
            longer = by_length * nodes[0] * way[k] + turned
            ways[p, k] = (1.0 - share) * nearer - share * way[k] / LIGHT - longer
            ways[p, 3 + k] = share * (nearer + way[k] / LIGHT) + longer
        ways[p, 6] = 1.0
        time[p] = (source + index * distance) / LIGHT + later
        spreads[p] = _between(spread, places[p])[0]


@njit(cache=True, nogil=True, error_model="numpy")
def _places(
    pmts: np.ndarray, charge: np.ndarray, entry: np.ndarray, leaves: np.ndarray, radius: float
) -> np.ndarray:
    """Places (H, 3) among the nodes: of the track's length, the charge and the PMT's place."""
    chord = leaves - entry
    length = max(math.sqrt(np.sum(chord * chord)), _TINY)
    places = np.empty((len(pmts), 3))
    for p in range(len(pmts)):
        bright = math.log(max(charge[p], 1.0)) / math.log(_BRIGHTEST)
        cosine = np.sum(pmts[p] * chord) / length
        places[p, 0] = (_CHORDS - 1) * min(length / (2.0 * radius), 1.0)
        places[p, 1] = (_CHARGES - 1) * min(bright, 1.0)
        places[p, 2] = (_PLACES - 1) * 0.5 * min(max(1.0 + cosine, 0.0), 2.0)
    return places


@njit(cache=True, nogil=True, error_model="numpy")
def _between(table: np.ndarray, place: np.ndarray) -> tuple:
    """A table's value, linear between its nodes, and its slopes in the first and last of them."""
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
