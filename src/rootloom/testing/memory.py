"""A loader of rows that a test has in memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import numpy as np

from rootloom.batches.assemble import assemble
from rootloom.representations.base import Representation
from rootloom.shards.weights import WeightTable
from rootloom.types import Batch, Column

# Rows of a block of a table: fewer than most tests have, and no divisor of them.
BLOCK = 37


class Memory:
    """A loader over columns in memory; shuffles as a function of (seed, epoch)."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        representation: Representation,
        batch_size: int,
        *,
        devices: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        targets: Sequence[str] = (),
        weights: WeightTable | None = None,
    ) -> None:
        self.columns, self.representation, self.weights = columns, representation, weights
        self.batch_size, self.devices, self.targets = batch_size, devices, targets
        self.shuffle, self.seed, self.waited_seconds = shuffle, seed, 0.0
        self.rows = len(columns["id"])
        self.batches_per_epoch = -(-self.rows // batch_size)
        self.scale = float(min(batch_size, self.rows))

    def epoch(self, epoch: int, start_batch: int = 0) -> Generator[Batch]:
        """See `rootloom.batches.loader.Loader`."""
        order = self.order(epoch)
        for start in range(start_batch * self.batch_size, self.rows, self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def order(self, epoch: int) -> np.ndarray:
        """See `rootloom.batches.loader.Loader`."""
        order = np.arange(self.rows)
        if self.shuffle:
            order = np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(order)
        return order

    def table(self) -> Generator[Batch] | None:
        """See `rootloom.batches.loader.Loader`."""
        if not self.representation.same_shape:
            return None
        return self._blocks()

    def _blocks(self) -> Generator[Batch]:
        for start in range(0, self.rows, BLOCK):
            yield self.batch(np.arange(start, min(start + BLOCK, self.rows)), 1, BLOCK)

    def batch(self, rows: np.ndarray, devices: int = 0, size: int = 0) -> Batch:
        """Rows (n,) on devices of `size` examples each; 0: as in an epoch."""
        return assemble(
            self.columns,
            rows,
            representation=self.representation,
            weights=self.weights,
            targets=self.targets,
            devices=devices or self.devices,
            size=size or self.batch_size // self.devices,
        )
