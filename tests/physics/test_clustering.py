"""Clustering histories against FastJet's, algorithm by algorithm."""

from __future__ import annotations

import awkward as ak
import fastjet
import fastjet._swig as swig
import numpy as np
import pytest

from rootloom.physics.jets.clustering import cluster, inclusive_jets
from rootloom.types import Ragged

ALGORITHMS = {
    "kt": fastjet.kt_algorithm,
    "cambridge_aachen": fastjet.cambridge_algorithm,
    "anti_kt": fastjet.antikt_algorithm,
}


def fastjet_merges(p4: np.ndarray, algorithm: int) -> set[frozenset[int]]:
    """Every joining step as the pair of constituent sets it joins, from FastJet's own history."""
    particles = []
    for number, momentum in enumerate(p4):
        particle = swig.PseudoJet(*map(float, momentum))
        particle.set_user_index(number)
        particles.append(particle)
    sequence = swig.ClusterSequence(particles, swig.JetDefinition(algorithm, 1000.0))
    content: dict[int, frozenset[int]] = {}
    merges = set()
    left, right = swig.PseudoJet(), swig.PseudoJet()
    for jet in sequence.jets():
        if sequence.has_parents(jet, left, right):
            a, b = content[left.cluster_hist_index()], content[right.cluster_hist_index()]
            merges.add(frozenset([a, b]))
            content[jet.cluster_hist_index()] = a | b
        else:
            content[jet.cluster_hist_index()] = frozenset([jet.user_index()])
    return merges


def our_merges(parents: np.ndarray) -> set[frozenset[int]]:
    content = [frozenset([i]) for i in range(len(parents))]
    merges = set()
    for a, b in parents:
        if b >= 0:
            merges.add(frozenset([content[a], content[b]]))
            content.append(content[a] | content[b])
    return merges


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trees_are_fastjets(jets: Ragged, algorithm: str) -> None:
    history = cluster(jets.values, jets.offsets, algorithm)
    for row in range(len(jets)):
        part = slice(jets.offsets[row], jets.offsets[row + 1])
        expected = fastjet_merges(jets.values[part], ALGORITHMS[algorithm])
        assert len(expected) == part.stop - part.start - 1
        assert our_merges(history.parents[part]) == expected, f"jet {row}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("radius", [0.3, 0.8])
def test_inclusive_jets_are_fastjets(jets: Ragged, algorithm: str, radius: float) -> None:
    found, labels = inclusive_jets(jets.values, jets.offsets, algorithm, radius)
    columns = {name: jets.values[:, k] for k, name in enumerate(("px", "py", "pz", "E"))}
    rows = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), np.diff(jets.offsets))
    sequence = fastjet.ClusterSequence(rows, fastjet.JetDefinition(ALGORITHMS[algorithm], radius))
    expected = sequence.inclusive_jets()
    expected = expected[ak.argsort(expected.px**2 + expected.py**2, ascending=False)]
    assert np.array_equal(found.counts(), ak.to_numpy(ak.num(expected)))
    reference = np.stack(
        [ak.to_numpy(ak.flatten(expected[name])) for name in ("px", "py", "pz", "E")], axis=-1
    )
    np.testing.assert_allclose(found.values, reference, rtol=1e-12, atol=1e-9)
    sums = np.zeros_like(reference)
    row_of = np.repeat(np.arange(len(jets)), jets.counts())
    np.add.at(sums, found.offsets[row_of] + labels, jets.values)
    np.testing.assert_allclose(sums, reference, rtol=1e-9, atol=1e-9)


def test_distances_are_those_of_the_definition() -> None:
    # Three momenta on a line: the pair at ΔR = 0.1 joins first under kT with the softer's pT².
    phi = np.array([0.0, 0.1, 1.0])
    pt = np.array([10.0, 2.0, 5.0])
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), np.zeros(3), pt], axis=-1)
    history = cluster(p4, np.array([0, 3]), "kt", 0.5)
    assert sorted(history.parents[0]) == [0, 1]
    assert history.distance[0] == pytest.approx(2.0**2 * 0.1**2 / 0.5**2, rel=1e-9)
    assert list(history.parents[1:, 1]) == [-1, -1]  # the rest is too far apart: two jets
    assert history.distance[1] == pytest.approx(25.0)


def test_jets_of_one_and_of_no_constituent() -> None:
    p4 = np.array([[3.0, 4.0, 1.0, 9.0]])
    offsets = np.array([0, 0, 1, 1])
    history = cluster(p4, offsets, "anti_kt")
    assert history.parents.tolist() == [[0, -1]]
    found, labels = inclusive_jets(p4, offsets, "kt", 0.3)
    assert found.counts().tolist() == [0, 1, 0]
    assert labels.tolist() == [0]
