"""Classification of jets that also learns of their tracks: their origin, and which share a vertex.

As in salt 0.13, but for what the sums over tracks and pairs are divided by: the mean number a jet
in the training split instead of the number in the batch, so that the steps of an epoch add up to
the gradient of one loss of the whole split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float, Float32, Integer
from pydantic import Field

from rootloom.errors import ConfigError, nearest
from rootloom.models.gn2 import GN2, TrackHeads
from rootloom.models.sets import groups_of, joined
from rootloom.representations.particle_set import LABELS, ParticleSet
from rootloom.tasks.base import NUMBER, Params
from rootloom.tasks.classification import Classification
from rootloom.types import Batch, ParticleSets, Size

# Origins in the order of salt's labels: pileup, fake, primary, from b, b → c, c, tau, other.
_ORIGINS = ("pileup", "fake", "primary", "from_b", "from_bc", "from_c", "tau", "other")
_FAKE, _HEAVY = 1, (3, 4, 5)
Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class TrackClassification(Classification):
    """Cross entropy of jets, of the origins of their tracks, and of pairs of tracks.

    For the model `gn2`, on a `particle_set` that has `origin` and `vertex` among its `labels`. The
    training weight of a jet counts for all three losses. Predictions are those of jets, and of
    tracks with `store`.

    origin: label with the origin of a track: 0 pileup, 1 fake, 2 primary, 3 from b, 4 from a c from
    b, 5 from c, 6 from tau, 7 other; negative: not known. vertex: label with the number of its
    vertex in the jet; tracks of one number share it, those of a negative one none. origins: number
    of origins. origin_weight, vertex_weight: of their losses beside that of jets. store: whether
    the probability of each origin of each track is stored with the predictions.
    """

    models: ClassVar[tuple[str, ...]] = ("gn2",)
    labels: ClassVar[tuple[str, ...]] = ("origin", "vertex")

    origin: str = "tracks.origin"
    vertex: str = "tracks.vertex"
    origins: Size = 8
    origin_weight: Weight = 0.5
    vertex_weight: Weight = 1.5
    store: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, GN2):
            raise ConfigError(
                "task 'track_classification'",
                expected="a model of kind gn2, which has heads for tracks",
                found=type(self.model).__name__,
            )
        assert isinstance(self.representation, ParticleSet)  # a GN2 consumes no other
        for field in self.labels:
            name, known = getattr(self, field), self.representation.labels
            if name not in known:
                raise ConfigError(
                    f"task 'track_classification', field '{field}'",
                    expected="one of the `labels` of the representation: " + ", ".join(known),
                    found=f"'{name}'",
                    fix=nearest(name, known) or f"labels: [{self.origin}, {self.vertex}]",
                )

    def apply(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> Float32[Array, "{len(batch.weight)} {self.outputs}"]:
        """The logits of jets alone."""
        logits: Logits = self.found(params, batch, key, train=train)[0]
        return logits.jet

    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Float32[Array, " B"], dict[str, Float32[Array, "B ..."]]]:
        """Weighted sum of the three losses in nats, (B,); metrics are what `summary` reads."""
        logits: Logits = self.found(params, batch, key, train=train)[0]
        jet, metrics = self.of_logits(logits.jet, batch, train=train)
        of_origin, of_vertex, counts = self._of_tracks(logits, batch.inputs)
        parts = {
            "jet": jet,
            "origin": self.origin_weight / self._mean(self.origin, 0) * of_origin,
            "vertex": self.vertex_weight / self._mean(self.vertex, 1) * of_vertex,
        }
        parts = {name: part.astype(jnp.float32) for name, part in parts.items()}
        metrics |= {f"loss_{name}": part for name, part in parts.items()}
        metrics |= counts
        return parts["jet"] + parts["origin"] + parts["vertex"], metrics

    def object_columns(self) -> tuple[str, ...]:
        """The origins of tracks: "tracks.origin_primary", or by number if they are not eight."""
        if not self.store:
            return ()
        known = len(_ORIGINS) == self.origins
        names = _ORIGINS if known else tuple(map(str, range(self.origins)))
        collection = self.origin.partition(".")[0]
        return tuple(f"{collection}.origin_{name}" for name in names)

    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """Probabilities of classes and, with `store`, of the origins of tracks."""
        assert isinstance(self.model, GN2)
        logits: Logits = self.found(params, batch, key, train=False)[0]
        found = self.scores(logits.jet)
        if not self.store:
            return found
        tracks, groups = joined(groups_of(self.model, batch.inputs, self.model.collection))
        most = max(slots for _, slots in groups.shapes)

        def padded(origins: Array) -> Array:
            return jnp.pad(origins, [(0, 0), (0, most - origins.shape[1]), (0, 0)])

        origins = groups.of_rows(padded, jax.nn.softmax(logits.origin.astype(jnp.float32), axis=-1))
        found |= {name: origins[..., k] for k, name in enumerate(self.object_columns())}
        count = groups.of_rows(lambda mask: mask.sum(axis=1), tracks.mask)
        return {**found, NUMBER: count.astype(jnp.int32)}

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """Those of jets; the three losses; the share of tracks whose origin is right; of pairs that
        share a vertex the share that is found, and of those found the share that does.
        """
        figures = super().summary(means)
        figures |= {name: float(means[name]) for name in means if name.startswith("loss_")}
        for name, of, among in (
            ("origin_accuracy", "tracks_right", "tracks_known"),
            ("vertex_efficiency", "pairs_right", "pairs_shared"),
            ("vertex_purity", "pairs_right", "pairs_found"),
        ):
            figures[name] = float(means[of] / means[among]) if means[among] else float("nan")
        return figures

    @property
    def _network(self) -> nn.Module:
        assert isinstance(self.model, GN2)
        return Network(self.model, self.outputs, self.origins)

    def _of_tracks(
        self, logits: Logits, inputs: ParticleSets
    ) -> tuple[Array, Array, dict[str, Array]]:
        """The losses of the tracks and of the pairs of each jet, (B,), and `_counts`."""
        assert isinstance(self.model, GN2)
        tracks, groups = joined(groups_of(self.model, inputs, self.model.collection))
        origin, vertex = (self._label(tracks.labels, of) for of in (self.origin, self.vertex))
        of_groups = (
            groups.split(logits.origin),
            groups.pairs.split(logits.vertex),
            *map(groups.split, (origin, vertex, tracks.mask)),
        )

        def of_group(
            origins: Array, pairs: Array, origin: Array, vertex: Array, mask: Array
        ) -> tuple[Array, Array, dict[str, Array]]:
            of_origin = origin_loss(origins, origin, mask)
            of_vertex = vertex_loss(pairs, vertex, origin, mask)
            return of_origin, of_vertex, _counts(origins, pairs, origin, vertex, mask)

        parts = [of_group(*part) for part in zip(*of_groups, strict=True)]
        found: tuple[Array, Array, dict[str, Array]] = jax.tree.map(
            lambda *of: jnp.concatenate(of), *parts
        )
        return found

    def _label(self, labels: Array | None, name: str) -> Array:
        assert labels is not None
        assert isinstance(self.representation, ParticleSet)
        collection = name.partition(".")[0]
        names = [n for n in self.representation.labels if n.partition(".")[0] == collection]
        return labels[..., names.index(name)]

    def _mean(self, name: str, number: int) -> float:
        """Tracks with a label (0) or pairs that share it (1), a jet of the training split."""
        return float(np.asarray(self.statistics[LABELS + name].mean)[number]) or 1.0


class Logits(NamedTuple):
    """Of jets (B, K), of origins of tracks (S, O) and of ordered pairs of tracks (P).

    With one group of rows S is (B, N) and P is (B, N, N), see `models.groups`.
    """

    jet: Array
    origin: Array
    vertex: Array


class Network(nn.Module):
    """A GN2 with heads for jets, origins and pairs."""

    backbone: GN2
    outputs: int
    origins: int

    @nn.compact
    def __call__(self, inputs: ParticleSets, *, train: bool) -> Logits:
        """Logits of a batch's inputs."""
        encoded = self.backbone.encode(inputs, train=train)
        jet = nn.Dense(self.outputs, name="head")(self.backbone.of_jet(encoded))
        tracks = TrackHeads(self.origins, self.backbone.dense, self.backbone.dtype, name="tracks")
        return Logits(jet, *tracks(encoded))


def origin_loss(
    logits: Float[Array, "B N K"], origin: Integer[Array, "B N"], mask: Bool[Array, "B N"]
) -> Float[Array, " B"]:
    """Cross entropy in nats, summed over a jet's tracks of known origin. mask: where tracks are."""
    known = mask & (origin >= 0)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, origin, 0))
    return jnp.where(known, loss, 0).sum(axis=1)


def vertex_loss(
    logits: Float[Array, "B N N"],
    vertex: Integer[Array, "B N"],
    origin: Integer[Array, "B N"],
    mask: Bool[Array, "B N"],
) -> Float[Array, " B"]:
    """Cross entropy in nats, summed over a jet's ordered pairs of tracks.

    Pairs of tracks from heavy hadrons, or from one and a fake, weigh 2, pairs of fakes 0, all
    others 1.
    """
    pairs, shared = _pairs(vertex, mask)
    loss = optax.sigmoid_binary_cross_entropy(logits, shared.astype(logits.dtype))
    weight = _weights(origin).astype(logits.dtype)
    return jnp.where(pairs, weight * loss, 0).sum(axis=(1, 2))


def _pairs(vertex: Array, mask: Array) -> tuple[Array, Array]:
    """Which ordered pairs are of two tracks, and which of these share a vertex, (B, N, N)."""
    pairs = mask[:, :, None] & mask[:, None] & ~jnp.eye(mask.shape[1], dtype=bool)[None]
    return pairs, pairs & (vertex[:, :, None] == vertex[:, None]) & (vertex >= 0)[:, :, None]


def _weights(origin: Array) -> Array:
    """Weights of pairs, (B, N, N)."""
    fake, heavy = origin == _FAKE, jnp.isin(origin, np.array(_HEAVY))
    any_of = fake | heavy
    both = any_of[:, :, None] & any_of[:, None]
    fakes = fake[:, :, None] & fake[:, None]
    return 1 + both.astype(jnp.int32) - 2 * fakes.astype(jnp.int32)


def _counts(
    origins: Array, pairs: Array, origin: Array, vertex: Array, mask: Array
) -> dict[str, Array]:
    """Of each jet, (B,): tracks of known origin and those of right one, pairs likewise.

    origins, pairs: logits (B, N, O) and (B, N, N). Others: (B, N).
    """
    known = mask & (origin >= 0)
    right = known & (jnp.argmax(origins, axis=2) == origin)
    there, shared = _pairs(vertex, mask)
    found = there & (pairs > 0)
    counted = {
        "tracks_known": known,
        "tracks_right": right,
        "pairs_shared": shared.reshape(len(mask), -1),
        "pairs_found": found.reshape(len(mask), -1),
        "pairs_right": (found & shared).reshape(len(mask), -1),
    }
    return {name: flags.sum(axis=1).astype(jnp.float32) for name, flags in counted.items()}
