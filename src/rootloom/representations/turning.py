"""Images whose columns are longitudes, turned about the polar axis or mirrored; NumPy or JAX."""

from __future__ import annotations

from typing import Generic, NamedTuple

import numpy as np

from rootloom.types import A

_EARLY = 15.0  # ns after the first light: what comes later says less of where it began


class Turn(NamedTuple, Generic[A]):
    """What was done to events: longitude λ became angle + λ, or angle − λ where mirrored.

    angle: (B,) radians; mirrored: (B,) bool.
    """

    angle: A
    mirrored: A


def turned_by(x: A, steps: A, mirrored: A | None = None, centre: float = 0.0) -> tuple[A, Turn[A]]:
    """Images (B, rows, columns, C) moved by `steps` (B,) columns, and what became of longitudes.

    mirrored: (B,) bool, those that are then mirrored, so that the middle column stays. centre: how
    far behind its number a column's longitude lies, in columns. A ring's PMTs are where they are:
    up to half their distance, the image is that of the event turned and mirrored alike.
    """
    count = x.shape[2]
    columns, twice = np.arange(count, dtype=np.int32)[None, :], np.int32(2 * (count // 2))
    xp = x.__array_namespace__()
    flips = xp.zeros(x.shape[0], bool) if mirrored is None else mirrored
    source = xp.where(flips[:, None], twice - columns, columns) - steps[:, None]
    moved = xp.take_along_axis(x, (source % np.int32(count))[:, None, :, None], axis=2)
    there = xp.where(flips, np.float32(twice + 2.0 * centre) - steps, steps)
    return moved, Turn(there * np.float32(2.0 * np.pi / count), flips)


def turned_vectors(vectors: A, turn: Turn[A]) -> A:
    """Vectors (B, 3) turned and mirrored as images were."""
    xp = vectors.__array_namespace__()
    x, y, z = vectors[:, 0], xp.where(turn.mirrored, -vectors[:, 1], vectors[:, 1]), vectors[:, 2]
    sine, cosine = xp.sin(turn.angle), xp.cos(turn.angle)
    return xp.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=1)


def turned_back(vectors: A, turn: Turn[A]) -> A:
    """The inverse of `turned_vectors`; a mirror image's mirror image is the event."""
    xp = vectors.__array_namespace__()
    return turned_vectors(vectors, turn._replace(angle=xp.where(turn.mirrored, 1, -1) * turn.angle))


def brighter_before(x: A, steps: A) -> A:
    """Whether there is more light before the middle column than after it, (B,) bool.

    x: as in `to_the_middle`; steps: by which it is going to be moved.
    """
    xp, count = x.__array_namespace__(), x.shape[2]
    after = np.arange(count, dtype=np.int32)[None, :] + steps[:, None] - np.int32(count // 2)
    weight = xp.sin(after * np.float32(2.0 * np.pi / count))
    return xp.sum(xp.sum(x[..., 0], axis=1) * weight, axis=1) < 0


def to_the_middle(x: A) -> A:
    """The steps, (B,) int32 from 0 on, that bring the earliest light to the middle column.

    x: (B, rows, columns, 2), 0 where there is no light, else its amount and its time in ns. Its
    longitude is the phase of Σ exp(−t / τ + i longitude) over all pixels with light.
    """
    xp, columns = x.__array_namespace__(), x.shape[2]
    lit = x[..., 0] > 0
    first = xp.min(xp.where(lit, x[..., 1], np.float32(np.inf)), axis=(1, 2), keepdims=True)
    # Without any light, the first of it is at infinity, and all pixels count nothing.
    late = xp.where(lit, x[..., 1] - xp.where(first < np.inf, first, 0), np.float32(np.inf))
    light = xp.sum(xp.exp(late * np.float32(-1.0 / _EARLY)), axis=1)  # (B, columns)
    longitude = (2.0 * np.pi / columns) * np.arange(columns)
    sine, cosine = (light @ f(longitude).astype(np.float32) for f in (np.sin, np.cos))
    place = xp.atan2(sine, cosine) * np.float32(columns / (2.0 * np.pi))
    return (np.int32(columns // 2) - xp.astype(xp.round(place), np.int32)) % np.int32(columns)
