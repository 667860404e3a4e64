"""Showers of charged pions: ionisation until the first interaction, then two components.

After R. K. Bock, T. Hansl-Kozanecka, T. P. Shah, Nucl. Instrum. Methods 186 (1981) 533: a Γ-profile
in interaction lengths for the hadronic component and one for neutral pions, which here are photon
showers (`showers`). Shares of the energy after D. E. Groom, Nucl. Instrum. Methods A 572 (2007)
633. The fluctuations of the shares are our choice, see the constants below.
"""

from __future__ import annotations

import numpy as np

from rootloom.physics.calorimeter.detector import Detector
from rootloom.physics.calorimeter.showers import add_photons

# Mean electromagnetic share 1 - (E / 1 GeV)^(k - 1); Groom's k for pions.
_GROOM_K = 0.82
# A Beta distribution of this total count: a spread of 0.17 at a mean of one half.
_EM_COUNT = 8.0
# Binding energy, neutrinos and slow neutrons: about a third of the hadronic component in lead
# (Wigmans, Calorimetry), with a spread of 0.1.
_VISIBLE, _VISIBLE_COUNT = 0.65, 20.0
# Energy of a spot, GeV: the deposit of a nucleon knocked out of a nucleus.
_SPOT_ENERGY = 0.05
# 95 % of a hadronic shower lie within an interaction length of its axis (Fabjan, Gianotti, Rev.
# Mod. Phys. 75 (2003) 1243): with the profile 2rR²/(r²+R²)², R is this share of it.
_RADIUS = np.sqrt(0.05 / 0.95)
# Photons that share the electromagnetic component (by random cuts of the unit interval).
_PHOTONS = 4
_MOYAL_MEAN = 1.2703628454614782  # γ + ln 2


def add_pions(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Showers of charged pions that enter at z = 0.

    energy: (N,) GeV; position: (N, 2) of their axes, mm. Adds what is seen to `cells` (N, cells);
    returns the energies (N,) that leave the detector, including punch-through, and those that no
    cell measures.
    """
    stack, back = detector.stack, detector.edges[-1]
    interaction = stack.pion_interaction_length * rng.standard_exponential(len(energy))
    left = energy - _add_ionisation(rng, detector, energy, interaction, position, cells)
    leaked = np.where(interaction >= back, left, 0.0)
    event = np.flatnonzero(interaction < back)
    start, left = interaction[event], left[event]
    mean = 1 - np.maximum(left, 1.0) ** (_GROOM_K - 1)
    em = left * _beta(rng, mean, _EM_COUNT)
    visible = (left - em) * _beta(rng, np.full(len(left), _VISIBLE), _VISIBLE_COUNT)
    leaked[event] += _add_neutral_pions(rng, detector, em, start, event, position, cells)
    leaked[event] += add_hadronic(rng, detector, left, visible, start, event, position, cells)
    invisible = np.zeros(len(energy))
    invisible[event] = left - em - visible
    return leaked, invisible


def bock_profile(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape, and rate per interaction length, of the hadronic Γ-profile at `energy` GeV."""
    ln_e = np.log(np.maximum(energy, 1.0))
    return 0.6165 + 0.3183 * ln_e, 0.9099 - 0.0237 * ln_e


def _add_ionisation(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    interaction: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
) -> np.ndarray:
    """Energy lost before the interaction, (N,), with Moyal's form of Landau's distribution."""
    stack, edges = detector.stack, detector.edges
    length = np.clip(interaction[:, None] - edges[:-1], 0.0, np.diff(edges))
    with np.errstate(divide="ignore"):
        moyal = -np.log(rng.standard_normal(length.shape) ** 2)
    loss = length * np.maximum(
        stack.ionisation + stack.landau * (moyal - _MOYAL_MEAN), 0.2 * stack.ionisation
    )
    # A pion loses no more than it has.
    scale = np.minimum(1.0, 0.9 * energy / np.maximum(loss.sum(axis=1), 1e-12))
    loss *= scale[:, None]
    event, step = np.nonzero(loss)
    place = np.repeat(position, np.count_nonzero(loss, axis=1), axis=0)
    _add(detector, cells, event, detector.step_layer[step], place, loss[event, step], rng)
    return loss.sum(axis=1)


def _add_neutral_pions(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    start: np.ndarray,
    event: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
) -> np.ndarray:
    """Photon showers of the electromagnetic share; returns what leaks, (n,)."""
    split = rng.dirichlet(np.ones(_PHOTONS), len(energy))
    leaked = add_photons(
        rng,
        detector,
        (energy[:, None] * split).ravel(),
        np.repeat(start, _PHOTONS),
        np.repeat(event, _PHOTONS),
        position,
        cells,
    )
    return leaked.reshape(len(energy), _PHOTONS).sum(axis=1)


def add_hadronic(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    visible: np.ndarray,
    start: np.ndarray,
    event: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
) -> np.ndarray:
    """Spots of the hadronic component, each drawn from the profiles; returns what leaks, (n,).

    energy: (n,) of the pions where they interact, which shapes the profile; visible: of the spots.
    """
    spots = np.maximum(rng.poisson(visible / _SPOT_ENERGY), 1)
    number = np.repeat(np.arange(len(spots)), spots)
    shape, rate = bock_profile(energy)
    length = detector.stack.interaction_length
    z = start[number] + length * rng.standard_gamma(shape[number]) / rate[number]
    # r = R sqrt(u / (1 - u)) has the profile 2rR²/(r²+R²)².
    u = rng.random(len(number))
    r, phi = _RADIUS * length * np.sqrt(u / (1 - u)), 2 * np.pi * rng.random(len(number))
    place = position[event[number]] + r[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    each = (visible / spots)[number]
    layer = np.searchsorted(detector.segmentation.depths, z, side="right")
    inside = _add(detector, cells, event[number], layer, place, each, rng)
    return np.bincount(number, np.where(inside, 0.0, each), len(spots))


def _add(
    detector: Detector,
    cells: np.ndarray,
    event: np.ndarray,
    layer: np.ndarray,
    place: np.ndarray,
    energy: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Add deposits to the cells they lie in; returns whether there is a cell, (n,) bool."""
    number = detector.segmentation.locate(layer, place)
    inside = number >= 0
    seen = detector.visible(rng, energy[inside])
    np.add.at(cells, (event[inside], number[inside]), seen)
    return inside


def _beta(rng: np.random.Generator, mean: np.ndarray, count: float) -> np.ndarray:
    """Beta variates with these means and parameters of sum `count`; 0 for a mean of 0."""
    tiny = 1e-6
    mean = np.clip(mean, tiny, 1 - tiny)
    return rng.beta(mean * count, (1 - mean) * count)
