"""What generators of showers share: layers of cells, their resampling, local filters."""

from __future__ import annotations

from math import lcm

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rootloom.models.layers import HE, Precision

Pair = tuple[int, int]
Layers = tuple[Pair, ...]

# A cell of this energy, GeV, counts as half active.
ACTIVE = 1e-3
# What an empty layer's cells are divided by, GeV.
_LEAST = 1e-6


def split(cells: Array, layers: Layers) -> list[Array]:
    """(B, cells) → an image (B, nx, ny) a layer."""
    images, first = [], 0
    for nx, ny in layers:
        images.append(cells[:, first : first + nx * ny].reshape(-1, nx, ny))
        first += nx * ny
    return images


def join(images: list[Array]) -> Array:
    """The inverse of `split`."""
    return jnp.concatenate([image.reshape(image.shape[0], -1) for image in images], axis=1)


def layer_energies(cells: Array, layers: Layers) -> Array:
    """Sums over the cells (B, cells) of each layer, (B, L)."""
    return jnp.stack([image.sum(axis=(1, 2)) for image in split(cells, layers)], axis=1)


def shapes(cells: Array, layers: Layers) -> Array:
    """(B, 6 L), of the order of one: of each layer what `shape` says."""
    return jnp.concatenate([shape(image) for image in split(cells, layers)], axis=1)


def shape(image: Array) -> Array:
    """(B, nx, ny) in GeV → (B, 6): how the energy is spread over a layer.

    The logarithm of the hottest cell's share; centre and logarithm of the variance along x, then
    along y, in units of the layer's size; the share of active cells. All are scaled to the order
    of one.
    """
    share = image / jnp.maximum(image.sum(axis=(1, 2)), _LEAST)[:, None, None]
    found = [jnp.log(share.max(axis=(1, 2)) + 1e-3)]
    for axis in (1, 2):
        size = image.shape[axis]
        place = ((jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2) / size)[None]  # ±0.5
        along = share.sum(axis=3 - axis)
        centre = (along * place).sum(axis=1)
        variance = (along * (place - centre[:, None]) ** 2).sum(axis=1)
        found += [20 * centre, jnp.log(variance + 1e-4) + 5]
    found.append(5 * (image / (image + ACTIVE)).mean(axis=(1, 2)))
    return jnp.stack(found, axis=1)


def resample(image: Array, shape: tuple[int, int]) -> Array:
    """Means over the cells of another segmentation of the same area, (B, nx, ny) → (B, *shape)."""
    for axis, size in ((1, shape[0]), (2, shape[1])):
        fine = lcm(image.shape[axis], size)
        image = jnp.repeat(image, fine // image.shape[axis], axis=axis)
        parts = (*image.shape[:axis], size, fine // size, *image.shape[axis + 1 :])
        image = image.reshape(parts).mean(axis=axis + 1)
    return image


class LocallyConnected(nn.Module):
    """A convolution whose filters differ from place to place, without padding."""

    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    use_bias: bool = True
    dtype: Precision = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(B, H, W, C) → (B, (H - kh) // sh + 1, (W - kw) // sw + 1, features)."""
        (kh, kw), (sh, sw) = self.kernel, self.strides
        high, wide = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
        shape = (high, wide, kh * kw * x.shape[3], self.features)
        kernel = self.param("kernel", _per_place, shape).astype(self.dtype)
        y = local_product(x.astype(self.dtype), kernel, self.kernel, self.strides)
        if self.use_bias:
            zeros = nn.initializers.zeros
            bias = self.param("bias", zeros, (high, wide, self.features)).astype(self.dtype)
            y = y + bias[None]
        return y


def local_product(x: Array, kernel: Array, size: Pair, strides: Pair) -> Array:
    """(B, H, W, C) and filters (h, w, kh kw C, F) of size (kh, kw) → (B, h, w, F).

    Places lead inside, and the sum over a filter's positions is taken of products: each is one of
    matrices as they stand in memory, where patches would be copied position by position.
    """
    (high, wide), channels, (down, right) = kernel.shape[:2], x.shape[3], strides
    placed = x.transpose(1, 2, 0, 3)
    products = []
    for number in range(size[0] * size[1]):
        i, j = divmod(number, size[1])
        seen = placed[i : i + (high - 1) * down + 1 : down, j : j + (wide - 1) * right + 1 : right]
        own = kernel[:, :, number * channels : (number + 1) * channels]
        products.append(jax.lax.dot_general(seen, own, (((3,), (2,)), ((0, 1), (0, 1)))))
    return sum(products[1:], products[0]).transpose(2, 0, 1, 3)


def _per_place(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """He's initial values with the fan-in of one place."""
    high, wide, fan_in, features = shape
    kernel = HE(key, (fan_in, high * wide * features), dtype)
    return kernel.reshape(fan_in, high, wide, features).transpose(1, 2, 0, 3)


def pad(x: Array, low: int, high: int) -> Array:
    """Zeros around the images of (B, H, W, C)."""
    return jnp.pad(x, ((0, 0), (low, high), (low, high), (0, 0)))


def normalise(dtype: Precision) -> nn.LayerNorm:
    """Over all places and channels of an example.

    The floor under the variance is that of Keras: most cells are empty, and empty layers must not
    be blown up.
    """
    return nn.LayerNorm(epsilon=1e-3, reduction_axes=(1, 2, 3), feature_axes=-1, dtype=dtype)


def leaky(x: Array) -> Array:
    """max(x, 0.3 x), the slope CaloGAN's layers have."""
    return jax.nn.leaky_relu(x, 0.3)
