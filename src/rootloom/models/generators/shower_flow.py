"""Velocity fields that carry noise to the layer energies and the cells of a shower."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rootloom.models.base import Model
from rootloom.models.generators.calorimeter import Layers
from rootloom.models.layers import HE, Precision
from rootloom.types import Size

# Sines and cosines of the time, up to this many half turns between 0 and 1.
_HALF_TURNS = 16


class ShowerFlow(Model):
    """Two velocity fields: of a shower's energy ratios, and of its cells given its layers.

    layers: cells along x and y of each. width, blocks: of the residual networks that see a shower
    as a whole. channels: numbers that such a network hands to each cell. hidden: units of the small
    network, the same for all cells, that makes of them and of the cell's value its velocity.

    The small network matters: given the shower as a whole, cells are empty or not nearly by
    themselves, so that where noise ends up is a steep function of the cell's own value, which a
    layer over all cells would have to approximate for each of them.
    """

    consumes: ClassVar[tuple[str, ...]] = ("calorimeter",)
    role: ClassVar[str] = "velocity"

    layers: Layers = ((3, 96), (12, 12), (12, 6))
    width: Size = 256
    blocks: Size = 3
    channels: Size = 8
    hidden: Size = 24

    def setup(self) -> None:
        """The two networks, whose parameters the task tells apart by these names."""
        cells = sum(nx * ny for nx, ny in self.layers)
        self.energies = _Energies(len(self.layers), self.width // 2, self.blocks, self.dtype)
        self.cells = _Cells(cells, self.width, self.blocks, self.channels, self.hidden, self.dtype)

    def __call__(self, ratios: Array, cells: Array, t: Array, given: Array, layers: Array) -> Array:
        """Both, one after the other: what initialises the parameters."""
        self.of_ratios(ratios, t, given)
        return self.of_cells(cells, t, layers)

    def of_ratios(self, x: Array, t: Array, given: Array) -> Array:
        """Velocity (B, L) at x (B, L) and time t (B,), given what is known (B, K)."""
        return self.energies(x, t, given).astype(jnp.float32)

    def of_cells(self, x: Array, t: Array, given: Array) -> Array:
        """Velocity (B, cells) at x (B, cells) and time t (B,), given what is known (B, K)."""
        return self.cells(x, t, given).astype(jnp.float32)


class _Trunk(nn.Module):
    """Residual blocks whose normalisation time and condition scale and shift, (B, F) → (B, width).

    E. Perez et al., arXiv:1709.07871.
    """

    width: int
    blocks: int
    dtype: Precision

    @nn.compact
    def __call__(self, x: Array, t: Array, given: Array) -> Array:
        phase = jnp.pi * t[:, None] * jnp.arange(1, _HALF_TURNS + 1, dtype=jnp.float32)[None]
        known = jnp.concatenate([jnp.cos(phase), jnp.sin(phase), given], axis=1)
        for _ in range(2):
            known = jax.nn.silu(self._dense(self.width)(known.astype(self.dtype)))
        h = self._dense(self.width)(x.astype(self.dtype))
        for _ in range(self.blocks):
            scale, shift = jnp.split(nn.Dense(2 * self.width, dtype=self.dtype)(known), 2, axis=1)
            inside = nn.LayerNorm(dtype=self.dtype)(h) * (1.0 + scale) + shift
            inside = jax.nn.silu(self._dense(self.width)(inside))
            h = h + nn.Dense(self.width, dtype=self.dtype)(inside)
        return jnp.concatenate([jax.nn.silu(nn.LayerNorm(dtype=self.dtype)(h)), known], axis=1)

    def _dense(self, width: int) -> nn.Dense:
        return nn.Dense(width, kernel_init=HE, dtype=self.dtype)


class _Energies(nn.Module):
    layers: int
    width: int
    blocks: int
    dtype: Precision

    @nn.compact
    def __call__(self, x: Array, t: Array, given: Array) -> Array:
        h = _Trunk(self.width, self.blocks, self.dtype)(x, t, given)
        return nn.Dense(self.layers, dtype=self.dtype)(h)


class _Cells(nn.Module):
    cells: int
    width: int
    blocks: int
    channels: int
    hidden: int
    dtype: Precision

    @nn.compact
    def __call__(self, x: Array, t: Array, given: Array) -> Array:
        h = _Trunk(self.width, self.blocks, self.dtype)(x, t, given)
        told = nn.Dense(self.cells * self.channels, dtype=self.dtype)(h)
        told = told.reshape(-1, self.cells, self.channels)
        value = x[..., None].astype(self.dtype)
        inside = jnp.concatenate([value, told], axis=-1)  # (B, cells, 1 + channels)
        inside = jax.nn.silu(nn.Dense(self.hidden, kernel_init=HE, dtype=self.dtype)(inside))
        slope, offset = jnp.moveaxis(nn.Dense(2, dtype=self.dtype)(inside), -1, 0)
        return slope * value[..., 0] + offset
