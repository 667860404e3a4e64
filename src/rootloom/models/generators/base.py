"""What tasks that generate ask of their models.

A model for showers, for jet images or for anything else says here what its examples are; the tasks
know noise, conditions and losses only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jax import Array

from rootloom.models.base import Model
from rootloom.representations.base import MomentsLike, Representation

# Tells random numbers that a model draws for itself from those of the task: salts from here on are
# its own.
OWN_SALT = 4 << 28


class GeneratorModel(Model):
    """A network that makes inputs of its representation, normalised as a batch's are.

    B examples; a condition is (B, K), the numbers of the representation's `conditions`.
    """

    def scale(self, representation: Representation, statistics: Mapping[str, MomentsLike]) -> Any:
        """What all other methods are handed as `scale`: how its networks see examples.

        Raises ConfigError where the model does not fit the representation. By default None.
        """
        return None

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """Figures of merit from the weighted means of the model's own metrics; by default none."""
        return {}


class AdversarialPair(GeneratorModel):
    """A generator and a discriminator; parameters are under these two names."""

    role: ClassVar[str] = "gan"

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Random numbers that an example is made of, besides its condition."""

    def __call__(
        self, z: Array, inputs: Any, condition: Array, present: Array, scale: Any
    ) -> Array:
        """Both, one after the other: what initialises the parameters."""
        return self.discriminate(self.imitate(z, inputs, condition, scale)[0], present)

    @abstractmethod
    def generate(self, z: Array, condition: Array, scale: Any) -> Any:
        """Inputs from normal numbers z (B, numbers)."""

    @abstractmethod
    def see(self, inputs: Any, condition: Array, scale: Any) -> Any:
        """What the discriminator is shown of inputs: a tree of (B, F)."""

    @abstractmethod
    def discriminate(self, seen: Any, present: Array) -> Array:
        """Logits (B, D) that examples are real. present: (B,), 0 for padding, which none sees."""

    def imitate(
        self, z: Array, inputs: Any, condition: Array, scale: Any
    ) -> tuple[Any, dict[str, Array]]:
        """What the discriminator is shown instead of real inputs, and by how much it is off.

        The latter by name, (B,) each: how far an example is from its condition, which the
        generator's loss counts with the task's `condition_weight`. By default nothing.
        """
        return self.see(self.generate(z, condition, scale), condition, scale), {}

    def compare(self, inputs: Any, made: Any, scale: Any) -> dict[str, Array]:
        """Metrics of a validation, (B, …) each, from real and made inputs; by default none."""
        return {}


class VelocityFields(GeneratorModel):
    """One velocity field or several, which carry noise to examples one after the other.

    Each has parameters under its own name.
    fields: their names, in order. watched: how many of them, from the first on, carry noise to its
    end in a validation, for `watch`.
    """

    role: ClassVar[str] = "velocity"
    fields: ClassVar[tuple[str, ...]]
    watched: ClassVar[int] = 0

    def __call__(self, ends: Sequence[Array], t: Array, given: Sequence[Array]) -> None:
        """All, one after the other: what initialises the parameters."""
        for field, x, known in zip(self.fields, ends, given, strict=True):
            self.velocity(field, x, t, known)

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Numbers that each field carries."""

    @abstractmethod
    def velocity(self, field: str, x: Array, t: Array, given: Array) -> Array:
        """Velocity (B, size) of a field at x (B, size) and time t (B,), given (B, G)."""

    @abstractmethod
    def ends(
        self, inputs: Any, condition: Array, seeds: Array, scale: Any
    ) -> tuple[tuple[Array, Array], ...]:
        """Of real inputs, for each field, where its paths end (B, size), and what is given (B, G).

        seeds: (B,) uint32 of the examples, for numbers of the model's own, see `OWN_SALT`.
        """

    @abstractmethod
    def inputs(self, condition: Array, ends: Sequence[Array], scale: Any) -> Any:
        """Inputs from where the fields have carried noise to."""

    def given(self, field: str, condition: Array, ends: Sequence[Array], scale: Any) -> Array:
        """What is given to a field, (B, G), where those before it have come to `ends`.

        By default the condition.
        """
        return condition

    def watch(
        self, inputs: Any, condition: Array, ends: Sequence[Array], scale: Any
    ) -> dict[str, Array]:
        """Metrics of a validation, (B, …) each.

        ends: where the first `watched` fields have carried noise to. By default none.
        """
        return {}
