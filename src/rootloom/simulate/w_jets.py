"""Boosted W jets and QCD jets, after de Oliveira, Kagan, Mackey, Nachman, Schwartzman (1511.05190).

W: W′ → W Z → qq′ νν; QCD: dijets. The hardest anti-kT jet of the visible final particles is trimmed
(kT subjets, Krohn, Thaler, Wang 0912.1342) and kept when the trimmed jet lies in the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from rootloom.errors import ConfigError
from rootloom.physics.jets import kinematics
from rootloom.physics.jets.grooming import trim
from rootloom.rootio.writing import Rows
from rootloom.simulate.base import Progress, Simulation, silent
from rootloom.simulate.jets import leading_jets
from rootloom.simulate.observables import substructure
from rootloom.simulate.pythia import Accept, Generator, Particles, seed_for
from rootloom.simulate.vetoes import boosted_boson, partonic_jet
from rootloom.types import Ragged, offsets_of

# Jets per basket: smaller baskets are read at half the speed.
_BASKET = 5_000
_NEUTRINOS = (12, 14, 16)
_W, _W_PRIME = 24, 34
_EVENTS_AT_A_TIME = 50


class Slice(NamedTuple):
    """One slice in pThat of a file: Pythia settings, early veto, number of jets to collect."""

    settings: list[str]
    accept: Accept
    jets: int


class Jets(NamedTuple):
    """Accepted jets. p4: (V, 4) GeV; pdgid, charge, trimmed: (V,); offsets: (J + 1,).

    weight: (J,) pb that each jet stands for when it is the last one of its slice.
    """

    p4: np.ndarray
    pdgid: np.ndarray
    charge: np.ndarray
    trimmed: np.ndarray
    offsets: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class WJets(Simulation):
    """Jets of 1511.05190's study window; energies in GeV, radii in rad.

    pt_min, pt_max: range of the trimmed leading jet's pT. mass_min, mass_max: range of the
    trimmed leading jet's mass. eta_max: its largest |η|. jet_radius: of the jets, rad.
    trim_radius: radius of the kT subjets in trimming. trim_fraction: kT subjets with less than this
    share of the jet's pT are removed. energy: of the collisions, in their centre of mass.
    w_prime_mass: mass of the W′. pthat_edges: edges of the slices of the QCD sample in the pT of
    the hard scattering; events below the first one are lost, 3 % of the cross section at 150 GeV.
    pthat_shares: share of the jets from each slice. Weights (cross section over events, pb) correct
    for the shares. The default shares, accepted cross section over the square root of the time per
    jet, give the smallest variance per CPU second. multiparton: simulate multiparton interactions,
    which take most of the time. veto_scale: at which events far outside the window are dropped, see
    `vetoes`.
    """

    name: ClassVar[str] = "w_jets"
    processes: ClassVar[tuple[str, ...]] = ("qcd", "w")
    tree: ClassVar[str] = "jets"

    jet_radius: float = 1.0
    pt_min: float = 250.0
    pt_max: float = 300.0
    mass_min: float = 50.0
    mass_max: float = 110.0
    eta_max: float = 2.0
    trim_radius: float = 0.3
    trim_fraction: float = 0.05
    energy: float = 13000.0
    w_prime_mass: float = 600.0
    multiparton: bool = True
    pthat_edges: tuple[float, ...] = (150.0, 210.0, 250.0, 400.0)
    pthat_shares: tuple[float, ...] = (0.26, 0.32, 0.42)
    veto_scale: float = 4.0

    def __post_init__(self) -> None:
        if len(self.pthat_shares) != len(self.pthat_edges) - 1 or min(self.pthat_shares) <= 0:
            raise ConfigError(
                "w_jets: pthat_shares",
                expected=f"{len(self.pthat_edges) - 1} positive shares, one a slice",
                found=str(self.pthat_shares),
            )
        if not (self.pt_min < self.pt_max and self.mass_min < self.mass_max):
            raise ConfigError(
                "w_jets", expected="pt_min < pt_max and mass_min < mass_max", found="not"
            )

    def blocks(
        self, process: str, rows: int, seed: int, progress: Progress = silent
    ) -> Iterator[Rows]:
        """Accepted jets, in one block, because weights are known only at the end.

        seed: 1 … 900,000,000. Raises ConfigError for another one or an unknown Pythia setting.
        """
        columns: list[dict[str, np.ndarray]] = []
        constituents: list[Jets] = []
        done = 0
        for number, part in enumerate(self._slices(process, rows)):
            own = seed_for(seed, process, number)
            generator = Generator(part.settings, own, self.veto_scale, part.accept)
            found: list[Jets] = []
            for accepted in self._accepted(generator, part.jets):
                found.append(accepted)
                progress(done + sum(len(f.weight) for f in found), rows)
            done += part.jets
            sample = _concatenate(found)
            columns.append(self._columns(sample))
            constituents.append(sample)
        everything = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
        written = Rows(everything, {"cons": _constituents(_concatenate(constituents))})
        yield from written.cut(_BASKET)

    # -- what is generated ----------------------------------------------------------------------
    def _slices(self, process: str, jets: int) -> Iterator[Slice]:
        common = [f"Beams:eCM = {self.energy}", f"PartonLevel:MPI = {_switch(self.multiparton)}"]
        if process == "w":
            yield Slice([*common, *_w_settings(self.w_prime_mass)], self._w_veto(), jets)
            return
        for (low, high), share in zip(
            pairwise(self.pthat_edges), _quotas(jets, self.pthat_shares), strict=True
        ):
            if share:
                hard = [f"PhaseSpace:pTHatMin = {low}", f"PhaseSpace:pTHatMax = {high}"]
                yield Slice([*common, "HardQCD:all = on", *hard], self._qcd_veto(), share)

    # Jets lost by the veto: 19 of 2158 W; QCD, by slice, 4 of 198, 4 of 494 and 9 of 880
    # (the lower two slices without multiparton interactions).
    def _w_veto(self) -> Accept:
        window = (0.88 * self.pt_min, 1.12 * self.pt_max)
        return boosted_boson(
            _W_PRIME, _W, window, self.eta_max + 0.3, opening=1.5 * self.jet_radius
        )

    def _qcd_veto(self) -> Accept:
        return partonic_jet(
            self.jet_radius,
            (0.92 * self.pt_min, 1.09 * self.pt_max),
            (0.5 * self.mass_min, 1.3 * self.mass_max),
            self.eta_max + 0.3,
            (self.trim_radius, self.trim_fraction),
        )

    # -- what is kept ---------------------------------------------------------------------------
    def _accepted(self, generator: Generator, jets: int) -> Iterator[Jets]:
        """Accepted jets, a few events' at a time, exactly `jets` in all."""
        events: list[Particles] = []
        for event in generator.events():
            visible = ~np.isin(np.abs(event.pdgid), _NEUTRINOS)
            events.append(event._replace(p4=event.p4[visible], pdgid=event.pdgid[visible]))
            if len(events) < _EVENTS_AT_A_TIME:
                continue
            found = self._select(events, generator, jets)
            events = []
            if len(found.weight):
                yield found
            jets -= len(found.weight)
            if jets == 0:
                return

    def _select(self, events: list[Particles], generator: Generator, most: int) -> Jets:
        event, particle, offsets = leading_jets(
            [e.p4 for e in events], self.jet_radius, self.pt_min
        )
        first = offsets_of([len(e.pdgid) for e in events])[event]
        index = particle + np.repeat(first, np.diff(offsets))
        p4 = np.concatenate([e.p4 for e in events])[index]
        pdgid = np.concatenate([e.pdgid for e in events])[index]
        trimmed, total = trim(p4, offsets, self.trim_radius, self.trim_fraction)
        rows = np.flatnonzero(self._inside(total))[:most]
        counts = np.diff(offsets)[rows]
        kept = offsets_of(counts)
        members = np.arange(kept[-1]) + np.repeat(offsets[rows] - kept[:-1], counts)
        weight = np.array([events[e].cross_section / events[e].tried for e in event[rows]])
        pdgid = pdgid[members]
        return Jets(p4[members], pdgid, generator.charges(pdgid), trimmed[members], kept, weight)

    def _inside(self, total: np.ndarray) -> np.ndarray:
        pt, mass = kinematics.pt(total), kinematics.mass(total)
        inside = (pt > self.pt_min) & (pt < self.pt_max)
        inside &= (mass > self.mass_min) & (mass < self.mass_max)
        return inside & (np.abs(kinematics.eta(total)) < self.eta_max)

    def _columns(self, jets: Jets) -> dict[str, np.ndarray]:
        columns = substructure(jets.p4, jets.offsets, jets.trimmed, self.jet_radius)
        return {**columns, "weight": np.full(len(jets.weight), jets.weight[-1], np.float32)}


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _w_settings(mass: float) -> list[str]:
    return [
        "NewGaugeBoson:ffbar2Wprime = on",
        "Wprime:coup2WZ = 1.",
        f"34:m0 = {mass}",
        "34:onMode = off",
        "34:onIfMatch = 23 24",
        "24:onMode = off",
        "24:onIfAny = 1 2 3 4 5",
        "23:onMode = off",
        "23:onIfAny = 12 14 16",
    ]


def _quotas(jets: int, shares: tuple[float, ...]) -> list[int]:
    """Whole numbers in proportion to `shares` that add up to `jets`."""
    edges = np.rint(jets * np.cumsum([0.0, *shares]) / sum(shares)).astype(int)
    return np.diff(edges).tolist()


def _concatenate(parts: list[Jets]) -> Jets:
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Jets(
        p4=np.concatenate([part.p4 for part in parts]),
        pdgid=np.concatenate([part.pdgid for part in parts]),
        charge=np.concatenate([part.charge for part in parts]),
        trimmed=np.concatenate([part.trimmed for part in parts]),
        offsets=offsets_of(counts),
        weight=np.concatenate([part.weight for part in parts]),
    )


def _constituents(jets: Jets) -> dict[str, Ragged]:
    momenta = dict(zip(("px", "py", "pz", "e"), jets.p4.T.astype(np.float32), strict=True))
    columns = {
        **momenta,
        "pdgid": jets.pdgid,
        "charge": jets.charge,
        "trimmed": jets.trimmed,
    }
    return {name: Ragged(values, jets.offsets) for name, values in columns.items()}
