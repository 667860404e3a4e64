"""What a model is: a Flax module that a task trains."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import field
from typing import Any, ClassVar

import flax.linen as nn
from jax import Array

from rootloom.models.layers import Precision


class Model(nn.Module):
    """A network whose fields are its configuration; what every model derives from.

    consumes: the `kind`s of the representations whose inputs it takes.
    role: what it does for a task, which names the same; "embedding" is one vector an example, as a
    `Backbone` makes it.
    reads: the field that lists columns of the representation, by names that the plan looks at.

    dtype: of its arithmetic, which a training's `precision` decides; parameters are float32.
    """

    consumes: ClassVar[tuple[str, ...]]
    role: ClassVar[str] = "embedding"
    reads: ClassVar[str | None] = None

    dtype: Precision = field(default="float32", kw_only=True)


class Backbone(Model):
    """A model from a batch's inputs to an embedding, on which a task puts its head."""

    @abstractmethod
    def __call__(self, inputs: Any, *, train: bool) -> Array:
        """Normalised inputs of B examples → (B, D) float32; the same for padding and company.

        train: whether dropout is on; it draws from the examples' own seeds, see `layers.Dropout`.
        """
