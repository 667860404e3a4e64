"""Statistical errors by resampling the test sample, without assumptions on the distribution."""

from __future__ import annotations

import numpy as np

from rootloom.evaluation.roc import background_efficiency, roc


def poisson_bootstrap(
    score: np.ndarray,
    signal: np.ndarray,
    weight: np.ndarray,
    signal_efficiency: np.ndarray,
    *,
    replicas: int,
    seed: int,
) -> tuple[float, np.ndarray]:
    """Errors of the AUC, and of ε_B (T,) at each ε_S (T,), from score, signal, weight (R,).

    Each replica multiplies every row's weight by an independent Poisson(1) count: the limit of
    drawing rows with replacement, without fixing the total. A replica in which a class has no rows
    or no positive sum of weights is drawn again. Seeded: two runs agree bit for bit.
    """
    # Sorted once, so that the sort in every replica is fast.
    order = np.argsort(-score, kind="stable")
    score, signal, weight = score[order], signal[order], weight[order]
    random = np.random.Generator(np.random.Philox(key=[seed, replicas]))
    areas = np.empty(replicas)
    background = np.empty((replicas, len(signal_efficiency)))
    for replica in range(replicas):
        curve = roc(score, signal, _drawn(weight, signal, random))
        areas[replica] = curve.auc
        background[replica] = background_efficiency(curve, signal_efficiency)
    return float(np.std(areas, ddof=1)), np.std(background, axis=0, ddof=1)


def _drawn(weight: np.ndarray, signal: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Weights (R,) of one replica in which both classes have rows."""
    # A class of one row is missing in e⁻¹ of the replicas; signed weights may cancel.
    while True:
        found: np.ndarray = weight * random.poisson(1.0, len(weight))
        if found[signal].sum() > 0 and found[~signal].sum() > 0:
            return found
