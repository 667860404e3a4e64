"""Whether a classifier can tell two samples apart."""

from __future__ import annotations

import numpy as np

from rootloom.evaluation.generation.samples import Weights, weights_of
from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.roc import Roc, roc
from rootloom.evaluation.uncertainties import auc_error


def classifier_auc(
    real: np.ndarray,
    other: np.ndarray,
    condition: tuple[np.ndarray, np.ndarray],
    seed: int,
    trainings: int = 3,
    weights: Weights | None = None,
) -> Estimate:
    """AUC of boosted trees that tell inputs (R, F) from inputs (S, F); 0.5 for equal samples.

    condition: what the rows were made to, (R, K) and (S, K), inputs as well; K may be 0. Each half
    of the rows is scored by trees that learnt from the other half, as scikit-learn's defaults say,
    stopped early on a fifth of it. That is done `trainings` times (2 or more), with other halves
    and other seeds; the value is the mean of all. Its error is DeLong's for the scored rows and the
    standard deviation over the trainings, in quadrature; NaN where DeLong's is. By 20 pairs of
    samples of 200 rows that is 1.04 of the spread over samples at an AUC of 0.6, and 1.3 of it for
    equal samples, where the trainings' areas differ as much as those of other rows would. weights:
    signed ones count in the area, the trees learn from absolute ones.
    """
    weights = weights_of(weights, real, other)
    inputs = zip(condition, (real, other), strict=True)
    x = np.concatenate([np.column_stack(columns) for columns in inputs])
    target, weight = np.repeat([1, 0], [len(real), len(other)]), np.concatenate(weights)
    areas, errors = [], []
    for training in range(trainings):
        half = np.concatenate([_halves(c, seed, training) for c in condition])
        curves = [_held_out(x, target, weight, half == k, seed + training) for k in range(2)]
        areas.append(np.mean([c.auc for c in curves]))
        errors.append(np.linalg.norm([auc_error(c) for c in curves]) / 2)
    # The trainings score the same rows: what a finite number of them leaves does not average down.
    error = np.hypot(np.mean(errors), np.std(areas, ddof=1))
    return Estimate(float(np.mean(areas)), float(error))


def _held_out(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, tested: np.ndarray, seed: int
) -> Roc:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingClassifier(
        max_iter=500, early_stopping=True, validation_fraction=0.2, random_state=seed
    )
    learnt = np.abs(weight[~tested])
    # Spinning OpenMP threads cost a multiple on cores that other jobs share.
    with threadpool_limits(1, user_api="openmp"):
        # Mean weight 1, so that leaves need the same share of the rows for any normalisation.
        model.fit(x[~tested], target[~tested], sample_weight=learnt / learnt.mean())
        score = model.predict_proba(x[tested])[:, 1]
    return roc(score, target[tested] == 1, weight[tested])


def _halves(condition: np.ndarray, seed: int, training: int) -> np.ndarray:
    """Half of each row, (R,) 0 or 1: of each two neighbours in the condition (R, K), one in either.

    Which one is drawn by seed and training, alike for any sample. A real and a generated example of
    the same condition come into the same half: otherwise trees that remember a condition's class
    would be wrong about the other one, and AUCs fall below one half. Of several numbers the first
    decides who neighbours are, then the second; without any, the order of the rows.
    """
    pairs = (len(condition) + 1) // 2
    first = np.random.Generator(np.random.Philox(key=[seed, training])).integers(2, size=pairs)
    half = np.empty(len(condition), np.int64)
    half[_order(condition)] = np.column_stack([first, 1 - first]).ravel()[: len(condition)]
    return half


def _order(condition: np.ndarray) -> np.ndarray:
    """Rows (R,) by their condition (R, K); stable."""
    if not condition.shape[1]:
        return np.arange(len(condition))
    return np.lexsort(condition.T[::-1])
