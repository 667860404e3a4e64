"""Base classes of models for the tasks that generate examples.

A model defines what its examples are, such as showers or jet images; the tasks only handle noise,
conditions and losses.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jax import Array

from rootloom.models.base import Model
from rootloom.representations.base import MomentsLike, Representation

# Salts from here on are for random numbers that a model draws itself; smaller ones are the task's.
OWN_SALT = 4 << 28


class GeneratorModel(Model):
    """A network that generates inputs of its representation, normalised like those of a batch.

    B is the number of examples; a condition is (B, K), values of the representation's `conditions`.
    """

    def scale(self, representation: Representation, statistics: Mapping[str, MomentsLike]) -> Any:
        """Scales of the inputs, which all other methods get as `scale`; by default None.

        Raises ConfigError if the model does not fit the representation.
        """
        return None

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """Figures of merit from the weighted means of the model's own metrics; by default none."""
        return {}


class AdversarialPair(GeneratorModel):
    """A generator and a discriminator, each with its own parameters under this name."""

    role: ClassVar[str] = "gan"

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Number of random numbers for an example."""

    def __call__(
        self, z: Array, inputs: Any, condition: Array, present: Array, scale: Any
    ) -> Array:
        """Run both networks; used to initialise the parameters."""
        return self.discriminate(self.imitate(z, inputs, condition, scale)[0], present)

    @abstractmethod
    def generate(self, z: Array, condition: Array, scale: Any) -> Any:
        """Inputs from normally distributed z (B, numbers)."""

    @abstractmethod
    def see(self, inputs: Any, condition: Array, scale: Any) -> Any:
        """The discriminator's view of inputs: a tree of (B, F)."""

    @abstractmethod
    def discriminate(self, seen: Any, present: Array) -> Array:
        """Logits (B, D) that examples are real. present: (B,), 0 for padding, which is ignored."""

    def imitate(
        self, z: Array, inputs: Any, condition: Array, scale: Any
    ) -> tuple[Any, dict[str, Array]]:
        """The discriminator's view of generated inputs, and their distance from the condition.

        The distances by name, (B,) each, enter the generator's loss with the task's
        `condition_weight`; by default there are none.
        """
        return self.see(self.generate(z, condition, scale), condition, scale), {}

    def compare(self, inputs: Any, made: Any, scale: Any) -> dict[str, Array]:
        """Validation metrics, (B, …) each, from real and generated inputs; by default none."""
        return {}


class VelocityFields(GeneratorModel):
    """Velocity fields, which transport noise to examples one after the other.

    Each has its own parameters under its name.
    fields: their names, in order. watched: the first so many fields are integrated in a validation,
    for `watch`.
    """

    role: ClassVar[str] = "velocity"
    fields: ClassVar[tuple[str, ...]]
    watched: ClassVar[int] = 0

    def __call__(self, ends: Sequence[Array], t: Array, given: Sequence[Array]) -> None:
        """Run all fields; used to initialise the parameters."""
        for field, x, known in zip(self.fields, ends, given, strict=True):
            self.velocity(field, x, t, known)

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Dimension of each field."""

    @abstractmethod
    def velocity(self, field: str, x: Array, t: Array, given: Array) -> Array:
        """Velocity (B, size) of a field at x (B, size) and time t (B,), given (B, G)."""

    @abstractmethod
    def ends(
        self, inputs: Any, condition: Array, seeds: Array, scale: Any
    ) -> tuple[tuple[Array, Array], ...]:
        """For real inputs and each field, the ends of its paths (B, size) and its condition (B, G).

        seeds: (B,) uint32 of the examples, for random numbers of the model, see `OWN_SALT`.
        """

    @abstractmethod
    def inputs(self, condition: Array, ends: Sequence[Array], scale: Any) -> Any:
        """Inputs from the ends of the paths of all fields."""

    def given(self, field: str, condition: Array, ends: Sequence[Array], scale: Any) -> Array:
        """The condition (B, G) of a field, given the `ends` of the fields before it.

        By default `condition`.
        """
        return condition

    def watch(
        self, inputs: Any, condition: Array, ends: Sequence[Array], scale: Any
    ) -> dict[str, Array]:
        """Validation metrics, (B, …) each; by default none.

        ends: of the paths of the first `watched` fields.
        """
        return {}
