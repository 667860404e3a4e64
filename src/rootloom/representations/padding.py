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

    values: (V, C) C-contiguous; offsets: (R + 1,); rows: (n,) row numbers, n ≤ B; out: (B, F)
    with F ≥ first + length * C. Objects vary slower than channels. What is not an object becomes
    0, and so do all rows of `out` from n on; columns outside the written range are left alone.
    """
    channels = values.shape[1]
    flat = values.reshape(-1)
    last = first + length * channels
    for i in range(len(rows)):
        # Slices counted from 0: indices into the whole would be checked for wrap-around each time.
        start = offsets[rows[i]] * channels
        n = min(offsets[rows[i] + 1] * channels - start, length * channels)
        source, target = flat[start : start + n], out[i, first:last]
        for k in range(n):
            target[k] = source[k]
        target[n:] = 0
    out[len(rows) :, first:last] = 0


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
    """`pad_into`, channel by channel, with a `mask` (B, F): 1 for a value, 0 for padding and NaN.

    Channel c of object j goes to `out[i, first + c * length + j]`. NaN (absent) becomes 0 there, so
    that masked entries never reach an arithmetic operation.
    """
    channels = values.shape[1]
    flat = values.reshape(-1)
    last = first + length * channels
    for i in range(len(rows)):
        start = offsets[rows[i]]
        n = min(offsets[rows[i] + 1] - start, length)
        source = flat[start * channels : (start + n) * channels]
        for c in range(channels):
            at = first + c * length
            target, there = out[i, at : at + length], mask[i, at : at + length]
            for k in range(n):
                value = source[k * channels + c]
                present = value == value
                target[k] = value if present else 0
                there[k] = 1 if present else 0
            target[n:] = 0
            there[n:] = 0
    out[len(rows) :, first:last] = 0
    mask[len(rows) :, first:last] = 0


def pad(objects: Ragged, rows: np.ndarray, size: int, length: int) -> np.ndarray:
    """Chosen rows of ragged objects as (size, length, C) float32, zero where there is none.

    objects: values (V, C) or (V,), which gives C = 1; rows: (n,) row numbers, n ≤ size.
    """
    values = objects.values if objects.values.ndim == 2 else objects.values[:, None]
    out = np.empty((size, length * values.shape[1]), np.float32)
    pad_into(values, objects.offsets, rows, length, 0, out)
    return out.reshape(size, length, values.shape[1])
