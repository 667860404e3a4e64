"""Assembles rows of shard columns to a Batch with a leading device axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
    # If shapes depend on the rows, the rows of all devices are needed.
    made = own if representation.same_shape else range(devices)
    placed = _in_a_row(rows, size)
    if stairs is not None:
        placed = _by_length(rows, representation.row_lengths(columns, rows), stairs, devices, size)
    rows = rows[placed.order]
    inputs = representation.merge(
        [
            representation.collate(columns, rows[placed.device == d], size)
            if placed.groups is None
            else representation.collate_groups(columns, rows[placed.device == d], placed.groups)
            for d in made
        ]
    )
    if len(made) != len(own):
        inputs = of_devices(inputs, own)
    kept = (placed.device >= own.start) & (placed.device < own.stop)
    rows, order, slots = rows[kept], placed.order[kept], placed.slot[kept] - own.start * size
    devices = len(own)
    reads = ("label", "weight") if weights is None else weights.reads
    of_rows = {name: np.asarray(columns[name])[rows] for name in reads}
    label, words = of_rows["label"], np.asarray(columns["id"])[rows]
    weight = of_rows["weight"] if weights is None else weights.training(of_rows)
    if draw is not None:
        weight = weight * draw(event_of(words, np.asarray(columns["object"])[rows]))

    def spread(array: np.ndarray, dtype: type, absent: int = 0) -> np.ndarray:
        out = np.full((devices * size, *array.shape[1:]), absent, dtype)
        out[slots] = array
        return out.reshape(devices, size, *array.shape[1:])

    return Batch(
        inputs=inputs,
        target=spread(_targets(columns, targets)[rows], np.float32)
        if targets
        else spread(label, np.int32),
        weight=spread(weight, np.float32),
        id=spread(id_words(words), np.uint32),
        place=None if stairs is None else spread(order, np.int32, -1),
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


def id_words(ids: np.ndarray) -> np.ndarray:
    """Identities (R,) uint64 as (high, low) words, (R, 2) uint32."""
    # Of a little-endian number the low word lies first.
    return ids.astype("<u8").view("<u4").reshape(-1, 2)[:, ::-1]


def _targets(columns: Mapping[str, Column], names: Sequence[str]) -> np.ndarray:
    """All rows' targets, (R, T)."""
    return np.stack([np.asarray(columns[AUXILIARY + TARGET + name]) for name in names], axis=1)
