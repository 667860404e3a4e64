"""Cosmic muons in a liquid-scintillator sphere watched by photomultipliers, after JUNO.

Muons cross the sphere; their light is refracted, reflected, absorbed and scattered
(`physics.scintillator.optics`, `photons`) on its way to PMTs on latitude rings, which give a charge
and the time of their first photoelectron (`physics.scintillator.pmts`). The water makes no light,
and PMTs have no dark counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from rootloom.errors import require
from rootloom.physics.scintillator.detector import Scintillator
from rootloom.physics.scintillator.optics import LIGHT
from rootloom.physics.scintillator.pmts import Layout, first_hits
from rootloom.representations.base import round_mantissa
from rootloom.rootio.writing import Rows
from rootloom.simulate.base import Progress, Simulation, silent
from rootloom.simulate.muon_tracks import Losses, Tracks, deposits, draw_tracks, pieces
from rootloom.types import Ragged

_EVENTS_AT_A_TIME = 50  # a basket: some 9 MB of hits
_SUPPORTS = 590  # bars that hold JUNO's sphere
# Mantissa bits kept: 0.2 % of a charge, 0.03 ns at 100 ns, far below what a PMT measures.
_CHARGE_BITS, _TIME_BITS = 8, 11
_MIN_CHARGE = 0.05


class Hits(NamedTuple):
    """PMTs hit in one event. pmt: (H,) uint16; charge: (H,) photoelectrons; time: (H,) ns."""

    pmt: np.ndarray
    charge: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class Muons(Scintillator, Simulation):
    """Through-going muons in JUNO-like optics; lengths in m, times in ns.

    Optics and PMTs: see `Scintillator`. pmt_radius: radius of a PMT.
    photons: number of photons per MeV; efficiency: photoelectrons per photon that reaches a PMT.
    charge_spread: relative spread of a photoelectron's charge. trigger: number of hit PMTs that
    defines time 0 of an event. mean_energy: of the muons, GeV. density: of the scintillator,
    g cm⁻³. ionisation: a of dE/dx = a + b E, MeV cm² g⁻¹. radiative: b of dE/dx = a + b E,
    cm² g⁻¹, half of it as showers. dead: share of PMTs that never give a hit; shading: share of
    light lost by PMTs behind the sphere's 590 supports; detector_seed: selects the dead PMTs, the
    same in all files. steps: length of a track's pieces at the surface, m, its growth per metre of
    depth, and its maximum, m.
    """

    name: ClassVar[str] = "muons"
    processes: ClassVar[tuple[str, ...]] = ("muon",)
    tree: ClassVar[str] = "events"
    level: ClassVar[int] = 3  # of zstd: 5 takes a quarter of the time and saves 7 %

    pmt_radius: float = 0.254
    photons: float = 10_000.0
    efficiency: float = 0.27
    charge_spread: float = 0.3
    trigger: int = 100
    mean_energy: float = 207.0
    density: float = 0.86
    ionisation: float = 2.3
    radiative: float = 1.9e-6
    dead: float = 0.0
    shading: float = 0.0
    detector_seed: int = 1
    steps: tuple[float, float, float] = (0.3, 0.3, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(f"{self.name}: dead", 0 <= self.dead < 1, "0 … 1", self.dead)
        require(f"{self.name}: shading", 0 <= self.shading <= 1, "0 … 1", self.shading)
        require(f"{self.name}: steps", min(self.steps) > 0, "positive lengths", self.steps)
        pmts = len(self.layout.ring)
        require(f"{self.name}: equator", pmts <= 1 << 16, "at most 65,536 PMTs", pmts)

    def blocks(
        self, process: str, rows: int, seed: int, progress: Progress = silent
    ) -> Iterator[Rows]:
        """Muons, fifty at a time; see `Simulation`."""
        rng = np.random.default_rng(seed)
        for done in range(0, rows, _EVENTS_AT_A_TIME):
            size = min(_EVENTS_AT_A_TIME, rows - done)
            tracks = draw_tracks(size, self.radius, self.mean_energy, rng)
            loss, trigger, hits = zip(*self._events(tracks, rng), strict=True)
            columns = _columns(tracks, np.array(loss), np.array(trigger))
            yield Rows(columns, {"hit": _lists(hits)})
            progress(done + size, rows)

    @cached_property
    def acceptance(self) -> np.ndarray:
        """Photoelectrons a PMT gives per photon sr⁻¹, (P,)."""
        pmts = len(self.layout.ring)
        # The PMT is a disc on the sphere of PMTs that sees light at any angle.
        seen = np.full(pmts, self.efficiency * np.pi * (self.pmt_radius / self.pmt_sphere) ** 2)
        seen[_nearest_to_supports(self.layout)] *= 1.0 - self.shading
        rng = np.random.default_rng(self.detector_seed)
        seen[rng.permutation(pmts)[: round(self.dead * pmts)]] = 0.0
        return seen

    def _events(
        self, tracks: Tracks, rng: np.random.Generator
    ) -> Iterator[tuple[float, float, Hits]]:
        """Energy loss in GeV, trigger time in ns, and hits, for one muon after another."""
        losses = Losses(self.density, self.ionisation, 0.5 * self.radiative, 0.5 * self.radiative)
        lengths, impacts = tracks.length(), tracks.impact()
        for entry, direction, energy, length, impact in zip(
            tracks.entry, tracks.direction, tracks.energy, lengths, impacts, strict=True
        ):
            edges = pieces(float(impact), float(length), self.steps)
            lost = deposits(edges, float(energy), losses, rng)
            trigger, hits = self._hits(entry, direction, edges, lost, rng)
            yield lost.sum() / 1000.0, trigger, hits

    def _hits(
        self,
        entry: np.ndarray,
        direction: np.ndarray,
        edges: np.ndarray,
        lost: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[float, Hits]:
        along = 0.5 * (edges[1:] + edges[:-1])
        place = entry + along[:, None] * direction
        radius = np.linalg.norm(place, axis=1)
        outward = place / np.maximum(radius, 1e-9)[:, None]
        count, time = first_hits(
            self.layout,
            self.acceptance,
            outward,
            self.light.table.at(radius),
            self.photons * lost,
            along / LIGHT,
            self.arrivals,
            rng,
        )
        pmt = np.flatnonzero(count)
        number, time = count[pmt], time[pmt]
        charge = number + self.charge_spread * np.sqrt(number) * rng.standard_normal(len(pmt))
        last = min(self.trigger, len(time)) - 1
        trigger = float(np.partition(time, last)[last]) if len(time) else 0.0
        return trigger, Hits(
            pmt.astype(np.uint16),
            round_mantissa(np.maximum(charge, _MIN_CHARGE), _CHARGE_BITS),
            round_mantissa(time - trigger, _TIME_BITS),
        )


def _nearest_to_supports(layout: Layout) -> np.ndarray:
    """The PMT behind each of the supports, which are placed on a Fibonacci lattice."""
    number = np.arange(_SUPPORTS) + 0.5
    height, angle = 1.0 - 2.0 * number / _SUPPORTS, np.pi * (1.0 + np.sqrt(5.0)) * number
    flat = np.sqrt(1.0 - height**2)
    lattice = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=1)
    return np.unique(np.argmax(lattice @ layout.direction.T, axis=1))


def _columns(tracks: Tracks, loss: np.ndarray, trigger: np.ndarray) -> dict[str, np.ndarray]:
    """The truth: m, unit vectors, GeV, ns; the trigger's time is counted from the muon's entry."""
    columns = {f"entry_{k}": tracks.entry[:, i] for i, k in enumerate("xyz")}
    columns |= {f"direction_{k}": tracks.direction[:, i] for i, k in enumerate("xyz")}
    columns |= {"length": tracks.length(), "impact": tracks.impact(), "energy": tracks.energy}
    columns |= {"energy_loss": loss, "trigger_time": trigger}
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _lists(hits: tuple[Hits, ...]) -> dict[str, Ragged]:
    offsets = np.cumsum([0, *(len(event.pmt) for event in hits)])
    together = Hits(*(np.concatenate(parts) for parts in zip(*hits, strict=True)))
    return {name: Ragged(values, offsets) for name, values in together._asdict().items()}
