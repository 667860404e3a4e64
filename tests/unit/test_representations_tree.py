from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootloom.errors import ConfigError, DataError
from rootloom.representations.growing import TOPOLOGIES
from rootloom.representations.tree import ClusteringTree
from rootloom.representations.tree_schedule import Tree
from rootloom.types import Ragged


def random_jet(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pt, y = rng.exponential(10.0, n) + 0.1, rng.normal(0, 0.4, n)
    phi, m = rng.normal(0, 0.4, n), rng.exponential(0.2, n)
    mt = np.hypot(pt, m)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)], -1)


def table(jets: list[np.ndarray]) -> dict[str, Ragged]:
    offsets = np.concatenate([[0], np.cumsum([len(jet) for jet in jets])]).astype(np.int64)
    values = np.concatenate([np.reshape(jet, (-1, 4)) for jet in jets])
    return {
        f"constituents.{name}": Ragged(values[:, k], offsets)
        for k, name in enumerate(("px", "py", "pz", "e"))
    }


def assert_equal(a: dict[str, Ragged], b: dict[str, Ragged]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name].values, b[name].values)
        np.testing.assert_array_equal(a[name].offsets, b[name].offsets)


@pytest.mark.parametrize("algorithm", TOPOLOGIES)
def test_every_topology_is_a_binary_tree_with_the_harder_child_left(algorithm: str) -> None:
    counts = [1, 2, 3, 17, 60]
    tree = ClusteringTree(algorithm=algorithm, keep_bits=23)
    shard = tree.encode(table([random_jet(n, n) for n in counts]))
    assert shard["tree.leaves"].counts().tolist() == counts
    assert shard["tree.merges"].counts().tolist() == [n - 1 for n in counts]
    assert shard["tree.leaves"].values.dtype == np.float32
    assert shard["tree.merges"].values.dtype == np.uint16
    features, at = tree.features(shard, np.arange(5)), 0
    for row, n in enumerate(counts):
        start = shard["tree.merges"].offsets[row]
        merges = shard["tree.merges"].values[start : start + n - 1].astype(int)
        children = merges.ravel()
        # every node but the root is somebody's child, once, and is made before it is used
        assert sorted(children) == list(range(2 * n - 2))
        assert (merges.max(axis=1, initial=0) < n + np.arange(n - 1)).all()
        pt = features[at : at + 2 * n - 1, 5]
        assert (pt[merges[:, 0]] >= pt[merges[:, 1]] * (1 - 1e-6)).all()
        assert features[at + 2 * n - 2, 4] == pytest.approx(1.0)
        at += 2 * n - 1


@pytest.mark.parametrize(("algorithm", "first"), [("ascending_pt", -1), ("descending_pt", 0)])
def test_chains_add_the_constituents_in_order_of_pt(algorithm: str, first: int) -> None:
    jet = random_jet(5, 12)
    shard = ClusteringTree(algorithm=algorithm, preprocess=False, keep_bits=23).encode(table([jet]))
    leaves, merges = shard["tree.leaves"].values, shard["tree.merges"].values.astype(int)
    pt = np.hypot(leaves[:, 0], leaves[:, 1])
    added = [child for pair in merges for child in pair if child < 12]
    assert len(merges) == 11
    # the last one added is the softest of an ascending chain, the hardest of a descending one
    assert pt[added[-1]] == np.sort(pt)[0 if algorithm == "ascending_pt" else -1]
    order = pt[added[2:]]
    assert np.array_equal(order, np.sort(order)[:: first or 1])


def test_empty_and_single_constituent_jets() -> None:
    tree = ClusteringTree()
    one = random_jet(2, 1)
    shard = tree.encode(table([np.zeros((0, 4)), one]))
    assert shard["tree.leaves"].counts().tolist() == [1, 1]
    assert shard["tree.merges"].counts().tolist() == [0, 0]
    features = tree.features(shard, np.arange(2))
    assert not features[0].any()
    p, eta, phi, e, fraction, pt, theta = features[1].tolist()
    assert (eta, phi, fraction) == pytest.approx((0.0, 0.0, 1.0), abs=1e-3)
    assert theta == pytest.approx(np.pi / 2, abs=1e-3)
    assert pt == pytest.approx(np.hypot(one[0, 0], one[0, 1]), rel=1e-3)
    assert p == pytest.approx(pt, rel=1e-3)
    assert e >= p


def test_momenta_along_the_beam_have_finite_features() -> None:
    jet = np.array([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, -5.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    tree = ClusteringTree()
    assert np.isfinite(tree.features(tree.encode(table([jet])), np.arange(1))).all()


@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from(TOPOLOGIES))
@settings(max_examples=60, deadline=None)
def test_trees_do_not_depend_on_the_order_of_constituents(
    seed: int, n: int, algorithm: str
) -> None:
    tree, jet = ClusteringTree(algorithm=algorithm), random_jet(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    assert_equal(tree.encode(table([jet])), tree.encode(table([jet[order]])))


@given(st.integers(0, 10**6), st.integers(2, 25), st.floats(-10, 10), st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_preprocessing_removes_the_jets_direction(
    seed: int, n: int, angle: float, boost: float
) -> None:
    jet = random_jet(seed, n)
    px, py, pz, e = jet.T
    moved = np.stack(
        [
            px * np.cos(angle) - py * np.sin(angle),
            px * np.sin(angle) + py * np.cos(angle),
            pz * np.cosh(boost) + e * np.sinh(boost),
            e * np.cosh(boost) + pz * np.sinh(boost),
        ],
        axis=-1,
    )
    tree = ClusteringTree(keep_bits=23)
    here, there = tree.encode(table([jet])), tree.encode(table([moved]))
    scale = np.abs(jet).max()
    np.testing.assert_allclose(
        here["tree.leaves"].values, there["tree.leaves"].values, atol=1e-5 * scale
    )
    np.testing.assert_array_equal(here["tree.merges"].values, there["tree.merges"].values)


def test_random_trees_follow_from_seed_and_content() -> None:
    jets = [random_jet(seed, 20) for seed in range(4)]
    tree = ClusteringTree(algorithm="random")
    together = tree.encode(table(jets))
    alone = tree.encode(table([jets[2]]))
    start, stop = together["tree.merges"].offsets[2:4]
    np.testing.assert_array_equal(
        together["tree.merges"].values[start:stop], alone["tree.merges"].values
    )
    other = ClusteringTree(algorithm="random", seed=1).encode(table(jets))
    assert (other["tree.merges"].values != together["tree.merges"].values).any()


class Moments:
    def __init__(self, x: np.ndarray) -> None:
        self.mean, self.std = x.mean(axis=0), x.std(axis=0)


def test_collate_lays_out_the_rows_and_normalise_keeps_padding_zero() -> None:
    jets = [random_jet(n, n) for n in (5, 1, 9)] + [np.zeros((0, 4))]
    tree = ClusteringTree()
    shard = tree.encode(table(jets))
    sample = tree.sample(shard)["nodes"]
    assert sample.shape == (9 + 1 + 17 + 1, 7)
    rows = np.array([2, 0, 3])
    inputs = tree.collate(shard, rows, 5)
    normal = tree.normalise(inputs, {"nodes": Moments(sample)})
    expected = (tree.features(shard, rows) - sample.mean(0)) / sample.std(0)
    blocks = np.split(expected, np.cumsum([17, 9]))
    for example, (n, block) in enumerate(zip((9, 5, 1), blocks, strict=True)):
        seen = nodes_below(normal, normal.root[example])
        assert len(seen) == 2 * n - 1
        for x in (seen, block):
            x[:] = x[np.lexsort(np.round(x, 3).T)]
        np.testing.assert_allclose(seen, block, rtol=1e-4, atol=1e-4)
    assert normal.root[3:].tolist() == [0, 0]
    assert not normal.leaves[np.asarray(inputs.leaf_use) == 0].any()
    assert not normal.merges[np.asarray(inputs.slot_use) == 0].any()


def nodes_below(inputs: Tree, node: int) -> np.ndarray:
    """Features of a node and all below it, by following `children`."""
    if node < 0:
        return inputs.leaves[-1 - node][None]
    left, right = (nodes_below(inputs, child) for child in inputs.children[node - 1])
    return np.concatenate([inputs.merges[node - 1][None], left, right])


def test_momenta_are_rounded_as_promised() -> None:
    jets = table([random_jet(seed, 30) for seed in range(20)])
    exact = ClusteringTree(keep_bits=23).encode(jets)["tree.leaves"].values
    rounded = ClusteringTree().encode(jets)["tree.leaves"].values
    error = np.abs(rounded - exact)[exact != 0] / np.abs(exact[exact != 0])
    assert 0 < error.max() <= 2.0**-13


def test_selection_takes_only_its_constituents() -> None:
    columns = table([random_jet(1, 6), random_jet(2, 4)])
    kept = np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 0], np.int8)
    columns["constituents.trimmed"] = Ragged(kept, columns["constituents.px"].offsets)
    tree = ClusteringTree(select="trimmed", preprocess=False, keep_bits=23)
    leaves = tree.encode(columns)["tree.leaves"]
    assert leaves.counts().tolist() == [3, 1]
    expected = np.sort(columns["constituents.px"].values[kept != 0].astype(np.float32))
    assert np.sort(leaves.values[:3, 0]).tolist() == expected.tolist()


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="did you mean 'anti_kt'"):
        ClusteringTree(algorithm="antikt")
    with pytest.raises(ConfigError, match="keep_bits"):
        ClusteringTree(keep_bits=24)
    with pytest.raises(ConfigError, match=r"or 'constituents\.Px'"):
        ClusteringTree().needs([], {"constituents": ["Px", "py", "pz", "e"]})
    jet = random_jet(0, 3)
    jet[2, 0] = np.inf
    with pytest.raises(DataError, match=r"constituents\.px'.*row 1"):
        ClusteringTree().encode(table([random_jet(1, 2), jet]))
    with pytest.raises(DataError, match="32768"):
        ClusteringTree().encode(table([np.ones((32769, 4))]))
