"""Recurrent network that reads the objects of a row one after the other."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from rootloom.models.base import Backbone
from rootloom.models.layers import relu_layers, single_or_double
from rootloom.models.recurrence import Cell, Recurrence
from rootloom.models.sets import objects_of
from rootloom.types import ParticleSets, Rate, Size


class Recurrent(Backbone):
    """A long short-term memory or gated recurrent unit over ordered objects, then dense layers.

    S. Egan et al., arXiv:1711.09059, and D. Guest et al., arXiv:1607.08633; the dataset orders the
    objects, by transverse momentum for example. Quantities of the row follow the cell's state.

    collection: the one it reads; "" if there is one only. cell: "lstm" or "gru". units: of the
    cell. dense: units of the layers after it. dropout: rate after each of these.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    cell: Cell = "lstm"
    units: Size = 128
    dense: tuple[Size, ...] = (64,)
    dropout: Rate = 0.0

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} D"]:
        """(B, N, F) → (B, dense[-1])."""
        found = objects_of(self, inputs, self.collection)
        x = jnp.asarray(found.x, self.dtype)
        x = Recurrence(self.units, self.cell, dtype=self.dtype, name="cell_state")(x, found.mask)
        x = jnp.concatenate([x, jnp.asarray(inputs.scalars, self.dtype)], axis=-1)
        x = relu_layers(x, self.dense, self.dropout, self.dtype, "dense", train=train)
        return x.astype(single_or_double(self.dtype))
