"""The supply of batches: one by one from the host, or many steps per call on resident rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

import jax
import numpy as np

from rootloom.training import parallel
from rootloom.training.step import Step, Sums, pick, series, single
from rootloom.types import Batch, Tensor

# Seconds that a call should take; after a signal the call has to end first.
_CALL_SECONDS = 0.5
# Largest number of steps in a call, whose sums are kept separately until it ends.
_MAX_STEPS = 1024
_PADDING = np.iinfo(np.int32).max

T = TypeVar("T")  # a state that steps change, or parameters that they evaluate
P = ParamSpec("P")


class Batches(Protocol):
    """The part of `rootloom.batches.loader.Loader` that the loop uses."""

    batch_size: int
    waited_seconds: float

    @property
    def rows(self) -> int:
        """Rows of the split."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch."""

    @property
    def scale(self) -> float:
        """Rows of a full batch times the mean |weight| of the split, by which a step divides."""

    def epoch(self, epoch: int, start_batch: int = 0) -> Generator[Batch]:
        """Batches of an epoch from `start_batch` on, leading axes (devices, B)."""

    def table(self) -> Generator[Batch] | None:
        """Every row once, in blocks (1, n); None if inputs have no fixed shape per row."""

    def order(self, epoch: int) -> np.ndarray:
        """Rows of `table` in the order of an epoch, (rows,)."""


class Chunk(NamedTuple, Generic[T]):
    """Successive steps in one call.

    steps: their number. run: from a state to the next one (the same if steps change nothing) and
    the steps' sums, leading axes (devices, `steps` or more). first: the first step's batch.
    rows: weights and ids of the k-th step's batch.
    """

    steps: int
    run: Callable[[T], tuple[T, Sums]]
    first: Callable[[], Batch]
    rows: Callable[[int], Batch]


class Feed(Protocol[T]):
    """Chunks of an epoch from batch `start` on; the next one has `room()` steps at most."""

    def epoch(self, epoch: int, start: int, room: Callable[[], int]) -> Generator[Chunk[T]]:
        """The chunks in order; a chunk must have run before the next one is requested."""


class Streamed(Generic[T]):
    """A batch and a step at a time. updates: whether the step changes its state, and takes it."""

    def __init__(self, batches: Batches, step: Step[T], *, updates: bool) -> None:
        self._batches, self._step = batches, _compiled(partial(single, step), updates)

    def epoch(self, epoch: int, start: int, room: Callable[[], int]) -> Generator[Chunk[T]]:
        """See `Feed`."""
        with closing(self._batches.epoch(epoch, start)) as batches:
            for batch in batches:
                yield self._chunk(batch)

    def _chunk(self, batch: Batch) -> Chunk[T]:
        # Sums that wait to be read need not keep the inputs in memory.
        named = batch._replace(inputs=None)
        return Chunk(1, lambda state: self._step(state, batch), lambda: batch, lambda k: named)


class Resident(Generic[T]):
    """Many steps a call over rows that every device holds; the batches are those of `Streamed`.

    rows: see `rootloom.training.resident.place_on_devices`. A call takes about half a second.
    """

    def __init__(self, batches: Batches, rows: Batch, step: Step[T], *, updates: bool) -> None:
        self._batches, self._rows = batches, rows
        self._devices, self._steps = len(rows.id), batches.batches_per_epoch
        self._most = min(_MAX_STEPS, self._steps)
        self._series = _compiled(partial(series, step, self._most), updates)
        self._pick = parallel.on_every_device(pick)
        self._fitting = 1

    def epoch(self, epoch: int, start: int, room: Callable[[], int]) -> Generator[Chunk[T]]:
        """See `Feed`."""
        order = self._order(epoch)
        while start < self._steps:
            count = min(self._fitting, self._most, self._steps - start, room())
            batch = partial(self._batch, order, start)
            yield Chunk(count, partial(self._run, order, start, count), partial(batch, 0), batch)
            start += count

    def _order(self, epoch: int) -> Tensor:
        """Row numbers (devices, batches, B), with `_PADDING` for missing rows of the last batch."""
        order = np.full(self._steps * self._batches.batch_size, _PADDING, np.int32)
        order[: self._batches.rows] = self._batches.order(epoch)
        shares = order.reshape(self._steps, self._devices, -1).swapaxes(0, 1)
        return parallel.spread(np.ascontiguousarray(shares))

    def _run(self, order: Tensor, first: int, count: int, state: T) -> tuple[T, Sums]:
        start = time.monotonic()
        made = self._series(state, self._rows, order, self._each(first), self._each(count))
        jax.block_until_ready(made)
        seconds = time.monotonic() - start
        # Later steps may be slower than the measured ones; the first call includes the compilation.
        fitting = int(_CALL_SECONDS * count / seconds)
        self._fitting = max(1, min(fitting, 4 * max(count, self._fitting)))
        return made

    def _batch(self, order: Tensor, first: int, number: int) -> Batch:
        batch: Batch = self._pick(self._rows, order, self._each(first + number))
        return batch

    def _each(self, number: int) -> np.ndarray:
        return np.full(self._devices, number, np.int32)


def _compiled(
    function: Callable[Concatenate[T, P], tuple[T, Sums]], updates: bool
) -> Callable[Concatenate[T, P], tuple[T, Sums]]:
    if updates:
        return parallel.updating(function)
    # Unchanged parameters are not returned, because they would be copied.

    def sums(state: T, /, *given: P.args, **named: P.kwargs) -> Sums:
        return function(state, *given, **named)[1]

    summed = parallel.on_every_device(sums)

    def evaluated(state: T, /, *given: P.args, **named: P.kwargs) -> tuple[T, Sums]:
        return state, summed(state, *given, **named)

    return evaluated
