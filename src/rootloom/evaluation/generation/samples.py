"""Samples of examples that are compared, and their weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Samples:
    """R examples of a representation.

    features: (R, F) float64, quantities `names`; inputs: (R, C), flat; condition: (R, K), K
    may be 0; response: (R,), the first condition as measured from the inputs, in its unit, None if
    it cannot be. event_weight: (R,), signed; None: all 1. noun: word for one example.
    """

    names: tuple[str, ...]
    features: np.ndarray
    inputs: np.ndarray
    condition: np.ndarray
    response: np.ndarray | None = None
    event_weight: np.ndarray | None = None
    noun: str = "example"

    def __len__(self) -> int:
        return len(self.features)

    @property
    def weight(self) -> np.ndarray:
        """Weights (R,) float64."""
        if self.event_weight is None:
            return np.ones(len(self))
        return self.event_weight.astype(np.float64)


# Weights of the rows of the real and of the other sample, (R,) and (S,).
Weights = tuple[np.ndarray, np.ndarray]


def weights_of(weights: Weights | None, real: np.ndarray, other: np.ndarray) -> Weights:
    """The weights of two samples, 1 where none are given."""
    return weights or (np.ones(len(real)), np.ones(len(other)))


def mean_of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean over the rows of values (R, ...); NaN without a positive sum of weights."""
    total = float(weight.sum())
    return np.tensordot(weight, values, 1) / (total if total > 0 else np.nan)


def replicas(rows: int, number: int, seed: int) -> np.ndarray:
    """Counts (number, rows) of a Poisson bootstrap: drawing with replacement, total left free."""
    random = np.random.Generator(np.random.Philox(key=[seed, rows]))
    return random.poisson(1.0, (number, rows))
