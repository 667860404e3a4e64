"""Clustering trees against FastJet's subjets and histories, and `vector`'s rotations and boosts."""

from __future__ import annotations

import fastjet._swig as swig
import numpy as np
import pytest
import vector

from rootloom.representations.tree import ClusteringTree
from rootloom.types import Ragged

ALGORITHMS = {
    "kt": swig.kt_algorithm,
    "cambridge_aachen": swig.cambridge_algorithm,
    "anti_kt": swig.antikt_algorithm,
}
ROWS = 200


def columns_of(jets: Ragged) -> dict[str, Ragged]:
    offsets = jets.offsets[: ROWS + 1]
    values = jets.values[: offsets[-1]]
    return {
        f"constituents.{name}": Ragged(values[:, k], offsets)
        for k, name in enumerate(("px", "py", "pz", "e"))
    }


def pseudojets(p4: np.ndarray) -> list[swig.PseudoJet]:
    return [swig.PseudoJet(*map(float, momentum)) for momentum in p4]


def as_array(momentum: vector.VectorNumpy4D) -> np.ndarray:
    return np.stack([momentum.px, momentum.py, momentum.pz, momentum.E], axis=-1)


def oriented(p4: np.ndarray) -> np.ndarray:
    """1702.00748 §4, step by step: all constituents after each step are clustered again."""

    def subjets(p: np.ndarray) -> list[vector.MomentumObject4D]:
        sequence = swig.ClusterSequence(pseudojets(p), swig.JetDefinition(swig.kt_algorithm, 0.3))
        found = sorted(sequence.inclusive_jets(), key=lambda jet: -jet.pt())
        return [vector.obj(px=j.px(), py=j.py(), pz=j.pz(), E=j.E()) for j in found]

    names = ("px", "py", "pz", "E")
    p = vector.array({name: p4[:, k] for k, name in enumerate(names)})
    found = subjets(p4)
    turns = [
        lambda v: v.rotateZ(-found[0].phi),
        lambda v: v.boostZ(beta=-found[0].pz / found[0].E),
    ]
    for turn in turns:
        p, found = turn(p), [turn(jet) for jet in found]
    if len(found) > 1:
        angle = np.pi - np.arctan2(found[1].pz, found[1].py)
        p, found = p.rotateX(angle), [jet.rotateX(angle) for jet in found]
    result = as_array(p)
    if len(found) > 2 and found[2].pz < 0:
        result[:, 2] *= -1
    return result


def node_momenta(leaves: np.ndarray, merges: np.ndarray) -> np.ndarray:
    nodes = [leaf.astype(np.float64) for leaf in leaves]
    for left, right in merges:
        nodes.append(nodes[left] + nodes[right])
    return np.array(nodes)


def split(column: Ragged) -> list[np.ndarray]:
    return np.split(column.values, column.offsets[1:-1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nodes_are_those_of_fastjet_after_the_papers_preprocessing(
    jets: Ragged, algorithm: str
) -> None:
    shard = ClusteringTree(algorithm=algorithm, keep_bits=23).encode(columns_of(jets))
    trees = zip(split(shard["tree.leaves"]), split(shard["tree.merges"]), strict=True)
    for row, (leaves, merges) in enumerate(trees):
        expected = oriented(jets.values[jets.offsets[row] : jets.offsets[row + 1]])
        definition = swig.JetDefinition(ALGORITHMS[algorithm], 1000.0)
        sequence = swig.ClusterSequence(pseudojets(expected), definition)
        reference = np.array([[j.px(), j.py(), j.pz(), j.E()] for j in sequence.jets()])
        ours = node_momenta(leaves, merges)
        assert ours.shape == reference.shape
        # leaves come in another order, merges in the same
        n = len(leaves)
        np.testing.assert_allclose(ours[n:], reference[n:], rtol=1e-5, atol=2e-4)
        order, other = np.argsort(ours[:n, 3]), np.argsort(reference[:n, 3])
        np.testing.assert_allclose(ours[order], reference[other], rtol=1e-5, atol=1e-4)


def test_features_are_vectors(jets: Ragged) -> None:
    tree = ClusteringTree()
    shard = tree.encode(columns_of(jets))
    features = tree.features(shard, np.array([5, 3]))
    at = 0
    for row in (5, 3):
        leaves, merges = split(shard["tree.leaves"])[row], split(shard["tree.merges"])[row]
        p = node_momenta(leaves, merges)
        v = vector.array({name: p[:, k] for k, name in enumerate(("px", "py", "pz", "E"))})
        expected = np.stack([v.p, v.eta, v.phi, v.E, v.E / p[-1, 3], v.pt, v.theta], axis=-1)
        np.testing.assert_allclose(features[at : at + len(p)], expected, rtol=1e-5, atol=1e-6)
        assert (v.pt[merges[:, 0]] >= v.pt[merges[:, 1]] * (1 - 1e-3)).all()
        at += len(p)
    assert at == len(features)
