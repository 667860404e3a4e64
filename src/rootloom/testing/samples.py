"""Rows of every kind of inputs to test a model on, and how a kind of one's own brings its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rootloom.errors import ConfigError
from rootloom.representations.base import MomentsLike, Representation
from rootloom.shards.moments import Moments
from rootloom.types import Column, Features, Image, Named, NamedFeatures, Ragged, dense, offsets_of


@dataclass(frozen=True)
class Sample:
    """Shard columns of 16 rows or more, `labelled`, of two classes; what makes inputs of them.

    moments: that normalise the inputs, by name.
    """

    columns: Mapping[str, Column]
    representation: Representation
    moments: Mapping[str, MomentsLike] = field(default_factory=dict)


_MAKERS: dict[str, Callable[[], Sample]] = {}


def sample_of(kind: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    """Decorate a function that makes a sample of a kind of inputs, a representation's `kind`."""

    def noted(make: Callable[[], Sample]) -> Callable[[], Sample]:
        _MAKERS[kind] = make
        return make

    return noted


def made(kinds: Sequence[str]) -> Sample:
    """A sample of the first of these kinds of inputs that has one; raises ConfigError for none."""
    for kind in kinds:
        if kind in _MAKERS:
            return _MAKERS[kind]()
    raise ConfigError(
        f"a sample of inputs of kind {' or '.join(kinds)}",
        expected=f"one of {', '.join(sorted(_MAKERS))}, or a maker of its own",
        found="none",
        fix="decorate a function without arguments that returns a Sample with "
        f'`rootloom.testing.sample_of("{kinds[0]}")`, and import it in the test',
    )


def encoded(
    representation: Representation, rows: Mapping[str, Column], label: np.ndarray, seed: int = 0
) -> Sample:
    """A sample of rows by the names that `representation` needs, with classes (R,) 0 or 1."""
    columns = representation.encode(rows)
    moments = {name: Moments.of(values) for name, values in representation.sample(columns).items()}
    return Sample(labelled(columns, label, seed), representation, moments)


def labelled(columns: Mapping[str, Column], label: np.ndarray, seed: int) -> dict[str, Column]:
    """Shard columns of R rows with those of every shard: label (R,), weight and identity."""
    rng = np.random.default_rng(seed)
    return {
        **columns,
        "label": label.astype(np.int32),
        "weight": rng.uniform(0.5, 1.5, len(label)).astype(np.float32),
        "id": rng.integers(0, 2**64, len(label), dtype=np.uint64),
    }


class Stored(Representation):
    """What representations of columns that a test makes itself need not say."""

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """The columns as they are."""
        return dict(columns)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """No moments."""
        return {}

    def normalise(self, inputs: Any, statistics: Mapping[str, MomentsLike]) -> Any:
        """The inputs as they are."""
        return inputs


@dataclass(frozen=True)
class PlainFeatures(Stored):
    """Column "x" (R, F) as it is, its features by the names x0, x1, …."""

    kind: ClassVar[str] = "features"

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Features:
        """See `Representation`."""
        x = dense(columns, "x")
        return Features(padded(x, rows, size), padded(np.ones_like(x), rows, size))

    def normalise(self, inputs: Features, statistics: Mapping[str, MomentsLike]) -> NamedFeatures:
        """The inputs as they are, by name."""
        columns = {f"x{k}": Named(x, x) for k, x in enumerate(inputs.x.T)}
        return NamedFeatures(*inputs, columns)


@dataclass(frozen=True)
class PlainImage(Stored):
    """Column "pixels" (R, H, W, C) as it is."""

    kind: ClassVar[str] = "image"

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Image:
        """See `Representation`."""
        return Image(padded(dense(columns, "pixels"), rows, size))


def padded(values: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Chosen rows (n,) of an array, filled up with zeros to `size`, float32."""
    out = np.zeros((size, *values.shape[1:]), np.float32)
    out[: len(rows)] = values[rows]
    return out


def points(rows: int, seed: int = 0, classes: int = 2) -> dict[str, Column]:
    """Four features; the class follows a quantile of x0 + x1 x2 and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=rows)
    edges = np.quantile(score, np.arange(1, classes) / classes)
    return labelled({"x": x}, np.searchsorted(edges, score), seed)


def images(rows: int, pixels: int = 25, channels: int = 1, seed: int = 0) -> dict[str, Column]:
    """Sparse positive images; those of class 1 have a second spot."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, rows)
    shape = (rows, pixels, pixels, channels)
    image = rng.exponential(1.0, shape) * (rng.random(shape) < 0.05)
    image[np.arange(rows), pixels // 2, pixels // 2] += 5
    image[np.arange(rows), pixels // 4, pixels // 2] += (5 * label)[:, None]
    return labelled({"pixels": image.astype(np.float32)}, label, seed)


def trees(rows: int, seed: int = 0) -> Sample:
    """Jets of 1 to 12 massless particles as clustering trees."""
    from rootloom.representations.tree import ClusteringTree

    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 13, rows)
    counts[0] = 1
    offsets = offsets_of(counts)
    pt, eta, phi = rng.exponential(20, offsets[-1]), *rng.normal(0, 0.3, (2, offsets[-1]))
    momenta = {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "e": pt * np.cosh(eta),
    }
    found = {f"constituents.{name}": Ragged(values, offsets) for name, values in momenta.items()}
    return encoded(ClusteringTree(), found, rng.integers(0, 2, rows), seed)


def particles(rows: int, seed: int = 0) -> Sample:
    """Jets of 0 to 12 particles, with four quantities of a particle and two of a jet."""
    from rootloom.representations.particle_set import ParticleSet

    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 13, rows)
    counts[:2] = 0, 1
    offsets = offsets_of(counts)
    pt, mass = rng.exponential((20.0, 0.2), (offsets[-1], 2)).T
    eta, phi = rng.normal(0, 0.3, (2, offsets[-1]))
    columns = {
        "pt": pt,
        "mass": mass,
        "eta": eta,
        "phi": phi,
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "e": np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2),
    }
    found: dict[str, Column] = {f"parts.{k}": Ragged(v, offsets) for k, v in columns.items()}
    found |= {"pt": rng.uniform(200, 300, rows), "eta": rng.normal(size=rows)}
    representation = ParticleSet(
        objects=("parts.pt", "parts.mass", "parts.eta", "parts.phi"),
        variables=("pt", "eta"),
        points=("parts.eta", "parts.phi"),
        momenta=("parts",),
        max_objects=12,
        log=("parts.pt",),
    )
    return encoded(representation, found, rng.integers(0, 2, rows), seed)


@sample_of("features")
def _features() -> Sample:
    return Sample(points(40), PlainFeatures())


@sample_of("image")
def _image() -> Sample:
    return Sample(images(40, pixels=13), PlainImage())


@sample_of("tree")
def _tree() -> Sample:
    return trees(40)


@sample_of("particle_set")
def _particle_set() -> Sample:
    return particles(40)
