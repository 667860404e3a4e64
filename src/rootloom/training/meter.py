"""Sums of a run's batches: read from the device late, checked, added in the order of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rootloom.errors import TrainingError
from rootloom.types import Batch

# Steps that may wait in the device's queue; more would only hold their batches in memory.
_IN_FLIGHT = 8


class _Rows(NamedTuple):
    id: Any
    weight: Any


class Meter:
    """Weighted means over the batches added since the last reset.

    where: what the batches are, for the message of a refusal.
    """

    def __init__(self, where: str, sums: Mapping[str, Any] | None = None) -> None:
        self.where = where
        self.sums = {name: np.asarray(value, np.float64) for name, value in (sums or {}).items()}
        self._pending: list[tuple[int, _Rows, dict[str, jax.Array]]] = []

    def add(self, number: int, batch: Batch, sums: dict[str, jax.Array]) -> None:
        """Note a batch's sums, leading axis (devices,), without waiting for them."""
        self._pending.append((number, _Rows(batch.id, batch.weight), sums))
        if len(self._pending) > _IN_FLIGHT:
            jax.block_until_ready(self._pending[-_IN_FLIGHT][2]["loss"])

    def collect(self) -> None:
        """Wait for and add up everything noted. Raises TrainingError at a non-finite loss."""
        pending, self._pending = self._pending, []
        for number, rows, sums in pending:
            values = {name: np.asarray(v.addressable_shards[0].data)[0] for name, v in sums.items()}
            norm = values.get("gradient_norm", np.float32(0))
            if not (np.isfinite(values["loss"]) and np.isfinite(norm)):
                raise _not_finite(f"{self.where} {number}", rows, values)
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + np.asarray(value, np.float64)

    def means(self) -> dict[str, np.ndarray]:
        """Weighted means of all that was collected; NaN when the weights sum to zero."""
        weight = self.sums.get("weight", np.float64(0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return {n: np.asarray(v / weight) for n, v in self.sums.items() if n != "weight"}

    def reset(self) -> None:
        """Begin anew."""
        self.sums = {}


def _not_finite(where: str, rows: _Rows, values: Mapping[str, Any]) -> TrainingError:
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
