"""Residual network on tables, with numbers embedded by periodic functions."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Float32

from rootloom.models.base import Backbone
from rootloom.models.layers import HE, Activation, Dropout, Precision, activation
from rootloom.types import Features, NamedFeatures, Positive, Rate, Size


class PeriodicEmbedding(nn.Module):
    """`width` learned features of each number: sines and cosines, one linear map per number, ReLU.

    "PLR" of Gorishniy, Rubachev, Babenko, arXiv:2203.05556, section 3.3. With the periodic features
    thresholds and windows in a number are easy to learn. sigma: standard deviation of the initial
    frequencies, per standard deviation of the number.
    """

    frequencies: int
    width: int
    sigma: float

    @nn.compact
    def __call__(self, x: Float32[Array, "B F"]) -> Float32[Array, "B F {self.width}"]:
        """Features of each number."""
        count = x.shape[1]
        start = nn.initializers.normal(self.sigma)
        frequency = self.param("frequency", start, (count, self.frequencies))
        phase = 2.0 * jnp.pi * x[:, :, None] * frequency[None]  # (B, F, K)
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)  # (B, F, 2K)
        kernel = self.param("kernel", HE, (count, 2 * self.frequencies, self.width))
        bias = self.param("bias", nn.initializers.zeros, (count, self.width))
        return jax.nn.relu(jnp.einsum("bfk,fkw->bfw", waves, kernel) + bias[None])


class _Block(nn.Module):
    """x + W₂ f(W₁ norm(x)), with dropout after each map."""

    expansion: float
    activation: Activation
    dropout: float
    dtype: Precision

    @nn.compact
    def __call__(self, x: Float[Array, "B D"], *, train: bool) -> Float[Array, "B D"]:
        width = x.shape[-1]
        h = nn.LayerNorm(dtype=self.dtype)(x)
        h = nn.Dense(round(self.expansion * width), kernel_init=HE, dtype=self.dtype)(h)
        h = Dropout(self.dropout)(activation(self.activation)(h), train=train)
        h = nn.Dense(width, dtype=self.dtype)(h)
        return x + Dropout(self.dropout)(h, train=train)


class TableResNet(Backbone):
    """Residual blocks on embedded variables: ResNet of arXiv:2106.11959 after PLR of 2203.05556.

    Layer normalisation replaces the batch normalisation of the papers, because a row's output must
    not depend on its batch, on padding or on the number of devices.

    width: of the residual stream. blocks: number of residual blocks. expansion: width inside a
    block over that of the stream. frequencies: number of frequencies per variable; each gives a
    sine and a cosine. embedding: learned features per variable. sigma: standard deviation of the
    initial frequencies, per standard deviation of the variable. dropout: rate after each map of a
    block. activation: function inside the blocks.
    """

    consumes: ClassVar[tuple[str, ...]] = ("features",)

    width: Size = 256
    blocks: Size = 4
    expansion: Positive = 2.0
    activation: Activation = "relu"
    dropout: Rate = 0.1
    frequencies: Size = 16
    embedding: Size = 8
    sigma: Positive = 0.1

    @nn.compact
    def __call__(
        self, inputs: Features | NamedFeatures, *, train: bool
    ) -> Float32[Array, "{len(inputs.x)} {self.width}"]:
        """(B, F) → (B, width)."""
        x = jnp.asarray(inputs.x, jnp.float32)
        if self.frequencies:
            # Always in float32: a phase of many turns has no significant digit in bfloat16.
            embed = PeriodicEmbedding(self.frequencies, self.embedding, self.sigma)
            x = jnp.concatenate([x, embed(x).reshape(x.shape[0], -1)], axis=1)
        h = nn.Dense(self.width, kernel_init=HE, dtype=self.dtype)(x.astype(self.dtype))
        for _ in range(self.blocks):
            h = _Block(self.expansion, self.activation, self.dropout, self.dtype)(h, train=train)
        h = activation(self.activation)(nn.LayerNorm(dtype=self.dtype)(h))
        return h.astype(jnp.float32)
