"""Two samples of showers side by side, and what is said of one quantity of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Showers:
    """R showers, which count alike.

    features: (R, F) float64, high-level quantities `names`; cells: (R, C) GeV; condition: (R,), the
    energy that was asked for, GeV; response: (R,), what of it is seen, GeV.
    """

    names: tuple[str, ...]
    features: np.ndarray
    cells: np.ndarray
    condition: np.ndarray
    response: np.ndarray

    def __len__(self) -> int:
        return len(self.condition)


def replicas(rows: int, number: int, seed: int) -> np.ndarray:
    """Counts (number, rows) of a Poisson bootstrap: drawing with replacement, total left free."""
    random = np.random.Generator(np.random.Philox(key=[seed, rows]))
    return random.poisson(1.0, (number, rows))
