"""Generate any number of examples with a trained generator, in batches of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar

import jax
import numpy as np

from rootloom.batches.assemble import id_words
from rootloom.errors import TrainingError
from rootloom.tasks.base import Generator, Params
from rootloom.training import parallel

# Examples per device at a time: on one core larger batches are no faster, smaller ones slower.
BATCH = 256

Inputs = TypeVar("Inputs")  # a tree of arrays, one kind of a representation's inputs


class Sampler:
    """Generates examples; compiled once, for batches of one size.

    seed: 0 … 2³² - 1. batch: examples a device makes at a time. devices: how many; None: all. The
    example in row i is a function of its condition, the seed and i alone: to the last bit for one
    batch size, whatever the number of devices, and to float32's rounding for another one, for which
    other programs are compiled.
    """

    def __init__(
        self,
        task: Generator,
        params: Params,
        *,
        seed: int,
        batch: int = BATCH,
        devices: int | None = None,
    ) -> None:
        key = jax.random.key(seed)
        self._task, self._batch = task, batch
        self._devices = devices or parallel.device_count()
        self._run = parallel.on_every_device(
            lambda p, condition, identity: task.generate(p, condition, key, identity)
        )
        self._params = parallel.replicate(params, self._devices)

    def examples(self, conditions: Iterable[np.ndarray]) -> Iterator[object]:
        """For blocks of conditions (n, K), of any length, inputs (n, …) in the same order.

        K may be 0: the blocks then say how many there are. Raises TrainingError when the model
        makes a number that is not finite.
        """
        waiting: tuple[object, np.ndarray] | None = None
        first = 0
        blocks = (np.asarray(block, np.float32) for block in conditions)
        for condition in regrouped(blocks, self._devices * self._batch):
            following = self._start(condition, first), condition
            first += len(condition)
            # One batch is read back while the next one is computed.
            if waiting is not None:
                yield self._read_back(*waiting)
            waiting = following
        if waiting is not None:
            yield self._read_back(*waiting)

    def _start(self, condition: np.ndarray, first: int) -> object:
        """Inputs (devices, batch, …) of a batch that the last condition fills up."""
        size = self._devices * self._batch
        rest = np.repeat(condition[-1:], size - len(condition), axis=0)
        padded = np.concatenate([condition, rest])
        identity = id_words(np.arange(first, first + size, dtype=np.uint64))
        shape = (self._devices, self._batch)
        return self._run(
            self._params,
            padded.reshape(*shape, padded.shape[1]),
            identity.reshape(*shape, 2),
        )

    def _read_back(self, made: Inputs, condition: np.ndarray) -> Inputs:
        """Inputs of one example for each condition. Raises TrainingError if they are not finite."""
        inputs: Inputs = jax.tree.map(partial(parallel.rows, len(condition)), made)
        leaves = (leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(inputs))
        bad = ~np.all([np.isfinite(leaf).all(axis=1) for leaf in leaves], axis=0)
        if bad.any():
            self._refuse(bad, condition)
        return inputs

    def _refuse(self, bad: np.ndarray, condition: np.ndarray) -> None:
        representation = self._task.representation
        known = zip(representation.conditions(), condition[bad][0], strict=True)
        at = ", ".join(f"{one.name} {value:g} {one.unit}".rstrip() for one, value in known)
        raise TrainingError(
            f"generated {representation.noun}s",
            expected="finite numbers in all of them",
            found=f"{int(bad.sum())} of {len(bad)} {representation.noun}s without"
            + (f", the first at {at}" if at else ""),
            fix="stay inside the range of the training, or train the model again",
        )


def regrouped(blocks: Iterable[Inputs], size: int) -> Iterator[Inputs]:
    """The rows of blocks, `size` at a time; last the rest.

    blocks: trees of arrays (n, …), equal n in a block.
    """
    held: list[Inputs] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += _rows(block)
        if count < size:
            continue
        whole = _joined(held)
        yield from (_part(whole, first, size) for first in range(0, count - size + 1, size))
        held, count = [_part(whole, count - count % size, size)], count % size
    if count:
        yield _joined(held)


def _rows(block: object) -> int:
    return len(jax.tree.leaves(block)[0])


def _joined(blocks: list[Inputs]) -> Inputs:
    joined: Inputs = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
    return joined


def _part(block: Inputs, first: int, size: int) -> Inputs:
    part: Inputs = jax.tree.map(lambda array: array[first : first + size], block)
    return part
