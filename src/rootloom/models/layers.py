"""Layers that several backbones share.

Dropout uses the seed of each example, so that a mask depends neither on the number of
devices nor on an example's position in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias
from zlib import crc32

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Float32, UInt32

from rootloom.errors import ConfigError

Activation: TypeAlias = Literal["relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "selu"]
# Of a network's arithmetic; float64 is for comparisons with other implementations.
Precision: TypeAlias = Literal["float32", "bfloat16", "float64"]

# The collection in which a task passes the examples' seeds to a model's dropout layers.
EXAMPLE = "example"

HE = nn.initializers.he_uniform()
LECUN = nn.initializers.lecun_uniform()
XAVIER = nn.initializers.xavier_uniform()
# PyTorch's: uniform within 1/√(inputs).
INVERSE_ROOT = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")


def single_or_double(dtype: Precision) -> jnp.dtype:
    """The type of sums and of a model's output: float64 of float64, else float32."""
    return jnp.promote_types(dtype, jnp.float32)


def within_inverse_root(inputs: int) -> Callable[..., Array]:
    """PyTorch's initial biases of a layer with so many inputs: uniform within 1/√(inputs)."""
    most = inputs**-0.5

    def init(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -most, most)

    return init


def torch_dense(x: Float[Array, "*S F"], width: int, dtype: Precision, name: str) -> Array:
    """A linear map (…, width) with PyTorch's initial values, inside a compact module."""
    layer = nn.Dense(
        width,
        kernel_init=INVERSE_ROOT,
        bias_init=within_inverse_root(x.shape[-1]),
        dtype=dtype,
        name=name,
    )
    found: Array = layer(x)
    return found


def gelu(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """x Φ(x), with the normal distribution's Φ: by erf, which is faster on a CPU than erfc."""
    return 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5))


def activation(name: Activation) -> Callable[[Array], Array]:
    """The elementwise function of that name."""
    function: Callable[[Array], Array] = getattr(jax.nn, name)
    return function


def mix(x: UInt32[Array, "*S"]) -> UInt32[Array, "*S"]:
    """A bijection of uint32 in which every input bit flips every output bit half of the time.

    C. Wellons' `lowbias32` (hash-prospector): two multiplications, where Threefry takes twenty
    rounds.
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def example_seeds(key: Array, identity: Array) -> UInt32[Array, " {len(identity)}"]:
    """One uint32 per example, (B,), from a step's key and the examples' ids (B, 2) uint32."""
    words = jax.random.key_data(key).reshape(-1).astype(jnp.uint32)
    seed = mix(identity[:, 0] ^ words[0])
    return mix(mix(seed ^ identity[:, 1]) ^ words[-1])


def random_bits(
    seeds: UInt32[Array, " B"],
    salt: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> UInt32[Array, "B ..."]:
    """(B, *shape) uint32, a function of each example's seed, the layer's salt and the position.

    strides: of each axis in the numbering of positions; None: those of an array of this shape.
    """
    size = 1
    for length in shape:
        size *= length
    number = jnp.arange(size, dtype=jnp.uint32)
    if strides is not None:
        axes = jnp.indices(shape, dtype=jnp.uint32).reshape(len(shape), -1)
        number = jnp.sum(axes * jnp.asarray(strides, jnp.uint32)[:, None], axis=0, dtype=jnp.uint32)
    counter = mix(number + jnp.uint32(salt))
    bits = mix(seeds[:, None] ^ counter[None, :])
    return bits.reshape(seeds.shape[0], *shape)


def example_uniform(
    seeds: UInt32[Array, " B"], salt: int, shape: tuple[int, ...]
) -> Float32[Array, "B ..."]:
    """(B, *shape) uniform numbers in (0, 1), a function of each example's seed and of the salt."""
    # The middles of 2²³ equal parts of (0, 1): exact in float32, and never 0 or 1.
    return ((random_bits(seeds, salt, shape) >> 9).astype(jnp.float32) + 0.5) * 2.0**-23


def example_normal(
    seeds: UInt32[Array, " B"], salt: int, shape: tuple[int, ...]
) -> Float32[Array, "B ..."]:
    """(B, *shape) standard normal numbers, a function of each example's seed and of the salt."""
    return jax.scipy.special.ndtri(example_uniform(seeds, salt, shape))


class Dropout(nn.Module):
    """Sets each unit to zero with probability `rate` while training and scales up the others.

    strides: see `random_bits`.
    """

    rate: float
    strides: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*S"], first: int = 0, *, train: bool) -> Float[Array, "*S"]:
        """The same shape; needs the examples' seeds when `train` is true.

        first: the number of x's first example in the batch.
        """
        if not 0.0 <= self.rate < 1.0:
            raise ConfigError("dropout", expected="a rate in [0, 1)", found=str(self.rate))
        if not train or self.rate == 0.0:
            return x
        assert self.scope is not None  # a compact method is only ever called bound
        seeds = self.scope.root.get_variable(EXAMPLE, "seed")
        if seeds is None:
            raise ConfigError(
                "dropout",
                expected=f"the examples' seeds in the collection '{EXAMPLE}'",
                found="a call with train=True without them",
                fix="apply the model through its task, which knows the examples' ids",
            )
        own, salt = seeds[first : first + len(x)], crc32("/".join(self.path).encode())
        bits = random_bits(own, salt, x.shape[1:], self.strides)
        keep = bits >= jnp.uint32(round(self.rate * 2**32))
        return jnp.where(keep, x / (1.0 - self.rate), jnp.zeros_like(x))


def max_pool(x: Float[Array, "B H W C"], size: int) -> Float[Array, "B H//{size} W//{size} C"]:
    """Largest value of each non-overlapping size×size window; a rest is dropped."""
    return nn.max_pool(x, window_shape=(size, size), strides=(size, size))


def local_response_normalisation(
    x: Float[Array, "*S C"],
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
) -> Float[Array, "*S C"]:
    """x / (k + alpha Σ x²)^beta over `size` neighbouring channels, the last axis.

    Krizhevsky, Sutskever, Hinton, NIPS 25 (2012), section 3.3; their constants.
    """
    edges = [(0, 0)] * (x.ndim - 1) + [(size // 2, size // 2)]
    squares = jnp.pad(x * x, edges)
    total = sum(squares[..., shift : shift + x.shape[-1]] for shift in range(size))
    return x * (k + alpha * total) ** -beta


class MaxOutDense(nn.Module):
    """The largest of `pieces` linear maps, (B, F) → (B, features).

    Goodfellow et al., arXiv:1302.4389, equation 2.
    """

    features: int
    pieces: int
    dtype: Precision = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B F"]) -> Float[Array, "B {self.features}"]:
        """The largest map of each feature."""
        # One matrix product for all pieces; each piece keeps the fan-in of the layer.
        y = nn.Dense(self.features * self.pieces, kernel_init=HE, dtype=self.dtype)(x)
        return y.reshape(x.shape[0], self.pieces, self.features).max(axis=1)


def relu_layers(
    x: Float[Array, "*B F"],
    widths: Sequence[int],
    dropout: float,
    dtype: Precision,
    name: str,
    *,
    train: bool,
) -> Array:
    """Dense layers "NAME_0", … with ReLU and dropout, (…, widths[-1]), inside a compact module."""
    for i, width in enumerate(widths):
        x = nn.Dense(width, kernel_init=HE, dtype=dtype, name=f"{name}_{i}")(x)
        x = jax.nn.relu(x)
        x = Dropout(dropout, name=f"drop_{i}")(x, train=train) if dropout else x
    return x


def along_last(values: Array, x: Array) -> Array:
    """(C,) as (1, …, C), with as many axes as x and in its type."""
    return values.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
