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
from rootloom.models.calorimeter import Layers, split
from rootloom.physics.histograms import separation_power
from rootloom.tasks.base import Params, require_role
from rootloom.types import Batch, Shower

# Bins in which shares of the energy are compared during training.
SHARE_BINS = 40


@dataclass(frozen=True)
class Generative:
    """A model that makes showers of one kind of particle; a task adds `generate` and its loss.

    model: with the `layers` of the representation. representation: of kind "calorimeter", which
    leaves cells in GeV. Raises ConfigError for data sets of several classes and for a model that
    does not fit.
    """

    learns: ClassVar[str] = "classes"
    least: ClassVar[int] = 1
    most: ClassVar[int] = 1
    yields: ClassVar[str] = "examples"
    evaluation: ClassVar[str] = "generation"
    targets: ClassVar[tuple[str, ...]] = ()
    role: ClassVar[str]

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

    def generate(self, params: Params, energy: Array, key: Array, identity: Array) -> Array:
        """See `rootloom.tasks.base.Generator`."""
        raise NotImplementedError

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


def layer_energies(cells: Array, layers: Layers) -> Array:
    """Sums over the cells (B, cells) of each layer, (B, L)."""
    return jnp.stack([image.sum(axis=(1, 2)) for image in split(cells, layers)], axis=1)


def share_metrics(real: Array, made: Array) -> dict[str, Array]:
    """What `separation` reads: one-hot bins of the layers' shares of the energy, (B, L, bins).

    real, made: layer energies (B, L), GeV.
    """
    return {"real_shares": _shares(real), "generated_shares": _shares(made)}


def separation(means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
    """The figure "separation" if the metrics have shares: the mean `separation_power` of layers."""
    if "real_shares" not in means:
        return {}
    real, made = (np.asarray(means[f"{name}_shares"]) for name in ("real", "generated"))
    return {"separation": float(np.mean(separation_power(real, made)))}


def _shares(energies: Array) -> Array:
    share = energies / jnp.maximum(energies.sum(axis=1, keepdims=True), 1e-6)
    bins = jnp.minimum((share * SHARE_BINS).astype(jnp.int32), SHARE_BINS - 1)
    return jax.nn.one_hot(bins, SHARE_BINS, dtype=jnp.float32)
