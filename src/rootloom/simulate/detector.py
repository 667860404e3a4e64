"""A fast detector after Delphes' ATLAS card: calorimeter towers, leptons, flavour tags.

Resolutions, efficiencies and isolation are those of delphes_card_ATLAS.tcl (de Favereau et al.,
arXiv:1307.6346); no magnetic field, no tracks, and towers of 0.1 × 10° (0.2 × 20° beyond
|η| = 2.5) that hold electromagnetic and hadronic energy together. Many events at a time: flat
arrays of V particles with the number of their event.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rootloom.physics.jets import kinematics

_ELECTRON, _MUON, _PHOTON = 11, 13, 22
_INVISIBLE = (12, 14, 16)
_ETA_MAX = 4.9
_FINE_ETA = 2.5
_EM_MIN, _HADRON_MIN = 0.5, 1.0  # GeV in a tower
_LEPTON_PT_MIN, LEPTON_ETA_MAX = 10.0, 2.5
_CONE, _CONE_PT_MIN = 0.5, 0.5
_ISOLATION = {_ELECTRON: 0.12, _MUON: 0.25}  # pT in the cone over the lepton's


class Leptons(NamedTuple):
    """Isolated, identified electrons and muons. p4: (L, 4) as measured, GeV; event: (L,).

    particle: (L,) their place among the particles.
    """

    p4: np.ndarray
    event: np.ndarray
    particle: np.ndarray


def isolated_leptons(
    p4: np.ndarray, pdgid: np.ndarray, event: np.ndarray, random: np.random.Generator
) -> Leptons:
    """Electrons and muons above 10 GeV with |η| < 2.5.

    p4: (V, 4) particles, GeV; pdgid: (V,); event: (V,), ascending.
    """
    kind, pt, eta = np.abs(pdgid), kinematics.pt(p4), kinematics.eta(p4)
    is_lepton = (kind == _ELECTRON) | (kind == _MUON)
    found = np.flatnonzero(is_lepton & (pt > _LEPTON_PT_MIN) & (np.abs(eta) < LEPTON_ETA_MAX))
    barrel = np.abs(eta[found]) <= 1.5
    found = found[random.random(len(found)) < np.where(barrel, 0.95, 0.85)]
    limit = np.where(kind[found] == _ELECTRON, _ISOLATION[_ELECTRON], _ISOLATION[_MUON])
    seen = (pt > _CONE_PT_MIN) & ~np.isin(kind, _INVISIBLE)
    found = found[_pt_around(found, p4, pt, event, seen) < limit * pt[found]]
    factor = 1.0 + random.normal(size=len(found)) * _lepton_resolution(p4[found], kind[found])
    return Leptons(p4[found] * np.maximum(factor, 0.0)[:, None], event[found], found)


def _lepton_resolution(p4: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Relative: an electron's energy from the calorimeter, a muon's pT from the tracker."""
    eta, pt, energy = np.abs(kinematics.eta(p4)), kinematics.pt(p4), p4[:, 3]
    constant = np.select([eta <= 0.5, eta <= 1.5], [0.01, 0.015], 0.025)
    slope = np.select([eta <= 0.5, eta <= 1.5], [1.0e-4, 1.5e-4], 3.5e-4)
    return np.where(kind == _MUON, np.hypot(constant, slope * pt), _em(energy, eta) / energy)


def _pt_around(
    centre: np.ndarray, p4: np.ndarray, pt: np.ndarray, event: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Scalar sum of the pT of other seen particles within the cone of each centre, GeV."""
    pair, other = _same_event(event[centre], event)
    used = seen[other] & (other != centre[pair])
    pair, other = pair[used], other[used]
    near = kinematics.delta_r(p4[centre][pair], p4[other]) < _CONE
    return np.bincount(pair[near], pt[other[near]], len(centre))


def _same_event(event: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j) with event[i] = others[j], which must be ascending."""
    first = np.searchsorted(others, event, side="left")
    count = np.searchsorted(others, event, side="right") - first
    before = np.cumsum(count) - count
    i = np.repeat(np.arange(len(event)), count)
    return i, np.arange(len(i)) + np.repeat(first - before, count)


def towers(
    p4: np.ndarray, pdgid: np.ndarray, event: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Calorimeter towers: massless momenta (T, 4), GeV, and their events (T,), ascending.

    p4, pdgid, event: as in `isolated_leptons`.
    """
    kind, eta, phi = np.abs(pdgid), kinematics.eta(p4), kinematics.phi(p4)
    stopped = ~np.isin(kind, (*_INVISIBLE, _MUON)) & (np.abs(eta) < _ETA_MAX)
    kind, eta, phi, energy = kind[stopped], eta[stopped], phi[stopped], p4[stopped, 3]
    width = np.where(np.abs(eta) < _FINE_ETA, 1, 2)  # in units of 0.1 and 10°
    ring = np.floor(eta / (0.1 * width)).astype(np.int64) + 64
    sector = np.floor((phi + np.pi) / (np.pi / 18 * width)).astype(np.int64)
    sector = np.minimum(sector, 36 // width - 1)  # φ = π
    key = ((event[stopped] * 2 + width - 1) * 128 + ring) * 36 + sector
    cell, inverse = np.unique(key, return_inverse=True)
    electromagnetic = (kind == _ELECTRON) | (kind == _PHOTON)
    em = np.bincount(inverse, energy * electromagnetic, len(cell))
    hadronic = np.bincount(inverse, energy * ~electromagnetic, len(cell))
    width, ring, sector = (cell // (128 * 36)) % 2 + 1, (cell // 36) % 128 - 64, cell % 36
    eta = (ring + random.random(len(cell))) * 0.1 * width  # anywhere in the tower
    phi = (sector + random.random(len(cell))) * np.pi / 18 * width - np.pi
    em = _log_normal(em, _em(em, np.abs(eta)), random)
    hadronic = _log_normal(hadronic, _hadronic(hadronic, np.abs(eta)), random)
    total = np.where(em > _EM_MIN, em, 0.0) + np.where(hadronic > _HADRON_MIN, hadronic, 0.0)
    kept = total > 0
    massless = kinematics.from_pt_eta_phi_m(total / np.cosh(eta), eta, phi, np.zeros(len(cell)))
    return massless[kept], (cell // (2 * 128 * 36))[kept]


def _em(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Resolution σ(E) of electromagnetic energy, GeV; eta: its absolute value."""
    constant, root = np.where(eta <= 3.2, 0.0017, 0.035), np.where(eta <= 3.2, 0.101, 0.285)
    return np.sqrt((constant * energy) ** 2 + root**2 * energy)


def _hadronic(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Resolution σ(E) of hadronic energy, GeV; eta: its absolute value."""
    where = [eta <= 1.7, eta <= 3.2]
    constant = np.select(where, [0.0302, 0.05], 0.0942)
    root = np.select(where, [0.5205, 0.706], 1.0)
    noise = np.where(where[0], 1.59, 0.0)
    return np.sqrt((constant * energy) ** 2 + root**2 * energy + noise**2)


def _log_normal(mean: np.ndarray, sigma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positive numbers of these means and standard deviations; 0 where the mean is 0."""
    safe = np.where(mean > 0, mean, 1.0)
    b = np.sqrt(np.log1p((sigma / safe) ** 2))
    drawn = safe * np.exp(b * random.normal(size=len(mean)) - 0.5 * b**2)
    return np.where(mean > 0, drawn, 0.0)


def jet_flavour(
    jets: np.ndarray,
    jet_event: np.ndarray,
    hadrons: np.ndarray,
    quark: np.ndarray,
    hadron_event: np.ndarray,
    *,
    radius: float,
    pt_min: float = 5.0,
) -> np.ndarray:
    """5, 4 or 0: the heaviest quark of the hadrons near each jet (J,).

    jets: (J, 4), of events jet_event (J,); hadrons: (H, 4) with a quark (H,), of events (H,); near
    is closer than `radius` with pT above `pt_min`, GeV.
    """
    hard = kinematics.pt(hadrons) > pt_min
    hadrons, quark, hadron_event = hadrons[hard], quark[hard], hadron_event[hard]
    jet, other = _same_event(jet_event, hadron_event)
    near = kinematics.delta_r(jets[jet], hadrons[other]) < radius
    flavour = np.zeros(len(jets), np.int64)
    np.maximum.at(flavour, jet[near], quark[other[near]])
    return flavour
