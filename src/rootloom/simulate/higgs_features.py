"""The 28 features of the UCI HIGGS dataset, in its order: 21 low-level, 7 high-level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rootloom.physics.jets import kinematics
from rootloom.physics.jets.masses import invariant_mass, nearest_pair, neutrino

JETS = 4
W_MASS, TOP_MASS = 80.4, 172.5  # GeV
LOW_LEVEL = (
    "lepton_pt", "lepton_eta", "lepton_phi", "missing_energy_magnitude", "missing_energy_phi",
    *(f"jet{j}_{what}" for j in range(1, JETS + 1) for what in ("pt", "eta", "phi", "btag")),
)  # fmt: skip
HIGH_LEVEL = ("m_jj", "m_jjj", "m_lv", "m_jlv", "m_bb", "m_wbb", "m_wwbb")


class Selected(NamedTuple):
    """E events. lepton: (E, 4); missing: (E, 2); jets: (E, K, 4), K ≥ 4, by falling pT; all in GeV.

    exists: (E, K) bool, true for the first four at least; tag: (E, K) 0, 1 (loose), 2 (tight),
    above 0 for exactly two jets of each event.
    """

    lepton: np.ndarray
    missing: np.ndarray
    jets: np.ndarray
    exists: np.ndarray
    tag: np.ndarray


def low_level(events: Selected) -> dict[str, np.ndarray]:
    """The 21 low-level features, (E,) each; GeV, rad."""
    px, py = events.missing.T
    columns = [*_angles(events.lepton), np.hypot(px, py), np.arctan2(py, px)]
    for jet in range(JETS):
        columns += [*_angles(events.jets[:, jet]), events.tag[:, jet]]
    return dict(zip(LOW_LEVEL, columns, strict=True))


def _angles(p4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return kinematics.pt(p4), kinematics.eta(p4), kinematics.phi(p4)


def high_level(events: Selected) -> dict[str, np.ndarray]:
    """The 7 high-level features, (E,) each, GeV, and "hadronic", whether there is a hadronic W.

    The hadronic W is the pair of untagged jets whose mass is nearest m_W; the neutrino comes from
    the mass of the leptonic W. m_jjj uses the tagged jet that gives the mass closest to the top's,
    m_jlv the other one. m_bb is that of h0. m_wbb, of H±, uses the W that gives the larger mass.
    Where the paper leaves a choice open, the one that fits the genuine rows best was taken (of nine
    and of five tried).
    """
    hadronic, there = nearest_pair(events.jets, events.exists & (events.tag == 0), W_MASS)
    leptonic = events.lepton + neutrino(events.lepton, events.missing, W_MASS)
    tagged = np.argsort(events.tag == 0, axis=1, kind="stable")[:, :2]
    b1, b2 = (np.take_along_axis(events.jets, tagged[:, [k], None], 1)[:, 0] for k in (0, 1))
    three_jets = invariant_mass(hadronic, b1), invariant_mass(hadronic, b2)
    second = np.abs(three_jets[1] - TOP_MASS) < np.abs(three_jets[0] - TOP_MASS)
    masses = (
        kinematics.mass(hadronic),
        np.where(second, three_jets[1], three_jets[0]),
        kinematics.mass(leptonic),
        np.where(second, invariant_mass(leptonic, b1), invariant_mass(leptonic, b2)),
        invariant_mass(b1, b2),
        np.maximum(invariant_mass(hadronic, b1, b2), invariant_mass(leptonic, b1, b2)),
        invariant_mass(hadronic, leptonic, b1, b2),
    )
    return {**dict(zip(HIGH_LEVEL, masses, strict=True)), "hadronic": there}
