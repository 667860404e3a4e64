"""Convolutional network on jet images."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from rootloom.errors import ConfigError
from rootloom.models.base import Backbone
from rootloom.models.convolution import ConvolutionStage
from rootloom.models.layers import HE, Dropout, local_response_normalisation
from rootloom.types import Image, Rate, Size


class CNN(Backbone):
    """The convolutional network of de Oliveira et al., arXiv:1511.05190, without its output unit.

    Stages of convolution, ReLU and max pooling; local response normalisation; dense layers.
    The paper's L2 penalty of 0.01 is the training section's `weight_decay`.

    filters: number of filters of each stage. kernels: size of the filters of each stage, pixels.
    pools: size of the pooling windows of each stage, pixels. hidden: units of the dense layer, or
    of several. dropout: rates before and after the dense layers. normalise_response: whether there
    is local response normalisation.
    """

    consumes: ClassVar[tuple[str, ...]] = ("image",)

    filters: tuple[Size, ...] = (64, 32, 32)
    kernels: tuple[Size, ...] = (11, 3, 3)
    pools: tuple[Size, ...] = (2, 3, 3)
    hidden: Size | tuple[Size, ...] = 64
    dropout: tuple[Rate, Rate] = (0.2, 0.1)
    normalise_response: bool = True

    def __post_init__(self) -> None:
        lengths = len(self.filters), len(self.kernels), len(self.pools)
        if len(set(lengths)) != 1:
            raise ConfigError(
                "model 'cnn'",
                expected="as many kernels and pools as filters",
                found=f"{lengths[0]} filters, {lengths[1]} kernels, {lengths[2]} pools",
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: Image, *, train: bool) -> Float32[Array, "{len(inputs.x)} D"]:
        """(B, H, W, C) → (B, D), D the width of the last dense layer."""
        h = jnp.asarray(inputs.x, self.dtype)
        for filters, kernel, pool in zip(self.filters, self.kernels, self.pools, strict=True):
            _check_size(h, pool)
            h = ConvolutionStage(filters, kernel, pool, dtype=self.dtype)(h, train=train)
        if self.normalise_response:
            h = local_response_normalisation(h)
        h = Dropout(self.dropout[0])(h.reshape(h.shape[0], -1), train=train)
        for width in (self.hidden,) if isinstance(self.hidden, int) else self.hidden:
            h = jax.nn.relu(nn.Dense(width, kernel_init=HE, dtype=self.dtype)(h))
        return Dropout(self.dropout[1])(h, train=train).astype(jnp.float32)


def _check_size(h: Array, pool: int) -> None:
    if min(h.shape[1:3]) < pool:
        raise ConfigError(
            "model 'cnn', pools",
            expected=f"at least {pool}×{pool} pixels left to pool",
            found=f"{h.shape[1]}×{h.shape[2]}",
            fix="use fewer stages or an image with more pixels",
        )
