"""Jet substructure observables; many jets as momenta `p4` (V, 4) in GeV and `offsets` (R + 1,).

An empty jet has the value 0 of every observable; so has a ratio whose denominator is 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rootloom.physics.jets.scalars import azimuth, distance2, longest, pt2_of, rapidity


@njit(cache=True, nogil=True)
def _sum(p4: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    total = np.zeros((len(offsets) - 1, 4))
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            for k in range(4):
                total[row, k] += p4[i, k]
    return total


def jet_momentum(p4: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Summed constituents (R, 4), GeV."""
    return _sum(np.ascontiguousarray(p4, np.float64), offsets)


def multiplicity(offsets: np.ndarray) -> np.ndarray:
    """Constituents a jet (R,)."""
    return np.diff(offsets)


@njit(cache=True, nogil=True)
def directions(jet: np.ndarray, pt: np.ndarray, y: np.ndarray, phi: np.ndarray) -> float:
    """Fill pT, y, φ of the constituents (n, 4) of one jet; returns the scalar sum of pT."""
    total = 0.0
    for i in range(len(jet)):
        pt[i] = np.sqrt(pt2_of(jet[i, 0], jet[i, 1]))
        y[i] = rapidity(jet[i, 0], jet[i, 1], jet[i, 2], jet[i, 3])
        phi[i] = azimuth(jet[i, 0], jet[i, 1])
        total += pt[i]
    return total


@njit(cache=True, nogil=True)
def _moments(p4: np.ndarray, offsets: np.ndarray, jets: np.ndarray) -> tuple:
    size, rows = longest(offsets), len(offsets) - 1
    pt, y, phi = np.empty(size), np.empty(size), np.empty(size)
    width, dispersion = np.zeros(rows), np.zeros(rows)
    for row in range(rows):
        jet = p4[offsets[row] : offsets[row + 1]]
        total = directions(jet, pt, y, phi)
        if total == 0.0:
            continue
        axis_y = rapidity(jets[row, 0], jets[row, 1], jets[row, 2], jets[row, 3])
        axis_phi = azimuth(jets[row, 0], jets[row, 1])
        first = second = 0.0
        for i in range(len(jet)):
            first += pt[i] * np.sqrt(distance2(y[i], phi[i], axis_y, axis_phi))
            second += pt[i] * pt[i]
        width[row] = first / total
        dispersion[row] = np.sqrt(second) / total
    return width, dispersion


def width_and_dispersion(p4: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width Σ pT ΔR / Σ pT about the jet axis, and pTD = sqrt(Σ pT²) / Σ pT; both (R,)."""
    p4 = np.ascontiguousarray(p4, np.float64)
    return _moments(p4, offsets, _sum(p4, offsets))


@njit(cache=True, nogil=True)
def _correlations(p4: np.ndarray, offsets: np.ndarray, beta: float) -> np.ndarray:
    size, rows = longest(offsets), len(offsets) - 1
    pt, y, phi = np.empty(size), np.empty(size), np.empty(size)
    angle = np.empty((size, size))
    out = np.zeros((rows, 2))
    for row in range(rows):
        jet = p4[offsets[row] : offsets[row + 1]]
        n, total = len(jet), directions(jet, pt, y, phi)
        if total == 0.0:
            continue
        two = three = 0.0
        for i in range(n):
            for j in range(i):
                angle[i, j] = distance2(y[i], phi[i], y[j], phi[j]) ** (0.5 * beta)
                pair = pt[i] * pt[j] * angle[i, j]
                two += pair
                inner = 0.0
                for k in range(j):
                    inner += pt[k] * angle[i, k] * angle[j, k]
                three += pair * inner
        out[row, 0] = two / total**2
        out[row, 1] = three / total**3
    return out


def energy_correlations(p4: np.ndarray, offsets: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """(R, 2): two- and three-point correlations e2, e3 (Larkoski, Salam, Thaler 1305.0007).

    e2 = Σ_{i<j} z_i z_j ΔR_ij^β, e3 = Σ_{i<j<k} z_i z_j z_k (ΔR_ij ΔR_ik ΔR_jk)^β, z = pT / Σ pT.
    """
    return _correlations(np.ascontiguousarray(p4, np.float64), offsets, beta)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0.0)


def c2(e2: np.ndarray, e3: np.ndarray) -> np.ndarray:
    """C2 = e3 / e2² (1305.0007)."""
    return ratio(e3, e2**2)


def d2(e2: np.ndarray, e3: np.ndarray) -> np.ndarray:
    """D2 = e3 / e2³ (Larkoski, Moult, Neill 1409.6298)."""
    return ratio(e3, e2**3)
