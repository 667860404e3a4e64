"""A task of its own loss, which names an evaluation of its own."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from rootloom.tasks.classification import Classification


@dataclass(frozen=True)
class Tempered(Classification):
    """Cross entropy to a power, which looks away from easy rows. power: 1 is cross entropy."""

    evaluation: ClassVar[str] = "weaving.judges:Upside"

    power: float = 1.0

    def loss(self, params, batch, key, *, train):
        loss, metrics = super().loss(params, batch, key, train=train)
        return jnp.maximum(loss, 1e-6) ** self.power, metrics
