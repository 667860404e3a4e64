"""CaloGAN: a generator of calorimeter showers and its discriminator.

M. Paganini, L. de Oliveira, B. Nachman, arXiv:1705.02355, section 3.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rootloom.errors import ConfigError
from rootloom.models.generators.base import AdversarialPair
from rootloom.models.generators.calorimeter import (
    ACTIVE,
    Layers,
    LocallyConnected,
    join,
    leaky,
    normalise,
    pad,
    resample,
    split,
)
from rootloom.models.generators.shower_metrics import energy_off, shower_metrics
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.models.generators.showers import OfShowers
from rootloom.models.layers import HE, Precision
from rootloom.types import Positive, Shower, Size

# What a shower's energy may miss the requested one by before it counts as impossible, GeV.
_TOLERANCE = 5.0


class CaloGAN(OfShowers, AdversarialPair):
    """Generator and discriminator of showers in `layers` of cells, for one kind of particle.

    layers: cells along x and y of each. latent: numbers a shower is made of, scaled with the energy
    over `energy_scale` GeV. energy_scale: the energy at which latent numbers are of unit size,
    GeV. depth: channels in which a stream of the generator begins. kernels: how many features
    minibatch discrimination compares showers by (Salimans et al., arXiv:1606.03498). dimensions:
    numbers that make up a feature of minibatch discrimination. group: consecutive examples among
    which showers are compared.

    The paper compares all showers of a batch, which would make an example's loss depend on how many
    devices share it. Groups do not, as long as each device holds whole ones; otherwise a
    ConfigError is raised. For the same reason streams are normalised within each example
    (Ba, Kiros, Hinton, arXiv:1607.06450), where the paper normalises over the batch.
    """

    consumes: ClassVar[tuple[str, ...]] = ("calorimeter",)

    layers: Layers = ((3, 96), (12, 12), (12, 6))
    latent: Size = 1024
    depth: Size = 36
    energy_scale: Positive = 100.0
    kernels: Size = 20
    dimensions: Size = 10
    group: Size = 16

    def setup(self) -> None:
        """The two networks, whose parameters the task tells apart by these names."""
        self.generator = _Generator(self.layers, self.depth, self.dtype)
        self.discriminator = _Discriminator(
            self.layers, self.kernels, self.dimensions, self.group, self.dtype
        )

    @property
    def numbers(self) -> int:
        """Latent numbers of a shower."""
        return self.latent

    def generate(self, z: Array, condition: Array, scale: ShowerScale) -> Shower:
        """Showers from z (B, latent) and the particles' energies (B, 1) in GeV."""
        energy = condition[:, 0]
        cells = self.generator(z * (energy / self.energy_scale)[:, None]).astype(jnp.float32)
        return Shower(cells, energy)

    def see(self, inputs: Shower, condition: Array, scale: ShowerScale) -> Array:
        """The discriminator's input: all cells, and the energy, in GeV."""
        return jnp.concatenate([inputs.cells, inputs.energy[:, None]], axis=1)

    def imitate(
        self, z: Array, inputs: Shower, condition: Array, scale: ShowerScale
    ) -> tuple[Array, dict[str, Array]]:
        """The discriminator's input for generated showers, and their error of the energy."""
        made = self.generate(z, condition, scale)
        return self.see(made, condition, scale), energy_off(made.cells.sum(axis=1), made.energy)

    def compare(self, inputs: Shower, made: Shower, scale: ShowerScale) -> dict[str, Array]:
        """Shares of the energy, and shapes, of the layers."""
        return shower_metrics(inputs, made, self.layers)

    def discriminate(self, seen: Array, present: Array) -> Array:
        """Logits (B, 1) that showers are real; present: (B,), 0 for padding, which none sees."""
        logit = self.discriminator(seen[:, :-1], seen[:, -1], present)
        return logit[:, None].astype(jnp.float32)


class _Generator(nn.Module):
    layers: Layers
    depth: int
    dtype: Precision

    @nn.compact
    def __call__(self, z: Array) -> Array:
        images: list[Array] = []
        for number, (nx, ny) in enumerate(self.layers):
            image = self._stream(z, nx, ny)
            if images:
                image = self._attend(image, resample(images[-1], (nx, ny)), number)
            images.append(image)
        return jax.nn.relu(join(images))

    def _stream(self, z: Array, nx: int, ny: int) -> Array:
        """(B, latent) → (B, nx, ny)."""
        shape = (nx + 2, ny + 2, self.depth)
        size = shape[0] * shape[1] * shape[2]
        h = nn.Dense(size, kernel_init=HE, dtype=self.dtype)(z).reshape(-1, *shape)
        h = leaky(nn.Conv(16, (2, 2), kernel_init=HE, dtype=self.dtype)(h))
        h = normalise(self.dtype)(h)
        h = leaky(LocallyConnected(6, (2, 2), dtype=self.dtype)(h))
        return LocallyConnected(1, (2, 2), use_bias=False, dtype=self.dtype)(h)[..., 0]

    def _attend(self, image: Array, before: Array, number: int) -> Array:
        """A mixture, place by place, of a layer and of what the one before it holds there."""
        both = jnp.stack([image, before], axis=-1)
        name = f"attention_{number}"
        weights = LocallyConnected(2, (3, 3), dtype=self.dtype, name=name)(pad(both, 1, 1))
        return (jax.nn.softmax(weights, axis=-1) * both).sum(axis=-1)


class _Discriminator(nn.Module):
    layers: Layers
    kernels: int
    dimensions: int
    group: int
    dtype: Precision

    @nn.compact
    def __call__(self, cells: Array, energy: Array, present: Array) -> Array:
        images = split(cells, self.layers)
        found = [self._features(image) for image in images]
        energies = jnp.stack([image.sum(axis=(1, 2)) for image in images], axis=1)
        active = jnp.stack([(i / (i + ACTIVE)).mean(axis=(1, 2)) for i in images], axis=1)
        off = jnp.abs(energies.sum(axis=1) - energy)[:, None]
        impossible = (off > _TOLERANCE).astype(jnp.float32)
        compared = [self._compare(features, present) for features in [*found, active]]
        h = jnp.concatenate(
            [f.astype(jnp.float32) for f in (*found, *compared, energies, active, off, impossible)],
            axis=1,
        )
        return nn.Dense(1, kernel_init=HE, dtype=self.dtype)(h)[:, 0]

    def _features(self, image: Array) -> Array:
        """(B, nx, ny) → (B, F)."""
        h = jnp.asarray(image[..., None], self.dtype)
        h = leaky(nn.Conv(64, (2, 2), kernel_init=HE, dtype=self.dtype)(h))
        # Of long layers every other place along y.
        stride = (1, 2) if image.shape[2] > 2 * image.shape[1] else (1, 1)
        h = LocallyConnected(16, (3, 3), stride, dtype=self.dtype)(pad(h, 1, 1))
        for _ in range(2):
            h = normalise(self.dtype)(leaky(h))
            h = LocallyConnected(8, (2, 2), dtype=self.dtype)(pad(h, 0, 1))
        return leaky(h).reshape(h.shape[0], -1)

    def _compare(self, features: Array, present: Array) -> Array:
        size = self.kernels * self.dimensions
        projected = nn.Dense(size, use_bias=False, kernel_init=HE, dtype=self.dtype)(features)
        points = projected.reshape(-1, self.kernels, self.dimensions).astype(jnp.float32)
        return similarity(points, present, self.group)


def similarity(points: Array, present: Array, group: int) -> Array:
    """How close each example is to the others of its group, (B, K); arXiv:1606.03498, section 3.2.

    points: (B, K, D); present: (B,), 0 for examples that do not count; group: B is a multiple of
    it. The mean over the others of exp(-L1 distance), where the paper has the sum, so that a group
    with padding looks like a whole one. Raises ConfigError for groups that do not fit.
    """
    batch, kernels, dimensions = points.shape
    if batch % group:
        raise ConfigError(
            "model 'calogan', group",
            expected=f"whole groups among the {batch} examples of each device",
            found=f"groups of {group}",
            fix="choose batch_size as a multiple of devices × group",
        )
    points = points.reshape(-1, group, kernels, dimensions)
    distance = jnp.abs(points[:, :, None] - points[:, None]).sum(axis=-1)  # (n, group, group, K)
    others = present.reshape(-1, 1, group) * (1 - jnp.eye(group, dtype=present.dtype))[None]
    total = (jnp.exp(-distance) * others[..., None]).sum(axis=2)
    return (total / jnp.maximum(others.sum(axis=2), 1)[..., None]).reshape(batch, kernels)
