"""DeepCSV: five dense layers on features of a jet, its leading tracks and its vertex."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from rootloom.models.base import Backbone
from rootloom.models.layers import LECUN, Dropout, single_or_double
from rootloom.types import Features, NamedFeatures, Rate, Size


class DeepCSV(Backbone):
    """Dense layers with dropout after all but the last.

    CMS Collaboration, arXiv:1712.07158, section 5.1.3: 66 inputs, absent tracks 0, and four classes
    (b, bb, c, udsg).

    hidden: units of each layer. dropout: rate after all layers but the last.
    """

    consumes: ClassVar[tuple[str, ...]] = ("features",)

    hidden: tuple[Size, ...] = (100, 100, 100, 100, 100)
    dropout: Rate = 0.1

    @nn.compact
    def __call__(
        self, inputs: Features | NamedFeatures, *, train: bool
    ) -> Float[Array, "{len(inputs.x)} D"]:
        """(B, F) → (B, hidden[-1])."""
        h = jnp.asarray(inputs.x, self.dtype)
        for i, width in enumerate(self.hidden):
            h = Dropout(self.dropout if i else 0.0, name=f"drop_{i}")(h, train=train)
            h = nn.Dense(width, kernel_init=LECUN, dtype=self.dtype, name=f"dense_{i}")(h)
            h = jax.nn.relu(h)
        return h.astype(single_or_double(self.dtype))
