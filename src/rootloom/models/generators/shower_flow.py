"""Velocity fields that carry noise to the layer energies and the cells of a shower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rootloom.models.generators.base import OWN_SALT, VelocityFields
from rootloom.models.generators.calorimeter import Layers, layer_energies
from rootloom.models.generators.shower_metrics import share_metrics
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.models.generators.showers import OfShowers
from rootloom.models.layers import HE, Precision, example_uniform
from rootloom.types import Shower, Size

# Sines and cosines of the time, up to this many half turns between 0 and 1.
_HALF_TURNS = 16


class ShowerFlow(OfShowers, VelocityFields):
    """Two velocity fields: of a shower's energy ratios, and of its cells given its layers.

    As in CaloDREAM, arXiv:2405.09629, one makes the layers' energies at the particle's energy,
    the other one the cells at these.

    layers: cells along x and y of each. width, blocks: of the residual networks that see a shower
    as a whole. channels: numbers that such a network hands to each cell. hidden: units of the small
    network, the same for all cells, that makes of them and of the cell's value its velocity.

    The small network matters: given the shower as a whole, cells are empty or not nearly by
    themselves, so that where noise ends up is a steep function of the cell's own value, which a
    layer over all cells would have to approximate for each of them.
    """

    consumes: ClassVar[tuple[str, ...]] = ("calorimeter",)
    fields: ClassVar[tuple[str, ...]] = ("energies", "cells")
    watched: ClassVar[int] = 1

    layers: Layers = ((3, 96), (12, 12), (12, 6))
    width: Size = 256
    blocks: Size = 3
    channels: Size = 8
    hidden: Size = 24

    def setup(self) -> None:
        """The two networks, whose parameters the task tells apart by these names."""
        layers, cells = self.sizes
        self.energies = _Energies(layers, self.width // 2, self.blocks, self.dtype)
        self.cells = _Cells(cells, self.width, self.blocks, self.channels, self.hidden, self.dtype)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of layers, and number of cells."""
        return len(self.layers), sum(nx * ny for nx, ny in self.layers)

    def velocity(self, field: str, x: Array, t: Array, given: Array) -> Array:
        """Velocity (B, size) at x (B, size) and time t (B,), given its condition (B, K)."""
        network = self.energies if field == "energies" else self.cells
        found: Array = network(x, t, given).astype(jnp.float32)
        return found

    def ends(
        self, inputs: Shower, condition: Array, seeds: Array, scale: ShowerScale
    ) -> tuple[tuple[Array, Array], ...]:
        """Ratios of layer energies, given the particle's energy, and shares of cells, given both.

        Values of empty cells are spread over a range of their own, because the velocity towards
        a single point is unbounded.
        """
        energy, real = condition[:, 0], layer_energies(inputs.cells, self.layers)
        below = example_uniform(seeds, OWN_SALT, inputs.cells.shape[1:])
        return (
            (scale.ratios(real, energy), scale.known(energy)),
            (scale.shares(inputs.cells, real, below), scale.known(energy, real)),
        )

    def given(
        self, field: str, condition: Array, ends: Sequence[Array], scale: ShowerScale
    ) -> Array:
        """The particle's energy, and for the cells also the generated layer energies."""
        energy = condition[:, 0]
        return scale.known(energy, *(scale.energies(ratios, energy) for ratios in ends))

    def inputs(self, condition: Array, ends: Sequence[Array], scale: ShowerScale) -> Shower:
        """Showers from the ratios and shares."""
        (ratios, shares), energy = ends, condition[:, 0]
        return Shower(scale.cells(shares, scale.energies(ratios, energy)), energy)

    def watch(
        self, inputs: Shower, condition: Array, ends: Sequence[Array], scale: ShowerScale
    ) -> dict[str, Array]:
        """Shares of the energy in the layers."""
        made = scale.energies(ends[0], condition[:, 0])
        return share_metrics(layer_energies(inputs.cells, self.layers), made)


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
