"""What models of particle sets share: which collection they read, attention, sums over objects."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jaxtyping import Bool, Float

from rootloom.errors import ConfigError, nearest
from rootloom.models.groups import Groups
from rootloom.models.layers import Dropout, Precision, along_last
from rootloom.types import Objects, ParticleSets


def objects_of(model: nn.Module, inputs: ParticleSets, name: str) -> Objects:
    """The collection that a model reads, with equally many slots in all rows: see `groups_of`."""
    groups = groups_of(model, inputs, name)
    if len(groups) == 1:
        return groups[0]
    most = max(group.mask.shape[1] for group in groups)
    alike = [with_slots(group, most) for group in groups]
    found: Objects = jax.tree.map(lambda *parts: jnp.concatenate(parts), *alike)
    return found


def groups_of(model: nn.Module, inputs: ParticleSets, name: str) -> tuple[Objects, ...]:
    """The collection that a model reads, in its groups of rows; "" is the only collection.

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
    found = inputs.collections[name]
    groups = (found,) if isinstance(found, Objects) else found
    asked: tuple[Objects, ...] = jax.tree.map(jnp.asarray, groups)
    return asked


def joined(parts: tuple[Objects, ...]) -> tuple[Objects, Groups]:
    """The objects of all groups, leaves (S, …), and the groups."""
    groups = Groups.of([part.mask for part in parts])
    whole: Objects = jax.tree.map(lambda *leaves: groups.join(leaves), *parts)
    return whole, groups


def dropped(drop: Dropout, x: Array, groups: Groups, *, train: bool) -> Array:
    """Features (S, C) of objects after dropout."""
    parts = zip(groups.split(x), groups.starts, strict=True)
    return groups.join([drop(part, first, train=train) for part, first in parts])


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


def only(x: Float[Array, "*S C"], mask: Bool[Array, "*S"]) -> Float[Array, "*S C"]:
    """x of objects, 0 in empty slots."""
    return jnp.where(mask[..., None], x, jnp.zeros_like(x))


def mean_of(x: Float[Array, "B N C"], mask: Bool[Array, "B N"]) -> Float[Array, "B C"]:
    """Mean over a row's objects; 0 of none."""
    count = jnp.maximum(jnp.sum(mask.astype(x.dtype), axis=1), 1)
    return jnp.sum(only(x, mask), axis=1) / count[:, None]


def lowest(dtype: jnp.dtype) -> float:
    """A logit that counts nothing beside any other, and does not make NaN where all are so."""
    return float(jnp.finfo(dtype).min) / 2


# Of heads, queries and keys in the numbering of random bits: an object has its own whatever the
# number of slots. Beyond 4,096 slots numbers repeat.
_STRIDES = (1 << 24, 1 << 12, 1)


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
        queries: Float[Array, "*Q D"],
        keys: Float[Array, "*S D"],
        mask: Bool[Array, "*S"],
        bias: Sequence[Float[Array, "_ H _ _"]] | None = None,
        groups: tuple[Groups, Groups] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "*Q D"]:
        """For each query a mean over the values of its row whose `mask` is true.

        bias: of each group, added to logits. groups: of queries and of keys; None: there is one,
        (B, T, D) and (B, N, D).
        """
        of_queries, of_keys = groups or (Groups.of([queries]), Groups.of([keys]))
        width = keys.shape[-1]
        kernel = self.param("in_kernel", self.in_init, (width, 3 * width)).astype(self.dtype)
        shift = self.param("in_bias", nn.initializers.zeros, (3 * width,)).astype(self.dtype)
        if queries is keys:
            q, k, v = jnp.split(_mapped(keys, kernel, shift), 3, axis=-1)
        else:
            q = _mapped(queries, kernel[:, :width], shift[:width])
            k, v = jnp.split(_mapped(keys, kernel[:, width:], shift[width:]), 2, axis=-1)
        drop = Dropout(self.dropout, strides=_STRIDES)

        def mixed(q: Array, k: Array, v: Array, mask: Array, first: int, bias: Array) -> Array:
            """Means (B, T, H, d) over values (B, N, H, d) of a group from row `first` on."""
            q, k = q.swapaxes(1, 2), k.swapaxes(1, 2)
            logits = jnp.einsum("bhtd,bhnd->bhtn", q * q.shape[-1] ** -0.5, k) + bias
            logits = jnp.where(mask[:, None, None], logits, lowest(logits.dtype))
            weights = drop(jax.nn.softmax(logits, axis=-1), first, train=train)
            return jnp.einsum("bhtn,bhnd->bthd", weights, v.swapaxes(1, 2))

        biases = bias or [jnp.zeros((), self.dtype)] * len(of_keys.shapes)
        of_heads = [
            of_queries.split(self._split(q)),
            *(of_keys.split(self._split(x)) for x in (k, v)),
        ]
        parts = zip(*of_heads, of_keys.split(mask), of_keys.starts, biases, strict=True)
        found = of_queries.join([mixed(*part) for part in parts])
        out = nn.Dense(width, kernel_init=self.out_init, dtype=self.dtype, name="out")
        return out(found.reshape(*found.shape[:-2], width))

    def _split(self, x: Array) -> Array:
        """(S, D) → (S, heads, D / heads)."""
        return x.reshape(*x.shape[:-1], self.heads, -1)


def _mapped(x: Array, kernel: Array, shift: Array) -> Array:
    """x (S, F) times the kernel (F, D), plus the shift (D,)."""
    product = x @ kernel
    return product + along_last(shift, product)
