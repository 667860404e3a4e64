"""A model of these inputs, and some that are none."""

from typing import ClassVar

import flax.linen as nn

from rootloom.models.base import Backbone
from rootloom.types import Size


class Sines(Backbone):
    """Sines of sums. width: how many."""

    consumes: ClassVar[tuple[str, ...]] = ("ratios",)

    width: Size = 8

    @nn.compact
    def __call__(self, inputs, *, train):
        return nn.tanh(nn.Dense(self.width)(inputs.x))


class Headless(Backbone):
    consumes: ClassVar[tuple[str, ...]] = ("ratios",)


class Greedy(Backbone):
    """Takes whatever it gets."""

    def __call__(self, inputs, *, train):
        return inputs.x


class Odd(Sines):
    """A field that is no data."""

    layer: nn.Module = None
