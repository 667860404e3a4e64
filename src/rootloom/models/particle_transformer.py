"""Particle Transformer: attention between objects that knows the physics of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import Initializer
from jaxtyping import Bool, Float

from rootloom.errors import ConfigError
from rootloom.models.base import Backbone
from rootloom.models.groups import Groups
from rootloom.models.layers import (
    XAVIER,
    Dropout,
    Precision,
    along_last,
    gelu,
    single_or_double,
    torch_dense,
)
from rootloom.models.normalisation import BatchNorm
from rootloom.models.pairs import both, interactions, square
from rootloom.models.sets import Attention, dropped, groups_of, joined, only, required
from rootloom.types import ParticleSets, Rate, Size

# Of the maps into an attention, and of the token.
_INTO = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_TOKEN = nn.initializers.truncated_normal(0.02)
_EPSILON = 1e-5  # of all layer normalisations


class ParticleTransformer(Backbone):
    """Attention blocks biased by pairs of objects, then two in which one token reads the objects.

    H. Qu, C. Li, S. Qian, arXiv:2202.03772, as in weaver-core 0.5 (version 1, its initial values);
    versions to 0.4 permuted the features of each head, which `rootloom.models.published` undoes.
    Batches are normalised over objects and pairs of objects, each pair once; weaver-core does the
    same for pairs, and for objects also counts its padding. Needs `momenta` of the representation.

    collection: the one it reads; "" if there is one only. embedding: widths of the dense layers of
    an object; the last one is that of the blocks. pairs: widths of the layers of a pair. heads: of
    the attention. blocks, class_blocks: number of blocks of objects and of the token. expansion:
    width inside a block over its own. bare: leave out the activation of the last layer of a pair.
    dropout: of the blocks of objects.
    """

    consumes: ClassVar[tuple[str, ...]] = ("particle_set",)

    collection: str = ""
    embedding: tuple[Size, ...] = (128, 512, 128)
    pairs: tuple[Size, ...] = (64, 64, 64)
    heads: Size = 8
    blocks: Size = 8
    class_blocks: Size = 2
    expansion: Size = 4
    bare: bool = False
    dropout: Rate = 0.1

    def __post_init__(self) -> None:
        if not self.embedding or self.embedding[-1] % self.heads:
            raise ConfigError(
                "model 'particle_transformer'",
                expected="a last width of `embedding` that is a multiple of `heads`",
                found=f"embedding: {list(self.embedding)}, heads: {self.heads}",
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, inputs: ParticleSets, *, train: bool
    ) -> Float[Array, "{len(inputs.present)} {self.embedding[-1]}"]:
        """(B, N, F) → (B, embedding[-1])."""
        objects, groups = joined(groups_of(self, inputs, self.collection))
        mask = objects.mask
        momenta = required(self, "momenta", objects.momenta)
        bias = PairEmbedding((*self.pairs, self.heads), self.bare, self.dtype, name="pairs")(
            groups.split(momenta), groups.split(mask), train=train
        )
        x = ObjectEmbedding(self.embedding, self.dtype, name="embedding")(
            jnp.asarray(objects.x, self.dtype), mask, train=train
        )
        for i in range(self.blocks):
            block = self._block(i + 1, self.dropout, f"block_{i}")
            x = block(x, x, mask, (groups, groups), bias, train=train)
        x = self._read(x, mask, groups, train=train)
        return x.astype(single_or_double(self.dtype))

    def _read(self, x: Array, mask: Array, groups: Groups, *, train: bool) -> Array:
        """What a token reads of the objects of each row, (B, D)."""
        width = self.embedding[-1]
        token = self.param("token", _TOKEN, (width,)).astype(self.dtype)
        alone, beside = groups.with_slots(lambda n: 1), groups.with_slots(lambda n: n + 1)
        tokens = alone.join(
            [jnp.broadcast_to(token[None, None], (rows, 1, width)) for rows, _ in alone.shapes]
        )
        first = [jnp.pad(m, [(0, 0), (1, 0)], constant_values=True) for m in groups.split(mask)]
        for i in range(self.class_blocks):
            both_ = zip(alone.split(tokens), groups.split(x), strict=True)
            keys = beside.join([jnp.concatenate(pair, axis=1) for pair in both_])
            block = self._block(0, 0.0, f"class_block_{i}")
            tokens = block(tokens, keys, beside.join(first), (alone, beside), train=train)
        return _norm(self.dtype, "norm")(tokens).reshape(-1, width)

    def _block(self, depth: int, dropout: float, name: str) -> Block:
        return Block(self.heads, self.expansion, dropout, depth, self.dtype, name=name)


class ObjectEmbedding(nn.Module):
    """Batch normalisation, then layer normalisation, dense, GELU of each width."""

    widths: tuple[int, ...]
    dtype: Precision

    @nn.compact
    def __call__(
        self, x: Float[Array, "*S F"], mask: Bool[Array, "*S"], *, train: bool
    ) -> Float[Array, "*S {self.widths[-1]}"]:
        """Features of objects, 0 in empty slots."""
        x = BatchNorm(dtype=self.dtype, name="input")(x, mask, train=train)
        for i, width in enumerate(self.widths):
            x = _norm(self.dtype, f"norm_{i}")(x)
            x = nn.Dense(width, kernel_init=XAVIER, dtype=self.dtype, name=f"layer_{i}")(x)
            x = gelu(x)
        return only(x, mask)


class PairEmbedding(nn.Module):
    """Of each pair, batch normalisation, then dense, batch normalisation, GELU of each width."""

    widths: tuple[int, ...]
    bare: bool
    dtype: Precision

    @nn.compact
    def __call__(
        self,
        momenta: list[Float[Array, "_ _ 4"]],
        mask: list[Bool[Array, "_ _"]],
        *,
        train: bool,
    ) -> list[Float[Array, "_ {self.widths[-1]} _ _"]]:
        """Biases of the attention of each head, for each group of rows."""
        found = [interactions(*part) for part in zip(momenta, mask, strict=True)]
        pairs = Groups.of(found)
        # Squares of energies cancel in a mass: never in bfloat16.
        x = pairs.join(found).astype(self.dtype)
        there = pairs.join([both(part) for part in mask])
        x = BatchNorm(dtype=self.dtype, name="input")(x, there, train=train)
        for i, width in enumerate(self.widths):
            x = torch_dense(x, width, self.dtype, f"layer_{i}")
            x = BatchNorm(dtype=self.dtype, name=f"norm_{i}")(x, there, train=train)
            last = i + 1 == len(self.widths)
            x = x if last and self.bare else gelu(x)
        parts = zip(pairs.split(x), mask, strict=True)
        return [square(part, objects.shape[1]) for part, objects in parts]


class Block(nn.Module):
    """Attention with scaled heads, then two dense layers, each with two layer normalisations.

    S. Shleifer, J. Weston, M. Ott, arXiv:2110.09456, with the residual scaled as well. depth: ℓ,
    of which two initial maps are divided by √(2ℓ); 0: they are not.
    """

    heads: int
    expansion: int
    dropout: float
    depth: int
    dtype: Precision

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "*Q D"],
        keys: Float[Array, "*S D"],
        mask: Bool[Array, "*S"],
        groups: tuple[Groups, Groups],
        bias: Sequence[Float[Array, "_ H _ _"]] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "*Q D"]:
        """Queries that read keys. Those that are the keys are normalised with them, others not.

        groups: of the rows of queries and of keys.
        """
        width, dtype = queries.shape[-1], self.dtype
        normed = _norm(dtype, "before_attention")(keys)
        attention = Attention(
            self.heads, self.dropout, _INTO, self._initial(), dtype, name="attention"
        )
        asking = normed if queries is keys else queries
        h = attention(asking, normed, mask, bias, groups, train=train)
        scale = self.param("head_scale", nn.initializers.ones, (self.heads,)).astype(dtype)
        h = h * along_last(jnp.repeat(scale, width // self.heads), h)
        h = _norm(dtype, "after_attention")(h)
        x = queries + self._dropped("attention", h, groups[0], train=train)
        h = _norm(dtype, "before_dense")(x)
        h = nn.Dense(self.expansion * width, kernel_init=XAVIER, dtype=dtype, name="dense_0")(h)
        h = self._dropped("inside", gelu(h), groups[0], train=train)
        h = _norm(dtype, "after_dense")(h)
        h = nn.Dense(width, kernel_init=self._initial(), dtype=dtype, name="dense_1")(h)
        h = self._dropped("dense", h, groups[0], train=train)
        kept = self.param("residual_scale", nn.initializers.ones, (width,)).astype(dtype)
        return along_last(kept, x) * x + h

    def _dropped(self, name: str, x: Array, groups: Groups, *, train: bool) -> Array:
        drop = Dropout(self.dropout, name=f"drop_{name}")
        return dropped(drop, x, groups, train=train)

    def _initial(self) -> Initializer:
        """Xavier's uniform values, over √(2 depth)."""
        return nn.initializers.variance_scaling(
            0.5 / self.depth if self.depth else 1.0, "fan_avg", "uniform"
        )


def _norm(dtype: Precision, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(_EPSILON, dtype=dtype, use_fast_variance=False, name=name)
