"""Conditional flow matching: noise is transported to examples along straight paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.errors import require
from rootloom.models.generators.base import VelocityFields
from rootloom.models.generators.ode import Solver, Velocity, integrate
from rootloom.models.layers import example_normal, example_seeds, example_uniform
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative
from rootloom.types import Batch

# Salts far apart: salt and position are added, so close salts would share random numbers. The
# fourth, `OWN_SALT`, is for the model.
_TIME = 3 << 28
_NOISE = tuple(number << 28 for number in (1, 2, *range(5, 16)))  # of each field


@dataclass(frozen=True)
class FlowMatching(Generative):
    """Velocity fields on the paths from noise to examples; see `docs/generators.md`.

    model: `VelocityFields`. steps, solver: of the integration that generates examples. sigma:
    standard deviation of the noise that remains at the end of a path.

    Y. Lipman et al., arXiv:2210.02747, equations 20-23: x_t = (1 - (1 - σ) t) x_0 + t x_1 from
    normal x_0 to data x_1 has the velocity x_1 - (1 - σ) x_0, whose mean given x_t the fields learn
    from squared differences. Each field is conditioned on the ends of the fields before it, and has
    its own loss and group of parameters. Raises ConfigError for values out of range.
    """

    role: ClassVar[str] = VelocityFields.role

    model: VelocityFields
    steps: int = 16
    solver: Solver = "midpoint"
    sigma: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, holds, expected in (
            ("steps", self.steps > 0, "at least one"),
            ("sigma", 0 <= self.sigma < 1, "in [0, 1)"),
        ):
            require(f"task: {name}", holds, expected, getattr(self, name))

    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for inputs of this shape."""
        inputs, condition = self._inputs(batch)
        seeds = jnp.zeros(len(condition), jnp.uint32)
        ends, given = zip(*self.model.ends(inputs, condition, seeds, self.scale), strict=True)
        time = jnp.zeros(len(condition), jnp.float32)
        params: Params = self.model.init(key, ends, time, given)["params"]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Sum of the fields' mean squared differences, (B,); metrics: see `summary`."""
        inputs, condition = self._inputs(batch)
        seeds = example_seeds(key, batch.id)
        time = example_uniform(seeds, _TIME, (len(self.model.fields),))
        metrics = {}
        for number, (data, given) in enumerate(
            self.model.ends(inputs, condition, seeds, self.scale)
        ):
            field = self.model.fields[number]
            velocity = self._velocity(params, field, given)
            noise = self._noise(number, seeds)
            metrics[field] = path_loss(velocity, data, noise, time[:, number], self.sigma)
        total = reduce(add, metrics.values())
        if not train and self.model.watched:
            ends = self._carried(params, condition, seeds, self.model.watched)
            metrics |= self.model.watch(inputs, condition, ends, self.scale)
        return total, metrics

    def make(self, params: Params, condition: Array, seeds: Array) -> Any:
        """Inputs, each from its own noise."""
        ends = self._carried(params, condition, seeds, len(self.model.fields))
        return self.model.inputs(condition, ends, self.scale)

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """The mean squared difference of each velocity field, by its name; and the model's own.

        Of showers the latter is separation, as the task `adversarial` has it.
        """
        figures: dict[str, float | np.ndarray] = {
            name: float(means[name]) for name in self.model.fields
        }
        return figures | self.model.summary(means)

    def _velocity(self, params: Params, field: str, given: Array) -> Velocity:
        """Velocity at (B, D) and at the time (B,) or ()."""

        def velocity(x: Array, time: Array) -> Array:
            times = jnp.broadcast_to(time, x.shape[:1])
            found: Array = self.model.apply(
                {"params": params}, field, x, times, given, method="velocity"
            )
            return found

        return velocity

    def _noise(self, number: int, seeds: Array) -> Array:
        return example_normal(seeds, _NOISE[number], (self.model.sizes[number],))

    def _carried(self, params: Params, condition: Array, seeds: Array, fields: int) -> list[Array]:
        """Ends of the paths of the first fields from noise, (B, size) each."""
        ends: list[Array] = []
        for number, field in enumerate(self.model.fields[:fields]):
            given = self.model.given(field, condition, ends, self.scale)
            velocity = self._velocity(params, field, given)
            noise = self._noise(number, seeds)
            ends.append(integrate(velocity, noise, self.steps, self.solver))
        return ends


def path_loss(velocity: Velocity, data: Array, noise: Array, time: Array, sigma: float) -> Array:
    """Mean squared difference, (B,), between `velocity` and that of a straight path to the data.

    data, noise: (B, D), the path's ends; time: (B,). arXiv:2210.02747, equation 23.
    """
    keep = 1.0 - sigma
    at = (1.0 - keep * time[:, None]) * noise + time[:, None] * data
    return ((velocity(at, time) - (data - keep * noise)) ** 2).mean(axis=1)
