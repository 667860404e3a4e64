"""Recursive network on clustering trees (Louppe, Cho, Becot, Cranmer, arXiv:1702.00748)."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn.initializers import Initializer
from jaxtyping import Float, Float32

from rootloom.errors import ConfigError
from rootloom.models.base import Backbone
from rootloom.models.recursion import Cell, recurse, recurse_in_levels
from rootloom.representations.tree_levels import Levels
from rootloom.representations.tree_schedule import Tree
from rootloom.types import Size

# The published code draws uniformly within a tenth of Glorot's bounds; the scale is a variance.
_GLOROT = nn.initializers.variance_scaling(0.1**2, "fan_avg", "uniform")
_ORTHOGONAL = nn.initializers.orthogonal(1.1)


class RecNN(Backbone):
    """A recursion over a jet's tree from its leaves to its root, then dense ReLU layers.

    With u = ReLU(W_u x + b_u) of a node's features x, a leaf's state is h = u and a merge's is
      simple (section 3.1): h = ReLU(W_h [h_L, h_R, u] + b_h)
      gated (appendix A): r = σ(W_r [h_L, h_R, u] + b_r),
                          h̃ = ReLU(W_h [r_L h_L, r_R h_R, r_N u] + b_h),
                          z = softmax over four of W_z [h̃, h_L, h_R, u] + b_z,
                          h = z_H h̃ + z_L h_L + z_R h_R + z_N u.
    σ(x) is (tanh x + 1) / 2, the logistic function of 2x, as in the published code; its
    initial values (Glorot's bounds × 0.1, orthogonal × 1.1, zero biases) are used as well.

    hidden: size of a node's state. gated: use the gated recursion instead of the simple one.
    head: units of the dense layers after the root.
    """

    consumes: ClassVar[tuple[str, ...]] = ("tree",)

    hidden: Size = 40
    gated: bool = True
    head: tuple[Size, ...] = (40, 40)

    def __post_init__(self) -> None:
        if self.hidden < 1 or any(width < 1 for width in self.head):
            raise ConfigError(
                "model 'recnn'",
                expected="positive widths",
                found=f"hidden: {self.hidden}, head: {list(self.head)}",
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: Tree | Levels, *, train: bool) -> Float32[Array, "_ D"]:
        """B trees → (B, head[-1]), or (B, hidden) without a head."""
        nodes = nn.Dense(self.hidden, kernel_init=_GLOROT, dtype=self.dtype, name="node")
        cell, weights = self._gated() if self.gated else self._simple()
        if isinstance(inputs, Levels):
            h = recurse_in_levels(cell, weights, jax.nn.relu(nodes(inputs.nodes)), inputs.children)
        else:
            # One matrix product for leaves and merges.
            u = jax.nn.relu(nodes(jnp.concatenate([inputs.leaves, inputs.merges])))
            leaves, own = u[: len(inputs.leaves)], u[len(inputs.leaves) :]
            h = recurse(cell, weights, leaves, own, inputs)
        for i, width in enumerate(self.head):
            layer = nn.Dense(width, kernel_init=_GLOROT, dtype=self.dtype, name=f"head_{i}")
            h = jax.nn.relu(layer(h))
        return h.astype(jnp.float32)

    def _affine(self, name: str, init: Initializer, rows: int, columns: int) -> tuple[Array, Array]:
        kernel = self.param(f"{name}_kernel", init, (rows, columns))
        bias = self.param(f"{name}_bias", nn.initializers.zeros, (columns,))
        return kernel, bias

    def _cast(self, weights: dict[str, Array]) -> dict[str, Array]:
        return {name: jnp.asarray(value, self.dtype) for name, value in weights.items()}

    def _simple(self) -> tuple[Cell, dict[str, Array]]:
        H = self.hidden
        kernel, bias = self._affine("state", _ORTHOGONAL, 3 * H, H)
        return SIMPLE, self._cast({"state": kernel, "state_bias": bias})

    def _gated(self) -> tuple[Cell, dict[str, Array]]:
        H = self.hidden
        reset, reset_bias = self._affine("reset", _GLOROT, 3 * H, 3 * H)
        state, state_bias = self._affine("state", _ORTHOGONAL, 3 * H, H)
        update, update_bias = self._affine("update", _GLOROT, 4 * H, 4 * H)
        # A softmax does not change when all its arguments shift. With z_H's argument set to zero, a
        # quarter of the products of the update gate need not be computed.
        update = update[:, H:] - jnp.tile(update[:, :H], 3)
        update_bias = update_bias[H:] - jnp.tile(update_bias[:H], 3)
        weights = {
            # The products of both gates with h_L, h_R, u are one matrix product.
            "gates": jnp.concatenate([reset, update[H:]], axis=1),
            "gates_bias": jnp.concatenate([reset_bias, update_bias]),
            "state": state,
            "state_bias": state_bias,
            "update": update[:H],  # from h̃
        }
        return GATED, self._cast(weights)


def _product(x: Float[Array, "W M"], y: Float[Array, "W N"]) -> Float32[Array, "M N"]:
    """xᵀ y, summed in float32."""
    contract = (((0,), (0,)), ((), ()))
    return lax.dot_general(x, y, contract, preferred_element_type=jnp.float32)


def _total(y: Float[Array, "W N"]) -> Float32[Array, " N"]:
    return jnp.sum(y, axis=0, dtype=jnp.float32)


def _simple_forward(weights: dict[str, Array], x: Array) -> tuple[Array, tuple[Array, ...]]:
    return jax.nn.relu(x @ weights["state"] + weights["state_bias"][None]), ()


def _simple_backward(
    weights: dict[str, Array], x: Array, h: Array, saved: tuple[Array, ...], dh: Array
) -> tuple[Array, dict[str, Array]]:
    dy = jnp.where(h > 0, dh, 0)
    return dy @ weights["state"].T, {"state": _product(x, dy), "state_bias": _total(dy)}


def _gated_forward(weights: dict[str, Array], x: Array) -> tuple[Array, tuple[Array, ...]]:
    W, H = x.shape[0], x.shape[1] // 3
    gates = x @ weights["gates"] + weights["gates_bias"][None]
    r = 0.5 * jnp.tanh(gates[:, : 3 * H]) + 0.5
    new = jax.nn.relu((r * x) @ weights["state"] + weights["state_bias"][None])
    y = (gates[:, 3 * H :] + new @ weights["update"]).reshape(W, 3, H)  # left, right, own
    # Terms are written out, because XLA would not fuse a reduction over three into the loops.
    top = jnp.maximum(jnp.maximum(y[:, 0], y[:, 1]), jnp.maximum(y[:, 2], 0))
    e, e_new = jnp.exp(y - top[:, None]), jnp.exp(-top)
    norm = 1 / (e_new + e[:, 0] + e[:, 1] + e[:, 2])
    z, z_new = e * norm[:, None], e_new * norm
    kept = z * x.reshape(W, 3, H)
    h = z_new * new + kept[:, 0] + kept[:, 1] + kept[:, 2]
    return h, (r, new, z.reshape(W, 3 * H), z_new)


def _gated_backward(
    weights: dict[str, Array], x: Array, h: Array, saved: tuple[Array, ...], dh: Array
) -> tuple[Array, dict[str, Array]]:
    r, new, z, z_new = saved
    W, H = h.shape
    passed = z.reshape(W, 3, H) * dh[:, None]
    # d softmax: dy_i = z_i (x_i − h) dh.
    dy = (passed * (x.reshape(W, 3, H) - h[:, None])).reshape(W, 3 * H)
    d_new = jnp.where(new > 0, z_new * dh + dy @ weights["update"].T, 0)
    d_gated = (d_new @ weights["state"].T) * r
    d_reset = d_gated * (x * (2 - 2 * r))  # σ(2x)' = 2 σ (1 − σ)
    d_gates = jnp.concatenate([d_reset, dy], axis=1)
    dx = d_gates @ weights["gates"].T + d_gated + passed.reshape(W, 3 * H)
    return dx, {
        "gates": _product(x, d_gates),
        "gates_bias": _total(d_gates),
        "state": _product(r * x, d_new),
        "state_bias": _total(d_new),
        "update": _product(new, dy),
    }


SIMPLE = Cell(_simple_forward, _simple_backward)
GATED = Cell(_gated_forward, _gated_backward)
