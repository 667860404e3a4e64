"""The likelihood of first-hit times for a muon's track, and its derivatives.

The arrival times of photoelectrons at a PMT have a density F′(t), the sum over the light of all
sources along the track, each at the time of its direct light, smeared by the scintillator's decay
and the PMT's transit times (`pmts.ArrivalTimes`). The first of n photoelectrons has the density
n F′(t) (1 − F(t))ⁿ⁻¹; n is the measured charge, so that the amount of light does not matter.
Outliers have a constant density.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.scintillator.optics import LIGHT
from rootloom.physics.scintillator.pmts import ARRIVAL_STEP, first_hit_time
from rootloom.physics.scintillator.track_light import Sources, TrackModel, light_of

_MAX_SHARE = 1.0 - 1e-6  # of the light that has arrived: keeps the logarithm of the rest finite
_MIN_OUTLIER_RATIO = 1e-3  # of a hit's density to that of outliers, below which it is ignored


class Seen(NamedTuple):
    """Work arrays for the light of S sources at one PMT, (S,) and (S, 2).

    cell, upper: place among the nodes of sin(γ/2). half_sine, cosine: of the angle to the source.
    light: direct and scattered; early: shares of it until the hit; density: of these shares; rate,
    bend: first and second derivative of what came until the hit. time: of direct light, ns.
    """

    cell: np.ndarray
    upper: np.ndarray
    half_sine: np.ndarray
    cosine: np.ndarray
    time: np.ndarray
    light: np.ndarray
    early: np.ndarray
    density: np.ndarray
    rate: np.ndarray
    bend: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def negative_log_likelihood(
    pmts: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    start: float,
    model: TrackModel,
    outlier: float,
    found: np.ndarray,
) -> float:
    """Minus the log-likelihood of a track that enters at `start` ns, with derivatives by PMT.

    pmts: (P, 3) unit vectors; charge: (P,) photoelectrons; time: (P,) ns. outlier: density of
    outliers, ns⁻¹. found: (P, 7) is filled with the derivatives of each PMT's log-likelihood in
    entry and exit point, m⁻¹, and start, ns⁻¹.
    """
    sources, seen = light_of(entry, exit_point, model), _unseen(len(model.place))
    cost = 0.0
    for p in range(len(pmts)):
        total = _fill_seen(pmts[p], sources, model.share, seen)
        now = time[p] - start - model.start
        until, rate = _cumulated_light(now, sources.start, model.response, seen)
        early = min(until / total, _MAX_SHARE)
        others = max(charge[p] - 1.0, 0.0)
        likely = (others + 1.0) * rate / total * math.exp(others * math.log1p(-early))
        cost -= math.log(likely + outlier)
        if likely < _MIN_OUTLIER_RATIO * outlier:
            found[p] = 0.0
            continue
        hazard = others / (1.0 - early)
        _fill_derivatives(
            pmts[p], sources, model, seen, (total, early, rate, 1.0 / rate, hazard), found[p]
        )
        found[p] *= likely / (likely + outlier)
    return cost


@njit(cache=True, nogil=True, error_model="numpy")
def median_first_times(
    pmts: np.ndarray,
    charge: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    model: TrackModel,
    found: np.ndarray,
) -> tuple:
    """Median times (P,) of the first photoelectrons, ns after the entry, and their spread (P,).

    Arguments as in `negative_log_likelihood`. found: (P, 7) is filled with the times' derivatives
    in entry and exit point, ns m⁻¹, and start, 1.
    """
    sources, seen = light_of(entry, exit_point, model), _unseen(len(model.place))
    light = np.empty((3, len(model.place), 1), np.float32)
    near = np.empty((len(model.place), 3), np.float32)
    time, spread = np.empty(len(pmts)), np.empty(len(pmts))
    for p in range(len(pmts)):
        total = _fill_seen(pmts[p], sources, model.share, seen)
        light[0, :, 0], light[1, :, 0] = seen.light[:, 0], seen.light[:, 1]
        light[2, :, 0] = sources.start + seen.time
        early = -math.expm1(-math.log(2.0) / max(charge[p], 1.0))
        soonest = np.argmin(light[2, :, 0])
        time[p] = first_hit_time(
            light, 0, soonest, near, early * total, 0.0, model.start, model.cumulated
        )
        _, rate = _cumulated_light(time[p] - model.start, sources.start, model.response, seen)
        rate = max(rate, 1e-12 * total)
        spread[p] = early * total / rate
        _fill_derivatives(
            pmts[p], sources, model, seen, (total, early, rate, 0.0, total / rate), found[p]
        )
    return time, spread


@njit(cache=True, nogil=True, error_model="numpy")
def light_profile(
    pmts: np.ndarray,
    charge: np.ndarray,
    entry: np.ndarray,
    exit_point: np.ndarray,
    model: TrackModel,
    rounds: int,
) -> np.ndarray:
    """Estimate the share (S,) of a track's light at each source from charges (P,) of PMTs (P, 3).

    Expectation maximisation for Poisson counts (Richardson-Lucy), from a uniform track on; few
    `rounds` keep it smooth. With the profile, a shower does not pull the track to itself.
    """
    sources, seen = light_of(entry, exit_point, model), _unseen(len(model.place))
    light = np.empty((len(pmts), len(model.place)))
    even = np.ones(len(model.place))
    for p in range(len(pmts)):
        _fill_seen(pmts[p], sources, even, seen)
        light[p] = seen.light[:, 0] + seen.light[:, 1]
    share, seen_by_all = model.even.copy(), np.sum(light, axis=0)
    for _ in range(rounds):
        share *= (charge / (light @ share)) @ light / seen_by_all
    return share / np.sum(share)


@njit(cache=True, nogil=True, error_model="numpy")
def _unseen(count: int) -> Seen:
    one, two = np.empty((6, count)), np.empty((3, count, 2))
    return Seen(
        np.empty(count, np.int64), one[0], one[1], one[2], one[3],
        two[0], two[1], two[2], one[4], one[5],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _fill_seen(pmt: np.ndarray, sources: Sources, share: np.ndarray, seen: Seen) -> float:
    """Fill `seen` with the light of each source at a PMT; return the sum."""
    outward, _, _, _, rows = sources
    last = rows.shape[1] - 1
    total = 0.0
    for s in range(len(share)):
        cosine = outward[s, 0] * pmt[0] + outward[s, 1] * pmt[1] + outward[s, 2] * pmt[2]
        half_sine = math.sqrt(min(max(0.5 - 0.5 * cosine, 1e-12), 1.0))
        place = last * half_sine
        low = min(int(place), last - 1)
        upper = place - low
        seen.cell[s], seen.upper[s] = low, upper
        seen.half_sine[s], seen.cosine[s] = half_sine, cosine
        for c in range(2):
            light = rows[s, low, c] + upper * (rows[s, low + 1, c] - rows[s, low, c])
            seen.light[s, c] = share[s] * light
            total += share[s] * light
        seen.time[s] = rows[s, low, 2] + upper * (rows[s, low + 1, 2] - rows[s, low, 2])
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _cumulated_light(now: float, start: np.ndarray, response: np.ndarray, seen: Seen) -> tuple:
    """Light that has arrived until `now`, and its rate; fills the parts of each source."""
    until, total_rate = 0.0, 0.0
    last = len(response) - 1
    for s in range(len(start)):
        place = (now - start[s] - seen.time[s]) / ARRIVAL_STEP
        rate, bend = 0.0, 0.0
        low = min(max(int(place), 0), last - 1)
        upper = min(place - low, 1.0)
        for c in range(2):
            if place <= 0.0:
                seen.early[s, c], seen.density[s, c] = 0.0, 0.0
                continue
            below, above = response[low, c], response[low + 1, c]
            seen.early[s, c] = below[0] + upper * (above[0] - below[0])
            seen.density[s, c] = below[1] + upper * (above[1] - below[1])
            until += seen.light[s, c] * seen.early[s, c]
            rate += seen.light[s, c] * seen.density[s, c]
            bend += seen.light[s, c] * (above[1] - below[1]) / ARRIVAL_STEP
        seen.rate[s], seen.bend[s] = rate, bend
        total_rate += rate
    return until, total_rate


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _fill_derivatives(
    pmt: np.ndarray,
    sources: Sources,
    model: TrackModel,
    seen: Seen,
    sums: tuple,
    found: np.ndarray,
) -> None:
    """Fill the derivatives of log(F′) a F′ − h F, in entry, exit and start.

    sums: all light, F, a and h. a = 1 / F′, h = (n − 1) / (1 − F): of log F′ + (n − 1) log(1 − F).
    a = 0, h = 1 / F′: of the time at which F is reached.
    """
    total, early, rate, inverse, hazard = sums
    outward, radius, _, way, rows = sources
    found[:] = 0.0
    for s in range(len(seen.time)):
        low, upper = seen.cell[s], seen.upper[s]
        later = hazard * seen.rate[s] / total - seen.bend[s] * inverse
        around = later * (rows[s, low + 1, 2] - rows[s, low, 2])
        radial = later * (rows[s, low, 5] + upper * (rows[s, low + 1, 5] - rows[s, low, 5]))
        for c in range(2):
            more = hazard * (early - seen.early[s, c]) - rate * inverse
            more = model.share[s] * (more / total + seen.density[s, c] * inverse)
            around += more * (rows[s, low + 1, c] - rows[s, low, c])
            slope = rows[s, low + 1, 3 + c] - rows[s, low, 3 + c]
            radial += more * (rows[s, low, 3 + c] + upper * slope)
        around *= -(rows.shape[1] - 1) / (4.0 * seen.half_sine[s] * radius[s])
        radial -= around * seen.cosine[s]
        place = model.place[s]
        for k in range(3):
            moved = radial * outward[s, k] + around * pmt[k]
            along = later * place / LIGHT * way[k]
            found[k] += (1.0 - place) * moved - along
            found[3 + k] += place * moved + along
        found[6] += later
