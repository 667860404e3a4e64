"""Compiled functions of one or two momenta, shared by the kernels of this room.

The formulae, down to the order of the operations, are those of FastJet's `PseudoJet`, so that
clustering histories agree with FastJet's even where two distances are close.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TWO_PI = 2.0 * math.pi

# FastJet's rapidity of a momentum exactly along the beam: beyond any real particle, ordered in pz.
MAX_RAPIDITY = 1e5


@njit(cache=True, nogil=True)
def pt2_of(px: float, py: float) -> float:
    """Squared transverse momentum, GeV²."""
    return px * px + py * py


@njit(cache=True, nogil=True)
def azimuth(px: float, py: float) -> float:
    """Azimuth in [0, 2π), rad; 0 for a momentum along the beam."""
    if px == 0.0 and py == 0.0:
        return 0.0
    phi = math.atan2(py, px)
    if phi < 0.0:
        phi += TWO_PI
    if phi >= TWO_PI:
        phi -= TWO_PI
    return phi


@njit(cache=True, nogil=True)
def rapidity(px: float, py: float, pz: float, energy: float) -> float:
    """Rapidity; a negative m² from rounding counts as 0, what has no finite one is at the limit."""
    pt2 = px * px + py * py
    mass2 = max(0.0, (energy + pz) * (energy - pz) - pt2)
    plus = energy + abs(pz)
    plus2 = plus * plus
    if pt2 + mass2 <= 0.0 or plus2 <= 0.0:
        limit = MAX_RAPIDITY + abs(pz)
        return limit if pz >= 0.0 else -limit
    y = 0.5 * math.log((pt2 + mass2) / plus2)
    return -y if pz > 0.0 else y


@njit(cache=True, nogil=True)
def delta_phi_of(a: float, b: float) -> float:
    """a − b folded into [−π, π), rad."""
    return (a - b + math.pi) % TWO_PI - math.pi


@njit(cache=True, nogil=True)
def distance2(y_a: float, phi_a: float, y_b: float, phi_b: float) -> float:
    """ΔR² = Δy² + Δφ² of two directions with azimuths in [0, 2π)."""
    d_phi = math.pi - abs(math.pi - abs(phi_a - phi_b))
    d_y = y_a - y_b
    return d_phi * d_phi + d_y * d_y


@njit(cache=True, nogil=True)
def longest(offsets: np.ndarray) -> int:
    """The largest number of objects in a row."""
    size = 0
    for row in range(len(offsets) - 1):
        size = max(size, offsets[row + 1] - offsets[row])
    return size
