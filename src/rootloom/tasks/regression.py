"""Regression: numbers by their squared error, directions by a density on the sphere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32

from rootloom.errors import ConfigError, nearest
from rootloom.representations.turning import turned_back, turned_vectors
from rootloom.tasks.base import Params
from rootloom.tasks.supervised import Supervised
from rootloom.types import TARGET, Batch

# Logarithm of the concentration: from no idea at all to 0.1 mrad.
_CONCENTRATION = (-5.0, 18.0)
_TINY = 1e-12


@dataclass(frozen=True)
class Regression(Supervised):
    """A dataset's targets from a model's embedding.

    targets: their names, in the order of the batches. directions: triples of targets that are x, y
    and z of a vector of fixed length, such as a unit vector or a point on a sphere; its direction
    is predicted, its length is the root mean square of the training set's. All other targets are
    standardised with the training set's moments and get half their squared error. Where the
    representation turns or mirrors its inputs, directions turn along, and predictions back.
    sphere: how a direction is learned. "fisher": minus the logarithm of the von Mises-Fisher
    density κ exp(κ cos) / (4π sinh κ), with a concentration κ predicted for each example, so that
    hopeless ones do not rule the gradient; "chord": half the squared chord, 1 − cos.
    Raises ConfigError for directions that are no targets, or overlap.
    """

    learns: ClassVar[str] = "targets"
    least: ClassVar[int] = 1
    evaluation: ClassVar[str] = "regression"
    probability: ClassVar[bool] = False

    targets: Sequence[str] = ()
    directions: tuple[tuple[str, str, str], ...] = ()
    sphere: Literal["fisher", "chord"] = "fisher"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.targets:
            raise ConfigError("targets", expected="at least one", found="none")
        named = [name for direction in self.directions for name in direction]
        for name in named:
            if name not in self.targets or named.count(name) > 1:
                raise ConfigError(
                    "task: directions",
                    expected="triples of targets, each target once",
                    found=f"'{name}'",
                    fix=nearest(name, self.targets),
                )

    @property
    def outputs(self) -> int:
        """Three components, and the concentration's logarithm, a direction; one a number."""
        return self._width * len(self.directions) + len(self._numbers)

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Float32[Array, " B"], dict[str, Float32[Array, "B ..."]]]:
        """Sum of the losses of all directions and numbers, (B,); metrics are what `summary` reads.

        Metrics: "angle_<direction>" in degrees, "square_<number>" in the target's units squared.
        """
        found, turn = self.applied(params, batch, key, train=train)
        total, metrics = jnp.zeros(found.shape[0], jnp.float32), {}
        for place, direction in enumerate(self.directions):
            true = _unit(jnp.stack([self._target(batch, name) for name in direction], axis=1))
            true = turned_vectors(true, turn) if turn else true
            # The chord, where 1 − cos would cancel in single precision.
            chord2 = jnp.sum((self._direction(found, place) - true) ** 2, axis=1)
            total = total + self._spherical(found, place, chord2)
            chord = jnp.sqrt(jnp.maximum(chord2, _TINY))
            angle = 2.0 * jnp.arcsin(jnp.minimum(0.5 * chord, 1.0))
            metrics[f"angle_{label(direction)}"] = jnp.rad2deg(angle)
        for name, (mean, std) in self._numbers.items():
            error = self._number(found, name) - (self._target(batch, name) - mean) / std
            total = total + 0.5 * error**2
            metrics[f"square_{name}"] = (error * std) ** 2
        return total, metrics

    def columns(self) -> tuple[str, ...]:
        """The targets' names."""
        return tuple(self.targets)

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """Predicted targets, in their units."""
        found, turn = self.applied(params, batch, key, train=False)
        columns: dict[str, Array] = {}
        for place, direction in enumerate(self.directions):
            unit = self._direction(found, place)
            vector = self._length(direction) * (turned_back(unit, turn) if turn else unit)
            columns |= {name: vector[:, k] for k, name in enumerate(direction)}
        for name, (mean, std) in self._numbers.items():
            columns[name] = self._number(found, name) * std + mean
        return {name: columns[name] for name in self.targets}

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """angle_<direction>: mean angle in degrees; rms_<number>: root of the mean square error."""
        figures: dict[str, float | np.ndarray] = {}
        for direction in self.directions:
            figures[f"angle_{label(direction)}"] = float(means[f"angle_{label(direction)}"])
        for name in self._numbers:
            figures[f"rms_{name}"] = float(np.sqrt(means[f"square_{name}"]))
        return figures

    @property
    def _width(self) -> int:
        return 4 if self.sphere == "fisher" else 3

    @property
    def _numbers(self) -> dict[str, tuple[np.float32, np.float32]]:
        """Mean and deviation of the targets that belong to no direction."""
        inside = {name for direction in self.directions for name in direction}
        found = {}
        for name in (name for name in self.targets if name not in inside):
            mean, std = self._moments(name)
            found[name] = np.float32(mean), np.float32(std if std > 0 else 1.0)
        return found

    def _moments(self, name: str) -> tuple[float, float]:
        moments = self.statistics[TARGET + name]
        return float(np.asarray(moments.mean)[0]), float(np.asarray(moments.std)[0])

    def _length(self, direction: tuple[str, ...]) -> np.float32:
        return np.float32(np.sqrt(sum(m**2 + s**2 for m, s in map(self._moments, direction))))

    def _target(self, batch: Batch, name: str) -> Array:
        found: Array = batch.target[:, list(self.targets).index(name)]
        return found

    def _direction(self, found: Array, place: int) -> Array:
        """The unit vector (B, 3) of a direction."""
        first = self._width * place
        return _unit(found[:, first : first + 3])

    def _number(self, found: Array, name: str) -> Array:
        first = self._width * len(self.directions)
        return found[:, first + list(self._numbers).index(name)]

    def _spherical(self, found: Array, place: int, chord2: Array) -> Array:
        """Loss of a direction, (B,), from its squared chord to the truth."""
        if self.sphere == "chord":
            return 0.5 * chord2
        log_kappa = jnp.clip(found[:, self._width * place + 3], *_CONCENTRATION)
        kappa = jnp.exp(log_kappa)
        # 4π sinh κ / (κ exp κ cos) with cos = 1 − chord² / 2: no exponential of a large number.
        norm = jnp.log(2.0 * jnp.pi) + jnp.log(-jnp.expm1(-2.0 * kappa)) - log_kappa
        return norm + 0.5 * kappa * chord2


def label(direction: Sequence[str]) -> str:
    """What a direction's components have in common: "entry" of "entry_x", "entry_y", "entry_z"."""
    common = takewhile(lambda letters: len(set(letters)) == 1, zip(*direction, strict=False))
    return "".join(letters[0] for letters in common).rstrip("_.") or direction[0]


def _unit(vector: Array) -> Array:
    """(B, 3) of length 1; 0 stays 0."""
    return vector / jnp.sqrt(jnp.sum(vector**2, axis=1, keepdims=True) + _TINY)
