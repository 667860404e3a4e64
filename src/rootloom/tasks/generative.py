"""What tasks that generate showers share: one kind of particle, its energy as the condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.errors import ConfigError
from rootloom.models.generators.calorimeter import Layers, layer_energies, shapes
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.physics.histograms import separation_power
from rootloom.tasks.base import Generator, Params, require_role
from rootloom.types import Batch, Shower

# Bins in which shares of the energy are compared during training.
SHARE_BINS = 40
# Bins of shapes: some are as narrow as a tenth.
SHAPE_BINS, SHAPE_RANGE = 250, (-7.0, 6.0)


@dataclass(frozen=True)
class Generative(Generator):
    """A model that makes showers of one kind of particle; a task adds `generate` and its loss.

    model: with the `layers` of the representation. representation: of kind "calorimeter", which
    leaves cells in GeV. Raises ConfigError for data sets of several classes and for a model that
    does not fit.
    """

    learns: ClassVar[str] = "classes"
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = 1
    yields: ClassVar[str] = "examples"
    evaluation: ClassVar[str] = "generation"
    probability: ClassVar[bool] = False

    model: Any
    representation: Any
    statistics: Mapping[str, Any]
    classes: Sequence[str]

    def __post_init__(self) -> None:
        require_role(self)
        if len(self.classes) != 1:
            raise ConfigError(
                "classes",
                expected="one, the particle whose showers are learnt",
                found=str(list(self.classes)),
                fix="a dataset with one class",
            )
        if self.model.layers != self.representation.layers:
            raise ConfigError(
                f"model {type(self.model).__name__}: layers",
                expected=f"those of the representation, {self.representation.layers}",
                found=str(self.model.layers),
            )

    @property
    def layers(self) -> Layers:
        """Cells along x and y of each layer."""
        found: Layers = self.representation.layers
        return found

    @property
    def scale(self) -> ShowerScale:
        """Showers as numbers of the order of one, by the training's moments."""
        return ShowerScale(self.layers, float(self.representation.threshold), self.statistics)

    def columns(self) -> tuple[str, ...]:
        """Energy generated in each layer: "generated_layer0", …."""
        return tuple(f"generated_layer{i}" for i in range(len(self.layers)))

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """For every shower the layer energies, GeV, of one generated at the same energy."""
        made = self.generate(params, self._inputs(batch).energy, key, batch.id)
        return dict(zip(self.columns(), layer_energies(made, self.layers).T, strict=True))

    def cast(self, precision: str) -> Self:
        """The same task with a model that computes in this precision."""
        return replace(self, model=self.model.clone(dtype=precision))

    def _inputs(self, batch: Batch) -> Shower:
        inputs: Shower = self.representation.normalise(batch.inputs, self.statistics)
        return inputs


def share_metrics(real: Array, made: Array) -> dict[str, Array]:
    """What `separation` reads: one-hot bins of the layers' shares of the energy, (B, L, bins).

    real, made: layer energies (B, L), GeV.
    """
    return {"real_shares": _shares(real), "generated_shares": _shares(made)}


def shape_metrics(real: Array, made: Array, layers: Layers) -> dict[str, Array]:
    """What `separation` reads: one-hot bins of the layers' `shapes`, (B, 6 L, bins).

    real, made: cells (B, cells), GeV.
    """
    sides = {"real_shapes": real, "generated_shapes": made}
    return {
        name: _binned(shapes(cells, layers), SHAPE_BINS, *SHAPE_RANGE)
        for name, cells in sides.items()
    }


def separation(means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
    """Mean `separation_power` of what the metrics have bins of.

    "separation": of the layers' shares of the energy; "shapes": of the layers' shapes.
    """
    figures: dict[str, float | np.ndarray] = {}
    for name, kind in (("separation", "shares"), ("shapes", "shapes")):
        if f"real_{kind}" in means:
            sides = (np.asarray(means[f"{side}_{kind}"]) for side in ("real", "generated"))
            figures[name] = float(np.mean(separation_power(*sides)))
    return figures


def _shares(energies: Array) -> Array:
    share = energies / jnp.maximum(energies.sum(axis=1, keepdims=True), 1e-6)
    return _binned(share, SHARE_BINS, 0.0, 1.0)


def _binned(values: Array, bins: int, low: float, high: float) -> Array:
    """One-hot (B, D, bins) of values (B, D); those outside count in the outermost bins."""
    place = ((values - low) / (high - low) * bins).astype(jnp.int32)
    return jax.nn.one_hot(jnp.clip(place, 0, bins - 1), bins, dtype=jnp.float32)
