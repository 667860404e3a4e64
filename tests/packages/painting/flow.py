"""Jet images by flow matching: all that a generator of other inputs needs to be."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from rootloom.models.generators.base import VelocityFields
from rootloom.types import Image, Size


class PixelFlow(VelocityFields):
    """One field for all pixels. side: pixels a side of the only channel. width: of the network."""

    consumes: ClassVar[tuple[str, ...]] = ("image",)
    fields: ClassVar[tuple[str, ...]] = ("pixels",)

    side: Size = 15
    width: Size = 64

    def setup(self):
        self.pixels = nn.Sequential([nn.Dense(self.width), nn.silu, nn.Dense(self.side**2)])

    @property
    def sizes(self):
        return (self.side**2,)

    def velocity(self, field, x, t, given):
        return self.pixels(jnp.concatenate([x, t[:, None], given], axis=1)) - x

    def ends(self, inputs, condition, seeds, scale):
        return ((inputs.x.reshape(len(condition), -1), condition),)

    def inputs(self, condition, ends, scale):
        return Image(ends[0].reshape(-1, self.side, self.side, 1))
