"""Jets that no code of ours made: Pythia 8 events clustered by FastJet, once a session."""

from __future__ import annotations

import awkward as ak
import fastjet
import numpy as np
import pytest

from rootloom.types import Ragged

SETTINGS = """
Print:quiet = on
Random:setSeed = on
Random:seed = 20161
Beams:eCM = 13000.
HardQCD:all = on
PhaseSpace:pTHatMin = 210.
PhaseSpace:pTHatMax = 400.
PartonLevel:MPI = off
"""


@pytest.fixture(scope="session")
def jets() -> Ragged:
    """1,000 jets, anti-kT R = 1.0, pT > 150 GeV; values (V, 4) float32-exact px, py, pz, E."""
    pythia8 = pytest.importorskip("pythia8mc")
    pythia = pythia8.Pythia("", False)
    for line in SETTINGS.strip().splitlines():
        assert pythia.readString(line), line
    assert pythia.init()
    found: list[np.ndarray] = []
    while len(found) < 1000:
        found += _jets_of(pythia.nextBatch(200, errorMode="skip"))
    found = found[:1000]
    offsets = np.concatenate([[0], np.cumsum([len(j) for j in found])]).astype(np.int64)
    # As read from a file: float32 momenta, not the generator's doubles.
    return Ragged(np.concatenate(found).astype(np.float32).astype(np.float64), offsets)


def _jets_of(events: ak.Array) -> list[np.ndarray]:
    particles = events.prt
    final = particles[particles.status > 0]
    visible = final[(abs(final.id) != 12) & (abs(final.id) != 14) & (abs(final.id) != 16)]
    p = ak.zip(
        {"px": visible.p.px, "py": visible.p.py, "pz": visible.p.pz, "E": visible.p.e},
        with_name="Momentum4D",
    )
    sequence = fastjet.ClusterSequence(p, fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0))
    constituents = sequence.constituents(min_pt=150.0)
    return [
        np.stack([ak.to_numpy(jet[name]) for name in ("px", "py", "pz", "E")], axis=-1)
        for event in constituents
        for jet in event
    ]
