"""A sampling calorimeter for parametrised showers: effective material, depth steps and cells.

Lengths in mm, energies in GeV; z grows from the front face, particles come along +z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

# Scale energy of multiple scattering in the Molière radius, MeV.
_SCATTERING = 21.2
# Ionisation of a fast particle: ξ = this × Z/A × thickness, MeV per g/cm² (PDG review, section
# "Passage of particles through matter").
_LANDAU_SCALE = 0.1535


class Material(NamedTuple):
    """z, a: atomic number and mass; density: g/cm³; lengths in g/cm²; ionisation: MeV cm²/g.

    Values are those of the PDG's tables of atomic and nuclear properties.
    """

    z: float
    a: float
    density: float
    radiation_length: float
    interaction_length: float
    pion_interaction_length: float
    ionisation: float

    def critical_energy(self) -> float:
        """MeV; Grindhammer and Peters, hep-ex/0001020, equation for E_c: 2.66 (X0 Z / A)^1.1."""
        return 2.66 * (self.radiation_length * self.z / self.a) ** 1.1


LEAD = Material(82, 207.2, 11.35, 6.37, 199.6, 226.2, 1.122)
# The density CaloGAN's simulation gives it.
LIQUID_ARGON = Material(18, 39.95, 1.390, 19.55, 119.7, 149.0, 1.508)


class Stack(NamedTuple):
    """Effective medium of plates and gaps; Grindhammer and Peters, hep-ex/0001020, section 3.

    z: effective atomic number; radiation_length, moliere_radius: mm; critical_energy: GeV;
    sampling_frequency: F_S, samplings a radiation length; e_over_mip: ê; interaction_length of
    protons and pion_interaction_length: mm; ionisation, landau: mean and ξ of a fast particle,
    GeV/mm.
    """

    z: float
    radiation_length: float
    moliere_radius: float
    critical_energy: float
    sampling_frequency: float
    e_over_mip: float
    interaction_length: float
    pion_interaction_length: float
    ionisation: float
    landau: float

    @classmethod
    def of(cls, absorber: Material, gap: Material, absorber_mm: float, gap_mm: float) -> Stack:
        """The effective material of `absorber_mm` of absorber followed by `gap_mm` of the other."""
        both, period = (absorber, gap), absorber_mm + gap_mm
        surface = [0.1 * t * m.density for t, m in zip((absorber_mm, gap_mm), both, strict=True)]
        weights = [s / sum(surface) for s in surface]

        def mean(values: list[float]) -> float:
            return sum(w * v for w, v in zip(weights, values, strict=True))

        mm = period / sum(surface)  # of 1 g/cm²
        x0 = 1 / mean([1 / m.radiation_length for m in both])
        loss = mean([m.critical_energy() / m.radiation_length for m in both])
        return cls(
            z=mean([m.z for m in both]),
            radiation_length=x0 * mm,
            moliere_radius=_SCATTERING / loss * mm,
            critical_energy=1e-3 * x0 * loss,
            sampling_frequency=x0 * mm / period,
            e_over_mip=1 / (1 + 0.007 * (absorber.z - gap.z)),
            interaction_length=mm / mean([1 / m.interaction_length for m in both]),
            pion_interaction_length=mm / mean([1 / m.pion_interaction_length for m in both]),
            ionisation=1e-3 * mean([m.ionisation for m in both]) / mm,
            landau=1e-3 * _LANDAU_SCALE * mean([m.z / m.a for m in both]) / mm,
        )


@dataclass(frozen=True)
class Segmentation:
    """Layers of cells, numbered layer by layer, then along x, then along y.

    shapes: cells along x and y of each layer. depths: z where each layer ends, mm; the first begins
    at 0. half_width: of the square that the cells cover about the axis, mm.
    """

    shapes: tuple[tuple[int, int], ...] = ((3, 96), (12, 12), (12, 6))
    depths: tuple[float, ...] = (90.0, 437.0, 480.0)
    half_width: float = 240.0

    @cached_property
    def first(self) -> np.ndarray:
        """Number of each layer's first cell, and of all cells, (L + 1,) int64."""
        return np.cumsum([0, *(nx * ny for nx, ny in self.shapes)])

    @property
    def cells(self) -> int:
        """Cells of all layers."""
        return int(self.first[-1])

    @cached_property
    def layer(self) -> np.ndarray:
        """Layer of each cell, (cells,) int8."""
        return np.repeat(np.arange(len(self.shapes), dtype=np.int8), np.diff(self.first))

    @cached_property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of each cell's centre, (cells,) float32 mm."""
        found = []
        for nx, ny in self.shapes:
            x, y = (self.half_width * ((2 * np.arange(n) + 1) / n - 1) for n in (nx, ny))
            found.append(np.stack(np.meshgrid(x, y, indexing="ij")).reshape(2, -1))
        x, y = np.concatenate(found, axis=1).astype(np.float32)
        return x, y

    def locate(self, layer: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Cell at `position` (n, 2) mm of `layer` (n,), -1 where there is none; (n,) int64."""
        known = np.minimum(layer, len(self.shapes) - 1)
        shape = np.array(self.shapes)[known]
        index = np.floor((position / self.half_width + 1) / 2 * shape).astype(np.int64)
        inside = ((index >= 0) & (index < shape)).all(axis=1) & (layer == known)
        return np.where(inside, self.first[known] + index[:, 0] * shape[:, 1] + index[:, 1], -1)


@dataclass(frozen=True)
class Detector:
    """The calorimeter in which showers deposit energy.

    sampling: stochastic term c of the energy resolution c / sqrt(E / GeV). gap_only: cells hold
    the energy sampled by the gaps, calibrated to electrons; otherwise all deposited energy.
    """

    stack: Stack
    segmentation: Segmentation
    sampling: float = 0.1
    gap_only: bool = False

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges in z of K steps of at most a radiation length, none across layers; (K + 1,) mm."""
        starts = (0.0, *self.segmentation.depths[:-1])
        parts = [
            np.linspace(low, high, self._steps(high - low) + 1)[1:]
            for low, high in zip(starts, self.segmentation.depths, strict=True)
        ]
        return np.concatenate([[0.0], *parts])

    @cached_property
    def step_layer(self) -> np.ndarray:
        """Layer of each step, (K,) int64."""
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        return np.searchsorted(self.segmentation.depths, middle)

    def visible(self, rng: np.random.Generator, energy: np.ndarray) -> np.ndarray:
        """What the cells see of deposited energy, GeV, element by element.

        A Γ-variate of that mean and of variance c² E, so that the variances of parts add up to that
        of the whole (Grindhammer and Peters, hep-ex/0001020, section 2.3).
        """
        if not self.gap_only:
            return energy
        variance = self.sampling**2
        return variance * rng.standard_gamma(energy / variance)

    def _steps(self, thickness: float) -> int:
        return int(np.ceil(thickness / self.stack.radiation_length))
