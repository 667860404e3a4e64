"""Check that all entries of a file have different event identities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rootloom.errors import DataError
from rootloom.shards.ids import event_of
from rootloom.shards.reader import Shard
from rootloom.types import SPLITS


def require_one_entry_an_event(shards: Sequence[str | Path], url: str) -> None:
    """Raise DataError, naming both, if two entries of the file at `url` have the same identity.

    shards: all shards of the file. Needs 40 bytes of memory per row.
    """
    parts = [_events(path, split) for path in shards for split in SPLITS]
    event, entry = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((entry, event))
    event, entry = event[order], entry[order]
    twice = np.flatnonzero((event[1:] == event[:-1]) & (entry[1:] != entry[:-1]))
    if len(twice):
        first, second = entry[twice[0]], entry[twice[0] + 1]
        raise DataError(
            f"{url}: entries {first} and {second}",
            expected="another `identity` for every event",
            found=f"the same ({len(twice)} entries of {len(np.unique(entry))} repeat one)",
            fix="add an expression to `identity` in which they differ, or leave `identity` out",
        )


def _events(path: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Event identities and entries of a split's rows, (R,) each."""
    with Shard(path) as shard:
        if not shard.columns:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        found = shard.read(split, ["id", "object", "entry"])
    ids, number, entry = (np.asarray(found[name]) for name in ("id", "object", "entry"))
    return event_of(ids, number), entry
