"""GN2: attention between tracks, pooled to a jet, with heads for tracks and pairs of tracks."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from rootloom.errors import ConfigError
from rootloom.models.base import Backbone
from rootloom.models.groups import Groups
from rootloom.models.layers import HE, XAVIER, Precision, single_or_double
from rootloom.models.sets import Attention, groups_of, joined, lowest
from rootloom.types import ParticleSets, Positive, Size


class Encoded(NamedTuple):
    """jet: (B, out), pooled. tracks: (S, out). mask: (S), where tracks are. groups: of the rows."""

    jet: Array
    tracks: Array
    mask: Array
    groups: Groups


class GN2(Backbone):
    """Jet quantities in front of each track's, attention between tracks, a weighted mean, a head.

    ATLAS Collaboration, arXiv:2505.19689, as in salt 0.13. Layer normalisations have no parameters.
    A register, which is no track, is one of the tokens that attend and are pooled, so that jets
    without tracks are defined. `encode` has what heads of tracks need, see `TrackHeads`.

    collection: the tracks; "" if there is one collection only. width: of the attention. layers:
    of attention. heads: of each. expansion: width inside a layer over `width`. registers: number of
    them. register_scale: standard deviation of their initial values. out: width of jets and tracks
    after the attention. dense: units of the jet's head.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    width: Size = 256
    layers: Size = 4
    heads: Size = 8
    expansion: Size = 2
    registers: Size = 1
    register_scale: Positive = 1e-4
    out: Size = 128
    dense: tuple[Size, ...] = (128, 64, 32)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "model 'gn2'",
                expected="a `width` that is a multiple of `heads`",
                found=f"width: {self.width}, heads: {self.heads}",
            )
        super().__post_init__()

    def setup(self) -> None:  # noqa: D102
        self.initial = Dense((self.width, self.width), self.dtype, last=True)
        start = nn.initializers.normal(self.register_scale)
        self.register = self.param("register", start, (self.registers, self.width))
        self.encoder = [
            EncoderLayer(self.heads, self.expansion * self.width, self.dtype)
            for _ in range(self.layers)
        ]
        self.project = nn.Dense(self.out, kernel_init=HE, dtype=self.dtype)
        self.gate = nn.Dense(1, kernel_init=HE, dtype=self.dtype)
        self.head = Dense(self.dense, self.dtype, last=False)

    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} D"]:
        """(B, N, F) and (B, S) → (B, dense[-1])."""
        return self.of_jet(self.encode(inputs, train=train))

    def of_jet(self, encoded: Encoded) -> Float[Array, "B D"]:
        """What the head of a jet makes of it, (B, dense[-1])."""
        return self.head(encoded.jet).astype(single_or_double(self.dtype))

    def encode(self, inputs: ParticleSets, *, train: bool) -> Encoded:
        """Jets and tracks after the attention."""
        objects, groups = joined(groups_of(self, inputs, self.collection))
        jets = groups.to_objects(jnp.asarray(inputs.scalars))
        x = self.initial(jnp.concatenate([jets, objects.x], axis=-1).astype(self.dtype))
        tokens = groups.with_slots(lambda n: n + self.registers)
        x = groups.each(self._behind_registers, x, into=tokens)
        there = groups.each(self._with_registers, objects.mask, into=tokens)
        for layer in self.encoder:
            x = layer(x, there, tokens, train=train)
        x = _norm(self.project(x), self.dtype)
        logits = jnp.where(there, self.gate(x)[..., 0], lowest(x.dtype))
        jet = tokens.of_rows(_pooled, logits, x)
        tracks = tokens.each(lambda part: part[:, self.registers :], x, into=groups)
        return Encoded(jet, tracks, objects.mask, groups)

    def _behind_registers(self, x: Array) -> Array:
        """Tokens (B, N + registers, D) of tracks (B, N, D)."""
        register = self.register.astype(self.dtype)[None]
        return jnp.concatenate(
            [jnp.broadcast_to(register, (len(x), *register.shape[1:])), x], axis=1
        )

    def _with_registers(self, mask: Array) -> Array:
        """Where tokens are, (B, N + registers)."""
        return jnp.pad(mask, [(0, 0), (self.registers, 0)], constant_values=True)


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + dense layers of norm(x)."""

    heads: int
    inside: int
    dtype: Precision

    @nn.compact
    def __call__(
        self, x: Float[Array, "*S D"], mask: Bool[Array, "*S"], groups: Groups, *, train: bool
    ) -> Float[Array, "*S D"]:
        """The same shape."""
        h = _norm(x, self.dtype)
        attention = Attention(self.heads, 0.0, XAVIER, XAVIER, self.dtype, name="attention")
        x = x + attention(h, h, mask, groups=(groups, groups), train=train)
        dense = Dense((self.inside, x.shape[-1]), self.dtype, last=True, name="dense")
        return x + dense(_norm(x, self.dtype))


class TrackHeads(nn.Module):
    """Logits of each track's origin, and of two tracks having one vertex.

    origins: number of classes of tracks. dense: units of both heads.
    """

    origins: int = 8
    dense: tuple[int, ...] = (128, 64, 32)
    dtype: Precision = "float32"

    @nn.compact
    def __call__(self, of: Encoded) -> tuple[Float[Array, "*S {self.origins}"], Float[Array, "*P"]]:
        """Origins of tracks, and ordered pairs (i, j) of them, in the groups' `pairs`."""
        origin = Dense((*self.dense, self.origins), self.dtype, last=True, name="origin")
        vertex = PairHead(self.dense, self.dtype, name="vertex")
        jets = of.groups.to_objects(of.jet)
        found = origin(jnp.concatenate([jets, of.tracks], axis=-1))
        return found, vertex(of.jet, of.tracks, of.groups)


class PairHead(nn.Module):
    """A logit of each ordered pair: dense layers of (jet, track i, track j)."""

    dense: tuple[int, ...]
    dtype: Precision

    @nn.compact
    def __call__(
        self, jet: Float[Array, "B D"], tracks: Float[Array, "*S D"], groups: Groups
    ) -> Float[Array, "*P"]:
        """(B, N, N) of each group."""
        width = tracks.shape[-1]
        kernel = self.param("kernel", HE, (3 * width, self.dense[0])).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.dense[0],)).astype(self.dtype)
        # Products with jets and tracks instead of with pairs.
        of_jet, first, second = jnp.split(kernel, 3)
        own = tracks @ first + groups.to_objects(jet @ of_jet + bias[None])
        h = groups.each(_sums_of_pairs, own, tracks @ second, into=groups.pairs)
        h = jax.nn.relu(h)
        return Dense((*self.dense[1:], 1), self.dtype, last=True, name="rest")(h)[..., 0]


class Dense(nn.Module):
    """Dense layers with ReLU after each, or after all but the last if that is `last`."""

    widths: tuple[int, ...]
    dtype: Precision
    last: bool

    @nn.compact
    def __call__(self, x: Float[Array, "*S F"]) -> Float[Array, "*S {self.widths[-1]}"]:
        """Features of the last layer."""
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, kernel_init=HE, dtype=self.dtype, name=f"layer_{i}")(x)
            x = x if self.last and i + 1 == len(self.widths) else jax.nn.relu(x)
        return x


def _pooled(logits: Array, x: Array) -> Array:
    """Means (B, D) of tokens (B, N, D), weighted by the softmax of logits (B, N)."""
    return jnp.einsum("bn,bnc->bc", jax.nn.softmax(logits, axis=1), x)


def _sums_of_pairs(first: Array, second: Array) -> Array:
    """(B, N, N, D) of objects (B, N, D)."""
    return first[:, :, None] + second[:, None]


def _norm(x: Array, dtype: Precision) -> Array:
    """Layer normalisation without parameters."""
    layer = nn.LayerNorm(
        1e-5, dtype=dtype, use_bias=False, use_scale=False, use_fast_variance=False, parent=None
    )
    normed: Array = layer.apply({}, x)
    return normed
