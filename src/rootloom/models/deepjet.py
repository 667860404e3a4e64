"""DeepJet: small dense layers of each candidate, recurrent cells over them, dense layers."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from rootloom.models.base import Backbone
from rootloom.models.layers import LECUN, Dropout, single_or_double
from rootloom.models.normalisation import BatchNorm
from rootloom.models.recurrence import Gate, Recurrence
from rootloom.models.sets import objects_of, with_slots
from rootloom.types import Objects, ParticleSets, Positive, Rate, Size


class DeepJet(Backbone):
    """Three collections and quantities of the jet.

    E. Bols et al., arXiv:2008.10519. Empty slots are input like any other: each collection has the
    same number of slots in every jet, and cells read them first, from the last slot to the first.

    charged, neutral, vertices: names of the collections. slots: of each of them. charged_layers,
    neutral_layers, vertices_layers: units of the layers of an object. units: of the three cells.
    dense: units of the layers after them. dropout: rate after all layers but the last of objects.
    gate: function of the cells' gates: "sigmoid", or "hard_sigmoid" as in CMS' training of 2017.
    epsilon, momentum: of the batch normalisation, see `models.normalisation`.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)
    reads_padding: ClassVar[bool] = True

    charged: str = "charged"
    neutral: str = "neutral"
    vertices: str = "vertices"
    slots: tuple[Size, Size, Size] = (25, 25, 4)
    charged_layers: tuple[Size, ...] = (64, 32, 32, 8)
    neutral_layers: tuple[Size, ...] = (32, 16, 4)
    vertices_layers: tuple[Size, ...] = (64, 32, 32, 8)
    units: tuple[Size, Size, Size] = (150, 50, 50)
    dense: tuple[Size, ...] = (200, 100, 100, 100, 100, 100, 100, 100)
    dropout: Rate = 0.1
    gate: Gate = "sigmoid"
    epsilon: Positive = 1e-3
    momentum: Rate = 0.4

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} D"]:
        """Collections (B, N, F) and (B, S) → (B, dense[-1])."""
        present, names = inputs.present, ("charged", "neutral", "vertices")
        widths = self.charged_layers, self.neutral_layers, self.vertices_layers
        jet = jnp.asarray(inputs.scalars, self.dtype)
        found = [self._norm("jet_input")(jet, present, train=train)]
        for name, slots, layers, units in zip(names, self.slots, widths, self.units, strict=True):
            objects = _in_slots(objects_of(self, inputs, getattr(self, name)), slots)
            x = jnp.asarray(objects.x, self.dtype)
            there = jnp.broadcast_to(present[:, None], objects.mask.shape)
            x = self._norm(f"{name}_input")(x, there, train=train)
            x = self._layers(x, there, name, layers, train=train)
            cell = Recurrence(units, "lstm", self.gate, self.dtype, name=f"{name}_cell")
            x = cell(x[:, ::-1], jnp.ones_like(there))
            found.append(self._after(x, present, f"{name}_cell", train=train))
        x = jnp.concatenate(found, axis=-1)
        for i, width in enumerate(self.dense):
            x = self._after(self._dense(x, width, f"dense_{i}"), present, f"dense_{i}", train=train)
        return x.astype(single_or_double(self.dtype))

    def _layers(
        self, x: Array, there: Array, name: str, widths: tuple[int, ...], *, train: bool
    ) -> Array:
        """Layers of each object, with normalisation and dropout after all but the last."""
        for i, width in enumerate(widths):
            x = self._dense(x, width, f"{name}_{i}")
            x = x if i + 1 == len(widths) else self._after(x, there, f"{name}_{i}", train=train)
        return x

    def _dense(self, x: Array, width: int, name: str) -> Array:
        layer = nn.Dense(width, kernel_init=LECUN, dtype=self.dtype, name=name)
        return jax.nn.relu(layer(x))

    def _after(self, x: Array, there: Bool[Array, "*S"], name: str, *, train: bool) -> Array:
        """Batch normalisation and dropout."""
        x = self._norm(f"{name}_norm")(x, there, train=train)
        return Dropout(self.dropout, name=f"{name}_drop")(x, train=train)

    def _norm(self, name: str) -> BatchNorm:
        return BatchNorm(self.epsilon, self.momentum, self.dtype, name=name)


def _in_slots(objects: Objects, slots: int) -> Objects:
    """The same objects in exactly so many slots, whatever the batch was padded to."""
    return jax.tree.map(lambda values: values[:, :slots], with_slots(objects, slots))
