"""Four-momenta: components, angles and boosts.

A momentum is an array `(..., 4)` of (px, py, pz, E) in GeV; angles in rad. Metric (+, −, −, −).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def from_pt_eta_phi_m(
    pt: np.ndarray, eta: np.ndarray, phi: np.ndarray, m: np.ndarray
) -> np.ndarray:
    """Momenta (..., 4) from transverse momentum, pseudorapidity, azimuth and mass."""
    pt, eta, phi, m = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (pt, eta, phi, m)))
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + m**2)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy], axis=-1)


def pt(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Transverse momentum (...), GeV."""
    return np.hypot(p[..., 0], p[..., 1])


def momentum(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Size of the three-momentum (...), GeV."""
    return np.sqrt(p[..., 0] ** 2 + p[..., 1] ** 2 + p[..., 2] ** 2)


def phi(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Azimuth (...) in (−π, π]."""
    return np.arctan2(p[..., 1], p[..., 0])


def eta(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Pseudorapidity (...); ±inf along the beam, 0 for a zero momentum."""
    transverse, pz = pt(p), p[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pz == 0.0, 0.0, np.arcsinh(pz / transverse))


def rapidity(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Rapidity (...); ±inf for a massless momentum along the beam, 0 for a zero momentum."""
    pz, energy = p[..., 2], p[..., 3]
    mt2 = pt(p) ** 2 + np.maximum(mass2(p), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # log((E + |pz|)² / mT²): (E + pz)/(E − pz) would cancel for forward particles.
        size = np.log((energy + np.abs(pz)) / np.sqrt(mt2))
    return np.where(pz == 0.0, 0.0, np.copysign(size, pz))


def mass2(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Squared mass (...), GeV²; may be slightly negative from rounding."""
    return (p[..., 3] + p[..., 2]) * (p[..., 3] - p[..., 2]) - p[..., 0] ** 2 - p[..., 1] ** 2


def mass(p: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """Mass (...), GeV; a negative square counts as 0."""
    return np.sqrt(np.maximum(mass2(p), 0.0))


def delta_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a − b folded into [−π, π)."""
    return (np.asarray(a) - b + np.pi) % (2.0 * np.pi) - np.pi


def delta_r(a: Float[np.ndarray, "*N 4"], b: Float[np.ndarray, "*N 4"]) -> Float[np.ndarray, "*N"]:
    """sqrt(Δy² + Δφ²) of two arrays of momenta (..., 4)."""
    return np.hypot(rapidity(a) - rapidity(b), delta_phi(phi(a), phi(b)))
