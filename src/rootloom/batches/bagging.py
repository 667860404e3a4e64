"""Poisson weights for bagged ensembles."""

from __future__ import annotations

import math

import numpy as np

from rootloom.shards.ids import mix

# P(n ≤ k) of a Poisson distribution of mean 1, as thresholds of 53-bit numbers; P(n > 15) < 1e-14.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(16)])


def poisson_weights(ids: np.ndarray, member: int) -> np.ndarray:
    """How often each row (R,) uint64 is drawn for a member of an ensemble, (R,) float32.

    Independent Poisson(1) numbers: the limit of drawing rows with replacement (Oza and Russell,
    "Online bagging and boosting", 2001). A pure function of the row's identity and the member, so
    that it depends neither on batches nor on devices nor on where a training was interrupted.
    """
    bits = mix(np.asarray(ids, np.uint64) ^ mix(np.full(1, member, np.uint64)))
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float32)
