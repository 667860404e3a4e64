"""Masses of systems of particles, and a neutrino's momentum along the beam.

Momenta are arrays (..., 4) of (px, py, pz, E) in GeV; missing transverse momentum is (..., 2).
"""

from __future__ import annotations

import numpy as np

from rootloom.physics.jets import kinematics


def invariant_mass(*momenta: np.ndarray) -> np.ndarray:
    """Mass (...) of the sum of several momenta, GeV."""
    return kinematics.mass(np.sum(np.broadcast_arrays(*momenta), axis=0))


def neutrino(lepton: np.ndarray, missing: np.ndarray, mass: float) -> np.ndarray:
    """The neutrino's momentum (..., 4) with transverse part `missing` and m(ℓν) closest to `mass`.

    lepton: taken as massless. If the transverse mass is below `mass`, m(ℓν) = mass has two
    solutions and the one with the smaller |pz| is taken. Otherwise the neutrino gets the lepton's
    rapidity, for which m(ℓν) has its minimum, the transverse mass.
    """
    px, py = missing[..., 0], missing[..., 1]
    met2 = px**2 + py**2
    pt2, pz, energy = kinematics.pt(lepton) ** 2, lepton[..., 2], kinematics.momentum(lepton)
    # (E Eν − pz pν) = a with a = mass²/2 + pT · pTmiss is quadratic in pν.
    a = 0.5 * mass**2 + lepton[..., 0] * px + lepton[..., 1] * py
    root2 = a**2 - pt2 * met2
    root = energy * np.sqrt(np.maximum(root2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        near = (a * pz - np.copysign(root, a * pz)) / pt2
        same_rapidity = np.sqrt(met2 / pt2) * pz
    found = np.where(root2 >= 0.0, near, same_rapidity)
    return np.stack([px, py, found, np.sqrt(met2 + found**2)], axis=-1)


def nearest_pair(
    momenta: np.ndarray, usable: np.ndarray, mass: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pair of objects with the mass closest to `mass`, in each event.

    momenta: (E, K, 4), K ≥ 2; usable: (E, K) bool. Returns the sum of the pair (E, 4) and whether
    there is one (E,) bool.
    """
    first, second = np.triu_indices(momenta.shape[1], 1)
    total = momenta[:, first] + momenta[:, second]  # (E, pairs, 4)
    possible = usable[:, first] & usable[:, second]
    distance = np.where(possible, np.abs(kinematics.mass(total) - mass), np.inf)
    best = distance.argmin(axis=1)
    return total[np.arange(len(total)), best], possible.any(axis=1)
