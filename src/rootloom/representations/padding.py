"""Ragged objects to padded arrays: the one inner loop between a shard and a training step.

Values of one object lie together, (V, C): a row is then a single contiguous copy, which measures
about twice as fast as one array a channel (`benchmarks/batches.py`).
"""

from __future__ import annotations

import numpy as np
from numba import njit


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
    """Write the first `length` objects of each row to `out`, 1 for each value to `mask` (B, F).

    values: (V, C) C-contiguous; offsets: (R + 1,); rows: (n,) row numbers, n ≤ B; out: (B, F)
    with F ≥ first + length * C. Channel c of object j goes to `out[i, first + c * length + j]`.
    What is no object, and NaN (absent), becomes 0 in both, and so do all rows from n on: masked
    entries never reach an arithmetic operation. Columns outside the written range are left alone.
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


@njit(cache=True, nogil=True)
def pad_objects_into(
    values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, first: int, out: np.ndarray
) -> None:
    """Write columns `first`, `first` + 1, … of each row's first N objects to `out` (B, N, C).

    values: (V, ≥ first + C) C-contiguous; offsets: (R + 1,); rows: (n,) row numbers, n ≤ B. Slots
    without an object, and all of the rows from n on, become 0.
    """
    length, channels = out.shape[1], out.shape[2]
    whole = channels == values.shape[1]
    for i in range(len(rows)):
        start = offsets[rows[i]]
        n = min(offsets[rows[i] + 1] - start, length)
        if whole:  # one contiguous copy
            out[i, :n] = values[start : start + n]
        else:
            for j in range(n):
                for c in range(channels):
                    out[i, j, c] = values[start + j, first + c]
        out[i, n:] = 0
    out[len(rows) :] = 0


@njit(cache=True, nogil=True)
def repeat_objects(out: np.ndarray, counts: np.ndarray) -> None:
    """Fill the empty slots of `out` (B, N, C) with the row's objects again, in their order.

    counts: (B,) objects of each row, which are in its first slots. A row without objects is left.
    """
    slots = out.shape[1]
    for i in range(len(counts)):
        n = counts[i]
        if n > 0:
            for j in range(n, slots):
                out[i, j] = out[i, j - n]
