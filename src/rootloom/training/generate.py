"""New showers of a trained generator: any number, in batches of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from rootloom.batches.assemble import id_words
from rootloom.errors import TrainingError
from rootloom.tasks.base import Generator
from rootloom.training import parallel
from rootloom.types import Shower

# Showers a device makes at a time: on one core more of them are no faster, and fewer are slower.
BATCH = 256


class Sampler:
    """Makes showers; compiled once, for batches of one size.

    seed: 0 … 2³² - 1. batch: showers a device makes at a time. devices: how many; None: all. The
    shower in row i is a function of its energy, the seed and i alone: to the last bit for one batch
    size, whatever the number of devices, and to float32's rounding for another one, for which
    other programs are compiled.
    """

    def __init__(
        self,
        task: Generator,
        params: Any,
        *,
        seed: int,
        batch: int = BATCH,
        devices: int | None = None,
    ) -> None:
        key = jax.random.key(seed)
        self._devices, self._batch = devices or parallel.device_count(), batch
        self._run = parallel.on_every_device(
            lambda p, energy, identity: task.generate(p, energy, key, identity)
        )
        self._params = parallel.replicate(params, self._devices)

    def showers(self, energies: Iterable[np.ndarray]) -> Iterator[Shower]:
        """For blocks of energies (n,) in GeV, of any length, showers in the same order.

        Raises TrainingError when the model makes a cell that is not finite.
        """
        waiting: tuple[jax.Array, np.ndarray] | None = None
        first = 0
        blocks = ((np.asarray(block, np.float32),) for block in energies)
        for (energy,) in regrouped(blocks, self._devices * self._batch):
            following = self._start(energy, first), energy
            first += len(energy)
            # One batch is read back while the next one is computed.
            if waiting is not None:
                yield _shower(*waiting)
            waiting = following
        if waiting is not None:
            yield _shower(*waiting)

    def _start(self, energy: np.ndarray, first: int) -> jax.Array:
        """Cells (devices, batch, cells) of a batch that the last energy fills up."""
        size = self._devices * self._batch
        padded = np.pad(energy, (0, size - len(energy)), mode="edge")
        identity = id_words(np.arange(first, first + size, dtype=np.uint64))
        shape = (self._devices, self._batch)
        cells: jax.Array = self._run(
            self._params, padded.reshape(shape), identity.reshape(*shape, 2)
        )
        return cells


def regrouped(
    blocks: Iterable[tuple[np.ndarray, ...]], size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """The rows of blocks of arrays (n, …), equal n in a block, `size` at a time; last the rest."""
    held: list[tuple[np.ndarray, ...]] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block[0])
        if count < size:
            continue
        whole = _joined(held)
        yield from (_part(whole, first, size) for first in range(0, count - size + 1, size))
        held, count = [_part(whole, count - count % size, size)], count % size
    if count:
        yield _joined(held)


def _joined(blocks: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(map(np.concatenate, zip(*blocks, strict=True)))


def _part(arrays: tuple[np.ndarray, ...], first: int, size: int) -> tuple[np.ndarray, ...]:
    return tuple(array[first : first + size] for array in arrays)


def _shower(cells: jax.Array, energy: np.ndarray) -> Shower:
    made = np.asarray(cells)
    made = made.reshape(-1, made.shape[-1])[: len(energy)]
    bad = ~np.isfinite(made).all(axis=1)
    if bad.any():
        raise TrainingError(
            "generated showers",
            expected="finite energies in all cells",
            found=f"{int(bad.sum())} of {len(made)} showers without, the first at "
            f"{energy[bad][0]:g} GeV",
            fix="stay inside the energies of the training, or train the model again",
        )
    return Shower(made, energy)
