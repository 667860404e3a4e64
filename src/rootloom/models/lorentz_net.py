"""LorentzNet: messages between objects that depend on their momenta by invariants alone."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from rootloom.models.base import Backbone
from rootloom.models.layers import (
    INVERSE_ROOT,
    Dropout,
    Precision,
    single_or_double,
    torch_dense,
)
from rootloom.models.normalisation import BatchNorm
from rootloom.models.sets import mean_of, objects_of, required
from rootloom.types import ParticleSets, Positive, Rate, Size

_METRIC = np.array([-1.0, -1.0, -1.0, 1.0])  # of px, py, pz, E
_MOST = 100.0  # of a component of a shift, GeV
_SMALL = nn.initializers.variance_scaling(1e-6, "fan_avg", "uniform")


class LorentzNet(Backbone):
    """Blocks in which each pair of objects exchanges a message and shifts its momenta.

    S. Gong et al., arXiv:2201.08187. If the quantities of the objects are invariant, such as
    masses and charges, so is its output: it does not change when all momenta are boosted or
    rotated. The mean at the end is over objects; the original's also counts padding. Needs
    `momenta` of the representation.

    collection: the one it reads; "" if there is one only. hidden: features of objects and messages.
    blocks: number of them. shift: factor on the shift of momenta in a block. dropout: rate after
    the last layer.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    hidden: Size = 72
    blocks: Size = 6
    shift: Positive = 1e-3
    dropout: Rate = 0.2

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} {self.hidden}"]:
        """(B, N, F) → (B, hidden)."""
        objects = objects_of(self, inputs, self.collection)
        mask, momenta = objects.mask, required(self, "momenta", objects.momenta)
        scalars = jnp.asarray(objects.x, self.dtype)
        # Differences of squares: never in bfloat16.
        p = jnp.asarray(momenta, single_or_double(self.dtype))
        h = torch_dense(scalars, self.hidden, self.dtype, "embedding")
        for i in range(self.blocks):
            last = i + 1 == self.blocks
            shift = None if last else self.shift
            block = LorentzBlock(self.hidden, shift, self.dtype, name=f"block_{i}")
            h, p = block(h, p, scalars, mask, train=train)
        x = jax.nn.relu(torch_dense(mean_of(h, mask), self.hidden, self.dtype, "dense"))
        x = Dropout(self.dropout)(x, train=train)
        return x.astype(single_or_double(self.dtype))


class LorentzBlock(nn.Module):
    """Lorentz group equivariant block. shift: factor on the shift of momenta; None: no shift."""

    hidden: int
    shift: float | None
    dtype: Precision

    @nn.compact
    def __call__(
        self,
        h: Float[Array, "B N H"],
        p: Float[Array, "B N 4"],
        scalars: Float[Array, "B N F"],
        mask: Bool[Array, "B N"],
        *,
        train: bool,
    ) -> tuple[Float[Array, "B N H"], Float[Array, "B N 4"]]:
        """Features and momenta of objects after the messages."""
        itself = jnp.eye(mask.shape[1], dtype=bool)
        there = mask[:, :, None] & mask[:, None] & ~itself[None]
        apart = p[:, :, None] - p[:, None]
        message = self._messages(h, p, apart, there, train=train)
        if self.shift is not None:
            p = p + self.shift * self._shifts(message, apart, there)
        inside = jnp.concatenate([h, message.sum(axis=2), scalars], axis=-1)
        x = torch_dense(inside, self.hidden, self.dtype, "update_0")
        norm = BatchNorm(dtype=self.dtype, name="update_norm")
        x = jax.nn.relu(norm(x, mask, train=train))
        return h + torch_dense(x, self.hidden, self.dtype, "update_1"), p

    def _messages(self, h: Array, p: Array, apart: Array, there: Array, *, train: bool) -> Array:
        """(B, N, N, H): from the second object to the first, 0 where there is no pair."""
        metric = jnp.asarray(_METRIC, p.dtype)[None, None]
        square = jnp.sum(apart * apart * metric[None], axis=-1)
        product = jnp.einsum("bik,bjk->bij", p * metric, p, precision="highest")
        H = h.shape[-1]
        kernel = self.param("message_0", INVERSE_ROOT, (2 * H + 2, self.hidden)).astype(self.dtype)
        # Products with objects instead of with pairs.
        m = (h @ kernel[:H])[:, :, None] + (h @ kernel[H : 2 * H])[:, None]
        for number, invariant in enumerate((square, product)):
            size = jnp.sign(invariant) * jnp.log1p(jnp.abs(invariant))
            m = m + size.astype(self.dtype)[..., None] * kernel[2 * H + number][None, None, None]
        m = jax.nn.relu(BatchNorm(dtype=self.dtype, name="message_norm")(m, there, train=train))
        m = jax.nn.relu(torch_dense(m, self.hidden, self.dtype, "message_1"))
        weight = jax.nn.sigmoid(torch_dense(m, 1, self.dtype, "message_weight"))
        return jnp.where(there[..., None], m * weight, jnp.zeros_like(m))

    def _shifts(self, message: Array, apart: Array, there: Array) -> Array:
        """(B, N, 4): the mean over the others of the difference to them, weighted by messages."""
        x = jax.nn.relu(torch_dense(message, self.hidden, self.dtype, "shift_0"))
        last = nn.Dense(1, use_bias=False, kernel_init=_SMALL, dtype=self.dtype, name="shift_1")
        moved = jnp.clip(apart * last(x).astype(apart.dtype), -_MOST, _MOST)
        count = jnp.maximum(there.sum(axis=2), 1).astype(apart.dtype)
        return jnp.where(there[..., None], moved, 0).sum(axis=2) / count[..., None]
