"""Conditional flow matching: noise is carried to showers along straight paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.errors import require
from rootloom.models.generators.calorimeter import layer_energies
from rootloom.models.generators.ode import Solver, Velocity, integrate
from rootloom.models.layers import example_normal, example_seeds, example_uniform
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative, separation, share_metrics
from rootloom.types import Batch

# Salts far apart: a salt and a position are added, and neighbours would share their numbers.
_RATIO_NOISE, _CELL_NOISE, _TIME, _EMPTY = (number << 28 for number in range(1, 5))


@dataclass(frozen=True)
class FlowMatching(Generative):
    """Velocity fields on the paths from noise to showers; see `docs/calorimeter.md`.

    model: of role "velocity": `of_ratios(x, t, given)`, `of_cells(x, t, given)`, parameters under
    "energies" and "cells". steps, solver: with which it generates. sigma: deviation of the noise
    that is left at the end of a path.

    Y. Lipman et al., arXiv:2210.02747, equations 20-23: x_t = (1 - (1 - σ) t) x_0 + t x_1 from
    normal x_0 to data x_1 has the velocity x_1 - (1 - σ) x_0, whose mean given x_t the fields learn
    from squared differences. As CaloDREAM, arXiv:2405.09629, one field makes the layers' energies
    at the particle's energy, another one the cells at these; both have losses and groups of
    parameters of their own. Raises ConfigError for values out of range.
    """

    role: ClassVar[str] = "velocity"

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
        """Parameters for showers of these cells."""
        inputs = self._inputs(batch)
        energies = layer_energies(inputs.cells, self.layers)
        given = self.scale.known(inputs.energy), self.scale.known(inputs.energy, energies)
        time = jnp.zeros_like(inputs.energy)
        params: Params = self.model.init(key, energies, inputs.cells, time, *given)["params"]
        return params

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Sum of both fields' mean squared differences, (B,); metrics: see `summary`."""
        inputs = self._inputs(batch)
        seeds = example_seeds(key, batch.id)
        real = layer_energies(inputs.cells, self.layers)
        time = example_uniform(seeds, _TIME, (2,))
        energies = path_loss(
            self._field(params, "of_ratios", self.scale.known(inputs.energy)),
            self.scale.ratios(real, inputs.energy),
            example_normal(seeds, _RATIO_NOISE, (len(self.layers),)),
            time[:, 0],
            self.sigma,
        )
        cells = path_loss(
            self._field(params, "of_cells", self.scale.known(inputs.energy, real)),
            self._shares(inputs.cells, real, seeds),
            example_normal(seeds, _CELL_NOISE, inputs.cells.shape[1:]),
            time[:, 1],
            self.sigma,
        )
        metrics = {"energies": energies, "cells": cells}
        if not train:
            metrics |= share_metrics(real, self._layers(params, inputs.energy, seeds))
        return energies + cells, metrics

    def generate(self, params: Params, energy: Array, key: Array, identity: Array) -> Array:
        """Cells (B, cells) in GeV, each shower from noise of its own."""
        seeds = example_seeds(key, identity)
        layers = self._layers(params, energy, seeds)
        noise = example_normal(seeds, _CELL_NOISE, (len(self.scale.owner),))
        field = self._field(params, "of_cells", self.scale.known(energy, layers))
        return self.scale.cells(self._carried(field, noise), layers)

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """energies, cells: mean squared differences of the two velocity fields.

        separation: of the layers' shares of the energy, as the task `adversarial` has it.
        """
        figures: dict[str, float | np.ndarray] = {
            name: float(means[name]) for name in ("energies", "cells")
        }
        return figures | separation(means)

    def groups(self, params: Params) -> Any:
        """The group "energies" or "cells" of every parameter."""
        return {name: jax.tree.map(lambda _, n=name: n, tree) for name, tree in params.items()}

    def _field(self, params: Params, method: str, given: Array) -> Velocity:
        """Velocity at (B, D) and at the time (B,) or ()."""

        def velocity(x: Array, time: Array) -> Array:
            times = jnp.broadcast_to(time, x.shape[:1])
            found: Array = self.model.apply({"params": params}, x, times, given, method=method)
            return found

        return velocity

    def _carried(self, field: Velocity, noise: Array) -> Array:
        return integrate(field, noise, self.steps, self.solver)

    def _layers(self, params: Params, energy: Array, seeds: Array) -> Array:
        """Energies (B, L), GeV, of the layers of new showers."""
        noise = example_normal(seeds, _RATIO_NOISE, (len(self.layers),))
        found = self._carried(self._field(params, "of_ratios", self.scale.known(energy)), noise)
        return self.scale.energies(found, energy)

    def _shares(self, cells: Array, layers: Array, seeds: Array) -> Array:
        """The cells' energies as numbers of the order of one, (B, cells).

        Empty cells are spread over a width of their own, apart from the others: a field into a
        single point has no bound.
        """
        below = example_uniform(seeds, _EMPTY, cells.shape[1:])
        return self.scale.shares(cells, layers, below)


def path_loss(velocity: Velocity, data: Array, noise: Array, time: Array, sigma: float) -> Array:
    """Mean squared difference, (B,), between `velocity` and that of a straight path to the data.

    data, noise: (B, D), the path's ends; time: (B,). arXiv:2210.02747, equation 23.
    """
    keep = 1.0 - sigma
    at = (1.0 - keep * time[:, None]) * noise + time[:, None] * data
    return ((velocity(at, time) - (data - keep * noise)) ** 2).mean(axis=1)
