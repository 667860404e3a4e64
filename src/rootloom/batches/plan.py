"""The order of rows in an epoch: a function of the shards' sizes, the seed and the epoch.

Blocks of neighbouring rows are shuffled, because reading single rows from compressed files
is a hundred times slower; then rows are shuffled inside windows of many blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Philox

# First stream of a window's further random numbers, above those of all orders.
_MORE = 1 << 32


@dataclass(frozen=True)
class Plan:
    """The blocks of a split, and their order in each epoch.

    shard, start, stop: (K,) int64; block k is rows [start, stop) of a shard.
    window_rows: rows shuffled together; a window gets blocks until it has so many.
    """

    shard: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    window_rows: int
    seed: int
    shuffle: bool

    @cached_property
    def rows(self) -> int:
        """Rows in the split."""
        return self.count(np.arange(len(self.shard)))

    def count(self, blocks: np.ndarray) -> int:
        """Rows in these blocks."""
        return int((self.stop - self.start)[blocks].sum())

    def windows(self, epoch: int) -> list[np.ndarray]:
        """Block numbers of each window, in the epoch's order."""
        order = np.arange(len(self.shard))
        if self.shuffle:
            order = _permutation(self.seed, epoch, 0, len(order))
        sizes = (self.stop - self.start)[order]
        window = (np.cumsum(sizes) - sizes) // self.window_rows
        return np.split(order, np.flatnonzero(np.diff(window)) + 1) if len(order) else []

    def places(self, blocks: np.ndarray) -> np.ndarray:
        """Row numbers of these blocks, one after the other, counted over the whole split, int64."""
        sizes = self.stop - self.start
        first = np.cumsum(sizes) - sizes
        ranges = [np.arange(first[k], first[k] + sizes[k]) for k in blocks]
        return np.concatenate([np.zeros(0, np.int64), *ranges])

    def sequence(self, epoch: int) -> np.ndarray:
        """An epoch's order of all rows of the split, (rows,) int64."""
        parts = [np.zeros(0, np.int64)]
        for number, blocks in enumerate(self.windows(epoch)):
            places = self.places(blocks)
            parts.append(places[self.order(epoch, number, len(places))])
        return np.concatenate(parts)

    def order(self, epoch: int, window: int, count: int) -> np.ndarray:
        """The order of a window's rows, (count,) int64, counted over its blocks in sequence."""
        if self.shuffle:
            return _permutation(self.seed, epoch, window + 1, count)
        return np.arange(count)

    def words(self, epoch: int, window: int, count: int) -> np.ndarray:
        """More random numbers for a window, (count,) uint64, independent of its order."""
        return _words(self.seed, epoch, _MORE + window, count)


def make_plan(
    rows: Sequence[int], *, block_rows: int, window_rows: int, seed: int, shuffle: bool
) -> Plan:
    """Cut shards of so many rows each into blocks of at most `block_rows`."""
    starts = [np.arange(0, n, block_rows) for n in rows]
    shard = np.repeat(np.arange(len(rows)), [len(s) for s in starts])
    start = np.concatenate([np.zeros(0, np.int64), *starts])
    stop = np.minimum(start + block_rows, np.asarray(rows, np.int64)[shard])
    return Plan(shard, start, stop, window_rows, seed, shuffle)


def _permutation(seed: int, epoch: int, stream: int, count: int) -> np.ndarray:
    return np.argsort(_words(seed, epoch, stream, count), kind="stable")


def _words(seed: int, epoch: int, stream: int, count: int) -> np.ndarray:
    # NumPy guarantees the raw output of a bit generator, but not the results of Generator.
    return Philox(key=[seed, epoch], counter=[0, 0, 0, stream]).random_raw(count)
