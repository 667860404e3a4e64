"""Showers as numbers of the order of one: what networks make and see of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from rootloom.models.generators.calorimeter import Layers, join, split
from rootloom.physics.calorimeter.ratios import (
    cell_ratios,
    cells_of_ratios,
    energy_ratios,
    layers_of_ratios,
)

# Brings the logarithm of energies over the threshold, 0 … 13, to the order of one.
_MIDDLE, _SPREAD = 8.0, 3.0
# What networks end in has to be a shower: a bound, in deviations, that no trained one comes near.
_FAR = 20.0
# Of the threshold, what a layer's only cell holds at least before its energy is known.
_TINY = 1e-3


@dataclass(frozen=True)
class ShowerScale:
    """`physics.ratios` of a shower's layers and cells, standardised by the training's moments.

    layers: cells along x and y of each. threshold: GeV, below which a cell is empty. statistics:
    the moments "ratios" and "shares" of `CalorimeterCells.sample`. B showers, L layers.
    """

    layers: Layers
    threshold: float
    statistics: Mapping[str, Any]

    def level(self, energy: Array) -> Array:
        """The logarithm of energies in GeV, any shape."""
        return (jnp.log1p(energy / self.threshold) - _MIDDLE) / _SPREAD

    def known(self, energy: Array, layers: Array | None = None) -> Array:
        """What networks are told, (B, K): the particle's energy and, if given, the layers'."""
        found = [self.level(energy)[:, None]]
        if layers is not None:
            found += [self.level(layers), self.ratios(layers, energy)]
        return jnp.concatenate(found, axis=1)

    def ratios(self, layers: Array, energy: Array) -> Array:
        """(B, L) of the layers' energies (B, L) and the particle's (B,), GeV."""
        return self._standardised("ratios", energy_ratios(layers, energy))

    def energies(self, ratios: Array, energy: Array) -> Array:
        """The layers' energies (B, L), GeV, the inverse of `ratios`."""
        return layers_of_ratios(self._restored("ratios", ratios), energy)

    def held(self, cells: Array) -> Array:
        """The cells, any shape, GeV, without what is below the threshold."""
        return jnp.where(cells < self.threshold, 0.0, cells)

    def shares(self, cells: Array, layers: Array, below: Array | float = 0.0) -> Array:
        """(B, cells) of the cells' energies and their layers' (B, L), GeV.

        below: how far under its place, before it is standardised, an empty cell is put.
        """
        held = self.held(cells)
        ratios = cell_ratios(held, layers[:, self.owner], self.threshold)
        return self._standardised("shares", ratios - jnp.where(held == 0, below, 0.0))

    def cells(self, shares: Array, layers: Array, *, through: bool = False) -> Array:
        """Cells (B, cells), GeV, whose sums are the layers' energies (B, L).

        Those below the threshold are empty. through: the derivative is as if they were not, so that
        a network can learn to fill a cell that it left empty (Bengio, Léonard, Courville,
        arXiv:1308.3432).
        """
        ratios = jnp.minimum(self._restored("shares", shares), 1.0)
        energy = cells_of_ratios(ratios, layers[:, self.owner], self.threshold)
        images = []
        for number, image in enumerate(split(energy, self.layers)):
            seen = jnp.where(layers[:, number] >= self.threshold, layers[:, number], 0.0)
            held, scaled = self._filled(image, seen)
            if through:
                held = held + jnp.where(held > 0, 0.0, scaled - stop_gradient(scaled))
            images.append(held)
        return join(images)

    def _filled(self, image: Array, energy: Array) -> tuple[Array, Array]:
        """The image (B, nx, ny) with empty cells and the energy (B,) as its sum; and only scaled.

        In the latter pushing all cells up moves none of them, as it does not in the former.
        """
        held, scaled = self._scaled(image, energy)
        # Cells that only the scaling took below the threshold.
        return self._scaled(held, energy)[0], scaled

    def _scaled(self, image: Array, energy: Array) -> tuple[Array, Array]:
        # A layer with energy has a cell for it.
        kept = (image >= self.threshold) | (image == image.max(axis=(1, 2), keepdims=True))
        held = jnp.where(kept, jnp.maximum(image, _TINY * self.threshold), 0.0)
        factor = (energy / held.sum(axis=(1, 2)))[:, None, None]
        return held * factor, image * factor

    @cached_property
    def owner(self) -> np.ndarray:
        """The layer of every cell, (cells,)."""
        return np.repeat(np.arange(len(self.layers)), [nx * ny for nx, ny in self.layers])

    def _standardised(self, sample: str, values: Array) -> Array:
        mean, std = self._moments(sample)
        return (values - mean) / std

    def _restored(self, sample: str, values: Array) -> Array:
        mean, std = self._moments(sample)
        return jnp.clip(values, -_FAR, _FAR) * std + mean

    def _moments(self, sample: str) -> tuple[Array, Array]:
        """Mean and deviation, (1, D) float32; of what never varies the deviation is one."""
        moments = self.statistics[sample]
        mean, std = (np.asarray(m, np.float32)[None] for m in (moments.mean, moments.std))
        return jnp.asarray(mean), jnp.asarray(np.where(std > 0, std, np.float32(1.0)))
