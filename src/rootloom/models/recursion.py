"""A recursion over all trees of a batch, with its gradient written by hand.

Automatic differentiation of a loop keeps the temporaries of every wave and scatters cotangents into
children. Here each node's cotangent is gathered from the only node that used it, so that both
directions read and write contiguous blocks, with shapes that do not depend on the trees; loops run
over the waves of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int32

from rootloom.representations.tree_schedule import WIDTHS, Tree

# Parameters of a cell, as its functions take them.
Weights: TypeAlias = dict[str, Array]


class Cell(NamedTuple):
    """The state of a merge from x (W, 3H): states of its left and right child and its own input.

    W merges are computed at once.

    forward:  (weights, x) → h (W, H), and the arrays (W, …) that `backward` needs.
    backward: (weights, x, h, saved, dh) → dx (W, 3H), float32 cotangents of the weights.
    """

    forward: Callable[[Weights, Array], tuple[Array, tuple[Array, ...]]]
    backward: Callable[[Weights, Array, Array, tuple[Array, ...], Array], tuple[Array, Weights]]


class _Tape(NamedTuple):
    """The record of a forward pass.

    states: (1 + 2S + L, H): a zero row, the slots' states, the leaves', the slots' own inputs.
    rows:   (S, 3) int32, rows of `states` that are the slot's left and right child and own input.
    saved:  of the cell, by slot.
    slots:  how many have been computed.
    """

    states: Array
    rows: Array
    saved: tuple[Array, ...]
    slots: Array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurse(
    cell: Cell,
    weights: Weights,
    leaves: Float[Array, "L H"],
    own: Float[Array, "S H"],
    tree: Tree,
) -> Float[Array, "{len(tree.root)} H"]:
    """States of the roots, 0 for an absent tree.

    leaves: the leaves' states. own: the merges' own inputs.
    """
    tape = _forward(cell, weights, leaves, own, tree, record=False)
    return _rows(tape.states, _row(tree.root, len(own)))


def _recurse_forward(
    cell: Cell, weights: Weights, leaves: Array, own: Array, tree: Tree
) -> tuple[Array, tuple[Weights, Tree, _Tape]]:
    tape = _forward(cell, weights, leaves, own, tree, record=True)
    return _rows(tape.states, _row(tree.root, len(own))), (weights, tree, tape)


def _recurse_backward(
    cell: Cell, residuals: tuple[Weights, Tree, _Tape], d_root: Array
) -> tuple[Weights, Array, Array, None]:
    weights, tree, tape = residuals
    size, width = d_root.shape
    room = len(tape.rows)
    # Cotangents by user: none, the roots, then left, right and own input of every slot.
    uses = jnp.zeros((1 + size + 3 * room, width), d_root.dtype)
    uses = lax.dynamic_update_slice(uses, d_root, (1, 0))
    d_weights = jax.tree.map(lambda w: jnp.zeros(w.shape, jnp.float32), weights)
    carry = uses, d_weights, tape.slots
    for index in reversed(_phases(room)):
        wave = partial(_backward_wave, cell, weights, tree, tape, WIDTHS[index])
        carry = lax.fori_loop(0, tree.waves[index], wave, carry)
    uses, d_weights, _ = carry
    d_weights = jax.tree.map(lambda d, w: d.astype(w.dtype), d_weights, weights)
    d_own = uses[1 + size :].reshape(room, 3, width)[:, 2]
    return d_weights, _rows(uses, tree.leaf_use), d_own, None


recurse.defvjp(_recurse_forward, _recurse_backward)


def recurse_in_levels(
    cell: Cell,
    weights: Weights,
    own: Float[Array, "B L W H"],
    children: Int32[Array, "B L W 2"],
) -> Float[Array, "B H"]:
    """States of the roots of trees in levels, the deepest level first.

    own: the nodes' own inputs, which are the states of leaves. children: see `Levels`.
    """
    rows, _, places, width = own.shape

    def level(below: Array, of: tuple[Array, Array]) -> tuple[Array, None]:
        u, child = of
        at = jnp.maximum(child, 0)
        parts = [jnp.take_along_axis(below, at[..., k : k + 1], axis=1) for k in range(2)]
        x = jnp.concatenate([*parts, u], axis=-1).reshape(rows * places, 3 * width)
        h = cell.forward(weights, x)[0].reshape(rows, places, width)
        return jnp.where(child[..., :1] < 0, u, h), None

    nothing = jnp.zeros((rows, places, width), own.dtype)
    levels = own.swapaxes(0, 1), children.swapaxes(0, 1)
    return lax.scan(level, nothing, levels, reverse=True)[0][:, 0]


def _forward(
    cell: Cell, weights: Weights, leaves: Array, own: Array, tree: Tree, *, record: bool
) -> _Tape:
    room, width = own.shape
    below = jnp.zeros((1 + room, width), own.dtype)
    # A slot's own input is one more row that is gathered with its children's states.
    states = jnp.concatenate([below, leaves, own])
    own_rows = 1 + room + len(leaves) + jnp.arange(room, dtype=jnp.int32)
    rows = jnp.concatenate([_row(tree.children, room), own_rows[:, None]], axis=1)
    saved: tuple[Array, ...] = ()
    if record:
        one = jax.ShapeDtypeStruct((1, 3 * width), own.dtype)
        shapes = jax.eval_shape(cell.forward, weights, one)[1]
        saved = tuple(jnp.zeros((room, *like.shape[1:]), like.dtype) for like in shapes)
    tape = _Tape(states, rows, saved, jnp.int32(0))
    for index in _phases(room):
        wave = partial(_forward_wave, cell, weights, WIDTHS[index])
        tape = lax.fori_loop(0, tree.waves[index], wave, tape)
    return tape


def _forward_wave(cell: Cell, weights: Weights, size: int, _: Array, tape: _Tape) -> _Tape:
    at = tape.slots
    h, saved = cell.forward(weights, _inputs(tape, at, size))
    return tape._replace(
        states=lax.dynamic_update_slice(tape.states, h, (1 + at, 0)),
        saved=tuple(
            lax.dynamic_update_slice_in_dim(buffer, block, at, 0)
            # Without a record there is nothing to write.
            for buffer, block in zip(tape.saved, saved, strict=False)
        ),
        slots=at + size,
    )


def _backward_wave(
    cell: Cell,
    weights: Weights,
    tree: Tree,
    tape: _Tape,
    size: int,
    _: Array,
    carry: tuple[Array, Weights, Array],
) -> tuple[Array, Weights, Array]:
    uses, d_weights, end = carry
    at = end - size
    dh = _rows(uses, _block(tree.slot_use, at, size))
    h = _block(tape.states, 1 + at, size)
    saved = tuple(_block(buffer, at, size) for buffer in tape.saved)
    # Gathering the inputs again is cheaper than storing them.
    dx, more = cell.backward(weights, _inputs(tape, at, size), h, saved, dh)
    begin = len(uses) - 3 * len(tape.rows)
    uses = lax.dynamic_update_slice(uses, dx.reshape(3 * size, -1), (begin + 3 * at, 0))
    return uses, jax.tree.map(jnp.add, d_weights, more), at


def _inputs(tape: _Tape, at: Array, size: int) -> Array:
    """x (size, 3H) of the slots from `at` on."""
    return _rows(tape.states, _block(tape.rows, at, size).reshape(-1)).reshape(size, -1)


def _phases(room: int) -> list[int]:
    """The wave widths that are possible with this number of slots."""
    return [index for index, size in enumerate(WIDTHS) if size <= room]


def _row(node: Array, room: int) -> Array:
    """Rows of the table of states, from a tree's numbers of slots (positive) and leaves."""
    return jnp.where(node < 0, room - node, node)


def _rows(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")


def _block(array: Array, at: Array, size: int) -> Array:
    return lax.dynamic_slice_in_dim(array, at, size)
