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
from rootloom.models.groups import Groups
from rootloom.models.layers import (
    INVERSE_ROOT,
    Dropout,
    Precision,
    along_last,
    single_or_double,
    torch_dense,
)
from rootloom.models.normalisation import BatchNorm
from rootloom.models.sets import groups_of, joined, mean_of, required
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
        objects, groups = joined(groups_of(self, inputs, self.collection))
        mask, momenta = objects.mask, required(self, "momenta", objects.momenta)
        scalars = jnp.asarray(objects.x, self.dtype)
        # Differences of squares: never in bfloat16.
        p = jnp.asarray(momenta, single_or_double(self.dtype))
        h = torch_dense(scalars, self.hidden, self.dtype, "embedding")
        for i in range(self.blocks):
            last = i + 1 == self.blocks
            shift = None if last else self.shift
            block = LorentzBlock(self.hidden, shift, self.dtype, name=f"block_{i}")
            h, p = block(h, p, scalars, mask, groups, train=train)
        x = groups.of_rows(mean_of, h, mask)
        x = jax.nn.relu(torch_dense(x, self.hidden, self.dtype, "dense"))
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
        h: Float[Array, "*S H"],
        p: Float[Array, "*S 4"],
        scalars: Float[Array, "*S F"],
        mask: Bool[Array, "*S"],
        groups: Groups,
        *,
        train: bool,
    ) -> tuple[Float[Array, "*S H"], Float[Array, "*S 4"]]:
        """Features and momenta of objects after the messages."""
        there = groups.each(_of_others, mask, into=groups.pairs)
        apart = groups.each(lambda p: p[:, :, None] - p[:, None], p, into=groups.pairs)
        message = self._messages(h, p, apart, there, groups, train=train)
        if self.shift is not None:
            p = p + self.shift * self._shifts(message, apart, there, groups)
        inside = jnp.concatenate([h, _over_others(message, groups), scalars], axis=-1)
        x = torch_dense(inside, self.hidden, self.dtype, "update_0")
        norm = BatchNorm(dtype=self.dtype, name="update_norm")
        x = jax.nn.relu(norm(x, mask, train=train))
        return h + torch_dense(x, self.hidden, self.dtype, "update_1"), p

    def _messages(
        self, h: Array, p: Array, apart: Array, there: Array, groups: Groups, *, train: bool
    ) -> Array:
        """Of pairs (P, H): from the second object to the first, 0 where there is no pair."""
        square = jnp.sum(_lowered(apart) * apart, axis=-1)
        product = groups.each(_products, p, into=groups.pairs)
        H = h.shape[-1]
        kernel = self.param("message_0", INVERSE_ROOT, (2 * H + 2, self.hidden)).astype(self.dtype)
        # Products with objects instead of with pairs.
        own, other = h @ kernel[:H], h @ kernel[H : 2 * H]
        m = groups.each(lambda a, b: a[:, :, None] + b[:, None], own, other, into=groups.pairs)
        for number, invariant in enumerate((square, product)):
            size = jnp.sign(invariant) * jnp.log1p(jnp.abs(invariant))
            m = m + size.astype(self.dtype)[..., None] * along_last(kernel[2 * H + number], m)
        m = jax.nn.relu(BatchNorm(dtype=self.dtype, name="message_norm")(m, there, train=train))
        m = jax.nn.relu(torch_dense(m, self.hidden, self.dtype, "message_1"))
        weight = jax.nn.sigmoid(torch_dense(m, 1, self.dtype, "message_weight"))
        return jnp.where(there[..., None], m * weight, jnp.zeros_like(m))

    def _shifts(self, message: Array, apart: Array, there: Array, groups: Groups) -> Array:
        """(S, 4): the mean over the others of the difference to them, weighted by messages."""
        x = jax.nn.relu(torch_dense(message, self.hidden, self.dtype, "shift_0"))
        last = nn.Dense(1, use_bias=False, kernel_init=_SMALL, dtype=self.dtype, name="shift_1")
        moved = jnp.clip(apart * last(x).astype(apart.dtype), -_MOST, _MOST)
        count = jnp.maximum(_over_others(there, groups), 1).astype(apart.dtype)
        return _over_others(jnp.where(there[..., None], moved, 0), groups) / count[..., None]


def _of_others(mask: Array) -> Array:
    """Which ordered pairs (B, N, N) are of two objects, none with itself."""
    itself = jnp.eye(mask.shape[1], dtype=bool)
    return mask[:, :, None] & mask[:, None] & ~itself[None]


def _products(p: Array) -> Array:
    """Minkowski products (B, N, N) of momenta (B, N, 4), GeV²."""
    return jnp.einsum("bik,bjk->bij", _lowered(p), p, precision="highest")


def _lowered(p: Array) -> Array:
    """Momenta (…, 4) with their indices lowered."""
    return p * along_last(jnp.asarray(_METRIC), p)


def _over_others(of_pairs: Array, groups: Groups) -> Array:
    """Sums (S, …) over the second object of pairs (P, …)."""
    return groups.pairs.each(lambda part: part.sum(axis=2), of_pairs, into=groups)
