from __future__ import annotations

import numpy as np
import pytest

from rootloom.simulate.jets import leading_jets

fastjet = pytest.importorskip("fastjet")


def event(rng: np.random.Generator, n: int) -> np.ndarray:
    pt, y, phi = rng.exponential(20, n), rng.normal(0, 1.5, n), rng.uniform(-np.pi, np.pi, n)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=1)


def test_against_fastjet_one_event_at_a_time(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    events = [event(rng, n) for n in (40, 1, 80, 3)]
    found, particles, offsets = leading_jets(events, 0.8, 30.0)
    assert capfd.readouterr().out == ""
    jet = 0
    for number, p4 in enumerate(events):
        inputs = []
        for i, p in enumerate(p4):
            inputs.append(fastjet.PseudoJet(*p.tolist()))
            inputs[-1].set_user_index(i)
        definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.8)
        sequence = fastjet._swig.ClusterSequence(inputs, definition)
        jets = sorted(sequence.inclusive_jets(30.0), key=lambda j: j.perp())
        if not jets:
            assert number not in found
            continue
        expected = sorted(c.user_index() for c in jets[-1].constituents())
        assert found[jet] == number
        assert sorted(particles[offsets[jet] : offsets[jet + 1]]) == expected
        jet += 1
    assert len(found) == jet >= 2
