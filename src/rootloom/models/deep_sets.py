"""Deep sets: a network of each object, their sum, a network of the sum."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from rootloom.models.base import Backbone
from rootloom.models.layers import relu_layers, single_or_double
from rootloom.models.sets import groups_of, joined, only
from rootloom.types import ParticleSets, Rate, Size


class DeepSets(Backbone):
    """F(Σ Φ(x)) with dense layers Φ of each object and F of the row.

    M. Zaheer et al., arXiv:1703.06114; the particle flow network of P. Komiske, E. Metodiev,
    J. Thaler, arXiv:1810.05165, whose widths are the defaults. Quantities of the row follow the
    sum.

    collection: the one it reads; "" if there is one only. objects: units of the layers of Φ. row:
    units of those of F. dropout: rate after each of the latter.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    objects: tuple[Size, ...] = (100, 100, 128)
    row: tuple[Size, ...] = (100, 100, 100)
    dropout: Rate = 0.0

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} D"]:
        """(B, N, F) → (B, row[-1])."""
        found, groups = joined(groups_of(self, inputs, self.collection))
        x = jnp.asarray(found.x, self.dtype)
        x = relu_layers(x, self.objects, 0.0, self.dtype, "object", train=train)
        pooled = groups.of_rows(lambda part: part.sum(axis=1), only(x, found.mask))
        x = jnp.concatenate([pooled, jnp.asarray(inputs.scalars, self.dtype)], axis=-1)
        x = relu_layers(x, self.row, self.dropout, self.dtype, "row", train=train)
        return x.astype(single_or_double(self.dtype))
