"""The fast detector: energies on average, resolutions by their formulas, isolation, flavours."""

from __future__ import annotations

import numpy as np
import pytest
import vector

from rootloom.simulate.detector import isolated_leptons, jet_flavour, towers

MANY = 4000


def particles(pt: float, eta: float, rows: int, seed: int = 1) -> np.ndarray:
    phi = np.random.default_rng(seed).uniform(-np.pi, np.pi, rows)
    p = vector.array({"pt": np.full(rows, pt), "eta": np.full(rows, eta), "phi": phi, "m": 0 * phi})
    return np.stack([p.px, p.py, p.pz, p.E], axis=1)


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[3, 4]))


# Formulas of delphes_card_ATLAS.tcl.
@pytest.mark.parametrize(
    ("pdgid", "eta", "constant", "root", "noise"),
    [
        (22, 1.0, 0.0017, 0.101, 0.0),
        (22, -4.0, 0.035, 0.285, 0.0),
        (211, 1.0, 0.0302, 0.5205, 1.59),
        (130, -2.8, 0.05, 0.706, 0.0),
        (-2212, 4.0, 0.0942, 1.0, 0.0),
    ],
)
def test_towers_have_the_cards_resolution(
    pdgid: int, eta: float, constant: float, root: float, noise: float
) -> None:
    p4 = particles(60.0, eta, MANY)
    event = np.arange(MANY)
    cells, cell_event = towers(p4, np.full(MANY, pdgid), event, generator())
    np.testing.assert_array_equal(cell_event, event)
    energy = p4[0, 3]
    sigma = np.sqrt((constant * energy) ** 2 + root**2 * energy + noise**2)
    assert cells[:, 3].mean() == pytest.approx(energy, abs=4 * sigma / np.sqrt(MANY))
    assert cells[:, 3].std() == pytest.approx(sigma, rel=5 / np.sqrt(MANY))
    there, before = (
        vector.array(dict(zip(("px", "py", "pz", "E"), p.T, strict=True))) for p in (cells, p4)
    )
    size = 1 if abs(eta) < 2.5 else 2  # nowhere further than the tower's own diagonal
    assert there.deltaR(before).max() < size * np.hypot(0.1, np.pi / 18) + 1e-9
    assert np.abs(there.mass).max() < 1e-3


def test_towers_add_up_what_falls_into_them_and_miss_neutrinos_and_muons() -> None:
    p4 = np.repeat(particles(5.0, 0.55, 1), 40, axis=0)
    pdgid = np.array([22] * 20 + [12, -14, 16, 13, -13] * 4)
    one, event = towers(p4, pdgid, np.zeros(40, int), generator())
    assert len(one) == len(event) == 1
    total = 20 * p4[0, 3]
    assert one[0, 3] == pytest.approx(total, abs=5 * 0.101 * np.sqrt(total))
    separate, _ = towers(p4, pdgid, np.arange(40), generator())
    assert len(separate) == 20
    forward, _ = towers(particles(5.0, 5.2, 10), np.full(10, 22), np.arange(10), generator())
    assert len(forward) == 0


@pytest.mark.parametrize(("kind", "efficiency"), [(11, 0.95), (-13, 0.95)])
def test_isolated_leptons_are_found_and_others_not(kind: int, efficiency: float) -> None:
    lepton = particles(40.0, 0.4, MANY)
    near = 0.1 * lepton  # 10 % of its pT in the cone: still isolated
    p4 = np.stack([lepton, near, particles(30.0, -1.2, MANY, seed=2)], axis=1).reshape(-1, 4)
    event = np.repeat(np.arange(MANY), 3)
    pdgid = np.tile([kind, 211, 211], MANY)
    found = isolated_leptons(p4, pdgid, event, generator())
    error = np.sqrt(efficiency * (1 - efficiency) / MANY)
    assert len(found.event) / MANY == pytest.approx(efficiency, abs=4 * error)
    np.testing.assert_array_equal(found.particle, 3 * found.event)
    # Electron: 0.101/√E of the calorimeter; muon: tracker, 1 % and 0.01 % a GeV.
    energy, pt = lepton[0, 3], 40.0
    expected = 0.101 / np.sqrt(energy) if kind == 11 else np.hypot(0.01, 1e-4 * pt)
    measured = found.p4[:, 3] / energy
    assert measured.mean() == pytest.approx(1.0, abs=4 * expected / np.sqrt(len(measured)))
    assert measured.std() == pytest.approx(expected, rel=0.08)
    crowded = np.where((np.arange(len(p4)) % 3 == 1)[:, None], 4 * p4, p4)
    assert len(isolated_leptons(crowded, pdgid, event, generator()).event) == 0


def test_flavours_against_one_jet_at_a_time() -> None:
    rng = np.random.default_rng(5)
    jet_event = np.sort(rng.integers(0, 30, 100))
    hadron_event = np.sort(rng.integers(0, 30, 80))

    def thrown(rows: int, pt: float) -> vector.MomentumNumpy4D:
        return vector.array(
            {
                "pt": rng.exponential(pt, rows),
                "eta": rng.normal(0, 0.6, rows),
                "phi": rng.uniform(-1, 1, rows),
                "m": np.zeros(rows),
            }
        )

    jets, hadrons = thrown(100, 50.0), thrown(80, 15.0)
    quark = rng.integers(4, 6, 80)
    flat = [np.stack([p.px, p.py, p.pz, p.E], axis=1) for p in (jets, hadrons)]
    found = jet_flavour(flat[0], jet_event, flat[1], quark, hadron_event, radius=0.5)
    for j in range(100):
        near = [
            quark[h]
            for h in np.flatnonzero(hadron_event == jet_event[j])
            if jets[j].deltaR(hadrons[h]) < 0.5 and hadrons[h].pt > 5
        ]
        assert found[j] == max(near, default=0)
    assert set(found) == {0, 4, 5}
