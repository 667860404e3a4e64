"""Vetoes of unfinished events whose leading jet cannot pass the selection.

Showers and multiparton interactions evolve downwards in pT. Most time is spent at scales of a
few GeV and in hadronisation, which change a jet's pT and mass only a little. An event far outside
the selected window is dropped when the evolution reaches a chosen scale. The margins of the caller
decide how many good events are lost; `WJets` states its losses.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rootloom.physics.jets.grooming import trim
from rootloom.simulate import pythia

if TYPE_CHECKING:
    import pythia8mc

# If the two hardest partonic jets are close in pT, their order may still change.
_CANDIDATES, _CLOSE = 2, 0.8
_FINAL_VISIBLE, _TRUE_MASS = 2, 2


def partonic_jet(
    radius: float,
    pt: tuple[float, float],
    mass: tuple[float, float],
    rapidity: float,
    trimming: tuple[float, float],
) -> pythia.Accept:
    """Whether one of the two hardest anti-kT jets of partons, trimmed, lies in the windows.

    pt, mass: (low, high) in GeV; rapidity: largest |y|; trimming: subjet radius and fraction.
    """
    module = pythia.load()
    # Pythia's own N² clustering: its copy of FastJet would print a banner.
    finder = module.SlowJet(
        -1, radius, 0.8 * pt[0], 5.0, _FINAL_VISIBLE, _TRUE_MASS, None, False, True
    )

    def accept(event: pythia8mc.Event, process: pythia8mc.Event) -> bool:
        finder.analyze(event)
        for jet in range(min(_CANDIDATES, finder.sizeJet())):
            if finder.pT(jet) < _CLOSE * finder.pT(0) or abs(finder.y(jet)) > rapidity:
                continue
            if finder.pT(jet) < pt[0] or finder.m(jet) < mass[0]:
                continue
            members = [event[i] for i in finder.constituents(jet)]
            p4 = np.array([(p.px(), p.py(), p.pz(), p.e()) for p in members])
            _, trimmed = trim(p4, np.array([0, len(p4)]), *trimming)
            px, py, pz, energy = trimmed[0].tolist()
            m = math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0))
            if pt[0] < math.hypot(px, py) < pt[1] and mass[0] < m < mass[1]:
                return True
        return False

    return accept


def boosted_boson(
    parent: int, boson: int, pt: tuple[float, float], rapidity: float, opening: float
) -> pythia.Accept:
    """Whether the boson of parent → boson …, boosted with its parent, has pT in the window.

    parent, boson: PDG codes; pt: (low, high) in GeV; rapidity: largest |y|; opening: largest ΔR
    (rad) of the boson's two decay products.
    The parent is not yet decayed in the record; the decay is known from the hard process.
    """
    module = pythia.load()

    def accept(event: pythia8mc.Event, process: pythia8mc.Event) -> bool:
        before = next(p for p in process if p.idAbs() == parent)
        after = before
        for i in range(event.size() - 1, 0, -1):
            if event[i].idAbs() == parent:
                after = event[i]
                break
        move = module.RotBstMatrix()
        move.bst(before.p(), after.p())
        w = next(p for p in process if p.idAbs() == boson)
        p = w.p()
        p.rotbst(move)
        if not pt[0] < p.pT() < pt[1] or abs(p.rap()) > rapidity:
            return False
        a, b = process[w.daughter1()].p(), process[w.daughter2()].p()
        a.rotbst(move)
        b.rotbst(move)
        return bool(module.RRapPhi(a, b) < opening)

    return accept


def semileptonic(pt_min: float) -> pythia.Accept:
    """Whether an electron or muon of a W and two b quarks of the hard process are within reach.

    pt_min: of reconstructed leptons and jets, GeV; recoil and showers may still change a parton's
    by a third.
    """

    def accept(event: pythia8mc.Event, process: pythia8mc.Event) -> bool:
        lepton = False
        bottoms = 0
        for particle in process:
            kind = particle.idAbs()
            if particle.status() > 0 and kind in _SEEN:
                inside = particle.pT() > _REACH * pt_min and abs(particle.eta()) < _ETA_REACH
                lepton |= inside and kind != _BOTTOM
                bottoms += inside and kind == _BOTTOM
        return lepton and bottoms >= _BOTTOMS

    return accept


_BOTTOM, _BOTTOMS = 5, 2
_SEEN = (_BOTTOM, 11, 13)
_REACH, _ETA_REACH = 0.67, 3.0
