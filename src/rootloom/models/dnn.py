"""Fully connected network on event or jet variables."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from rootloom.models.base import Backbone
from rootloom.models.layers import HE, Activation, Dropout, activation
from rootloom.types import Features, NamedFeatures, Rate, Size


class DNN(Backbone):
    """Dense layers of the given widths; without any, the variables themselves.

    The default, five layers of 300 units, is that of Baldi, Sadowski, Whiteson, arXiv:1402.4735.

    hidden: units of each layer. activation: function after each layer. dropout: rate of dropout
    after each layer.
    """

    consumes: ClassVar[tuple[str, ...]] = ("features",)

    hidden: tuple[Size, ...] = (300, 300, 300, 300, 300)
    activation: Activation = "relu"
    dropout: Rate = 0.0

    @nn.compact
    def __call__(
        self, inputs: Features | NamedFeatures, *, train: bool
    ) -> Float32[Array, "{len(inputs.x)} D"]:
        """(B, F) → (B, hidden[-1]), or (B, F) without hidden layers."""
        h = jnp.asarray(inputs.x, self.dtype)
        for width in self.hidden:
            h = nn.Dense(width, kernel_init=HE, dtype=self.dtype)(h)
            h = Dropout(self.dropout)(activation(self.activation)(h), train=train)
        return h.astype(jnp.float32)
