"""The recursive network against a recursion over one tree, written from the paper's equations."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_tree_schedule import SHAPES, forest

from rootloom.errors import ConfigError
from rootloom.models.recnn import RecNN
from rootloom.representations.base import stack
from rootloom.representations.tree_schedule import Tree, pack

COUNTS = [7, 1, 23, 2, 0, 40]
FEATURES = 7


def trees(counts: list[int], shape: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    leaf_counts, merges, features = forest(counts, shape, seed)
    x = np.random.default_rng(seed).normal(size=(len(features), FEATURES)).astype(np.float32)
    return leaf_counts, merges, x


def parameters(model: RecNN, tree: Tree, seed: int = 1) -> Any:
    """Random values of order one, so that gates and ReLUs are on both sides."""
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), tree)
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> np.ndarray:
        scale = 1.5 / np.sqrt(leaf.shape[0]) if len(leaf.shape) == 2 else 0.3
        return (scale * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree.map(draw, shapes)


def state(p: Any, x: Any, merges: Any, node: int, np: Any, gated: bool) -> Any:
    """h of a node of one tree; `np` is NumPy, or jax.numpy to differentiate it."""
    leaves = len(merges) + 1
    u = np.maximum(x[node] @ p["node"]["kernel"] + p["node"]["bias"], 0)
    if node < leaves:
        return u
    left, right = (state(p, x, merges, int(child), np, gated) for child in merges[node - leaves])
    children = np.concatenate([left, right, u])
    if not gated:
        return np.maximum(children @ p["state_kernel"] + p["state_bias"], 0)
    r = (np.tanh(children @ p["reset_kernel"] + p["reset_bias"]) + 1) / 2
    new = np.maximum((r * children) @ p["state_kernel"] + p["state_bias"], 0)
    gates = np.concatenate([new, children]) @ p["update_kernel"] + p["update_bias"]
    exponentials = np.exp(gates.reshape(4, -1) - gates.max())
    z = exponentials / exponentials.sum(axis=0, keepdims=True)
    return z[0] * new + z[1] * left + z[2] * right + z[3] * u


def reference(params: Any, arguments: tuple[np.ndarray, ...], model: RecNN, np: Any) -> Any:
    """(R, D): every tree by itself, node by node."""
    p, (counts, merges, x) = params["params"], arguments
    rows, at, node = [], 0, 0
    for n in counts:
        if n == 0:
            h = np.zeros(model.hidden)
        else:
            own = merges[at : at + n - 1]
            h = state(p, x[node : node + 2 * n - 1], own, 2 * n - 2, np, model.gated)
            at, node = at + n - 1, node + 2 * n - 1
        for i in range(len(model.head)):
            h = np.maximum(h @ p[f"head_{i}"]["kernel"] + p[f"head_{i}"]["bias"], 0)
        rows.append(h)
    return np.stack(rows)


@pytest.fixture(scope="module")
def initial() -> Any:
    """The gated network's initial parameters."""
    tree = pack(*trees([3], "chain"), size=1)
    return jax.jit(partial(RecNN().init, train=False))(jax.random.key(0, impl="rbg"), tree)


@pytest.mark.parametrize(("gated", "published"), [(False, 8_481), (True, 48_761)])
def test_parameter_counts_are_the_papers(gated: bool, published: int) -> None:
    tree = pack(*trees([3], "chain"), size=1)
    params = parameters(RecNN(gated=gated), tree)
    output_unit = 40 + 1
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) + output_unit == published


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gated", [False, True])
def test_forward_is_the_recursion_of_the_paper(gated: bool, shape: str) -> None:
    model, arguments = RecNN(gated=gated), trees(COUNTS, shape)
    tree = pack(*arguments, size=len(COUNTS))
    params = parameters(model, tree)
    wide = jax.tree.map(np.float64, params)
    expected = reference(wide, arguments, model, np)
    found = jax.jit(partial(model.apply, train=False))(params, tree)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_gradient_is_that_of_the_recursion(gated: bool) -> None:
    model, arguments = RecNN(hidden=6, gated=gated, head=(5,)), trees([3, 1, 4], "random")
    counts, merges, x = arguments
    params = parameters(model, pack(*arguments, size=3))
    target = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)

    def naive(params: Any, x: Any) -> Any:
        return jnp.sum(target * reference(params, (counts, merges, x), model, jnp))

    def ours(params: Any, leaves: Any, nodes: Any, tree: Tree) -> Any:
        tree = tree._replace(leaves=leaves, merges=nodes)
        return jnp.sum(target * model.apply(params, tree, train=True))

    expected, dx = jax.jit(jax.grad(naive, argnums=(0, 1)))(params, x)
    tree = pack(*arguments, size=3)
    found, d_leaves, d_merges = jax.jit(jax.grad(ours, argnums=(0, 1, 2)))(
        params, tree.leaves, tree.merges, tree
    )
    for ours_, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours_, theirs, rtol=1e-4, atol=1e-5)
    is_leaf = np.concatenate([np.arange(2 * n - 1) < n for n in counts])
    np.testing.assert_allclose(d_leaves[tree.leaf_use > 0], dx[is_leaf], rtol=1e-4, atol=1e-5)
    total = np.asarray(d_merges)[tree.slot_use > 0].sum(axis=0)
    np.testing.assert_allclose(total, dx[~is_leaf].sum(axis=0), rtol=1e-4, atol=1e-5)


def value_and_gradient(model: RecNN, params: Any, tree: Tree, rows: int) -> Any:
    def total(params: Any) -> Any:
        h = model.apply(params, tree, train=True)[:rows]
        return jnp.sum(h * jnp.cos(jnp.arange(h.size).reshape(h.shape))), h

    return jax.jit(jax.grad(total, has_aux=True))(params)


def test_padding_changes_nothing() -> None:
    model, arguments = RecNN(), trees([30, 1, 23], "random")
    tree = pack(*arguments, size=3)
    params = parameters(model, tree)
    expected = value_and_gradient(model, params, tree, 3)
    room = stack([tree, pack(*trees([100, 3, 3], "balanced"), size=3)])
    more = (pack(*arguments, size=8), Tree(*(leaf[0] for leaf in room)))
    assert more[1].children.shape != tree.children.shape
    for other in more:
        found = value_and_gradient(model, params, other, 3)
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_order_of_the_trees_does_not_matter() -> None:
    model = RecNN()
    counts, merges, x = trees([20, 31], "random")
    swapped = (
        counts[::-1],
        np.concatenate([merges[19:], merges[:19]]),
        np.concatenate([x[39:], x[:39]]),
    )
    params = parameters(model, pack(counts, merges, x, 2))
    apply = jax.jit(partial(model.apply, train=False))
    first, second = apply(params, pack(counts, merges, x, 2)), apply(params, pack(*swapped, 2))
    np.testing.assert_allclose(first, second[::-1], rtol=1e-5, atol=1e-5)


def test_batches_of_other_trees_do_not_compile_again() -> None:
    model = RecNN(hidden=4, head=())
    apply = jax.jit(partial(model.apply, train=False))
    params = None
    for seed, shape in enumerate(SHAPES):
        tree = pack(*trees([50 + seed] * 16, shape, seed), size=16)
        room = stack([tree, pack(*trees([90] * 16, "chain"), size=16)])
        tree = Tree(*(leaf[0] for leaf in room))
        params = params or parameters(model, tree)
        assert apply(params, tree).shape == (16, 4)
    assert apply._cache_size() == 1


def test_bfloat16_computes_nearly_the_same_with_float32_parameters(initial: Any) -> None:
    arguments = trees([9, 5, 1], "random")
    tree = pack(*arguments, size=3)
    full, half = (
        value_and_gradient(RecNN(dtype=dtype), initial, tree, 3)
        for dtype in ("float32", "bfloat16")
    )
    for (path, exact), rough in zip(
        jax.tree.leaves_with_path(full), jax.tree.leaves(half), strict=True
    ):
        assert rough.dtype == jnp.float32, path
        assert np.linalg.norm(rough - exact) < 0.05 * np.linalg.norm(exact), path


def test_huge_gates_stay_finite() -> None:
    model, arguments = RecNN(), trees([9, 5, 1], "random")
    tree = pack(*arguments, size=3)
    params = jax.tree.map(lambda p: 30 * p, parameters(model, tree))
    for leaf in jax.tree.leaves(value_and_gradient(model, params, tree, 3)):
        assert np.isfinite(leaf).all()


def test_initial_values_have_the_published_scale(initial: Any) -> None:
    p = initial["params"]
    bound = 0.1 * np.sqrt(6 / (160 + 160))
    assert 0.98 * bound < np.abs(p["update_kernel"]).max() <= bound
    product = p["state_kernel"].T @ p["state_kernel"]
    np.testing.assert_allclose(product, 1.1**2 * np.eye(40), atol=1e-5)
    assert not p["reset_bias"].any()


def test_widths_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="positive widths"):
        RecNN(hidden=0)
