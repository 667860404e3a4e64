"""Rows of a split in the memory of every device, if they fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.tasks.base import Task
from rootloom.training import parallel
from rootloom.training.feed import Batches
from rootloom.types import Batch, Tensor


def place_on_devices(
    batches: Batches, devices: int, most: int, between: Callable[[], None]
) -> tuple[Batch, int] | str:
    """Place all rows on each device, leaves (devices, R, …); returns them and their bytes.

    A leaf that is the same in every row, such as masks or unit weights, is stored once,
    (devices, 1, …). Every device has all rows, not a share: a batch is drawn from the
    whole split, so rows would otherwise move between devices at every step. Returns a text with the
    reason if rows differ in shape or need more than `most` bytes of a device. `between` is
    called after every block that was read.
    """
    blocks = batches.table()
    if blocks is None:
        return "their shapes differ"
    rows = _Rows(batches.rows, devices)
    with closing(blocks):
        for block in blocks:
            rows.take(jax.tree.map(lambda leaf: leaf[0], block))
            if rows.bytes() > most:
                return f"of resident_bytes, {most / 1e6:.1f} MB are left, which is too little"
            rows.write()
            between()
    return rows.placed(), rows.bytes()


def reason_to_stream(task: Task, example: Batch) -> str:
    """Why batches should be sent one by one; "" if not. example: a batch of the loader.

    Several processes cannot make many steps per call, because the length of a call depends on the
    clock of each. Convolutions on CPUs are much slower in a loop, where XLA does not use its fast
    kernels for the gradients of filters.
    """
    if not parallel.is_single_process():
        return "several processes train"
    if parallel.on_cpu() and _convolves(task, example):
        return "convolutions on a CPU are slower in a loop"
    return ""


def _convolves(task: Task, example: Batch) -> bool:
    local = jax.tree.map(lambda leaf: leaf[0], example)

    def loss(key: Array) -> Array:
        return task.loss(task.init(key, local), local, key, train=True)[0]

    return "conv_general_dilated" in str(jax.make_jaxpr(loss)(jax.random.key(0)))


class _Rows:
    """Writes blocks of rows one after the other into arrays on the devices.

    The host never has a second copy of the rows.
    """

    def __init__(self, rows: int, devices: int) -> None:
        self._rows, self._devices, self._at = rows, devices, 0
        self._block: list[np.ndarray] = []
        self._firsts: list[np.ndarray] = []  # of each leaf, its first row (1, …)
        self._whole: dict[int, Tensor] = {}  # by leaf, (devices, R, …), where rows differ
        self._write = parallel.on_every_device(_written, donate=(0,))

    def take(self, block: Batch) -> None:
        """Take the next block (n, …); all have equal size, the last one is filled up."""
        self._block, self._structure = jax.tree.flatten(block)
        if not self._firsts:
            self._firsts = [leaf[:1].copy() for leaf in self._block]
        used = min(len(block.id), self._rows - self._at)
        # Identities always differ: they show how many rows there are.
        self._differ = [
            k
            for k, leaf in enumerate(self._block)
            if k in self._whole or leaf is block.id or not _repeats(leaf[:used], self._firsts[k])
        ]

    def bytes(self) -> int:
        """Bytes that all rows need on a device, estimated from the blocks so far."""
        size, row = len(self._block[0]), sum(self._firsts[k].nbytes for k in self._differ)
        copies = self._devices if parallel.on_cpu() else 1
        return -(-self._rows // size) * size * row * copies

    def write(self) -> None:
        """Keep the block."""
        size = len(self._block[0])
        room = -(-self._rows // size) * size
        for k in self._differ:
            if k not in self._whole:
                fill = parallel.on_every_device(partial(_filled, room))
                self._whole[k] = fill(self._everywhere(self._firsts[k]))
        whole = [self._whole[k] for k in self._differ]
        block = [self._everywhere(self._block[k]) for k in self._differ]
        at = np.full(self._devices, self._at, np.int32)
        self._whole = dict(zip(self._differ, self._write(whole, block, at), strict=True))
        self._at += size

    def placed(self) -> Batch:
        """All rows as one batch."""
        leaves = [
            self._whole[k] if k in self._whole else parallel.replicate(first, self._devices)
            for k, first in enumerate(self._firsts)
        ]
        batch: Batch = jax.tree.unflatten(self._structure, leaves)
        return batch

    def _everywhere(self, leaf: np.ndarray) -> np.ndarray:
        return np.broadcast_to(leaf, (self._devices, *leaf.shape))


def _repeats(leaf: np.ndarray, first: np.ndarray) -> bool:
    """Whether all rows have the same bits as the first one; 0 and −0 differ."""
    bits = f"u{leaf.itemsize}"
    return bool((np.ascontiguousarray(leaf).view(bits) == first.view(bits)).all())


def _filled(rows: int, first: Array) -> Array:
    return jnp.broadcast_to(first, (rows, *first.shape[1:]))


def _written(whole: list[Array], block: list[Array], at: Array) -> list[Array]:
    return [
        jax.lax.dynamic_update_slice_in_dim(leaf, part, at, 0)
        for leaf, part in zip(whole, block, strict=True)
    ]
