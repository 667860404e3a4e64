"""Recurrent cells: a long short-term memory and a gated recurrent unit along a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from rootloom.models.layers import XAVIER, Precision

Cell: TypeAlias = Literal["lstm", "gru"]
Gate: TypeAlias = Literal["sigmoid", "hard_sigmoid"]
_ORTHOGONAL = nn.initializers.orthogonal()
_Step: TypeAlias = Callable[[tuple[Array, ...], Array], tuple[Array, ...]]


def _gate(kind: Gate) -> Callable[[Array], Array]:
    """The logistic function, or its three lines of Keras before 2.3: 0.2 x + 0.5 within 0 and 1."""
    return jax.nn.sigmoid if kind == "sigmoid" else lambda x: jnp.clip(0.2 * x + 0.5, 0.0, 1.0)


class Recurrence(nn.Module):
    """The state of a cell after the last element of a sequence that is there.

    lstm: S. Hochreiter, J. Schmidhuber, Neural Computation 9 (1997) 1735, with F. Gers' forget
    gate, in PyTorch's order i, f, g, o. gru: K. Cho et al., arXiv:1406.1078, with the reset gate
    after the product, as in cuDNN, in the order r, z, n. gate: function of the gates.
    """

    units: int
    cell: Cell = "lstm"
    gate: Gate = "sigmoid"
    dtype: Precision = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N F"], there: Bool[Array, "B N"]
    ) -> Float[Array, "B {self.units}"]:
        """Zeros of a sequence of nothing."""
        count, H = (4 if self.cell == "lstm" else 3), self.units
        kernel = self.param("kernel", XAVIER, (x.shape[-1], count * H)).astype(self.dtype)
        own = self.param("state_kernel", _ORTHOGONAL, (H, count * H)).astype(self.dtype)
        bias = self.param("bias", _bias(self.cell), (count * H,)).astype(self.dtype)
        # One product for all elements, in the order in which they are read.
        driven = (x @ kernel + bias[None, None]).swapaxes(0, 1)
        step = self._lstm(own) if self.cell == "lstm" else self._gru(own)

        def read(
            state: tuple[Array, ...], of: tuple[Array, Array]
        ) -> tuple[tuple[Array, ...], None]:
            new, kept = step(state, of[0]), of[1][:, None]
            return tuple(jnp.where(kept, a, b) for a, b in zip(new, state, strict=True)), None

        states = 2 if self.cell == "lstm" else 1
        start: tuple[Array, ...] = (jnp.zeros((x.shape[0], H), driven.dtype),) * states
        return lax.scan(read, start, (driven, there.swapaxes(0, 1)))[0][0]

    def _lstm(self, own: Array) -> _Step:
        gate = _gate(self.gate)

        def step(state: tuple[Array, ...], driven: Array) -> tuple[Array, ...]:
            h, c = state
            i, f, g, o = jnp.split(driven + h @ own, 4, axis=1)
            c = gate(f) * c + gate(i) * jnp.tanh(g)
            return gate(o) * jnp.tanh(c), c

        return step

    def _gru(self, own: Array) -> _Step:
        gate = _gate(self.gate)
        reset_bias = self.param("state_bias", nn.initializers.zeros, (self.units,))
        extra = reset_bias.astype(self.dtype)[None]

        def step(state: tuple[Array, ...], driven: Array) -> tuple[Array, ...]:
            (h,) = state
            from_input, from_state = jnp.split(driven, 3, axis=1), jnp.split(h @ own, 3, axis=1)
            r, z = (gate(a + b) for a, b in zip(from_input[:2], from_state[:2], strict=True))
            new = jnp.tanh(from_input[2] + r * (from_state[2] + extra))
            return ((1.0 - z) * new + z * h,)

        return step


def _bias(cell: Cell) -> nn.initializers.Initializer:
    """Zeros, and ones of the forget gate (R. Jozefowicz et al., ICML 2015)."""

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        units = shape[0] // 4
        zeros = jnp.zeros(shape, dtype)
        return zeros.at[units : 2 * units].set(1) if cell == "lstm" else zeros

    return init
