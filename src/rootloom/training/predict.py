"""Predictions of a trained network, row for row in the order of the files."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from rootloom.tasks.base import Params, Predictor
from rootloom.training import parallel
from rootloom.training.feed import Batches
from rootloom.types import Batch, Tensor


class Prediction:
    """What a task predicts, compiled once for all parameters and rows of the same shapes."""

    def __init__(self, task: Predictor) -> None:
        # The key is for tasks that sample; always the same, so that predictions are reproducible.
        self._run = parallel.on_every_device(
            lambda params, batch: task.predict(params, batch, jax.random.key(0))
        )

    def of(self, params: Params, loader: Batches) -> Iterator[tuple[dict[str, np.ndarray], Batch]]:
        """The task's columns, (n,) each, with target, weight and id of the same n rows.

        loader: without shuffling, so that rows are in file order; padding is dropped. The batches
        are yielded without their inputs, whose axes need not be rows.
        """
        left, replicated = loader.rows, None
        waiting: tuple[dict[str, jax.Array], Batch] | None = None
        for batch in loader.epoch(0):
            if replicated is None:
                replicated = parallel.replicate(params, len(batch.weight))
            following = self._run(replicated, batch), batch
            # One batch is read back while the next one is computed.
            if waiting is not None:
                columns, rows = _rows(*waiting, left)
                left -= len(rows.weight)
                yield columns, rows
            waiting = following
        if waiting is not None:
            yield _rows(*waiting, left)


def predict(
    task: Predictor, params: Params, loader: Batches
) -> Iterator[tuple[dict[str, np.ndarray], Batch]]:
    """`Prediction.of` for a task that is used once."""
    return Prediction(task).of(params, loader)


def _rows(
    columns: dict[str, jax.Array], batch: Batch, left: int
) -> tuple[dict[str, np.ndarray], Batch]:
    """The first `left` rows of a batch whose leaves lead with (devices, B), in the files' order."""
    size, place = batch.weight.size, batch.place
    slots = np.arange(size)[:left]
    if place is not None:
        absent = int(np.sum(place < 0))
        slots = np.argsort(place, axis=None, kind="stable")[absent:]

    def chosen(leaf: Tensor) -> np.ndarray:
        return parallel.rows(size, leaf)[slots]

    named = batch._replace(inputs=None, place=None)
    return jax.tree.map(chosen, columns), jax.tree.map(chosen, named)
