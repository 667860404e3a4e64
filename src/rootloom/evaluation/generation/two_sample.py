"""Classifiers that separate two samples."""

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
    # All trainings score the same rows, so the error from the finite number of rows remains.
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
    # OpenMP threads that wait actively are several times slower on cores shared with other jobs.
    with threadpool_limits(1, user_api="openmp"):
        # Mean weight 1, so that leaves need the same share of the rows for any normalisation.
        model.fit(x[~tested], target[~tested], sample_weight=learnt / learnt.mean())
        score = model.predict_proba(x[tested])[:, 1]
    return roc(score, target[tested] == 1, weight[tested])


def _halves(condition: np.ndarray, seed: int, training: int) -> np.ndarray:
    """Assign each row to a half, (R,) 0 or 1: neighbours in the condition (R, K) to different ones.

    Which one goes where is drawn from seed and training only. Therefore a real and a generated
    example with the same condition are in the same half: otherwise trees that remember the class of
    a condition would be wrong about the other one, and AUCs would fall below 0.5. Rows are ordered
    by the first number of the condition, then the second; without condition, as they are.
    """
    pairs = (len(condition) + 1) // 2
    first = np.random.Generator(np.random.Philox(key=[seed, training])).integers(2, size=pairs)
    half = np.empty(len(condition), np.int64)
    half[_order(condition)] = np.column_stack([first, 1 - first]).ravel()[: len(condition)]
    return half


def _order(condition: np.ndarray) -> np.ndarray:
    """Row numbers (R,) in the order of the condition (R, K); stable."""
    if not condition.shape[1]:
        return np.arange(len(condition))
    return np.lexsort(condition.T[::-1])
