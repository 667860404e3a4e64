"""A recursion over all trees of a batch, with its gradient written by hand.

Differentiating a loop keeps every wave's temporaries and scatters cotangents into children. Here
each node's cotangent is gathered from the one place that used the node, so that both directions
read and write contiguous blocks, at shapes that do not depend on the trees; loops run as many
waves as the batch has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax

from rootloom.representations.tree_schedule import WIDTHS, Tree

Weights: TypeAlias = Any
_Carry: TypeAlias = tuple[Array, tuple[Array, tuple[Array, ...]]]


class Cell(NamedTuple):
    """How a merge's state follows from x (W, 3H), the concatenated states of its left and right
    child and its own input; W merges at once.

    forward:  (weights, x) → h (W, H), and the arrays (W, …) that `backward` needs.
    backward: (weights, x, h, saved, dh) → dx (W, 3H), float32 cotangents of the weights.
    """

    forward: Callable[[Weights, Array], tuple[Array, tuple[Array, ...]]]
    backward: Callable[[Weights, Array, Array, tuple[Array, ...], Array], tuple[Array, Weights]]


class _Tape(NamedTuple):
    """states: (1 + S + L, H): zero, slots, leaves. x, saved: by slot. slots: those computed."""

    states: Array
    x: Array
    saved: tuple[Array, ...]
    slots: Array


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurse(cell: Cell, weights: Weights, leaves: Array, own: Array, tree: Tree) -> Array:
    """States of the roots, (B, H); 0 for an absent tree.

    leaves: (L, H), the leaves' states. own: (S, H), the merges' own inputs.
    """
    tape = _forward(cell, weights, leaves, own, tree, record=False)
    return _rows(tape.states, _row(tree.root, len(own)))


def _recurse_forward(
    cell: Cell, weights: Weights, leaves: Array, own: Array, tree: Tree
) -> tuple[Array, Any]:
    tape = _forward(cell, weights, leaves, own, tree, record=True)
    return _rows(tape.states, _row(tree.root, len(own))), (weights, tree, tape)


def _recurse_backward(cell: Cell, residuals: Any, d_root: Array) -> tuple[Any, ...]:
    weights, tree, tape = residuals
    size, width = d_root.shape
    room = len(tape.x)
    # Cotangents by use: nothing, the roots, then left, right and own input of every slot.
    uses = jnp.zeros((1 + size + 3 * room, width), d_root.dtype)
    uses = lax.dynamic_update_slice(uses, d_root, (1, 0))
    d_weights = jax.tree.map(lambda w: jnp.zeros(w.shape, jnp.float32), weights)
    end = tape.slots
    for index in reversed(_phases(room)):
        step = partial(_backward_wave, cell, weights, tree, tape, end, WIDTHS[index])
        uses, d_weights = lax.fori_loop(0, tree.waves[index], step, (uses, d_weights))
        end = end - tree.waves[index] * WIDTHS[index]
    d_weights = jax.tree.map(lambda d, w: d.astype(w.dtype), d_weights, weights)
    d_own = uses[1 + size :].reshape(room, 3, width)[:, 2]
    return d_weights, _rows(uses, tree.leaf_use), d_own, None


recurse.defvjp(_recurse_forward, _recurse_backward)


def _forward(
    cell: Cell, weights: Weights, leaves: Array, own: Array, tree: Tree, *, record: bool
) -> _Tape:
    room, width = own.shape
    below = jnp.zeros((1 + room, width), own.dtype)
    # A slot's own input is one more row to gather with its children's states.
    table = jnp.concatenate([below, leaves, own])
    own_row = 1 + room + len(leaves) + jnp.arange(room, dtype=jnp.int32)
    rows = jnp.concatenate([_row(tree.children, room), own_row[:, None]], axis=1)

    def buffer(like: Any) -> Array:
        return jnp.zeros((room, *like.shape[1:]), like.dtype)

    one = jax.ShapeDtypeStruct((1, 3 * width), own.dtype)
    _, saved = jax.eval_shape(cell.forward, weights, one)
    buffers = jax.tree.map(buffer, (one, saved)) if record else (own, ())

    def wave(size: int, begin: Array, i: Array, carry: _Carry) -> _Carry:
        table, buffers = carry
        at = begin + i * size
        x = _rows(table, _block(rows, at, size).reshape(-1)).reshape(size, 3 * width)
        h, saved = cell.forward(weights, x)
        table = lax.dynamic_update_slice(table, h, (1 + at, 0))
        if record:
            buffers = jax.tree.map(partial(_write, at), buffers, (x, saved))
        return table, buffers

    begin = jnp.int32(0)
    carry: _Carry = table, buffers
    for index in _phases(room):
        size, waves = WIDTHS[index], tree.waves[index]
        carry = lax.fori_loop(0, waves, partial(wave, size, begin), carry)
        begin = begin + waves * size
    table, (x, saved) = carry
    return _Tape(table, x, saved, begin)


def _backward_wave(
    cell: Cell,
    weights: Weights,
    tree: Tree,
    tape: _Tape,
    end: Array,
    size: int,
    i: Array,
    carry: tuple[Array, Weights],
) -> tuple[Array, Weights]:
    uses, d_weights = carry
    at = end - (i + 1) * size
    dh = _rows(uses, _block(tree.slot_use, at, size))
    h = _block(tape.states, 1 + at, size)
    x = _block(tape.x, at, size)
    saved = jax.tree.map(lambda buffer: _block(buffer, at, size), tape.saved)
    dx, more = cell.backward(weights, x, h, saved, dh)
    begin = len(uses) - 3 * len(tape.x)
    uses = lax.dynamic_update_slice(uses, dx.reshape(3 * size, -1), (begin + 3 * at, 0))
    return uses, jax.tree.map(jnp.add, d_weights, more)


def _phases(room: int) -> list[int]:
    """The widths for which there is room; no tree of so few slots has waves of the others."""
    return [index for index, size in enumerate(WIDTHS) if size <= room]


def _row(node: Array, room: int) -> Array:
    """Rows of the table of states, from a tree's numbers of slots (positive) and leaves."""
    return jnp.where(node < 0, room - node, node)


def _rows(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")


def _block(array: Array, at: Array, size: int) -> Array:
    return lax.dynamic_slice_in_dim(array, at, size)


def _write(at: Array, buffer: Array, block: Array) -> Array:
    return lax.dynamic_update_slice_in_dim(buffer, block, at, 0)
