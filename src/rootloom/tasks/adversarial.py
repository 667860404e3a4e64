"""Adversarial training: one loss, two groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from rootloom.errors import ConfigError
from rootloom.models.calorimeter import split
from rootloom.models.layers import example_normal, example_seeds
from rootloom.tasks.base import Params, require_role
from rootloom.types import Batch, Shower

# Bins in which shares of the energy are compared during training.
SHARE_BINS = 40
_SALT = 0x5EED


@dataclass(frozen=True)
class Adversarial:
    """A generator of showers against a discriminator, both in one step.

    model: of role "gan": `generate(z, energy)`, `discriminate(cells, energy, present)`, parameters
    under "generator" and "discriminator". energy_weight: of the mean absolute difference, GeV,
    between generated and requested energy in the generator's loss (CaloGAN's 0.05).

    The loss is L_D(stop_gradient(G)) + L_G(stop_gradient(D)): its gradient holds for each network
    exactly what its own loss would give it. `groups` names the two, so that a training section can
    give them different learning rates. The model is for one kind of particle: datasets of one
    class. Raises ConfigError for other ones and for a model that does not fit.
    """

    learns: ClassVar[str] = "classes"
    least: ClassVar[int] = 1
    evaluation: ClassVar[str] = "classification"
    targets: ClassVar[tuple[str, ...]] = ()
    role: ClassVar[str] = "gan"

    model: Any
    representation: Any
    statistics: Mapping[str, Any]
    classes: Sequence[str]
    energy_weight: float = 0.05

    def __post_init__(self) -> None:
        require_role(self)
        if len(self.classes) != 1:
            raise ConfigError(
                "classes",
                expected="one, the particle whose showers are learnt",
                found=str(list(self.classes)),
                fix="a dataset with one class",
            )

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
        made = self._generate(params, inputs, key, batch.id)

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
            metrics["real_shares"] = self._shares(inputs.cells)
            metrics["generated_shares"] = self._shares(made)
        return discriminator + generator, metrics

    def columns(self) -> tuple[str, ...]:
        """Energy generated in each layer: "generated_layer0", …."""
        return tuple(f"generated_layer{i}" for i in range(len(self.model.layers)))

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """For every shower the layer energies, GeV, of one generated at the same energy."""
        made = self._generate(params, self._inputs(batch), key, batch.id)
        layers = split(made, self.model.layers)
        return {n: i.sum(axis=(1, 2)) for n, i in zip(self.columns(), layers, strict=True)}

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """discriminator, generator: losses; accuracy: of the discriminator; energy_off: GeV.

        separation: mean over layers of ½ Σ (h₁ - h₂)² / (h₁ + h₂) between the layer's share of the
        energy in real and generated showers, 0 … 1; what to monitor.
        """
        names = ("discriminator", "generator", "accuracy", "energy_off")
        figures: dict[str, float | np.ndarray] = {name: float(means[name]) for name in names}
        if "real_shares" in means:
            real, made = (np.asarray(means[f"{n}_shares"]) for n in ("real", "generated"))
            figures["separation"] = float(np.mean(separation_power(real, made)))
        return figures

    def groups(self, params: Params) -> Any:
        """The group "generator" or "discriminator" of every parameter."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}

    def cast(self, precision: str) -> Adversarial:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    def _inputs(self, batch: Batch) -> Shower:
        inputs: Shower = self.representation.normalise(batch.inputs, self.statistics)
        return inputs

    def _generate(self, params: Params, inputs: Shower, key: Array, identity: Array) -> Array:
        z = example_normal(example_seeds(key, identity), _SALT, (self.model.latent,))
        made: Array = self.model.apply(
            {"params": params}, z, inputs.energy, method=type(self.model).generate
        )
        return made

    def _shares(self, cells: Array) -> Array:
        """One-hot bins of each layer's share of the energy, (B, L, SHARE_BINS)."""
        energies = jnp.stack([i.sum(axis=(1, 2)) for i in split(cells, self.model.layers)], axis=1)
        share = energies / jnp.maximum(energies.sum(axis=1, keepdims=True), 1e-6)
        bins = jnp.minimum((share * SHARE_BINS).astype(jnp.int32), SHARE_BINS - 1)
        return jax.nn.one_hot(bins, SHARE_BINS, dtype=jnp.float32)


def separation_power(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """½ Σ (h₁ - h₂)² / (h₁ + h₂) over the last axis: 0 for equal, 1 for disjoint distributions.

    Histograms of any normalisation (…, bins); CaloChallenge, arXiv:2410.21611.
    """
    h1, h2 = (h / np.maximum(h.sum(axis=-1, keepdims=True), 1e-30) for h in (first, second))
    total = h1 + h2
    return 0.5 * np.where(total > 0, (h1 - h2) ** 2 / np.where(total > 0, total, 1), 0).sum(axis=-1)
