"""The layout of trees: every node once, children before parents, few shapes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rootloom.errors import DataError
from rootloom.representations.base import stack
from rootloom.representations.tree_schedule import WIDTHS, Tree, capacity, pack

SHAPES = ("random", "chain", "balanced")


def merges_of(leaves: int, shape: str, rng: np.random.Generator) -> np.ndarray:
    """The merges of one tree: any two nodes, always the newest node, or always the oldest two."""
    alive, merges = list(range(leaves)), []
    for step in range(leaves - 1):
        if shape == "random":
            pair = [alive.pop(rng.integers(len(alive))) for _ in range(2)]
        elif shape == "chain":
            pair = [alive.pop(), alive.pop(0)]
        else:
            pair = [alive.pop(0), alive.pop(0)]
        merges.append(pair)
        alive.append(leaves + step)
    return np.array(merges, np.uint16).reshape(-1, 2)


def forest(counts: list[int], shape: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """(leaf_counts, merges, node_features), each node's two features unique."""
    rng = np.random.default_rng(seed)
    merges = np.concatenate([merges_of(n, shape, rng) for n in counts if n] or [np.zeros((0, 2))])
    nodes = sum(2 * n - 1 for n in counts if n)
    features = rng.permutation(2 * nodes).reshape(-1, 2) + 1
    return np.array(counts), merges.astype(np.uint16), features.astype(np.float32)


def nested(leaves: np.ndarray, merges: np.ndarray, children: Any, node: int) -> Any:
    """A tree as nested tuples of its features, from any numbering of its nodes."""
    if node < 0:
        return tuple(leaves[-1 - node])
    below = [nested(leaves, merges, children, int(child)) for child in children[node - 1]]
    return tuple(merges[node - 1]), *below


def original(counts: np.ndarray, merges: np.ndarray, features: np.ndarray) -> list[Any]:
    """The same from `pack`'s arguments: leaf i is −1 − i, merge i is 1 + i."""
    trees, at, node = [], 0, 0
    for n in counts[counts > 0]:
        own = merges[at : at + n - 1].astype(int)
        children = np.where(own < n, -1 - own, own - n + 1)
        x = features[node : node + 2 * n - 1]
        trees.append(nested(x[:n], x[n:], children, n - 1 if n > 1 else -1))
        at, node = at + n - 1, node + 2 * n - 1
    return trees


def slots_by_wave(tree: Tree) -> np.ndarray:
    """The wave of every slot that some wave computes."""
    widths = np.repeat(WIDTHS, tree.waves)
    return np.repeat(np.arange(len(widths)), widths)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "counts", [[1], [2], [1, 1, 1], [5, 1, 0, 9], [64, 3, 17, 200, 2], [40] * 64]
)
def test_layout_holds_the_same_trees(counts: list[int], shape: str) -> None:
    arguments = forest(counts, shape)
    tree = pack(*arguments, size=len(counts) + 2)
    present = np.flatnonzero(arguments[0])
    found = [nested(tree.leaves, tree.merges, tree.children, int(tree.root[b])) for b in present]
    assert found == original(*arguments)
    absent = np.setdiff1d(np.arange(len(tree.root)), present)
    assert not tree.root[absent].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_children_are_computed_in_earlier_waves(shape: str) -> None:
    tree = pack(*forest([64, 3, 17, 200, 2, 120], shape), size=6)
    wave = slots_by_wave(tree)
    assert len(wave) <= len(tree.merges)
    for slot in np.flatnonzero(tree.slot_use):
        children = tree.children[slot]
        assert (wave[children[children > 0] - 1] < wave[slot]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_uses_are_the_inverse_of_children_and_roots(shape: str) -> None:
    size = 7
    tree = pack(*forest([9, 1, 0, 33, 70], shape), size=size)
    for nodes, uses in (
        (1 + np.arange(len(tree.slot_use)), tree.slot_use),
        (-1 - np.arange(len(tree.leaf_use)), tree.leaf_use),
    ):
        for node, use in zip(nodes, uses, strict=True):
            if use > size:
                slot, side = divmod(use - 1 - size, 3)
                assert tree.children[slot, side] == node
            elif use > 0:
                assert tree.root[use - 1] == node
    assert (tree.slot_use > 0).sum() == 8 + 32 + 69
    assert (tree.leaf_use > 0).sum() == 9 + 1 + 33 + 70
    assert not tree.leaves[tree.leaf_use == 0].any()
    assert not tree.merges[tree.slot_use == 0].any()


def test_bushy_trees_leave_few_slots_empty_and_chains_take_as_many_waves_as_they_are_deep() -> None:
    counts = np.random.default_rng(3).integers(20, 90, 64).tolist()
    merges = sum(counts) - 64
    for shape in ("random", "balanced"):
        tree = pack(*forest(counts, shape), size=64)
        assert tree.waves @ np.array(WIDTHS) <= 1.06 * merges
    tree = pack(*forest(counts, "chain"), size=64)
    assert tree.waves @ np.array(WIDTHS) <= 1.06 * merges
    assert tree.waves.sum() <= 1.3 * max(counts)


def test_few_shapes_occur() -> None:
    assert [capacity(n) for n in (0, 1, 16, 17, 29, 33, 57, 1000)] == [
        16,
        16,
        16,
        20,
        32,
        40,
        64,
        1024,
    ]
    sizes = [capacity(n) for n in range(1, 5000)]
    assert all(n <= c <= max(16, 1.25 * n + 1) for n, c in enumerate(sizes, 1))
    assert len(set(sizes)) < 40
    rng = np.random.default_rng(0)
    shapes = set()
    for seed in range(20):
        counts = rng.poisson(50, 64).tolist()
        shapes.add(pack(*forest(counts, "random", seed), size=64).children.shape)
    assert len(shapes) <= 2


def test_the_same_trees_give_the_same_layout() -> None:
    arguments = forest([30, 1, 44], "random")
    for first, second in zip(pack(*arguments, size=4), pack(*arguments, size=4), strict=True):
        np.testing.assert_array_equal(first, second)


def test_layouts_of_several_devices_stack_with_zeros() -> None:
    small, large = (pack(*forest(counts, "random"), size=3) for counts in ([4, 1], [90, 80, 7]))
    both = stack([small, large])
    for tree, arguments in ((0, forest([4, 1], "random")), (1, forest([90, 80, 7], "random"))):
        one = Tree(*(leaf[tree] for leaf in both))
        roots = [int(root) for root in one.root if root]
        found = [nested(one.leaves, one.merges, one.children, root) for root in roots]
        assert found == original(*arguments)


def test_no_trees_at_all() -> None:
    for counts in ([], [0, 0]):
        tree = pack(*forest(counts, "random")[:2], np.zeros((0, 7), np.float32), size=2)
        assert not any(leaf.any() for leaf in tree)


@pytest.mark.parametrize(
    "merges",
    [
        [[0, 1], [0, 3]],  # leaf 0 twice, leaf 2 never
        [[0, 3], [1, 2]],  # a merge of what comes later
        [[0, 1], [2, 9]],  # no such node
    ],
)
def test_merges_that_are_no_tree_are_refused(merges: list[list[int]]) -> None:
    counts, good, features = forest([2, 3], "chain")
    bad = np.concatenate([good[:1], np.array(merges, np.uint16)])
    with pytest.raises(DataError, match="tree 1 of a batch"):
        pack(counts, bad, features, size=2)


def test_lengths_that_do_not_fit_are_refused() -> None:
    counts, merges, features = forest([2, 3], "chain")
    for arguments in (
        (counts, merges[:-1], features, 2),
        (counts, merges, features[:-1], 2),
        (counts, merges, features, 1),
    ):
        with pytest.raises(DataError, match="at most"):
            pack(*arguments)
