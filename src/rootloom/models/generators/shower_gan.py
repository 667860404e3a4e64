"""A generator of showers in relative energies, and its discriminators."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rootloom.models.generators.base import AdversarialPair
from rootloom.models.generators.calogan import similarity
from rootloom.models.generators.calorimeter import Layers, layer_energies, leaky, shapes
from rootloom.models.generators.shower_metrics import energy_off, shower_metrics
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.models.generators.showers import OfShowers
from rootloom.models.layers import HE, Precision
from rootloom.types import Count, Shower, Size

# What discriminators see is bounded, in deviations.
_BOUND = 10.0


class Seen(NamedTuple):
    """What the two discriminators see of showers: energies (B, E), and cells (B, V)."""

    energies: Array
    cells: Array


class ShowerGAN(OfShowers, AdversarialPair):
    """Two generators with a discriminator each: of layer energies, and of cells given these.

    As in CaloDREAM (arXiv:2405.09629) layer energies are made first, at the particle's energy, and
    then the cells at them: while training at those of real showers, so that the second
    discriminator can't tell showers apart by energies. Both work with energies that are relative,
    on a logarithmic scale and standardised (`ShowerScale`), after CaloShowerGAN (arXiv:2309.06515),
    which normalises cells by layers and layers by the particle.

    layers: cells along x and y of each. latent: numbers that a shower is made of, beside one a
    cell. width, blocks: of the residual networks of the generators. channels: numbers that such a
    network hands to each cell. hidden: units of the small network, the same for all cells, that
    makes of them and of the cell's own number its energy. judges: hidden units of the cells'
    discriminator. kernels, dimensions: of its minibatch discrimination (arXiv:1606.03498, section
    3.2); no kernels: none. group: consecutive examples among which showers are compared. shapes:
    the discriminator is told centre, width, hottest cell and share of active cells of each layer.
    """

    consumes: ClassVar[tuple[str, ...]] = ("calorimeter",)

    layers: Layers = ((3, 96), (12, 12), (12, 6))
    latent: Size = 64
    width: Size = 256
    blocks: Size = 2
    channels: Size = 8
    hidden: Size = 24
    judges: tuple[Size, ...] = (512, 256, 256)
    kernels: Count = 20
    dimensions: Size = 10
    group: Size = 16
    shapes: bool = True

    def setup(self) -> None:
        """The networks, whose parameters the task tells apart by these names."""
        self.generator = _Generator(
            self.layers, self.width, self.blocks, self.channels, self.hidden, self.dtype
        )
        self.discriminator = _Discriminator(
            self.judges, self.kernels, self.dimensions, self.group, self.dtype
        )

    @property
    def numbers(self) -> int:
        """Latent numbers of a shower: for its energies, for its shape, and one a cell."""
        return 2 * self.latent + sum(nx * ny for nx, ny in self.layers)

    def generate(self, z: Array, condition: Array, scale: ShowerScale) -> Shower:
        """Showers from z (B, numbers) and the particles' energies (B, 1) in GeV."""
        energy = condition[:, 0]
        layers = self._energies(z, energy, scale)
        return Shower(self._cells(z, energy, layers, scale), energy)

    def see(self, inputs: Shower, condition: Array, scale: ShowerScale) -> Seen:
        """Inputs of the discriminators for showers."""
        layers = layer_energies(inputs.cells, self.layers)
        known = scale.known(inputs.energy, layers)
        seen = [known, scale.shares(inputs.cells, layers)]
        if self.shapes:
            # Of real showers as of made ones: those below the threshold would tell them apart.
            seen.append(shapes(scale.held(inputs.cells), self.layers))
        return Seen(*(jnp.clip(s, -_BOUND, _BOUND) for s in (known, jnp.concatenate(seen, axis=1))))

    def imitate(
        self, z: Array, inputs: Shower, condition: Array, scale: ShowerScale
    ) -> tuple[Seen, dict[str, Array]]:
        """Inputs of the discriminators for generated showers, and their error of the energy.

        Cells are generated for the layer energies of the real showers.
        """
        energy = condition[:, 0]
        real = layer_energies(inputs.cells, self.layers)
        made = self._energies(z, energy, scale)
        cells = self._cells(z, energy, real, scale)
        shown = self.see(Shower(cells, energy), condition, scale)
        known = jnp.clip(scale.known(energy, made), -_BOUND, _BOUND)
        return shown._replace(energies=known), energy_off(made.sum(axis=1), energy)

    def compare(self, inputs: Shower, made: Shower, scale: ShowerScale) -> dict[str, Array]:
        """Shares of the energy, and shapes, of the layers."""
        return shower_metrics(inputs, made, self.layers)

    def discriminate(self, seen: Seen, present: Array) -> Array:
        """Logits (B, 2) that energies, and cells, are real; present: (B,), 0 for padding."""
        return self.discriminator(seen, present).astype(jnp.float32)

    def _energies(self, z: Array, energy: Array, scale: ShowerScale) -> Array:
        return scale.energies(
            self.generator.ratios(z[:, : self.latent], scale.known(energy)), energy
        )

    def _cells(self, z: Array, energy: Array, layers: Array, scale: ShowerScale) -> Array:
        shape, own = z[:, self.latent : 2 * self.latent], z[:, 2 * self.latent :]
        shares = self.generator.shares(shape, own, scale.known(energy, layers))
        return scale.cells(shares, layers, through=True)


class _Generator(nn.Module):
    layers: Layers
    width: int
    blocks: int
    channels: int
    hidden: int
    dtype: Precision

    def setup(self) -> None:
        self.of_energies = _Trunk(self.width // 2, self.blocks, self.dtype)
        self.to_ratios = nn.Dense(len(self.layers), dtype=self.dtype)
        self.of_cells = _Trunk(self.width, self.blocks, self.dtype)
        self.cells = _Cells(self.channels, self.hidden, self.dtype)

    def ratios(self, z: Array, known: Array) -> Array:
        h = self.of_energies(jnp.concatenate([z, known], axis=1))
        return self.to_ratios(h).astype(jnp.float32)

    def shares(self, z: Array, own: Array, known: Array) -> Array:
        h = self.of_cells(jnp.concatenate([z, known], axis=1))
        return self.cells(h, own).astype(jnp.float32)


class _Trunk(nn.Module):
    width: int
    blocks: int
    dtype: Precision

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = nn.Dense(self.width, kernel_init=HE, dtype=self.dtype)(x)
        for _ in range(self.blocks):
            inside = leaky(nn.LayerNorm(dtype=self.dtype)(h))
            inside = leaky(nn.Dense(self.width, kernel_init=HE, dtype=self.dtype)(inside))
            h = h + nn.Dense(self.width, dtype=self.dtype)(inside)
        return leaky(nn.LayerNorm(dtype=self.dtype)(h))


class _Cells(nn.Module):
    """Shares of the cells from a shower's (B, width) and every cell's own number (B, cells)."""

    channels: int
    hidden: int
    dtype: Precision

    @nn.compact
    def __call__(self, h: Array, own: Array) -> Array:
        cells = own.shape[1]
        told = nn.Dense(cells * self.channels, dtype=self.dtype)(h)
        value = own[..., None].astype(self.dtype)
        inside = jnp.concatenate([value, told.reshape(-1, cells, self.channels)], axis=-1)
        inside = jax.nn.silu(nn.Dense(self.hidden, kernel_init=HE, dtype=self.dtype)(inside))
        slope, offset = jnp.moveaxis(nn.Dense(2, dtype=self.dtype)(inside), -1, 0)
        # Begins near standardised noise, which is each cell's own mean and deviation.
        return (1.0 + slope) * value[..., 0] + offset


class _Discriminator(nn.Module):
    judges: tuple[int, ...]
    kernels: int
    dimensions: int
    group: int
    dtype: Precision

    @nn.compact
    def __call__(self, seen: Seen, present: Array) -> Array:
        energies = self._hidden(seen.energies, self.judges[-1:] * 2)
        cells = self._hidden(seen.cells, self.judges)
        if self.kernels:
            size = self.kernels * self.dimensions
            points = nn.Dense(size, use_bias=False, kernel_init=HE, dtype=self.dtype)(cells)
            points = points.reshape(-1, self.kernels, self.dimensions).astype(jnp.float32)
            compared = similarity(points, present, self.group).astype(self.dtype)
            cells = jnp.concatenate([cells, compared], axis=1)
        return jnp.concatenate(
            [nn.Dense(1, dtype=self.dtype)(h) for h in (energies, cells)], axis=1
        )

    def _hidden(self, x: Array, widths: tuple[int, ...]) -> Array:
        h = x.astype(self.dtype)
        for width in widths:
            h = leaky(nn.Dense(width, kernel_init=HE, dtype=self.dtype)(h))
        return h
