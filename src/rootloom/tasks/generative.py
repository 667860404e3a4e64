"""What tasks that make examples share: a condition, a model of any examples, its representation."""

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
    """A model that learns to make examples of one class; a task adds `make` and its loss.

    model: says what its examples are. representation: one that may be generated. Raises ConfigError
    for data sets of several classes and for a model or a representation that does not fit.
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
                found="`generated` is not set",
            )
        if len(self.classes) != 1:
            raise ConfigError(
                "classes",
                expected=f"one, whose {self.representation.noun}s are learnt",
                found=str(list(self.classes)),
                fix="a dataset with one class",
            )
        # Refuses a model of other inputs than the representation's.
        _ = self.scale

    @property
    def scale(self) -> Any:
        """How the model's networks see examples."""
        return self.model.scale(self.representation, self.statistics)

    @abstractmethod
    def make(self, params: Params, condition: Array, seeds: Array) -> Any:
        """Inputs, normalised as a batch's are, to a condition (B, K); seeds: (B,) uint32."""

    def generate(self, params: Params, condition: Array, key: Array, identity: Array) -> Any:
        """Inputs in their units, each from random numbers of its own."""
        made = self.make(params, condition, example_seeds(key, identity))
        return self.representation.restore(made, self.statistics)

    def cast(self, precision: str) -> Self:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    def groups(self, params: Params) -> Any:
        """The group of every parameter: the name of its network."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}

    def _inputs(self, batch: Batch) -> tuple[Any, Array]:
        """Normalised inputs, and the condition (B, K) that they were made to."""
        inputs = self.representation.normalise(batch.inputs, self.statistics)
        return inputs, self.representation.condition(batch.inputs)
