"""Adversarial training: one loss, two groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from rootloom.models.layers import example_normal, example_seeds
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative, layer_energies, separation, share_metrics
from rootloom.types import Batch

_SALT = 0x5EED


@dataclass(frozen=True)
class Adversarial(Generative):
    """A generator of showers against a discriminator, both in one step.

    model: of role "gan": `generate(z, energy)`, `discriminate(cells, energy, present)`, parameters
    under "generator" and "discriminator". energy_weight: of the mean absolute difference, GeV,
    between generated and requested energy in the generator's loss (CaloGAN's 0.05).

    The loss is L_D(stop_gradient(G)) + L_G(stop_gradient(D)): its gradient holds for each network
    exactly what its own loss would give it. `groups` names the two, so that a training section can
    give them different learning rates.
    """

    role: ClassVar[str] = "gan"

    energy_weight: float = 0.05

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for showers of these cells."""
        inputs = self._inputs(batch)
        z = jnp.zeros((len(inputs.energy), self.model.latent), jnp.float32)
        present = jnp.ones_like(inputs.energy)
        params: Params = self.model.init(key, z, inputs.energy, present)["params"]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Sum of both networks' losses, (B,): cross entropies in nats; metrics: see `summary`."""
        inputs = self._inputs(batch)
        present = (batch.weight != 0).astype(jnp.float32)
        made = self.generate(params, inputs.energy, key, batch.id)

        def logit(parameters: Params, cells: Array) -> Array:
            found: Array = self.model.apply(
                {"params": parameters},
                cells,
                inputs.energy,
                present,
                method=type(self.model).discriminate,
            )
            return found

        real, fake = logit(params, inputs.cells), logit(params, stop_gradient(made))
        fooled = logit(stop_gradient(params), made)
        off = jnp.abs(made.sum(axis=1) - inputs.energy)
        discriminator = jax.nn.softplus(-real) + jax.nn.softplus(fake)
        generator = jax.nn.softplus(-fooled) + self.energy_weight * off
        right = (real > 0).astype(jnp.float32) + (fake <= 0).astype(jnp.float32)
        metrics = {
            "discriminator": discriminator,
            "generator": generator,
            "accuracy": right / 2,
            "energy_off": off,
        }
        if not train:
            real_layers, made_layers = (
                layer_energies(cells, self.layers) for cells in (inputs.cells, made)
            )
            metrics |= share_metrics(real_layers, made_layers)
        return discriminator + generator, metrics

    def generate(self, params: Params, energy: Array, key: Array, identity: Array) -> Array:
        """Cells (B, cells) in GeV, each shower from latent numbers of its own."""
        z = example_normal(example_seeds(key, identity), _SALT, (self.model.latent,))
        made: Array = self.model.apply(
            {"params": params}, z, energy, method=type(self.model).generate
        )
        return made

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """discriminator, generator: losses; accuracy: of the discriminator; energy_off: GeV.

        separation: mean over layers of ½ Σ (h₁ - h₂)² / (h₁ + h₂) between the layer's share of the
        energy in real and generated showers, 0 … 1; what to monitor.
        """
        names = ("discriminator", "generator", "accuracy", "energy_off")
        figures: dict[str, float | np.ndarray] = {name: float(means[name]) for name in names}
        return figures | separation(means)

    def groups(self, params: Params) -> Any:
        """The group "generator" or "discriminator" of every parameter."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}
