"""Photomultipliers on latitude rings: photoelectrons and first-hit times.

Light from each piece of a track reaches a PMT as a Poisson process in time: direct light at one
instant, scattered light later, both smeared by the scintillator's decay and the PMT's
transit time. The first-hit time of the sum is the time at which its cumulative rate reaches a
random number with a unit exponential distribution. This is exact and draws no single photons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.stats import exponnorm

ARRIVAL_STEP = 0.25  # ns, of tabulated arrival times
_MAX_ARRIVAL_NS = 1000.0  # later light counts at this time
_EARLY_SIGMAS = 6.0  # of the transit time: nothing arrives earlier
_BLOCK = 32  # PMTs at a time, so that their light from all sources fits into the cache
_MAX_NEWTON_STEPS = 30
# Newton's method ends after a shorter step: the next one would be below a hundredth of it.
_LAST_STEP_NS = 0.4
_MAX_STEP_NS = 20.0
_NEAR_SOURCES_NS = 4.0  # sources up to so much after the first guess are used first


class Layout(NamedTuple):
    """PMTs, ring by ring from the south pole. direction: (P, 3) unit vectors; ring: (P,) int32."""

    direction: np.ndarray
    ring: np.ndarray


class ArrivalTimes(NamedTuple):
    """Cumulated arrival times (K, 2) float32 of direct and scattered light, from `start` ns on."""

    start: float
    cumulated: np.ndarray


def latitude_rings(rings: int, equator: int) -> Layout:
    """PMTs on `rings` equidistant latitudes with equal density, `equator` of them at the equator.

    Ring k lies at latitude (k + ½) π / rings − π/2; its PMTs are equidistant from longitude 0 on.
    """
    latitude = (np.arange(rings) + 0.5) * np.pi / rings - 0.5 * np.pi
    # Symmetric, although the cosine may be rounded differently in north and south.
    exact = np.round(equator * np.cos(latitude), 9)
    counts = np.maximum(np.rint(exact), 1).astype(np.int64)
    ring = np.repeat(np.arange(rings), counts)
    place = np.arange(len(ring)) - np.repeat(np.cumsum(counts) - counts, counts)
    longitude = 2.0 * np.pi * place / counts[ring]
    cosine = np.cos(latitude[ring])
    direction = np.stack(
        [cosine * np.cos(longitude), cosine * np.sin(longitude), np.sin(latitude[ring])], axis=1
    )
    return Layout(direction, ring.astype(np.int32))


def arrival_times(
    decay: np.ndarray, shares: np.ndarray, spread: float, delays: np.ndarray, step: float
) -> ArrivalTimes:
    """Cumulative arrival times relative to the time of the optical path.

    decay, shares: (n,) time constants of the scintillator, ns, and their shares. spread: of the
    transit time, ns, > 0. delays: (D,) of scattered light, shares in bins of `step` ns.
    """
    start = -_EARLY_SIGMAS * spread
    time = start + ARRIVAL_STEP * np.arange(int((_MAX_ARRIVAL_NS - start) / ARRIVAL_STEP))
    direct = sum(
        share * exponnorm.cdf(time, tau / spread, scale=spread)
        for tau, share in zip(decay, shares, strict=True)
    )
    each = np.repeat(delays, round(step / ARRIVAL_STEP)) * (ARRIVAL_STEP / step)
    scattered = np.convolve(direct, each)[: len(time)]
    both = np.stack([direct / direct[-1], scattered / scattered[-1]], axis=1)
    return ArrivalTimes(start, both.astype(np.float32))


def first_hits(
    layout: Layout,
    acceptance: np.ndarray,
    direction: np.ndarray,
    rows: np.ndarray,
    photons: np.ndarray,
    start: np.ndarray,
    arrivals: ArrivalTimes,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Photoelectrons (P,) int32 and first-hit times (P,) float32, ns, of one event.

    acceptance: (P,) photoelectrons a PMT gives per photon sr⁻¹; 0 for a dead one. direction: (S, 3)
    unit vectors to the sources; rows: (S, M, 3) of their light (`LightTable.at`); photons: (S,)
    sent; start: (S,) ns. The time of a PMT without photoelectron is NaN.
    """
    columns = np.array(rows.transpose(0, 2, 1), np.float32, order="C")
    columns[:, :2] *= photons[:, None, None]
    columns[:, 2] += start[:, None]
    count = np.zeros(len(acceptance), np.int32)
    time = np.full(len(acceptance), np.nan, np.float32)
    _first_hits(
        np.array(layout.direction.T, np.float32, order="C"),
        np.asarray(acceptance, np.float64),
        np.array(direction.T, np.float32, order="C"),
        columns,
        *arrivals,
        rng,
        count,
        time,
    )
    return count, time


@njit(cache=True, nogil=True, error_model="numpy")
def _first_hits(
    pmts: np.ndarray,
    acceptance: np.ndarray,
    direction: np.ndarray,
    rows: np.ndarray,
    earliest: float,
    cumulated: np.ndarray,
    rng: np.random.Generator,
    count: np.ndarray,
    time: np.ndarray,
) -> None:
    light = np.empty((3, len(rows), _BLOCK), np.float32)
    near = np.empty((len(rows), 3), np.float32)
    total, nearest = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int32)
    ahead = (
        0.0  # relative to direct light: the first guess for a PMT is the result of the previous one
    )
    for first in range(0, len(acceptance), _BLOCK):
        size = min(_BLOCK, len(acceptance) - first)
        _illuminate(pmts[:, first : first + size], direction, rows, light, total, nearest)
        for p in range(size):
            seen = acceptance[first + p]
            reached = rng.standard_exponential()
            expected = seen * total[p]
            if reached < expected:
                count[first + p] = 1 + rng.poisson(expected - reached)
                now = first_hit_time(
                    light, p, nearest[p], near, reached / seen, ahead, earliest, cumulated
                )
                time[first + p], ahead = now, now - light[2, nearest[p], p]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _illuminate(
    pmts: np.ndarray,
    direction: np.ndarray,
    rows: np.ndarray,
    light: np.ndarray,
    total: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Fill `light` (3, S, PMTs): each source's direct and scattered light and time.

    total, nearest: (PMTs,) all light, and the source whose direct light comes first.
    """
    size = pmts.shape[1]
    # Unsigned, so that numba need not handle negative indices and can vectorise.
    low, upper = np.empty(size, np.uint32), np.empty(size, np.float32)
    soonest = np.full(size, np.inf, np.float32)
    total[:] = 0.0
    for s in range(len(rows)):
        _places(pmts, direction[0, s], direction[1, s], direction[2, s], rows.shape[2], low, upper)
        for k in range(3):
            _interpolate(rows[s, k], low, upper, light[k, s])
        for p in range(size):
            total[p] += light[0, s, p] + light[1, s, p]
            if light[2, s, p] < soonest[p]:
                soonest[p], nearest[p] = light[2, s, p], s


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _places(
    pmts: np.ndarray,
    x: float,
    y: float,
    z: float,
    nodes: int,
    low: np.ndarray,
    upper: np.ndarray,
) -> None:
    """Nodes of sin(γ/2) below the PMTs, and the shares of the nodes above."""
    half = np.float32(0.5)
    # Slightly less than the last node, so that there is always a node above.
    scale = np.float32((nodes - 1) * (1.0 - 1e-6))
    for p in range(len(low)):
        cosine = x * pmts[0, p] + y * pmts[1, p] + z * pmts[2, p]
        place = scale * np.sqrt(min(max(half - half * cosine, np.float32(0.0)), np.float32(1.0)))
        low[p] = np.uint32(place)
        upper[p] = place - np.float32(low[p])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _interpolate(row: np.ndarray, low: np.ndarray, upper: np.ndarray, out: np.ndarray) -> None:
    for p in range(len(low)):
        below = row[low[p]]
        out[p] = below + upper[p] * (row[low[p] + np.uint32(1)] - below)


@njit(cache=True, nogil=True, error_model="numpy")
def first_hit_time(
    light: np.ndarray,
    pmt: int,
    nearest: int,
    near: np.ndarray,
    reached: float,
    ahead: float,
    earliest: float,
    cumulated: np.ndarray,
) -> float:
    """The time at which a PMT's cumulative light is `reached`, by Newton's method in a bracket.

    Newton's method works on the logarithm, because the first light arrives in the tail of the
    transit times. nearest: the source seen first. near: (S, 3) work array. ahead: the first guess,
    relative to the first direct light.
    """
    soonest = light[2, nearest, pmt]
    low, high = soonest + earliest, np.inf
    now = soonest + min(ahead, 0.0)
    limit = now - earliest + _NEAR_SOURCES_NS
    kept = _sources_before(limit, light, pmt, nearest, near)
    for _ in range(_MAX_NEWTON_STEPS):
        if now - earliest > limit:
            limit = np.inf
            kept = _sources_before(limit, light, pmt, nearest, near)
        value, slope = _cumulated(near[:kept], now - earliest, cumulated)
        if value < reached:
            low = now
        else:
            high = now
        following = now + _MAX_STEP_NS
        if slope > 0.0:
            following = min(following, now - math.log(value / reached) * value / slope)
        if following <= low:
            following = 0.5 * (low + min(high, now))
        elif following >= high:
            following = 0.5 * (low + high)
        if abs(following - now) < _LAST_STEP_NS:
            return following
        now = following
    return now


@njit(cache=True, nogil=True, error_model="numpy")
def _sources_before(
    limit: float, light: np.ndarray, pmt: int, nearest: int, near: np.ndarray
) -> int:
    """Copy the sources whose direct light arrives before `limit` to `near`; return their number.

    Along a track times fall towards the `nearest` source and rise after it, except for one or two
    nanoseconds where the direct path ends. So the search ends at a source later than `limit`.
    """
    kept = 0
    for step in (-1, 1):
        s = nearest + min(step, 0)
        while 0 <= s < light.shape[1] and light[2, s, pmt] < limit:
            for k in range(3):
                near[kept, k] = light[k, s, pmt]
            kept += 1
            s += step
    return kept


@njit(cache=True, nogil=True, error_model="numpy")
def _cumulated(near: np.ndarray, now: float, cumulated: np.ndarray) -> tuple:
    """Light of the sources `near` until `now`, and its rate then."""
    value, slope = 0.0, 0.0
    last = len(cumulated) - 1
    for s in range(len(near)):
        direct, scattered = near[s, 0], near[s, 1]
        place = (np.float32(now) - near[s, 2]) * np.float32(1.0 / ARRIVAL_STEP)
        if place <= 0.0:
            continue
        low = np.uint32(place)
        if low >= last:
            value += direct + scattered
            continue
        above = low + np.uint32(1)
        rise = direct * (cumulated[above, 0] - cumulated[low, 0])
        rise += scattered * (cumulated[above, 1] - cumulated[low, 1])
        value += direct * cumulated[low, 0] + scattered * cumulated[low, 1]
        value += (place - np.float32(low)) * rise
        slope += rise
    return value, slope / ARRIVAL_STEP
