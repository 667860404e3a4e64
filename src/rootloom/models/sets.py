"""What models of particle sets share: which collection they read, attention, sums over objects."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jaxtyping import Bool, Float

from rootloom.errors import ConfigError, nearest
from rootloom.models.layers import Dropout, Precision
from rootloom.types import Objects, ParticleSets


def objects_of(model: nn.Module, inputs: ParticleSets, name: str) -> Objects:
    """The collection that a model reads; "" is the only one.

    Raises ConfigError for one that the representation lacks, or if there are several to choose
    from.
    """
    known = list(inputs.collections)
    if not name and len(known) == 1:
        name = known[0]
    if name not in known:
        raise ConfigError(
            f"model {type(model).__name__}",
            expected="a collection of its representation: " + ", ".join(known),
            found=f"'{name}'" if name else "none named, and several to choose from",
            fix=nearest(name, known),
        )
    found: Objects = jax.tree.map(jnp.asarray, inputs.collections[name])
    return found


def required(model: nn.Module, field: str, values: Array | None) -> Array:
    """Points or momenta of a collection; raises ConfigError where its representation names none."""
    if values is None:
        raise ConfigError(
            f"model {type(model).__name__}",
            expected=f"{field} of its objects",
            found="none",
            fix=f"name them in `{field}` of the representation",
        )
    return values


def with_slots(objects: Objects, least: int) -> Objects:
    """The same objects in `least` slots or more."""
    more = max(0, least - objects.mask.shape[1])

    def longer(values: Array) -> Array:
        return jnp.pad(values, [(0, 0), (0, more)] + [(0, 0)] * (values.ndim - 2))

    return jax.tree.map(longer, objects) if more else objects


def only(x: Float[Array, "B N *S"], mask: Bool[Array, "B N"]) -> Float[Array, "B N *S"]:
    """x of objects, 0 in empty slots."""
    return jnp.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x, jnp.zeros_like(x))


def mean_of(x: Float[Array, "B N C"], mask: Bool[Array, "B N"]) -> Float[Array, "B C"]:
    """Mean over a row's objects; 0 of none."""
    count = jnp.maximum(jnp.sum(mask.astype(x.dtype), axis=1), 1)
    return jnp.sum(only(x, mask), axis=1) / count[:, None]


def lowest(dtype: jnp.dtype) -> float:
    """A logit that counts nothing beside any other, and does not make NaN where all are so."""
    return float(jnp.finfo(dtype).min) / 2


class Attention(nn.Module):
    """Attention with several heads, whose queries may be other than its keys and values.

    A. Vaswani et al., arXiv:1706.03762, section 3.2. dropout: of the attention weights. in_init,
    out_init: initial values of the maps into and out of it.
    """

    heads: int
    dropout: float
    in_init: Initializer
    out_init: Initializer
    dtype: Precision

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "B T D"],
        keys: Float[Array, "B N D"],
        mask: Bool[Array, "B N"],
        bias: Float[Array, "B H T N"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B T D"]:
        """For each query a mean over the values whose `mask` is true. bias: added to logits."""
        width = keys.shape[-1]
        kernel = self.param("in_kernel", self.in_init, (width, 3 * width)).astype(self.dtype)
        shift = self.param("in_bias", nn.initializers.zeros, (3 * width,)).astype(self.dtype)
        if queries is keys:
            q, k, v = jnp.split(keys @ kernel + _last(shift), 3, axis=-1)
        else:
            q = queries @ kernel[:, :width] + _last(shift[:width])
            k, v = jnp.split(keys @ kernel[:, width:] + _last(shift[width:]), 2, axis=-1)
        q, k, v = (self._split(x) for x in (q, k, v))
        logits = jnp.einsum("bhtd,bhnd->bhtn", q * q.shape[-1] ** -0.5, k)
        if bias is not None:
            logits = logits + bias
        logits = jnp.where(mask[:, None, None], logits, lowest(logits.dtype))
        weights = jax.nn.softmax(logits, axis=-1)
        weights = Dropout(self.dropout)(weights, train=train)
        mixed = jnp.einsum("bhtn,bhnd->bthd", weights, v).reshape(*queries.shape[:2], width)
        out = nn.Dense(width, kernel_init=self.out_init, dtype=self.dtype, name="out")
        return out(mixed)

    def _split(self, x: Array) -> Array:
        """(B, N, D) → (B, heads, N, D / heads)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)


def _last(values: Array) -> Array:
    return values[None, None]
