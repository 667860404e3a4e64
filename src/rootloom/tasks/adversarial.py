"""Adversarial training: one loss, two groups of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from rootloom.errors import require
from rootloom.models.generators.calorimeter import layer_energies
from rootloom.models.layers import example_normal, example_seeds
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative, separation, shape_metrics, share_metrics
from rootloom.types import Batch

_SALT = 0x5EED


@dataclass(frozen=True)
class Adversarial(Generative):
    """A generator of showers against a discriminator, both in one step.

    model: of role "gan", with `numbers` latent numbers a shower: `generate(z, energy, scale)`,
    `see(cells, energy, scale)`, `imitate(z, cells, energy, scale)`, `discriminate(seen, present)`,
    parameters under "generator" and "discriminator". Of several logits the losses are summed.

    energy_weight: of the mean absolute difference, GeV, between generated and requested energy in
    the generator's loss (CaloGAN's 0.05). relativistic: discriminators learn which shower of a pair
    at one energy is real (A. Jolicoeur-Martineau, arXiv:1807.00734), whose loss has no
    minimum that leaves real showers out (Y. Huang et al., arXiv:2501.05441). penalty: γ
    of γ/2 times the squared derivative of the logits by what the discriminator sees, which holds
    that down and lets the two settle (L. Mescheder, A. Geiger, S. Nowozin, arXiv:1801.04406).
    penalise: where the derivative is taken: at "real" showers (the penalty R1), or at "both", also
    at generated ones (R1 + R2), as arXiv:2501.05441 asks for.
    Raises ConfigError for values out of range.

    The loss is L_D(stop_gradient(G)) + L_G(stop_gradient(D)): its gradient holds for each network
    exactly what its own loss would give it. `groups` names the two, so that a training section can
    give them different learning rates.
    """

    role: ClassVar[str] = "gan"

    energy_weight: float = 0.05
    relativistic: bool = False
    penalty: float = 0.0
    penalise: Literal["real", "both"] = "real"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("energy_weight", "penalty"):
            value = getattr(self, name)
            require(f"task: {name}", value >= 0, "zero or more", value)

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for showers of these cells."""
        inputs = self._inputs(batch)
        z = jnp.zeros((len(inputs.energy), self.model.numbers), jnp.float32)
        present = jnp.ones_like(inputs.energy)
        params: Params = self.model.init(key, z, inputs.cells, inputs.energy, present, self.scale)[
            "params"
        ]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Sum of both networks' losses, (B,): cross entropies in nats; metrics: see `summary`."""
        inputs = self._inputs(batch)
        present = (batch.weight != 0).astype(jnp.float32)
        seen = self._apply(params, "see", inputs.cells, inputs.energy, self.scale)
        z = self._latent(key, batch.id)
        made, total = self._apply(params, "imitate", z, inputs.cells, inputs.energy, self.scale)

        def logits(parameters: Params, shown: Any) -> Array:
            found: Array = self._apply(parameters, "discriminate", shown, present)
            return found

        judge = partial(logits, params)
        real, steep = self._judged(judge, seen, penalised=train)
        both = train and self.penalise == "both"
        fake, steeper = self._judged(judge, stop_gradient(made), penalised=both)
        fooled = logits(stop_gradient(params), made)
        penalty = 0.5 * self.penalty * (steep + steeper)
        discriminator, generator = self._losses(real, fake, fooled)
        off = jnp.abs(total - inputs.energy)
        generator = generator + self.energy_weight * off
        metrics = {
            "discriminator": discriminator,
            "generator": generator,
            "accuracy": self._accuracy(real, fake),
            "energy_off": off,
        }
        if train:
            metrics["penalty"] = penalty
        else:
            cells = self.generate(params, inputs.energy, key, batch.id)
            energies = (layer_energies(c, self.layers) for c in (inputs.cells, cells))
            metrics |= share_metrics(*energies) | shape_metrics(inputs.cells, cells, self.layers)
        return discriminator + penalty + generator, metrics

    def generate(self, params: Params, energy: Array, key: Array, identity: Array) -> Array:
        """Cells (B, cells) in GeV, each shower from latent numbers of its own."""
        made: Array = self._apply(
            params, "generate", self._latent(key, identity), energy, self.scale
        )
        return made

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """discriminator, generator: losses; accuracy: of the discriminator; energy_off: GeV.

        separation: mean over layers of ½ Σ (h₁ - h₂)² / (h₁ + h₂) between the layer's share of the
        energy in real and generated showers, 0 … 1; shapes: the same of centre, width, hottest
        cell and active cells of each layer; what to monitor.
        """
        names = ("discriminator", "generator", "accuracy", "energy_off")
        figures: dict[str, float | np.ndarray] = {name: float(means[name]) for name in names}
        return figures | separation(means)

    def groups(self, params: Params) -> Any:
        """The group "generator" or "discriminator" of every parameter."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}

    def _judged(
        self, judge: Callable[[Any], Array], seen: Any, *, penalised: bool
    ) -> tuple[Array, Array]:
        """Logits (B, K) and, if it counts, the squared slope (B,)."""
        if penalised and self.penalty:
            return slope(judge, seen)
        found = judge(seen)
        return found, jnp.zeros_like(found[:, 0])

    def _accuracy(self, real: Array, fake: Array) -> Array:
        """Share (B,) of the logits (B, K), or of their pairs, that are right."""
        if self.relativistic:
            return (real > fake).astype(jnp.float32).mean(axis=1)
        right = (real > 0).astype(jnp.float32) + (fake <= 0).astype(jnp.float32)
        return right.mean(axis=1) / 2

    def _losses(self, real: Array, fake: Array, fooled: Array) -> tuple[Array, Array]:
        """Of discriminator and generator, (B,) each, summed over the logits (B, K)."""
        if self.relativistic:
            pair = fake - real, stop_gradient(real) - fooled
            discriminator, generator = (jax.nn.softplus(difference) for difference in pair)
        else:
            discriminator = jax.nn.softplus(-real) + jax.nn.softplus(fake)
            generator = jax.nn.softplus(-fooled)
        return discriminator.sum(axis=1), generator.sum(axis=1)

    def _latent(self, key: Array, identity: Array) -> Array:
        return example_normal(example_seeds(key, identity), _SALT, (self.model.numbers,))

    def _apply(self, params: Params, method: str, *given: Any) -> Any:
        return self.model.apply({"params": params}, *given, method=method)


def slope(judge: Callable[[Any], Array], seen: Any) -> tuple[Array, Array]:
    """Logits (B, K), and of each example the squared derivative (B,) of their sum.

    seen: tree of (B, F), by which it is taken.
    """
    found, back = jax.vjp(judge, seen)
    (gradient,) = back(jnp.ones_like(found))
    squares = [(leaf**2).sum(axis=1) for leaf in jax.tree.leaves(gradient)]
    return found, jnp.stack(squares).sum(axis=0)
