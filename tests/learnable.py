"""Data sets a network can learn in seconds, for representations of columns as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from rootloom.models.dnn import DNN
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.tasks.classification import Classification
from rootloom.testing import Memory as Memory
from rootloom.testing import Stored as Stored
from rootloom.testing import labelled
from rootloom.types import Column, Features, Image, Named, NamedFeatures, Ragged

# Cells along x and y of the two layers of `showers`.
LAYERS = ((2, 8), (4, 4))


@dataclass(frozen=True)
class PlainFeatures(Stored):
    """Column "x" (R, F) as it is, its features by the names x0, x1, …."""

    kind: ClassVar[str] = "features"

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Features:
        x = padded(columns["x"], rows, size)
        return Features(x, padded(np.ones_like(columns["x"]), rows, size))

    def normalise(self, inputs: Features, statistics: Any) -> NamedFeatures:
        columns = {f"x{k}": Named(x, x) for k, x in enumerate(inputs.x.T)}
        return NamedFeatures(*inputs, columns)


@dataclass(frozen=True)
class PlainImage(Stored):
    """Column "pixels" (R, H, W, C) as it is."""

    kind: ClassVar[str] = "image"

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Image:
        return Image(padded(columns["pixels"], rows, size))


@dataclass(frozen=True)
class ScaledTree(Stored):
    """Trees normalised on the host."""

    kind: ClassVar[str] = "tree"
    representation: Any
    statistics: Any

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Any:
        inputs = self.representation.collate(columns, rows, size)
        return self.representation.normalise(inputs, self.statistics)

    def merge(self, inputs: Any) -> Any:
        return self.representation.merge(inputs)


def padded(values: Any, rows: np.ndarray, size: int) -> np.ndarray:
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


def trees(rows: int, seed: int = 0) -> tuple[dict[str, Column], ScaledTree]:
    """Jets of 1 to 12 massless particles as clustering trees."""
    from rootloom.representations.tree import ClusteringTree

    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 13, rows)
    counts[0] = 1
    offsets = np.concatenate([[0], np.cumsum(counts)])
    pt, eta, phi = rng.exponential(20, offsets[-1]), *rng.normal(0, 0.3, (2, offsets[-1]))
    momenta = {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "e": pt * np.cosh(eta),
    }
    representation = ClusteringTree()
    columns = representation.encode(
        {f"constituents.{name}": Ragged(values, offsets) for name, values in momenta.items()}
    )
    moments = {
        name: SimpleNamespace(mean=np.nanmean(values, axis=0), std=np.nanstd(values, axis=0))
        for name, values in representation.sample(columns).items()
    }
    return labelled(columns, rng.integers(0, 2, rows), seed), ScaledTree(representation, moments)


def showers(rows: int, seed: int = 0) -> dict[str, Column]:
    """Energy in the first two layers, with a share that fluctuates, in cells around a middle."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(5, 50, rows)
    share = rng.beta(8, 24, rows)
    cells = np.zeros((rows, 32))
    cells[:, 2:7] = (energy * share / 5)[:, None] * rng.uniform(0.5, 1.5, (rows, 5))
    cells[:, 20:26] = (energy * (1 - share) / 6)[:, None] * rng.uniform(0.5, 1.5, (rows, 6))
    event, number = np.nonzero(cells)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(event, minlength=rows))])
    columns = CalorimeterCells(layers=LAYERS, keep_bits=23).encode(
        {
            "cells.id": Ragged(number, offsets),
            "cells.energy": Ragged(cells[event, number].astype(np.float32), offsets),
            "energy": energy.astype(np.float32),
        }
    )
    return labelled(columns, np.zeros(rows), seed)


def point_task(**fields: Any) -> Classification:
    return Classification(DNN(**fields), PlainFeatures(), {}, ("background", "signal"))
