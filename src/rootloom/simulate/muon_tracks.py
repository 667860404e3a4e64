"""Cosmic muons through a sphere: entry points, directions and energy losses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# ξ of Landau's distribution: ½ K ⟨Z/A⟩ a g cm⁻² (PDG, passage of particles through matter), with
# K = 0.307 MeV mol⁻¹ cm² and ⟨Z/A⟩ = 0.55 of a hydrocarbon.
_LANDAU = 0.5 * 0.307 * 0.55
_MOYAL_MEAN = np.euler_gamma + np.log(2.0)
# Spectral index of the muons' energy at sea level; behind an overburden dN/dE ∝ (E + ε)^-γ.
_INDEX = 3.7
# Showers above this share of the muon's energy are drawn one by one.
_SHOWER_MIN = 1e-3


class Tracks(NamedTuple):
    """N muons. entry, direction: (N, 3), m and unit vectors; energy: (N,) GeV at the entry."""

    entry: np.ndarray
    direction: np.ndarray
    energy: np.ndarray

    def length(self) -> np.ndarray:
        """Path inside the sphere, (N,) m."""
        return -2.0 * np.einsum("ni,ni->n", self.entry, self.direction)

    def impact(self) -> np.ndarray:
        """Distance of the track's line to the centre, (N,) m."""
        return np.linalg.norm(np.cross(self.entry, self.direction), axis=1)


class Losses(NamedTuple):
    """Energy loss of muons. density: g cm⁻³; ionisation: MeV cm² g⁻¹; the others cm² g⁻¹.

    continuous, showers: parts of b in dE/dx = a + b E; pair production is taken as continuous,
    bremsstrahlung as showers with a spectrum 1/E.
    """

    density: float
    ionisation: float
    continuous: float
    showers: float


def draw_tracks(muons: int, radius: float, mean_energy: float, rng: np.random.Generator) -> Tracks:
    """Muons of a flux ∝ cos² of the zenith angle through a sphere of `radius` m.

    The sphere has the same cross section from every direction, so zenith angles follow cos² and
    the points where tracks cross the perpendicular disc are uniform. Energies in GeV have the mean
    `mean_energy`.
    """
    cosine = np.cbrt(1.0 - rng.random(muons))
    sine = np.sqrt(1.0 - cosine**2)
    azimuth, around = 2.0 * np.pi * rng.random((2, muons))
    direction = np.stack([-sine * np.cos(azimuth), -sine * np.sin(azimuth), -cosine], axis=1)
    across = np.stack([-np.sin(azimuth), np.cos(azimuth), np.zeros(muons)], axis=1)
    upward = np.cross(across, direction)
    impact = radius * np.sqrt(rng.random(muons))
    middle = impact[:, None] * (np.cos(around)[:, None] * across + np.sin(around)[:, None] * upward)
    entry = middle - np.sqrt(radius**2 - impact**2)[:, None] * direction
    scale = (_INDEX - 2.0) * mean_energy
    energy = scale * ((1.0 - rng.random(muons)) ** (-1.0 / (_INDEX - 1.0)) - 1.0)
    return Tracks(entry, direction, energy)


def pieces(impact: float, length: float, steps: tuple[float, float, float]) -> np.ndarray:
    """Edges (S + 1,) m of a track's pieces, from its entry at 0 to `length`.

    steps: length of a piece at the surface, its growth per metre of depth, and its maximum.
    Pieces are short at the surface because near sensors resolve them.
    """
    along = np.linspace(-0.5 * length, 0.5 * length, 512)
    depth = np.hypot(impact, along[-1]) - np.hypot(impact, along)
    density = 1.0 / np.minimum(steps[0] + steps[1] * depth, steps[2])
    number = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    number *= along[1] - along[0]
    count = max(1, int(np.ceil(number[-1])))
    return np.interp(np.linspace(0.0, number[-1], count + 1), number, along) + 0.5 * length


def deposits(
    edges: np.ndarray, energy: float, losses: Losses, rng: np.random.Generator
) -> np.ndarray:
    """Energy lost in each piece (S,) MeV, by a muon of `energy` GeV.

    Ionisation fluctuates after Moyal's approximation of Landau's distribution, with the mean kept;
    a shower's energy goes to the piece where it begins.
    """
    thickness = 100.0 * losses.density * np.diff(edges)
    total = 1000.0 * energy
    mean = (losses.ionisation + losses.continuous * total) * thickness
    moyal = -np.log(rng.standard_normal(len(thickness)) ** 2)
    lost = mean + _LANDAU * thickness * (moyal - _MOYAL_MEAN)
    expected = losses.showers * np.log(1.0 / _SHOWER_MIN) * thickness
    for piece in np.repeat(np.arange(len(thickness)), rng.poisson(expected)):
        lost[piece] += total * _SHOWER_MIN ** rng.random()
    # A muon without enough energy would stop; only through-going muons are simulated.
    return lost * min(1.0, total / lost.sum())
