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
from rootloom.models.calorimeter import join, split
from rootloom.models.layers import example_normal, example_seeds, example_uniform
from rootloom.models.ode import Solver, Velocity, integrate
from rootloom.physics.ratios import (
    cell_ratios,
    cells_of_ratios,
    energy_ratios,
    layers_of_ratios,
)
from rootloom.tasks.base import Params
from rootloom.tasks.generative import Generative, layer_energies, separation, share_metrics
from rootloom.types import Batch

# Salts far apart: a salt and a position are added, and neighbours would share their numbers.
_RATIO_NOISE, _CELL_NOISE, _TIME, _EMPTY = (number << 28 for number in range(1, 5))
# Brings the logarithm of energies over the threshold, 0 … 13, to the order of one.
_MIDDLE, _SPREAD = 8.0, 3.0
# What any field ends in has to be a shower: a bound, in deviations, that no trained one comes near.
_FAR = 20.0
# Of the threshold, what a layer's only cell holds at least before its energy is known.
_TINY = 1e-3


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
        given = self._given(inputs.energy), self._given(inputs.energy, energies)
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
            self._field(params, "of_ratios", self._given(inputs.energy)),
            self._ratios(real, inputs.energy),
            example_normal(seeds, _RATIO_NOISE, (len(self.layers),)),
            time[:, 0],
            self.sigma,
        )
        cells = path_loss(
            self._field(params, "of_cells", self._given(inputs.energy, real)),
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
        noise = example_normal(seeds, _CELL_NOISE, (len(self._owner),))
        field = self._field(params, "of_cells", self._given(energy, layers))
        return self._filled(self._carried(field, noise), layers)

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
        found = self._carried(self._field(params, "of_ratios", self._given(energy)), noise)
        return layers_of_ratios(self._restored("ratios", found), energy)

    def _given(self, energy: Array, layers: Array | None = None) -> Array:
        """What a field knows, (B, K): the particle's energy and, if given, the layers'."""
        known = [self._level(energy)[:, None]]
        if layers is not None:
            known += [self._level(layers), self._ratios(layers, energy)]
        return jnp.concatenate(known, axis=1)

    def _level(self, energy: Array) -> Array:
        return (jnp.log1p(energy / self._threshold) - _MIDDLE) / _SPREAD

    def _ratios(self, layers: Array, energy: Array) -> Array:
        return self._standardised("ratios", energy_ratios(layers, energy))

    def _shares(self, cells: Array, layers: Array, seeds: Array) -> Array:
        """The cells' energies as numbers of the order of one, (B, cells).

        Empty cells are spread over a width of their own, apart from the others: a field into a
        single point has no bound.
        """
        held = jnp.where(cells < self._threshold, 0.0, cells)
        ratios = cell_ratios(held, layers[:, self._owner], self._threshold)
        below = jnp.where(held == 0, example_uniform(seeds, _EMPTY, cells.shape[1:]), 0.0)
        return self._standardised("shares", ratios - below)

    def _filled(self, shares: Array, layers: Array) -> Array:
        """Cells whose sums are the layers' energies; those below the threshold are empty."""
        ratios = jnp.minimum(self._restored("shares", shares), 1.0)
        energy = cells_of_ratios(ratios, layers[:, self._owner], self._threshold)
        images = []
        for number, image in enumerate(split(energy, self.layers)):
            # A layer with energy has a cell for it.
            kept = (image >= self._threshold) | (image == image.max(axis=(1, 2), keepdims=True))
            image = jnp.where(kept, jnp.maximum(image, _TINY * self._threshold), 0.0)
            seen = jnp.where(layers[:, number] >= self._threshold, layers[:, number], 0.0)
            images.append(image * (seen / image.sum(axis=(1, 2)))[:, None, None])
        return join(images)

    @property
    def _threshold(self) -> float:
        return float(self.representation.threshold)

    @property
    def _owner(self) -> np.ndarray:
        """The layer of every cell, (cells,)."""
        return np.repeat(np.arange(len(self.layers)), [nx * ny for nx, ny in self.layers])

    def _standardised(self, sample: str, values: Array) -> Array:
        mean, std = self._moments(sample)
        return (values - mean) / std

    def _restored(self, sample: str, values: Array) -> Array:
        mean, std = self._moments(sample)
        return jnp.clip(values, -_FAR, _FAR) * std + mean

    def _moments(self, sample: str) -> tuple[Array, Array]:
        """Mean and deviation of what `CalorimeterCells.sample` has by this name, (1, D) float32."""
        moments = self.statistics[sample]
        mean, std = (np.asarray(m, np.float32)[None] for m in (moments.mean, moments.std))
        return jnp.asarray(mean), jnp.asarray(np.where(std > 0, std, np.float32(1.0)))


def path_loss(velocity: Velocity, data: Array, noise: Array, time: Array, sigma: float) -> Array:
    """Mean squared difference, (B,), between `velocity` and that of a straight path to the data.

    data, noise: (B, D), the path's ends; time: (B,). arXiv:2210.02747, equation 23.
    """
    keep = 1.0 - sigma
    at = (1.0 - keep * time[:, None]) * noise + time[:, None] * data
    return ((velocity(at, time) - (data - keep * noise)) ** 2).mean(axis=1)
