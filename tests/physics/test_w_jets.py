"""A small sample of simulated jets against what is known of W and QCD jets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

pytest.importorskip("pythia8mc")
from rootloom.errors import ConfigError
from rootloom.physics.jets.kinematics import from_pt_eta_phi_m
from rootloom.simulate import w_jets
from rootloom.simulate.pythia import Particles
from rootloom.simulate.w_jets import WJets

pytest.importorskip("pythia8mc")
fastjet = pytest.importorskip("fastjet")

# Without multiparton interactions: five times faster, and the window is the same.
SOURCE = WJets(multiparton=False)
JETS = {"w": 250, "qcd": 60}


def generate(path: Path, process: str, seed: int, jets: int) -> ak.Array:
    SOURCE.generate(process, jets, seed, path)
    with uproot.open(path) as file:
        return file["jets"].arrays()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ak.Array]:
    folder = tmp_path_factory.mktemp("jets")
    return {p: generate(folder / f"{p}.root", p, 42, n) for p, n in JETS.items()}


def test_every_jet_lies_in_the_window(samples: dict[str, ak.Array]) -> None:
    for process, jets in samples.items():
        assert len(jets) == JETS[process]
        assert np.all((jets.trimmed_pt > 250) & (jets.trimmed_pt < 300))
        assert np.all((jets.trimmed_mass > 50) & (jets.trimmed_mass < 110))
        assert np.all(abs(jets.trimmed_eta) < 2)


def test_the_w_mass_is_the_w_mass(samples: dict[str, ak.Array]) -> None:
    mass = ak.to_numpy(samples["w"].trimmed_mass)
    peak = mass[(mass > 70) & (mass < 90)]
    # 80.4 GeV: W mass; gluons lost outside the subjets pull by less than 1 GeV.
    assert np.median(peak) == pytest.approx(80.4, abs=1.0)
    assert len(peak) > 0.6 * len(mass)


def test_qcd_has_no_peak_and_higher_tau21(samples: dict[str, ak.Array]) -> None:
    w, qcd = samples["w"], samples["qcd"]
    mass = ak.to_numpy(qcd.trimmed_mass)
    assert np.mean((mass > 70) & (mass < 90)) < 0.6
    assert np.mean(qcd.tau21) > np.mean(w.tau21) + 0.1
    assert np.mean(qcd.multiplicity) > np.mean(w.multiplicity)


def test_weights_are_positive_and_one_a_slice(samples: dict[str, ak.Array]) -> None:
    assert len(np.unique(samples["w"].weight)) == 1
    slices = np.unique(samples["qcd"].weight)
    assert len(slices) == len(SOURCE.pthat_shares)
    assert np.all(slices > 0)
    assert np.all(np.isfinite(slices))


class Drawn:
    """A generator of which one hard process in seven is not vetoed, of a cross section of 3 pb.

    Every other event is a jet of two prongs inside the window, the rest lies far above it.
    """

    def __init__(self, *_: object) -> None:
        pass

    def events(self) -> Iterator[Particles]:
        # m² ≈ pT₁ pT₂ ΔR²: 80 GeV for two prongs of 137.5 GeV, 0.58 apart.
        eta, phi = np.array([0.3, -0.28]), np.zeros(2)
        for number in count(1):
            pt = np.full(2, 137.5 if number % 2 == 0 else 500.0)
            p4 = from_pt_eta_phi_m(pt, eta, phi, np.zeros(2))
            none = np.zeros(0, np.int32)
            pdgid = np.full(2, 211, np.int32)
            yield Particles(p4, pdgid, 7 * number, 3.0, np.zeros((0, 4)), none)

    def charges(self, pdgid: np.ndarray) -> np.ndarray:
        return np.ones(len(pdgid), np.int8)


@pytest.mark.parametrize("jets", [20, 60])
def test_the_weights_of_a_slice_add_up_to_its_accepted_cross_section(
    monkeypatch: pytest.MonkeyPatch, jets: int
) -> None:
    monkeypatch.setattr(w_jets, "Generator", Drawn)
    parts = list(SOURCE.blocks("w", jets, 1))
    weight = np.concatenate([part.columns["weight"] for part in parts])
    assert len(weight) == jets
    assert np.sum(weight, dtype=float) == pytest.approx(3.0 / 7 / 2, rel=1e-6)
    assert len(np.unique(weight)) == 1


def test_momenta_are_those_of_the_constituents(samples: dict[str, ak.Array]) -> None:
    for jets in samples.values():
        px, py = ak.sum(jets.cons_px, axis=1), ak.sum(jets.cons_py, axis=1)
        np.testing.assert_allclose(np.hypot(px, py), jets.jet_pt, rtol=1e-4)
        kept = jets.cons_trimmed
        px, py = (ak.sum(jets[f"cons_{k}"][kept], axis=1) for k in ("px", "py"))
        np.testing.assert_allclose(np.hypot(px, py), jets.trimmed_pt, rtol=1e-4)
        assert not np.any(np.isin(abs(ak.to_numpy(ak.flatten(jets.cons_pdgid))), (12, 14, 16)))


def test_constituents_cluster_to_one_jet_again(samples: dict[str, ak.Array]) -> None:
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, SOURCE.jet_radius)
    for jet in samples["w"][:20]:
        momenta = zip(*(jet[f"cons_{k}"].tolist() for k in ("px", "py", "pz", "e")), strict=True)
        particles = [fastjet.PseudoJet(*p) for p in momenta]
        sequence = fastjet._swig.ClusterSequence(particles, definition)
        hardest = max(j.perp() for j in sequence.inclusive_jets())
        assert hardest == pytest.approx(jet.jet_pt, rel=1e-4)


def test_charges(samples: dict[str, ak.Array]) -> None:
    code = ak.to_numpy(ak.flatten(samples["w"].cons_pdgid))
    charge = ak.to_numpy(ak.flatten(samples["w"].cons_charge))
    for particle, expected in {211: 1, -211: -1, 22: 0, 321: 1, 2212: 1, 11: -1, 2112: 0}.items():
        assert np.all(charge[code == particle] == expected)


def test_a_seed_decides_the_content(tmp_path: Path) -> None:
    first, again, other = (
        generate(tmp_path / f"{name}.root", "w", seed, 20)
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    assert first.fields == again.fields
    for name in first.fields:
        a, b = (ak.to_numpy(ak.flatten(x[name], axis=None)) for x in (first, again))
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.jet_pt, other.jet_pt)


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SOURCE.generate("w", 5, 1, tmp_path / "w.root", stop)
    assert list(tmp_path.iterdir()) == []


def test_unknown_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qcd"):
        SOURCE.generate("qdc", 5, 1, tmp_path / "w.root")
