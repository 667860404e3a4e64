"""Energy flow network: a network of directions, summed with shares of pT as weights."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from rootloom.models.base import Backbone
from rootloom.models.layers import relu_layers, single_or_double
from rootloom.models.sets import groups_of, joined, required
from rootloom.types import ParticleSets, Rate, Size


class EnergyFlow(Backbone):
    """F(Σ z Φ(p)) with z = pT/Σ pT of an object at p: infrared and collinear safe.

    P. Komiske, E. Metodiev, J. Thaler, arXiv:1810.05165, whose widths are the defaults. Needs
    `points` (p) and `momenta` (pT) of the representation; its quantities are not used.

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
        """(B, N, 2) points and (B, N, 4) momenta → (B, row[-1])."""
        found, groups = joined(groups_of(self, inputs, self.collection))
        momenta = required(self, "momenta", found.momenta)
        x = jnp.asarray(required(self, "points", found.points), self.dtype)
        x = relu_layers(x, self.objects, 0.0, self.dtype, "object", train=train)
        # Not in bfloat16: the sum of the shares is 1.
        pt = jnp.where(found.mask, jnp.hypot(momenta[..., 0], momenta[..., 1]), 0)
        total = groups.to_objects(groups.of_rows(lambda part: part.sum(axis=1), pt))
        share = pt / jnp.maximum(total, jnp.finfo(pt.dtype).tiny)
        weighted = x * share.astype(x.dtype)[..., None]
        pooled = groups.of_rows(lambda part: part.sum(axis=1), weighted)
        x = relu_layers(pooled, self.row, self.dropout, self.dtype, "row", train=train)
        return x.astype(single_or_double(self.dtype))
