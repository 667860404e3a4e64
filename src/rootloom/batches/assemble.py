"""Assembles rows of shard columns to a Batch with a leading device axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rootloom.batches.draws import Draw
from rootloom.batches.strata import Stairs, longest_first
from rootloom.representations.base import Representation, of_devices
from rootloom.shards.ids import event_of
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.weights import WeightTable
from rootloom.types import TARGET, Batch, Column


def assemble(
    columns: Mapping[str, Column],
    rows: np.ndarray,
    *,
    representation: Representation,
    weights: WeightTable | None,
    targets: Sequence[str] = (),
    devices: int,
    size: int,
    share: tuple[int, int] = (0, 1),
    draw: Draw | None = None,
    stairs: Stairs | None = None,
) -> Batch:
    """Collate rows (n,) into leaves of shape (devices, size, …); missing rows are all zero.

    targets: names of predicted quantities, (B, T) in the batch; without any it is the label, (B,).
    weights: makes training weights; None takes the event weights. n ≤ devices * size. Each
    device's slice is collated separately, then merged by the representation. share: (k, m)
    returns only the k-th of m equal parts of the devices, with the shapes of the whole. draw:
    factors on the weights that choose events for a member of an ensemble; needs the column
    "object". stairs: rows are put in order of length, see there; `place` of the batch then says
    which is which.
    """
    number, shares = share
    own = range(devices * number // shares, devices * (number + 1) // shares)
    placed = _in_a_row(rows, size)
    if stairs is not None:
        placed = _by_length(rows, representation.row_lengths(columns, rows), stairs, devices, size)
    inputs = _inputs(columns, rows, placed, representation, (devices, size), own)
    placed = placed.on(own, size)
    rows = rows[placed.order]
    label, weight = _label_and_weight(columns, rows, weights)
    words = np.asarray(columns["id"])[rows]
    if draw is not None:
        weight = weight * draw(event_of(words, np.asarray(columns["object"])[rows]))
    spread = partial(_spread, placed.slot, (len(own), size))
    return Batch(
        inputs=inputs,
        target=spread(_targets(columns, targets)[rows], np.float32)
        if targets
        else spread(label, np.int32),
        weight=spread(weight, np.float32),
        id=spread(id_words(words), np.uint32),
        place=None if stairs is None else spread(placed.order, np.int32, -1),
    )


class _Placement(NamedTuple):
    """Device and slot of each row (n,) of a batch.

    order: (n,), their numbers in the order of their slots on each device. device, slot: (n,) of
    each in that order; slots are numbered over all devices. groups: see `Stairs`; None: not in any.
    """

    order: np.ndarray
    device: np.ndarray
    slot: np.ndarray
    groups: tuple[tuple[int, int], ...] | None = None

    def on(self, devices: range, size: int) -> _Placement:
        """Of the rows on these devices, whose slots are numbered from 0."""
        kept = (self.device >= devices.start) & (self.device < devices.stop)
        slot = self.slot[kept] - devices.start * size
        return _Placement(self.order[kept], self.device[kept] - devices.start, slot, self.groups)


def _in_a_row(rows: np.ndarray, size: int) -> _Placement:
    """One device after the other, `size` rows on each."""
    order = np.arange(len(rows))
    return _Placement(order, order // size, order)


def _by_length(
    rows: np.ndarray, lengths: np.ndarray, stairs: Stairs, devices: int, size: int
) -> _Placement:
    """The longest first, dealt out to the devices; in no groups if these have no room for them."""
    order = longest_first(lengths)
    device, place = np.arange(len(rows)) % devices, np.arange(len(rows)) // devices
    groups = stairs.groups if stairs.fit(lengths[order], devices) else None
    return _Placement(order, device, device * size + place, groups)


def _inputs(
    columns: Mapping[str, Column],
    rows: np.ndarray,
    placed: _Placement,
    representation: Representation,
    shape: tuple[int, int],
    own: range,
) -> Any:
    """Inputs of the own devices, (own, size, …). shape: all devices and the slots of each."""
    devices, size = shape
    # If shapes depend on the rows, the rows of all devices are needed.
    made = own if representation.same_shape else range(devices)
    parts = [rows[placed.order[placed.device == d]] for d in made]
    inputs = representation.merge(
        [
            representation.collate(columns, part, size)
            if placed.groups is None
            else representation.collate_groups(columns, part, placed.groups)
            for part in parts
        ]
    )
    return inputs if len(made) == len(own) else of_devices(inputs, own)


def _label_and_weight(
    columns: Mapping[str, Column], rows: np.ndarray, weights: WeightTable | None
) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows; without a table the event weight."""
    reads = ("label", "weight") if weights is None else weights.reads
    found = {name: np.asarray(columns[name])[rows] for name in reads}
    return found["label"], found["weight"] if weights is None else weights.training(found)


def _spread(
    slots: np.ndarray, shape: tuple[int, int], array: np.ndarray, dtype: type, absent: int = 0
) -> np.ndarray:
    """Values (n, …) in their slots (n,) of (devices, size, …), `absent` in all others."""
    out = np.full((shape[0] * shape[1], *array.shape[1:]), absent, dtype)
    out[slots] = array
    return out.reshape(*shape, *array.shape[1:])


def id_words(ids: np.ndarray) -> np.ndarray:
    """Identities (R,) uint64 as (high, low) words, (R, 2) uint32."""
    # Of a little-endian number the low word lies first.
    return ids.astype("<u8").view("<u4").reshape(-1, 2)[:, ::-1]


def _targets(columns: Mapping[str, Column], names: Sequence[str]) -> np.ndarray:
    """All rows' targets, (R, T)."""
    return np.stack([np.asarray(columns[AUXILIARY + TARGET + name]) for name in names], axis=1)
