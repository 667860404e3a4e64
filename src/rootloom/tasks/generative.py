"""Base of tasks that generate examples of any representation that allows it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
from jax import Array

from rootloom.errors import ConfigError
from rootloom.models.generators.base import GeneratorModel
from rootloom.models.layers import example_seeds
from rootloom.representations.base import MomentsLike, Representation
from rootloom.tasks.base import Generator, Params, require_role
from rootloom.types import Batch


@dataclass(frozen=True)
class Generative(Generator):
    """A task that learns to generate examples of one class; a subclass adds `make` and its loss.

    representation: one with `generated = True`. Raises ConfigError for datasets of several classes
    and for a model or a representation that does not fit.
    """

    learns: ClassVar[str] = "classes"
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = 1
    evaluation: ClassVar[str] = "generation"

    model: GeneratorModel
    representation: Representation
    statistics: Mapping[str, MomentsLike]
    classes: Sequence[str]

    def __post_init__(self) -> None:
        require_role(self)
        if not self.representation.generated:
            raise ConfigError(
                f"representation {type(self.representation).__name__}",
                expected="one whose inputs can be generated",
                found="one without `generated = True`",
            )
        if len(self.classes) != 1:
            raise ConfigError(
                "classes",
                expected=f"one class of {self.representation.noun}s to learn",
                found=str(list(self.classes)),
                fix="a dataset with one class",
            )
        # This refuses a model for other inputs than those of the representation.
        _ = self.scale

    @property
    def scale(self) -> Any:
        """Scales of the inputs for the model's networks."""
        return self.model.scale(self.representation, self.statistics)

    @abstractmethod
    def make(self, params: Params, condition: Array, seeds: Array) -> Any:
        """Inputs for a condition (B, K), normalised like those of a batch; seeds: (B,) uint32."""

    def generate(self, params: Params, condition: Array, key: Array, identity: Array) -> Any:
        """Inputs in physical units, each from its own random numbers."""
        made = self.make(params, condition, example_seeds(key, identity))
        return self.representation.restore(made, self.statistics)

    def cast(self, precision: str) -> Self:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    def groups(self, params: Params) -> Any:
        """The group of every parameter: the name of its network."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}

    def _inputs(self, batch: Batch) -> tuple[Any, Array]:
        """Normalised inputs, and their condition (B, K)."""
        inputs = self.representation.normalise(batch.inputs, self.statistics)
        return inputs, self.representation.condition(batch.inputs)
