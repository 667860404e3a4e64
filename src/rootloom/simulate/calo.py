"""Showers in the three-layer lead and liquid-argon calorimeter of CaloGAN.

M. Paganini, L. de Oliveira, B. Nachman, arXiv:1705.02355: a cube of 480 mm, 80 times 2 mm of lead
and 4 mm of liquid argon, read out in layers of 90, 347 and 43 mm; particles enter at right angles
in the middle. The showers are parametrised, not tracked: see `rootloom.physics.calorimeter`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rootloom.errors import require
from rootloom.physics.calorimeter.detector import LEAD, LIQUID_ARGON, Detector, Segmentation, Stack
from rootloom.physics.calorimeter.hadrons import add_pions
from rootloom.physics.calorimeter.showers import add_electrons, add_photons
from rootloom.rootio.cells import TREE, cell_rows
from rootloom.rootio.writing import Rows
from rootloom.simulate.base import Progress, Simulation, silent

# Fixed, because it decides which random numbers a shower gets.
_BLOCK = 1_000


@dataclass(frozen=True)
class Calo(Simulation):
    """Showers of positrons, photons and positive pions; energies in GeV, lengths in mm.

    energy_min, energy_max: of the particles, evenly distributed. spread: they enter evenly over
    ±spread in x and y. absorber, gap: thickness of the plates of lead and of the argon between.
    layers: cells along x and y of each layer; depths: where each layer ends; half_width: of the
    square that the cells cover. readout: "all" counts the energy deposited in lead and argon, as
    CaloGAN's files do; "gap" the part sampled by the argon, calibrated to electrons. sampling: the
    argon's resolution is sampling / sqrt(E / GeV).
    """

    name: ClassVar[str] = "calo"
    processes: ClassVar[tuple[str, ...]] = ("eplus", "gamma", "piplus")
    tree: ClassVar[str] = TREE

    energy_min: float = 1.0
    energy_max: float = 100.0
    spread: float = 0.0
    absorber: float = 2.0
    gap: float = 4.0
    layers: tuple[tuple[int, int], ...] = ((3, 96), (12, 12), (12, 6))
    depths: tuple[float, ...] = (90.0, 437.0, 480.0)
    half_width: float = 240.0
    readout: str = "all"
    sampling: float = 0.1

    def __post_init__(self) -> None:
        edges = (0.0, *self.depths)
        rising = all(a < b for a, b in zip(edges, self.depths, strict=False))
        for field, holds, expected, value in (
            ("energy_min", 0 < self.energy_min <= self.energy_max, "0 < energy_min ≤ energy_max",
             (self.energy_min, self.energy_max)),
            ("depths", rising and len(self.depths) == len(self.layers),
             f"{len(self.layers)} rising depths, one a layer", self.depths),
            ("readout", self.readout in ("all", "gap"), "all or gap", self.readout),
            ("spread", 0 <= self.spread <= self.half_width, "0 … half_width", self.spread),
            ("layers", min(min(layer) for layer in self.layers) > 0, "cells", self.layers),
            ("absorber, gap, half_width, sampling",
             min(self.absorber, self.gap, self.half_width, self.sampling) > 0, "above 0",
             (self.absorber, self.gap, self.half_width, self.sampling)),
        ):  # fmt: skip
            require(f"{self.name}: {field}", holds, expected, value)

    def blocks(
        self, process: str, rows: int, seed: int, progress: Progress = silent
    ) -> Iterator[Rows]:
        """Showers, a thousand at a time; see `Simulation`."""
        rng = np.random.Generator(np.random.PCG64(seed))
        for done in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - done)
            energy = rng.uniform(self.energy_min, self.energy_max, size)
            position = rng.uniform(-self.spread, self.spread, (size, 2))
            yield self._showers(rng, process, energy, position)
            progress(done + size, rows)

    def _showers(
        self, rng: np.random.Generator, process: str, energy: np.ndarray, position: np.ndarray
    ) -> Rows:
        detector = self.detector()
        cells = np.zeros((len(energy), detector.segmentation.cells))
        invisible = np.zeros(len(energy))
        if process == "piplus":
            leaked, invisible = add_pions(rng, detector, energy, position, cells)
        else:
            add = {"eplus": add_electrons, "gamma": add_photons}[process]
            start, owner = np.zeros(len(energy)), np.arange(len(energy))
            leaked = add(rng, detector, energy, start, owner, position, cells)
        columns = {
            "energy": energy,
            "x": position[:, 0],
            "y": position[:, 1],
            "leaked": leaked,
            "invisible": invisible,
        }
        single = {name: values.astype(np.float32) for name, values in columns.items()}
        return cell_rows(single, cells, detector.segmentation)

    def detector(self) -> Detector:
        """The calorimeter these fields describe."""
        return Detector(
            Stack.of(LEAD, LIQUID_ARGON, self.absorber, self.gap),
            Segmentation(self.layers, self.depths, self.half_width),
            self.sampling,
            self.readout == "gap",
        )
