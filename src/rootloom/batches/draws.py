"""Which training rows a member of an ensemble sees, as weights by the rows' identities.

A draw depends neither on batches nor on devices nor on where a training was interrupted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rootloom.shards.ids import fold_of, mix

# P(n ≤ k) of a Poisson distribution of mean 1; P(n > 15) < 1e-14.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(16)])


class Draw(Protocol):
    """Factors on the weights of rows."""

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """(R,) float32 for identities (R,) uint64."""


@dataclass(frozen=True)
class WithReplacement:
    """Independent Poisson(1) counts: the limit of drawing as many rows with replacement.

    Oza and Russell, "Online bagging and boosting" (2001). member: each draws its own.
    """

    member: int

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """(R,) float32 for identities (R,) uint64."""
        bits = mix(np.asarray(ids, np.uint64) ^ mix(np.full(1, self.member, np.uint64)))
        uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float32)


@dataclass(frozen=True)
class OutsideFold:
    """0 for the rows of one of several folds, which are then data that were never seen; else 1."""

    fold: int
    folds: int

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """(R,) float32 for identities (R,) uint64."""
        return (fold_of(ids, self.folds) != self.fold).astype(np.float32)
