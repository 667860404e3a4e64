"""What a shard holds, as one hash; values as pages show them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.shards.reader import Shard
from rootloom.types import GROUPS, Column, Ragged


def content_digest(path: str | Path) -> str:
    """SHA-256 over splits, column names, types and array content, in hexadecimal.

    Rows of no class count as a split. Equal for equal content however the file was chunked or
    compressed; reading everything, it also verifies every checksum. Raises ResultError for a
    damaged shard.
    """
    digest = hashlib.sha256()
    with Shard(path) as shard:
        for split in GROUPS:
            rows = shard.rows(split)
            for name in shard.columns:
                digest.update(f"{split}/{name}:{rows}".encode())
                for start in range(0, rows, 1 << 14):
                    column = shard.read(split, [name], start, start + (1 << 14))[name]
                    for array in _arrays(column):
                        digest.update(f"{array.dtype.str}{array.shape}".encode())
                        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(column: Column) -> tuple[np.ndarray, ...]:
    # counts, not offsets: the blocks in which a column is read must not show
    return (column.values, column.counts()) if isinstance(column, Ragged) else (column,)


def rounded(values: Any, digits: int = 4) -> Any:
    """Nested lists with their numbers rounded, as pages of documentation show them."""
    if isinstance(values, list | tuple):
        return [rounded(value, digits) for value in values]
    if isinstance(values, float) and np.isfinite(values):
        return round(values, digits) + 0.0  # no -0.0
    return values
