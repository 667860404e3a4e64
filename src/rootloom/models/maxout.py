"""MaxOut network on jet images."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from rootloom.errors import ConfigError
from rootloom.models.base import Backbone
from rootloom.models.layers import HE, Dropout, MaxOutDense
from rootloom.types import Image, Rate, Size


class MaxOut(Backbone):
    """The MaxOut network of de Oliveira et al., arXiv:1511.05190, without its output unit.

    Maxout layers, then dense layers.

    maxout: units of the maxout layers. pieces: linear maps per maxout unit. hidden: units of the
    dense layers. dropout: a rate for each layer in order.
    """

    consumes: ClassVar[tuple[str, ...]] = ("image",)

    maxout: tuple[Size, ...] = (256, 128)
    pieces: Size = 5
    hidden: tuple[Size, ...] = (64, 25)
    dropout: tuple[Rate, ...] = (0.3, 0.2, 0.2, 0.3)

    def __post_init__(self) -> None:
        layers = len(self.maxout) + len(self.hidden)
        if len(self.dropout) != layers:
            raise ConfigError(
                "model 'maxout', dropout",
                expected=f"{layers} rates, one for each width in maxout and hidden",
                found=f"{len(self.dropout)} rates",
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, inputs: Image, *, train: bool
    ) -> Float32[Array, "{len(inputs.x)} {self.hidden[-1]}"]:
        """(B, H, W, C) → (B, hidden[-1])."""
        h = jnp.asarray(inputs.x, self.dtype).reshape(inputs.x.shape[0], -1)
        rates = iter(self.dropout)
        for width in self.maxout:
            h = MaxOutDense(width, self.pieces, dtype=self.dtype)(h)
            h = Dropout(next(rates))(h, train=train)
        for width in self.hidden:
            h = jax.nn.relu(nn.Dense(width, kernel_init=HE, dtype=self.dtype)(h))
            h = Dropout(next(rates))(h, train=train)
        return h.astype(jnp.float32)
