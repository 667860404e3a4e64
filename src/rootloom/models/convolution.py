"""A convolution followed by max pooling, with a filter gradient that is fast on a CPU.

XLA's own filter gradient on a CPU is three to four times slower than a matrix product over image
patches, and the gradient of its pooling ten times slower than a comparison with the position of the
maximum. `benchmarks/training.py` measures a step with this layer.
"""

from __future__ import annotations

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from rootloom.models.layers import HE, Precision, max_pool

# Patches of one micro-batch: small enough to stay in a core's cache, large enough to keep the
# matrix product efficient.
PATCH_BYTES = 1_500_000


class ConvolutionStage(nn.Module):
    """Convolution with as many outputs as pixels, max pooling, bias, ReLU.

    Bias and ReLU commute with the maximum; after it they have pool² fewer values.
    """

    filters: int
    kernel: int
    pool: int
    dtype: Precision = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], *, train: bool
    ) -> Float[Array, "B H//{self.pool} W//{self.pool} {self.filters}"]:
        """Pooled pixels."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.filters)
        kernel = self.param("kernel", HE, shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,)).astype(self.dtype)
        # The plain form is fast on other devices, and exporters know it.
        patched = train and jax.default_backend() == "cpu"
        pooled = (_patched if patched else convolve_and_pool)(x, kernel, self.pool)
        return jax.nn.relu(pooled + bias[None, None, None, :])


def convolve_and_pool(x: Array, kernel: Array, pool: int) -> Array:
    """The definition: (B, H, W, C), (k, k, C, F) → (B, H // pool, W // pool, F)."""
    return max_pool(_convolve(x, kernel, *_same(x, kernel, 1)), pool)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _patched(x: Array, kernel: Array, pool: int) -> Array:
    return _forward(x, kernel, pool)[0]


def _forward(x: Array, kernel: Array, pool: int) -> tuple[Array, tuple[Array, Array, Array]]:
    # Rows and columns that pooling drops are not computed.
    y = _convolve(x, kernel, *_same(x, kernel, pool))
    height, width = y.shape[1], y.shape[2]
    best = y[:, 0:height:pool, 0:width:pool]
    place = jnp.zeros(best.shape, jnp.uint8)
    for slot in range(1, pool * pool):
        row, column = divmod(slot, pool)
        other = y[:, row:height:pool, column:width:pool]
        place = jnp.where(other > best, jnp.uint8(slot), place)
        best = jnp.maximum(best, other)
    return best, (x, kernel, place)


def _backward(
    pool: int, residuals: tuple[Array, Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel, place = residuals
    unpooled = _unpool(gradient, place, pool)
    (low, _), (left, _) = _same(x, kernel, pool)
    size = kernel.shape[0] - 1
    rows, columns = x.shape[1] - unpooled.shape[1], x.shape[2] - unpooled.shape[2]
    mirrored = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    to_input = _convolve(
        unpooled,
        mirrored,
        (size - low, rows + low),
        (size - left, columns + left),
    )
    return to_input, _filter_gradient(x, kernel, unpooled, pool)


_patched.defvjp(_forward, _backward)


def _filter_gradient(x: Array, kernel: Array, gradient: Array, pool: int) -> Array:
    """Σ over examples and pixels of patch ⊗ output gradient, in micro-batches; (k, k, C, F)."""
    size, _, channels, filters = kernel.shape
    batch, height, width, _ = gradient.shape
    edges = [(0, 0), *_same(x, kernel, pool), (0, 0)]
    # lax.pad, since pooling may drop more pixels than the padding added: a negative padding.
    x = lax.pad(x, jnp.zeros((), x.dtype), [(*edge, 0) for edge in edges])
    row_bytes = width * size * size * channels * x.dtype.itemsize
    rows = _largest_divisor(height, PATCH_BYTES // row_bytes)
    images = _largest_divisor(batch, PATCH_BYTES // (row_bytes * height)) if rows == height else 1
    bands = height // rows

    def add(total: Array, step: Array) -> tuple[Array, None]:
        start = (step // bands * images, step % bands * rows, 0, 0)
        window = (images, rows + size - 1, x.shape[2], channels)
        patches = _patches(lax.dynamic_slice(x, start, window), size)
        output = lax.dynamic_slice(gradient, start, (images, rows, width, filters))
        output = output.reshape(-1, filters)
        return total + jnp.matmul(patches.T, output, preferred_element_type=jnp.float32), None

    zero = jnp.zeros((size * size * channels, filters), jnp.float32)
    total, _ = lax.scan(add, zero, jnp.arange(batch // images * bands))
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _unpool(gradient: Array, place: Array, pool: int) -> Array:
    """Each gradient at the position of its maximum, (B, H·pool, W·pool, F)."""
    batch, height, width, filters = gradient.shape
    slots = [jnp.where(place == slot, gradient, 0) for slot in range(pool * pool)]
    rows = [jnp.stack(slots[r * pool : (r + 1) * pool], axis=3) for r in range(pool)]
    return jnp.stack(rows, axis=2).reshape(batch, height * pool, width * pool, filters)


def _patches(x: Array, size: int) -> Array:
    """Every size×size window of a padded image as a row, (pixels, size² C)."""
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    # Windows along a row first, then along a column: 2·size copies instead of size².
    x = jnp.stack([x[:, :, j : j + width] for j in range(size)], axis=3)
    x = jnp.stack([x[:, i : i + height] for i in range(size)], axis=3)
    return x.reshape(x.shape[0] * height * width, -1)


def _convolve(x: Array, kernel: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), (rows, columns), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _same(x: Array, kernel: Array, pool: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding for as many outputs as inputs, less those that pooling by `pool` drops."""
    size = kernel.shape[0]
    low, high = (size - 1) // 2, size // 2
    return (low, high - x.shape[1] % pool), (low, high - x.shape[2] % pool)


def _largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is not above `limit`; at least 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(limit, 1))
