"""Images whose columns are longitudes, turned about the polar axis, by NumPy or by JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

_EARLY = 15.0  # ns after the first light: what comes later says less of where it began


def turned_by(x: Any, steps: Any) -> tuple[Any, Any]:
    """Images (B, rows, columns, C) moved by `steps` (B,) columns, and the angles (B,), radians.

    Longitudes grow by the angle. A ring's PMTs are where they are: up to half their distance, the
    image is that of the event turned by the same angle.
    """
    columns = np.arange(x.shape[2], dtype=np.int32)
    source = (columns[None, :] - steps[:, None]) % np.int32(x.shape[2])
    examples = np.arange(x.shape[0])[:, None]
    # Indexed axes come first: (B, columns, rows, C).
    moved = x.swapaxes(1, 2)[examples, source].swapaxes(1, 2)
    return moved, steps * np.float32(2.0 * np.pi / x.shape[2])


def to_the_middle(x: Any) -> Any:
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
