"""ParticleNet: convolutions over the nearest neighbours of each object."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int32

from rootloom.models.base import Backbone
from rootloom.models.groups import Groups
from rootloom.models.layers import (
    INVERSE_ROOT,
    Dropout,
    Precision,
    single_or_double,
    torch_dense,
)
from rootloom.models.normalisation import BatchNorm
from rootloom.models.sets import groups_of, joined, mean_of, only, required, with_slots
from rootloom.types import ParticleSets, Rate, Size


class ParticleNet(Backbone):
    """Edge convolutions, mean over the objects, a dense layer.

    H. Qu, L. Gouskos, arXiv:1902.08570, as in weaver-core 0.5. Neighbours are nearest in `points`
    of the representation in the first block, in the features of the block before in others.
    Batches are normalised over objects; weaver-core also counts its padding, repeated objects.

    collection: the one it reads; "" if there is one only. neighbours: of each object. blocks:
    widths of the layers of each edge convolution. fusion: whether the outputs of all blocks are
    joined instead of the last one being used. dense: units of the layer after the mean. dropout:
    rate after it.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    neighbours: Size = 16
    blocks: tuple[tuple[Size, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    fusion: bool = False
    dense: Size = 256
    dropout: Rate = 0.1

    def least_slots(self, collection: str) -> int:
        """One more than an object has neighbours."""
        return self.neighbours + 1

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} {self.dense}"]:
        """(B, N, F) → (B, dense)."""
        parts = groups_of(self, inputs, self.collection)
        # An object's neighbours are others: with fewer of them, empty slots are.
        objects, groups = joined(tuple(with_slots(part, self.least_slots("")) for part in parts))
        mask = objects.mask
        x = BatchNorm(dtype=self.dtype, name="input")(
            jnp.asarray(objects.x, self.dtype), mask, train=train
        )
        x = only(x, mask)
        points = required(self, "points", objects.points)
        found = []
        for i, widths in enumerate(self.blocks):
            block = EdgeConv(self.neighbours, widths, self.dtype, name=f"block_{i}")
            x = block(points, x, mask, groups, train=train)
            points = x
            found.append(x)
        if self.fusion:
            x = self._fused(found, mask, train=train)
        x = groups.of_rows(mean_of, x, mask)
        x = torch_dense(x, self.dense, self.dtype, "dense")
        x = Dropout(self.dropout)(jax.nn.relu(x), train=train)
        return x.astype(single_or_double(self.dtype))

    def _fused(self, found: list[Array], mask: Array, *, train: bool) -> Array:
        width = int(np.clip(sum(x.shape[-1] for x in found) // 128 * 128, 128, 1024))
        x = _map(width, self.dtype, "fusion")(jnp.concatenate(found, axis=-1))
        x = BatchNorm(dtype=self.dtype, name="fusion_norm")(x, mask, train=train)
        return only(jax.nn.relu(x), mask)


class EdgeConv(nn.Module):
    """The mean over an object's neighbours of a network of both, plus the object itself, ReLU.

    Y. Wang et al., arXiv:1801.07829, with the mean instead of the maximum, and the shortcut of
    arXiv:1902.08570. The network gets (x_i, x_j − x_i).
    """

    neighbours: int
    widths: tuple[int, ...]
    dtype: Precision

    @nn.compact
    def __call__(
        self,
        points: Float[Array, "*S P"],
        x: Float[Array, "*S C"],
        mask: Bool[Array, "*S"],
        groups: Groups,
        *,
        train: bool,
    ) -> Float[Array, "*S {self.widths[-1]}"]:
        """Features of objects, 0 in empty slots. points: where neighbours are near."""
        number = groups.each(partial(nearest, count=self.neighbours), points, mask)
        h = self._pairs(x, number, groups)
        for i, width in enumerate(self.widths):
            h = h if i == 0 else _map(width, self.dtype, f"layer_{i}")(h)
            norm = BatchNorm(dtype=self.dtype, name=f"norm_{i}")
            h = jax.nn.relu(norm(h, mask[..., None], train=train))
        return only(jax.nn.relu(self._shortcut(x, mask, train=train) + h.mean(axis=-2)), mask)

    def _pairs(self, x: Array, number: Array, groups: Groups) -> Array:
        """The first layer, (S, k, width).

        W (x_i, x_j − x_i) is (W₁ − W₂) x_i + W₂ x_j: products with objects instead of with pairs.
        """
        features = x.shape[-1]
        kernel = self.param("layer_0", INVERSE_ROOT, (2 * features, self.widths[0]))
        kernel = kernel.astype(self.dtype)
        own, other = kernel[:features] - kernel[features:], kernel[features:]
        return (x @ own)[..., None, :] + groups.each(taken, x @ other, number)

    def _shortcut(self, x: Array, mask: Array, *, train: bool) -> Array:
        width = self.widths[-1]
        if x.shape[-1] == width:
            return x
        x = _map(width, self.dtype, "shortcut")(x)
        return BatchNorm(dtype=self.dtype, name="shortcut_norm")(x, mask, train=train)


def _map(width: int, dtype: Precision, name: str) -> nn.Dense:
    return nn.Dense(width, use_bias=False, kernel_init=INVERSE_ROOT, dtype=dtype, name=name)


def nearest(
    points: Float[Array, "B N P"], mask: Bool[Array, "B N"], count: int
) -> Int32[Array, "B N {count}"]:
    """Slots of the `count` objects that are nearest to each, without itself; then empty ones."""
    points = jax.lax.stop_gradient(points)
    points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
    far = float(jnp.finfo(points.dtype).max)
    square = jnp.sum(points**2, axis=-1)
    product = jnp.einsum("bip,bjp->bij", points, points, precision="highest")
    distance = jnp.maximum(square[:, :, None] + square[:, None] - 2 * product, 0)
    distance = jnp.where(mask[:, None], distance, 0.5 * far)
    itself = jnp.eye(points.shape[1], dtype=bool)
    distance = jnp.where(itself[None], far, distance)
    return jax.lax.top_k(-distance, count)[1].astype(jnp.int32)


@jax.custom_vjp
def taken(x: Float[Array, "B N C"], number: Int32[Array, "B N K"]) -> Float[Array, "B N K C"]:
    """x of the slots with these numbers.

    The gradient is a product with a one-hot matrix, which is faster on a CPU than scattered sums.
    """
    flat = number.reshape(number.shape[0], -1, 1)
    return jnp.take_along_axis(x, flat, axis=1).reshape(*number.shape, x.shape[-1])


def _taken_forward(x: Array, number: Array) -> tuple[Array, Array]:
    return taken(x, number), number


def _taken_backward(number: Array, gradient: Array) -> tuple[Array, np.ndarray]:
    batch, slots = number.shape[:2]
    chosen = jax.nn.one_hot(number.reshape(batch, -1), slots, dtype=gradient.dtype)
    back = jnp.einsum("bkn,bkc->bnc", chosen, gradient.reshape(batch, -1, gradient.shape[-1]))
    return back, np.zeros(number.shape, jax.dtypes.float0)


taken.defvjp(_taken_forward, _taken_backward)
