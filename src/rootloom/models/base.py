"""The base class of models: Flax modules that a task trains."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import field
from typing import Any, ClassVar

import flax.linen as nn
from jax import Array

from rootloom.models.layers import Precision


class Model(nn.Module):
    """A network whose fields are its configuration; the base class of all models.

    consumes: the `kind`s of the representations whose inputs it takes.
    role: must equal the task's `role`; "embedding" is one vector per example, as a
    `Backbone` makes it.
    reads: the field that lists columns of the representation, which the plan checks.
    reads_padding: whether empty slots of objects are input like any other, so that what stands in
    them and how many there are change its output. Its rows are all padded alike, in no groups.

    dtype: of its arithmetic, set by a training's `precision`; parameters are float32.
    """

    consumes: ClassVar[tuple[str, ...]]
    role: ClassVar[str] = "embedding"
    reads: ClassVar[str | None] = None
    reads_padding: ClassVar[bool] = False

    dtype: Precision = field(default="float32", kw_only=True)


class Backbone(Model):
    """A model from a batch's inputs to an embedding, on which a task puts its head."""

    @abstractmethod
    def __call__(self, inputs: Any, *, train: bool) -> Array:
        """Normalised inputs of B examples → (B, D) float32, whatever the padding and the batch.

        train: whether dropout is on; it uses the seeds of the examples, see `layers.Dropout`.
        """
