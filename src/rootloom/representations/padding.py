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
    values: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    first: np.ndarray,
    x: np.ndarray,
    points: np.ndarray,
    momenta: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Write the leading objects of each row to `x` (T, F), `points`, `momenta` and `labels`.

    values: (V, C) C-contiguous, whose columns are those of the four in their order; one of them may
    have no column, (T, 0). offsets: (R + 1,); rows: (n,) row numbers. first: (≥ n + 1,), the i-th
    row has the slots from first[i] to first[i + 1]. mask: (T,) bool, true where there is an object.
    All else becomes 0: slots without an object, and those of rows that are not there.
    """
    width = values.shape[1]
    whole = x.shape[1] == width
    flat, out = values.reshape(-1), x.reshape(-1)
    # Zeros first, everywhere: measured twice as fast as after each row's objects.
    out[:] = 0
    points[:] = 0
    momenta[:] = 0
    labels[:] = 0
    mask[:] = False
    for i in range(len(rows)):
        start, to = offsets[rows[i]], first[i]
        n = min(offsets[rows[i] + 1] - start, first[i + 1] - to)
        mask[to : to + n] = True
        if whole:  # one contiguous copy
            source = flat[start * width : (start + n) * width]
            target = out[to * width : (to + n) * width]
            for k in range(len(source)):
                target[k] = source[k]
            continue
        for j in range(n):
            source = values[start + j]
            at = _take(source, 0, x[to + j])
            at = _take(source, at, points[to + j])
            at = _take(source, at, momenta[to + j])
            _take(source, at, labels[to + j])


@njit(cache=True, nogil=True)
def _take(source: np.ndarray, first: int, out: np.ndarray) -> int:
    """Fill `out` from `first` on; returns what follows."""
    for c in range(len(out)):
        out[c] = source[first + c]
    return first + len(out)


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
