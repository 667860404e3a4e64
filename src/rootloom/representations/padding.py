"""Ragged objects to padded arrays: the one inner loop between a shard and a training step.

Values of one object lie together, (V, C): a row is then a single contiguous copy, which measures
about twice as fast as one array a channel (`benchmarks/batches.py`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rootloom.types import Ragged


@njit(cache=True, nogil=True)
def pad_into(
    values: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    length: int,
    first: int,
    out: np.ndarray,
) -> None:
    """Write the first `length` objects of each row to `out[i, first:first + length * C]`.

    values: (V, C); offsets: (R + 1,); rows: (n,) row numbers, n ≤ B; out: (B, F) with
    F ≥ first + length * C. Objects vary slower than channels. What is not an object becomes 0,
    and so do all rows of `out` from n on; columns outside the written range are left alone.
    """
    channels = values.shape[1]
    last = first + length * channels
    for i in range(len(rows)):
        start = offsets[rows[i]]
        stop = min(offsets[rows[i] + 1], start + length)
        at = first
        for j in range(start, stop):
            for c in range(channels):
                out[i, at] = values[j, c]
                at += 1
        out[i, at:last] = 0
    for i in range(len(rows), len(out)):
        out[i, first:last] = 0


@njit(cache=True, nogil=True)
def pad_masked_into(
    values: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    length: int,
    first: int,
    out: np.ndarray,
    mask: np.ndarray,
) -> None:
    """`pad_into` that also writes `mask` (B, F): 1 for a value, 0 for padding and for NaN.

    NaN (absent) becomes 0 in `out`, so that masked entries never reach an arithmetic operation.
    """
    channels = values.shape[1]
    last = first + length * channels
    for i in range(len(rows)):
        start = offsets[rows[i]]
        stop = min(offsets[rows[i] + 1], start + length)
        at = first
        for j in range(start, stop):
            for c in range(channels):
                value = values[j, c]
                present = value == value
                out[i, at] = value if present else 0
                mask[i, at] = 1 if present else 0
                at += 1
        out[i, at:last] = 0
        mask[i, at:last] = 0
    for i in range(len(rows), len(out)):
        out[i, first:last] = 0
        mask[i, first:last] = 0


def pad(objects: Ragged, rows: np.ndarray, size: int, length: int) -> np.ndarray:
    """Chosen rows of ragged objects as (size, length, C) float32, zero where there is none.

    objects: values (V, C) or (V,), which gives C = 1; rows: (n,) row numbers, n ≤ size.
    """
    values = objects.values if objects.values.ndim == 2 else objects.values[:, None]
    out = np.empty((size, length * values.shape[1]), np.float32)
    pad_into(values, objects.offsets, rows, length, 0, out)
    return out.reshape(size, length, values.shape[1])
