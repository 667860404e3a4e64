"""Substructure against FastJet and its contribs; kinematics against `vector`."""

from __future__ import annotations

import awkward as ak
import fastjet
import fastjet._swig as swig
import numpy as np
import pytest
import vector

from rootloom.physics.jets import kinematics as kin
from rootloom.physics.jets.grooming import trim
from rootloom.physics.jets.observables import (
    c2,
    d2,
    energy_correlations,
    jet_momentum,
    multiplicity,
    width_and_dispersion,
)
from rootloom.physics.jets.subjettiness import subjettiness
from rootloom.simulate.observables import substructure
from rootloom.types import Ragged


def as_awkward(p4: np.ndarray) -> ak.Array:
    fields = {name: p4[:, k] for k, name in enumerate(("px", "py", "pz", "E"))}
    return ak.zip(fields, with_name="Momentum4D")


def rows_of(jets: Ragged) -> list[np.ndarray]:
    return np.split(jets.values, jets.offsets[1:-1])


@pytest.mark.parametrize(("axes", "r0"), [("WTA_KT_Axes", 1.0), ("OnePass_WTA_KT_Axes", 0.7)])
def test_subjettiness_is_contribs(jets: Ragged, axes: str, r0: float) -> None:
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0)
    expected = np.empty((len(jets), 3))
    for row, jet in enumerate(rows_of(jets)):
        event = ak.unflatten(as_awkward(jet), [len(jet)])
        sequence = fastjet.ClusterSequence(event, definition)
        tau = sequence.njettiness(
            measure_definition="NormalizedMeasure",
            axes_definition=axes,
            njets=[1, 2, 3],
            beta=1.0,
            R0=r0,
        )
        expected[row] = ak.to_numpy(ak.flatten(tau, axis=None))
    one_pass = axes.startswith("OnePass")
    ours = subjettiness(jets.values, jets.offsets, 3, radius=r0, one_pass=one_pass)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("r0", [0.4, 1.2])
def test_subjettiness_of_two_particles_by_its_formula(r0: float) -> None:
    """The one axis lies along the harder one: τ₁ = 10 · 0.3 / (R₀ (30 + 10))."""
    pt, eta = np.array([30.0, 10.0]), np.array([0.2, 0.5])
    p4 = kin.from_pt_eta_phi_m(pt, eta, np.zeros(2), np.zeros(2))
    tau = subjettiness(p4, np.array([0, 2]), radius=r0, one_pass=False)
    np.testing.assert_allclose(tau, [[10 * 0.3 / (r0 * 40), 0.0, 0.0]], rtol=1e-9, atol=1e-12)
    columns = substructure(p4, np.array([0, 2]), np.ones(2, bool), r0)
    # The minimum is found to 10⁻⁴ of an axis.
    assert columns["tau1"] == pytest.approx(10 * 0.3 / (r0 * 40), rel=1e-3)


def test_trimming_is_fastjets_filter(jets: Ragged) -> None:
    kept, trimmed = trim(jets.values, jets.offsets, 0.3, 0.05)
    trimmer = swig.Filter(
        swig.JetDefinition(swig.kt_algorithm, 0.3), swig.SelectorPtFractionMin(0.05)
    )
    for row, jet in enumerate(rows_of(jets)):
        particles = []
        for number, momentum in enumerate(jet):
            particle = swig.PseudoJet(*map(float, momentum))
            particle.set_user_index(number)
            particles.append(particle)
        sequence = swig.ClusterSequence(particles, swig.JetDefinition(swig.kt_algorithm, 1000.0))
        result = trimmer(sequence.inclusive_jets()[0])
        indices = sorted(c.user_index() for c in result.constituents())
        start = jets.offsets[row]
        assert np.flatnonzero(kept[start : start + len(jet)]).tolist() == indices
        reference = [result.px(), result.py(), result.pz(), result.E()]
        np.testing.assert_allclose(trimmed[row], reference, rtol=1e-12, atol=1e-9)


def test_mass_and_momentum_are_vectors(jets: Ragged) -> None:
    vector.register_awkward()
    total = ak.sum(ak.unflatten(as_awkward(jets.values), jets.counts()), axis=1)
    momentum = jet_momentum(jets.values, jets.offsets)
    np.testing.assert_allclose(kin.mass(momentum), ak.to_numpy(total.mass), rtol=1e-9)
    np.testing.assert_allclose(kin.pt(momentum), ak.to_numpy(total.pt), rtol=1e-12)
    assert np.array_equal(multiplicity(jets.offsets), jets.counts())


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_energy_correlations_are_contribs(jets: Ragged, beta: float) -> None:
    chosen = jets.offsets[:101]
    e2, e3 = energy_correlations(jets.values[: chosen[-1]], chosen, beta).T
    rows = ak.unflatten(as_awkward(jets.values[: chosen[-1]]), np.diff(chosen))
    sequence = fastjet.ClusterSequence(
        rows, fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    )
    for ours, function in ((c2(e2, e3), "C2"), (d2(e2, e3), "D2")):
        expected = sequence.exclusive_jets_energy_correlator(njets=1, beta=beta, func=function)
        np.testing.assert_allclose(ours, ak.to_numpy(ak.flatten(expected, axis=None)), rtol=1e-7)


def test_width_and_dispersion_by_their_formulae(jets: Ragged) -> None:
    width, dispersion = width_and_dispersion(jets.values, jets.offsets)
    for row, jet in enumerate(rows_of(jets)[:100]):
        particles = [swig.PseudoJet(*map(float, momentum)) for momentum in jet]
        axis = swig.PseudoJet(*map(float, jet.sum(axis=0)))
        pt = np.array([particle.pt() for particle in particles])
        distance = np.array([particle.delta_R(axis) for particle in particles])
        assert width[row] == pytest.approx(np.sum(pt * distance) / pt.sum(), rel=1e-9)
        assert dispersion[row] == pytest.approx(np.sqrt(np.sum(pt**2)) / pt.sum(), rel=1e-9)


def test_empty_and_single_constituent_jets_have_defined_values() -> None:
    p4, offsets = np.array([[3.0, 4.0, 1.0, 9.0]]), np.array([0, 0, 1])
    assert subjettiness(p4, offsets).tolist() == [[0.0] * 3] * 2
    assert energy_correlations(p4, offsets).tolist() == [[0.0] * 2] * 2
    width, dispersion = width_and_dispersion(p4, offsets)
    assert width.tolist() == [0.0, 0.0]
    assert dispersion.tolist() == [0.0, 1.0]
    kept, trimmed = trim(p4, offsets)
    assert kept.tolist() == [True]
    assert trimmed.tolist() == [[0.0] * 4, p4[0].tolist()]
    assert jet_momentum(p4, offsets).tolist() == [[0.0] * 4, p4[0].tolist()]
    assert c2(*energy_correlations(p4, offsets).T).tolist() == [0.0, 0.0]


def test_kinematics_are_vectors() -> None:
    rng = np.random.default_rng(7)
    pt, eta = rng.exponential(20.0, 500), rng.normal(0.0, 2.0, 500)
    phi, m = rng.uniform(-np.pi, np.pi, 500), rng.exponential(1.0, 500)
    p = kin.from_pt_eta_phi_m(pt, eta, phi, m)
    reference = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": m})
    for k, name in enumerate(("px", "py", "pz", "E")):
        np.testing.assert_allclose(p[:, k], getattr(reference, name), rtol=1e-12)
    np.testing.assert_allclose(kin.pt(p), pt, rtol=1e-12)
    np.testing.assert_allclose(kin.eta(p), eta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kin.phi(p), phi, rtol=1e-12)
    np.testing.assert_allclose(kin.rapidity(p), reference.rapidity, rtol=1e-7, atol=1e-9)

    np.testing.assert_allclose(
        kin.delta_r(p[:-1], p[1:]),
        np.hypot(np.diff(reference.rapidity), reference[:-1].deltaphi(reference[1:])),
        rtol=1e-6,
    )


def test_angles_along_the_beam_are_defined() -> None:
    p = np.array([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -5.0, 5.0]])
    assert kin.eta(p).tolist() == [np.inf, 0.0, -np.inf]
    assert kin.rapidity(p).tolist() == [np.inf, 0.0, -np.inf]
    assert kin.delta_phi(np.array([3.0]), np.array([-3.0]))[0] == pytest.approx(6.0 - 2 * np.pi)
