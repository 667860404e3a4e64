"""Assembles rows of shard columns to a Batch with a leading device axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.batches.draws import Draw
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
) -> Batch:
    """Collate rows (n,) into leaves of shape (devices, size, …); missing rows are all zero.

    targets: names of predicted quantities, (B, T) in the batch; without any it is the label, (B,).
    weights: makes training weights; None takes the event weights. n ≤ devices * size. Each
    device's slice is collated separately, then merged by the representation. share: (k, m)
    returns only the k-th of m equal parts of the devices, with the shapes of the whole. draw:
    factors on the weights that choose events for a member of an ensemble; needs the column
    "object".
    """
    number, shares = share
    own = range(devices * number // shares, devices * (number + 1) // shares)
    # If shapes depend on the rows, the rows of all devices are needed.
    made = own if representation.same_shape else range(devices)
    inputs = representation.merge(
        [representation.collate(columns, rows[d * size : (d + 1) * size], size) for d in made]
    )
    if len(made) != len(own):
        inputs = of_devices(inputs, own)
    rows = rows[own.start * size : own.stop * size]
    devices = len(own)
    reads = ("label", "weight") if weights is None else weights.reads
    of_rows = {name: np.asarray(columns[name])[rows] for name in reads}
    label, words = of_rows["label"], np.asarray(columns["id"])[rows]
    weight = of_rows["weight"] if weights is None else weights.training(of_rows)
    if draw is not None:
        weight = weight * draw(event_of(words, np.asarray(columns["object"])[rows]))

    def spread(array: np.ndarray, dtype: type) -> np.ndarray:
        out = np.zeros((devices * size, *array.shape[1:]), dtype)
        out[: len(array)] = array
        return out.reshape(devices, size, *array.shape[1:])

    return Batch(
        inputs=inputs,
        target=spread(_targets(columns, targets)[rows], np.float32)
        if targets
        else spread(label, np.int32),
        weight=spread(weight, np.float32),
        id=spread(id_words(words), np.uint32),
    )


def id_words(ids: np.ndarray) -> np.ndarray:
    """Identities (R,) uint64 as (high, low) words, (R, 2) uint32."""
    # Of a little-endian number the low word lies first.
    return ids.astype("<u8").view("<u4").reshape(-1, 2)[:, ::-1]


def _targets(columns: Mapping[str, Column], names: Sequence[str]) -> np.ndarray:
    """All rows' targets, (R, T)."""
    return np.stack([np.asarray(columns[AUXILIARY + TARGET + name]) for name in names], axis=1)
