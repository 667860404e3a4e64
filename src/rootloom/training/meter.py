"""Sums over batches: read from the device with a delay, checked, and added in order of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from rootloom.errors import TrainingError
from rootloom.types import Batch, Tensor

# Steps in the device's queue; more would only keep their batches in memory.
_MAX_IN_FLIGHT = 8


class _Noted(NamedTuple):
    """Sums of successive steps, the first of which has this number; see `Meter.add`."""

    number: int
    steps: int
    rows: Callable[[int], Batch]
    sums: Mapping[str, Tensor]


class Meter:
    """Weighted means over the batches added since the last reset.

    where: word for the batches in error messages.
    """

    def __init__(self, where: str, sums: Mapping[str, ArrayLike] | None = None) -> None:
        self.where = where
        self.sums = {name: np.asarray(value, np.float64) for name, value in (sums or {}).items()}
        self._pending: list[_Noted] = []

    def add(
        self, number: int, count: int, rows: Callable[[int], Batch], sums: Mapping[str, Tensor]
    ) -> None:
        """Add sums of `count` steps, leading axes (devices, count or more), without waiting.

        number: of the first step. rows: gives weights and ids of the k-th step's batch.
        """
        self._pending.append(_Noted(number, count, rows, sums))
        if len(self._pending) > _MAX_IN_FLIGHT:
            jax.block_until_ready(self._pending[-_MAX_IN_FLIGHT].sums["loss"])

    def collect(self, last: int | None = None) -> None:
        """Wait for the steps added so far, up to number `last` if given, and sum them.

        Raises TrainingError at a non-finite loss.
        """
        pending, self._pending = self._pending, []
        for noted in pending:
            end = noted.steps if last is None else last + 1 - noted.number
            count = max(0, min(noted.steps, end))
            values = {name: _of_steps(value) for name, value in noted.sums.items()}
            if count:
                self._add(noted, values, count)
            if count < noted.steps:
                rows = partial(_later, noted.rows, count)
                left = {name: value[count:] for name, value in values.items()}
                self._pending.append(_Noted(noted.number + count, noted.steps - count, rows, left))

    def _add(self, noted: _Noted, values: dict[str, np.ndarray], count: int) -> None:
        norm = values.get("gradient_norm", np.zeros_like(values["loss"]))
        bad = ~(np.isfinite(values["loss"][:count]) & np.isfinite(norm[:count]))
        if bad.any():
            step = int(bad.argmax())
            found = {name: value[step] for name, value in values.items()}
            raise _not_finite(f"{self.where} {noted.number + step}", noted.rows(step), found)
        for name, value in values.items():
            before = self.sums.get(name, np.zeros(value.shape[1:]))
            # In the order of the steps, as if added one by one; `sum` would add pairs.
            run = np.concatenate([before[None], value[:count]], dtype=np.float64)
            self.sums[name] = np.add.accumulate(run)[-1]

    def means(self) -> dict[str, np.ndarray]:
        """Weighted means of all collected steps; NaN if the weights sum to zero."""
        weight = self.sums.get("weight", np.float64(0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return {n: np.asarray(v / weight) for n, v in self.sums.items() if n != "weight"}

    def reset(self) -> None:
        """Remove all sums."""
        self.sums = {}


def _of_steps(value: Tensor) -> np.ndarray:
    """The first device's copy, (steps, …), of values that are not yet on the host."""
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value.addressable_shards[0].data)[0]


def _later(rows: Callable[[int], Batch], count: int, number: int) -> Batch:
    return rows(count + number)


def _not_finite(where: str, rows: Batch, values: Mapping[str, np.ndarray]) -> TrainingError:
    words = np.asarray(rows.id).reshape(-1, 2).astype(np.uint64)
    used = np.asarray(rows.weight).reshape(-1) != 0
    identities = [f"{i:016x}" for i in (words[used, 0] << np.uint64(32)) | words[used, 1]]
    shown = ", ".join(identities[:8]) + (", …" if len(identities) > 8 else "")
    found = ", ".join(f"{n} {float(values[n])}" for n in ("loss", "gradient_norm") if n in values)
    return TrainingError(
        where,
        expected="a finite loss and gradient",
        found=f"{found} in the batch of ids {shown} ({len(identities)} rows)",
        fix="look for non-finite inputs in these rows, lower the learning rate, or set clip_norm",
    )
