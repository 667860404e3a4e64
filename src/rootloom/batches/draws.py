"""Random weights that choose training rows for a member of an ensemble, by event identity.

Objects of one event are drawn together, because they are correlated: an event is left out as a
whole. A draw does not depend on batches, on devices or on where a training was interrupted.
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
    """Factors on the weights of rows, of mean 1 over many events."""

    def __call__(self, events: np.ndarray) -> np.ndarray:
        """(R,) float32 for the identities (R,) uint64 of the rows' events."""


@dataclass(frozen=True)
class WithReplacement:
    """Independent Poisson(1) counts: the limit of drawing as many events with replacement.

    Oza and Russell, "Online bagging and boosting" (2001). member: each draws its own.
    """

    member: int

    def __call__(self, events: np.ndarray) -> np.ndarray:
        """(R,) float32 for the identities (R,) uint64 of the rows' events."""
        bits = mix(np.asarray(events, np.uint64) ^ mix(np.full(1, self.member, np.uint64)))
        uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float32)


@dataclass(frozen=True)
class OutsideFold:
    """0 for the events of one of `folds` folds, which are left out of the training.

    folds / (folds - 1) for all others, so that the mean is 1.
    """

    fold: int
    folds: int

    def __call__(self, events: np.ndarray) -> np.ndarray:
        """(R,) float32 for the identities (R,) uint64 of the rows' events."""
        kept = fold_of(events, self.folds) != self.fold
        return kept * np.float32(self.folds / (self.folds - 1))
