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
from rootloom.models.generators.base import AdversarialPair
from rootloom.models.layers import example_normal, example_seeds
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative
from rootloom.types import Batch

_SALT = 0x5EED


@dataclass(frozen=True)
class Adversarial(Generative):
    """A generator and a discriminator, trained in the same step.

    model: an `AdversarialPair`. If it has several logits, their losses are summed.

    condition_weight: weight, in the generator's loss, of the distance of an example from its
    condition; for showers this is the mean absolute difference between generated and requested
    energy in GeV (CaloGAN: 0.05). energy_weight: older name of `condition_weight`; if given, it
    replaces it. relativistic: discriminators learn which example of a pair with the same condition
    is real (A. Jolicoeur-Martineau, arXiv:1807.00734); this loss has no minimum that leaves out
    real examples (Y. Huang et al., arXiv:2501.05441). penalty: γ, for a term of γ/2 times the
    squared derivative of the logits with respect to the discriminator's inputs, which makes the
    training converge (L. Mescheder, A. Geiger, S. Nowozin, arXiv:1801.04406). penalise: where the
    derivative is taken: at "real" examples (the penalty R1), or at "both" real and generated ones
    (R1 + R2), as in arXiv:2501.05441.
    Raises ConfigError for values out of range.

    The loss is L_D(stop_gradient(G)) + L_G(stop_gradient(D)): its gradient for each network is
    exactly that of the network's own loss. `groups` names the two networks, so that a training
    section can give them different learning rates.
    """

    role: ClassVar[str] = AdversarialPair.role

    model: AdversarialPair
    condition_weight: float = 0.05
    energy_weight: float | None = None
    relativistic: bool = False
    penalty: float = 0.0
    penalise: Literal["real", "both"] = "real"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("condition_weight", "energy_weight", "penalty"):
            value = getattr(self, name)
            require(f"task: {name}", value is None or value >= 0, "zero or more", value)

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for inputs of this shape."""
        inputs, condition = self._inputs(batch)
        z = jnp.zeros((len(condition), self.model.numbers), jnp.float32)
        present = jnp.ones(len(condition), jnp.float32)
        params: Params = self.model.init(key, z, inputs, condition, present, self.scale)["params"]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Sum of both networks' losses, (B,): cross entropies in nats; metrics: see `summary`."""
        inputs, condition = self._inputs(batch)
        present = (batch.weight != 0).astype(jnp.float32)
        seen = self._apply(params, "see", inputs, condition, self.scale)
        seeds = example_seeds(key, batch.id)
        z = self._latent(seeds)
        made, missed = self._apply(params, "imitate", z, inputs, condition, self.scale)

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
        for off in missed.values():
            generator = generator + self._condition_weight * off
        metrics = {
            "discriminator": discriminator,
            "generator": generator,
            "accuracy": self._accuracy(real, fake),
            **missed,
        }
        if train:
            metrics["penalty"] = penalty
        else:
            again = self.make(params, condition, seeds)
            metrics |= self.model.compare(inputs, again, self.scale)
        return discriminator + penalty + generator, metrics

    def make(self, params: Params, condition: Array, seeds: Array) -> Any:
        """Inputs, each from latent numbers of its own."""
        return self._apply(params, "generate", self._latent(seeds), condition, self.scale)

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """discriminator, generator: losses; accuracy: of the discriminator; and the model's own.

        Of showers these are, see their models: energy_off, GeV; separation and shapes, what to
        monitor.
        """
        names = ("discriminator", "generator", "accuracy")
        figures: dict[str, float | np.ndarray] = {name: float(means[name]) for name in names}
        return figures | self.model.summary(means)

    @property
    def _condition_weight(self) -> float:
        return self.condition_weight if self.energy_weight is None else self.energy_weight

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
        """Losses of discriminator and generator, (B,) each, summed over the logits (B, K)."""
        if self.relativistic:
            pair = fake - real, stop_gradient(real) - fooled
            discriminator, generator = (jax.nn.softplus(difference) for difference in pair)
        else:
            discriminator = jax.nn.softplus(-real) + jax.nn.softplus(fake)
            generator = jax.nn.softplus(-fooled)
        return discriminator.sum(axis=1), generator.sum(axis=1)

    def _latent(self, seeds: Array) -> Array:
        return example_normal(seeds, _SALT, (self.model.numbers,))

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
