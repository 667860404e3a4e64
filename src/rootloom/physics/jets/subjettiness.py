"""N-subjettiness (Thaler, Van Tilburg 1011.2268, 1108.2701) as FastJet contrib measures it.

τ_N = Σ_i pT_i min_k ΔR(i, axis k) / (R0 Σ_i pT_i), β = 1. Axes: exclusive kT with winner-take-all
recombination, then (one pass) moved to a local minimum as contrib's OnePass_WTA_KT_Axes does.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rootloom.physics.jets.clustering import cluster
from rootloom.physics.jets.observables import directions
from rootloom.physics.jets.scalars import TWO_PI, distance2, longest

# Contrib's defaults. The minimisation ends when the axes move by less on average; it is also the
# distance below which the weight of a constituent is constant.
_ACCURACY = 1e-4
_ATTEMPTS = 1000


@njit(cache=True, nogil=True)
def _nearest(y: float, phi: float, axes: np.ndarray) -> tuple:
    best, where = math.inf, 0
    for k in range(len(axes)):
        d2 = distance2(y, phi, axes[k, 0], axes[k, 1])
        if d2 < best:
            best, where = d2, k
    return best, where


@njit(cache=True, nogil=True)
def _pull(pt: np.ndarray, y: np.ndarray, phi: np.ndarray, axes: np.ndarray) -> float:
    """Move each axis to the weighted mean of its constituents; returns the mean distance moved."""
    total = np.zeros((len(axes), 3))  # Σ w y, Σ w φ, Σ w
    for i in range(len(pt)):
        d2, k = _nearest(y[i], phi[i], axes)
        weight = pt[i] / math.sqrt(_ACCURACY * _ACCURACY + d2)
        angle = phi[i]
        if angle - axes[k, 1] > math.pi:
            angle -= TWO_PI
        elif angle - axes[k, 1] < -math.pi:
            angle += TWO_PI
        total[k, 0] += weight * y[i]
        total[k, 1] += weight * angle
        total[k, 2] += weight
    moved = 0.0
    for k in range(len(axes)):
        if total[k, 2] > 0.0:  # an axis without constituents stays
            new_y = total[k, 0] / total[k, 2]
            new_phi = (total[k, 1] / total[k, 2] + TWO_PI) % TWO_PI
            moved += math.sqrt(distance2(axes[k, 0], axes[k, 1], new_y, new_phi))
            axes[k, 0], axes[k, 1] = new_y, new_phi
    return moved / len(axes)


@njit(cache=True, nogil=True)
def _replay(parents: np.ndarray, pt: np.ndarray, y: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Fill pT, y, φ of the nodes n … 2n − 2 of one jet; returns the step that joins each."""
    n = len(parents)
    consumed = np.full(2 * n - 1, n, np.int64)
    for step in range(n - 1):
        a, b = parents[step]
        node, winner = n + step, a if pt[a] >= pt[b] else b
        pt[node], y[node], phi[node] = pt[a] + pt[b], y[winner], phi[winner]
        consumed[a] = consumed[b] = step
    return consumed


@njit(cache=True, nogil=True)
def _tau(pt: np.ndarray, y: np.ndarray, phi: np.ndarray, axes: np.ndarray, minimise: bool) -> float:
    """Σ pT ΔR to the nearest axis, the axes (N, 2) first moved to a local minimum if asked."""
    if minimise:
        for _ in range(_ATTEMPTS):
            if _pull(pt, y, phi, axes) <= _ACCURACY:
                break
    tau = 0.0
    for i in range(len(pt)):
        d2, _k = _nearest(y[i], phi[i], axes)
        tau += pt[i] * math.sqrt(d2)
    return tau


@njit(cache=True, nogil=True)
def _subjettiness(
    p4: np.ndarray, offsets: np.ndarray, parents: np.ndarray, largest: int, minimise: bool
) -> np.ndarray:
    size, rows = longest(offsets), len(offsets) - 1
    pt, y, phi = np.empty(2 * size), np.empty(2 * size), np.empty(2 * size)
    axes = np.empty((largest, 2))
    out = np.zeros((rows, largest))
    for row in range(rows):
        part = slice(offsets[row], offsets[row + 1])
        n = part.stop - part.start
        total = directions(p4[part], pt, y, phi)
        if total == 0.0:
            continue
        consumed = _replay(parents[part], pt, y, phi)
        for count in range(1, min(largest, n - 1) + 1):
            found = 0
            for node in range(2 * n - count):  # the nodes there when `count` are left
                if consumed[node] >= n - count:
                    axes[found, 0], axes[found, 1] = y[node], phi[node]
                    found += 1
            tau = _tau(pt[:n], y[:n], phi[:n], axes[:count], minimise)
            out[row, count - 1] = tau / total
    return out


def subjettiness(
    p4: np.ndarray,
    offsets: np.ndarray,
    largest: int = 3,
    *,
    radius: float = 1.0,
    one_pass: bool = True,
) -> np.ndarray:
    """τ_1 … τ_largest of each jet, (R, largest); 0 where a jet has no more than N constituents.

    p4: (V, 4) in GeV; offsets: (R + 1,); radius: R0 of the normalisation. one_pass: refine the
    winner-take-all kT axes to a local minimum, as the ATLAS and CMS taggers do.
    """
    p4 = np.ascontiguousarray(p4, np.float64)
    history = cluster(p4, offsets, "kt", scheme="winner_takes_all")
    return _subjettiness(p4, offsets, history.parents, largest, one_pass) / radius
