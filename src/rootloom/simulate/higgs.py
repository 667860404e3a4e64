"""A heavy Higgs boson against top pairs, after Baldi, Sadowski, Whiteson (arXiv:1402.4735).

Signal: gg → H0 → W∓H± → W∓W±h0 → ℓν qq′ bb; background: tt̄ → ℓν qq′ bb; at 8 TeV, with one
electron or muon, four jets or more and two flavour tags in a fast detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np

from rootloom.physics.jets import kinematics
from rootloom.rootio.writing import Rows
from rootloom.simulate import detector
from rootloom.simulate.base import Progress, Simulation, silent
from rootloom.simulate.higgs_features import (
    HIGH_LEVEL,
    JETS,
    LOW_LEVEL,
    Selected,
    high_level,
    low_level,
)
from rootloom.simulate.jets import jet_momenta
from rootloom.simulate.pythia import Generator, Particles, heaviest_quark, seed_for
from rootloom.simulate.vetoes import semileptonic

_EVENTS_AT_A_TIME = 100
_MAX_JETS = 10  # of an event; no feature ever used an eleventh
# Which W decays to the lepton and which to quarks, in Pythia's names of decay channels.
_CHARGES = (("Pos", "Neg"), ("Neg", "Pos"))


class _Batch(NamedTuple):
    """Many events' particles: p4 (V, 4), pdgid (V,), event (V,), ascending."""

    p4: np.ndarray
    pdgid: np.ndarray
    event: np.ndarray


@dataclass(frozen=True)
class Higgs(Simulation):
    """Events with the 28 features of UCI HIGGS; energies in GeV, radii in rad.

    heavy_mass: of H0. charged_mass: of H±. light_mass: of h0. energy: of the collisions, in their
    centre of mass. jet_radius: distance parameter of the jets. pt_min: smallest pT of the lepton
    and of jets. The genuine rows begin near 15 GeV, with their scale from the edge of the
    transverse mass and the peak of the W. jet_eta_max: largest |η| of jets; leptons and tags reach
    2.5. tag_b: chance of a flavour tag for a b jet. tag_c: chance of a flavour tag for a c jet.
    tag_light: chance of a flavour tag for any other jet. tight_share: share of the tags that are at
    the tighter level. multiparton: simulate multiparton interactions; four times slower, no closer
    to genuine rows. veto_scale: where events without lepton and b quarks in reach are dropped, see
    `vetoes`.
    """

    name: ClassVar[str] = "higgs"
    processes: ClassVar[tuple[str, ...]] = ("higgs", "ttbar")
    tree: ClassVar[str] = "events"

    heavy_mass: float = 425.0
    charged_mass: float = 325.0
    light_mass: float = 125.0
    energy: float = 8000.0
    jet_radius: float = 0.5
    pt_min: float = 15.0
    jet_eta_max: float = 3.0
    tag_b: float = 0.7
    tag_c: float = 0.2
    tag_light: float = 0.01
    tight_share: float = 0.81
    multiparton: bool = True
    veto_scale: float = 4.0

    def blocks(
        self, process: str, rows: int, seed: int, progress: Progress = silent
    ) -> Iterator[Rows]:
        """Selected events, in one block, because weights are known only at the end.

        Branches: the 21 low-level and 7 high-level features, and "weight", the cross section in pb
        that each event stands for. seed: 1 … 900,000,000. Raises ConfigError for another one or an
        unknown Pythia setting.
        """
        parts: list[dict[str, np.ndarray]] = []
        for number, (charge, other) in enumerate(_CHARGES):
            done = sum(len(part["weight"]) for part in parts)
            wanted = rows // 2 if number == 0 else rows - done
            own = seed_for(seed, process, number)
            settings = [*self._settings(process), *_w_decays(charge, other)]
            accept = semileptonic(self.pt_min)
            generator = Generator(settings, own, self.veto_scale, accept)
            random = np.random.Generator(np.random.Philox(key=[seed, number]))
            found: list[dict[str, np.ndarray]] = []
            for part in self._selected(generator, wanted, random):
                found.append(part)
                progress(done + sum(len(p["weight"]) for p in found), rows)
            # The number of tried events is known only after the last event.
            parts += [{**p, "weight": np.full_like(p["weight"], part["weight"][-1])} for p in found]
        columns = {
            name: np.concatenate([part[name] for part in parts]).astype(np.float32)
            for name in (*_BRANCHES, "weight")
        }
        yield Rows(columns)

    # -- what is generated ----------------------------------------------------------------------
    def _settings(self, process: str) -> list[str]:
        switch = "on" if self.multiparton else "off"
        common = [f"Beams:eCM = {self.energy}", f"PartonLevel:MPI = {switch}"]
        if process == "ttbar":
            return [*common, "Top:gg2ttbar = on", "Top:qqbar2ttbar = on"]
        chain = (
            (35, self.heavy_mass, "24 37"),
            (37, self.charged_mass, "24 25"),
            (25, self.light_mass, "5 5"),
        )
        decays = [line for code, mass, to in chain for line in _resonance(code, mass, to)]
        # Fixed narrow widths of H0 and H±; in a two-doublet model they would depend on its angles.
        narrow = [
            line
            for code in (35, 37)
            for line in (f"{code}:doForceWidth = on", f"{code}:mWidth = 1.0")
        ]
        gluons = ["Higgs:useBSM = on", "HiggsBSM:gg2H2 = on", "HiggsH2:coup2HchgW = 1."]
        return [*common, *gluons, *decays, *narrow]

    # -- what is kept ---------------------------------------------------------------------------
    def _selected(
        self, generator: Generator, events: int, random: np.random.Generator
    ) -> Iterator[dict[str, np.ndarray]]:
        """Features of selected events, some at a time, exactly `events` in all."""
        source = generator.events()
        while events > 0:
            drawn = list(islice(source, _EVENTS_AT_A_TIME))
            rows, chosen = self._reconstruct(drawn, random)
            features = {**low_level(chosen), **high_level(chosen)}
            keep = np.flatnonzero(features.pop("hadronic"))[:events]
            if not len(keep):
                continue
            weight = np.array([drawn[r].cross_section / drawn[r].tried for r in rows[keep]])
            yield {name: column[keep] for name, column in {**features, "weight": weight}.items()}
            events -= len(keep)

    def _reconstruct(
        self, drawn: list[Particles], random: np.random.Generator
    ) -> tuple[np.ndarray, Selected]:
        """The selected events with their reconstructed objects."""
        counts = [len(event.pdgid) for event in drawn]
        batch = _Batch(
            np.concatenate([event.p4 for event in drawn]),
            np.concatenate([event.pdgid for event in drawn]),
            np.repeat(np.arange(len(drawn)), counts),
        )
        leptons = detector.isolated_leptons(batch.p4, batch.pdgid, batch.event, random)
        one = np.bincount(leptons.event, minlength=len(drawn)) == 1
        lepton = np.zeros((len(drawn), 4))
        lepton[leptons.event] = leptons.p4
        hidden = np.ones(len(batch.pdgid), bool)
        hidden[leptons.particle] = False
        others = _Batch(*(column[hidden] for column in batch))
        cells, cell_event = detector.towers(others.p4, others.pdgid, others.event, random)
        missing = _missing(others, lepton, cells, cell_event)
        starts = np.searchsorted(cell_event, np.arange(1, len(drawn)))
        jets, offsets = jet_momenta(np.split(cells, starts), self.jet_radius, self.pt_min)
        jet_event = np.repeat(np.arange(len(drawn)), np.diff(offsets))
        central = np.abs(kinematics.eta(jets)) < self.jet_eta_max
        jets, jet_event = jets[central], jet_event[central]
        tag = self._tags(jets, jet_event, drawn, random)
        padded, tags = (_padded(column, jet_event, len(drawn)) for column in (jets, tag))
        exists = padded[..., 3] > 0
        good = one & (kinematics.pt(lepton) > self.pt_min)
        good &= (exists.sum(axis=1) >= JETS) & ((tags > 0).sum(axis=1) == 2)
        rows = np.flatnonzero(good)
        measured = (lepton, missing, padded, exists, tags)
        return rows, Selected(*(column[rows] for column in measured))

    def _tags(
        self,
        jets: np.ndarray,
        jet_event: np.ndarray,
        drawn: list[Particles],
        random: np.random.Generator,
    ) -> np.ndarray:
        """Flavour tags of jets (J,): 0, 1 (loose) or 2 (tight)."""
        flavour = detector.jet_flavour(
            jets,
            jet_event,
            np.concatenate([event.heavy_p4 for event in drawn]),
            np.concatenate([heaviest_quark(event.heavy_pdgid) for event in drawn]),
            np.repeat(np.arange(len(drawn)), [len(event.heavy_pdgid) for event in drawn]),
            radius=self.jet_radius,
        )
        chance = np.select([flavour == 5, flavour == 4], [self.tag_b, self.tag_c], self.tag_light)
        chance = np.where(np.abs(kinematics.eta(jets)) < detector.LEPTON_ETA_MAX, chance, 0.0)
        number = random.random(len(jets))
        return np.where(number < self.tight_share * chance, 2, np.where(number < chance, 1, 0))


_MUON, _MUON_ETA_MAX = 13, 2.7
_BRANCHES = (*LOW_LEVEL, *HIGH_LEVEL)


def _missing(
    others: _Batch, lepton: np.ndarray, cells: np.ndarray, cell_event: np.ndarray
) -> np.ndarray:
    """Minus the transverse momentum of lepton (E, 4), towers and all other muons, (E, 2)."""
    seen = np.abs(kinematics.eta(others.p4)) < _MUON_ETA_MAX
    muon = seen & (np.abs(others.pdgid) == _MUON)
    total = lepton[:, :2].copy()
    np.add.at(total, cell_event, cells[:, :2])
    np.add.at(total, others.event[muon], others.p4[muon, :2])
    return -total


def _padded(values: np.ndarray, event: np.ndarray, events: int) -> np.ndarray:
    """Values (J, ...) of objects of events (J,), ascending, as (events, _MAX_JETS, ...)."""
    position = np.arange(len(values)) - np.searchsorted(event, event)
    kept = position < _MAX_JETS
    out = np.zeros((events, _MAX_JETS, *values.shape[1:]), values.dtype)
    out[event[kept], position[kept]] = values[kept]
    return out


def _resonance(code: int, mass: float, products: str) -> list[str]:
    """Pythia settings of a particle with one decay channel."""
    return [f"{code}:m0 = {mass}", f"{code}:onMode = off", f"{code}:onIfMatch = {products}"]


def _w_decays(lepton: str, quarks: str) -> list[str]:
    """Pythia settings: one W decays to e or μ, the other to quarks; "Pos" and "Neg": charges."""
    return ["24:onMode = off", f"24:on{lepton}IfAny = 11 13", f"24:on{quarks}IfAny = 1 2 3 4 5"]
