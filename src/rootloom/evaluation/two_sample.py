"""Whether a classifier can tell two samples apart."""

from __future__ import annotations

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.metrics import Roc, roc
from rootloom.evaluation.uncertainties import auc_error


def classifier_auc(
    real: np.ndarray,
    other: np.ndarray,
    condition: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> Estimate:
    """AUC of boosted trees that tell inputs (R, F) from inputs (S, F); 0.5 for equal samples.

    condition: requested energies (R,) and (S,), inputs as well. Each half of the rows is scored by
    trees that learnt from the other half, as scikit-learn's defaults say, stopped early on a fifth
    of it; the value is the mean of both, its error DeLong's for the scored rows.
    """
    inputs = zip(condition, (real, other), strict=True)
    x = np.concatenate([np.column_stack(columns) for columns in inputs])
    target = np.repeat([1, 0], [len(real), len(other)])
    half = np.concatenate([_alternate(c) for c in condition])
    curves = [_held_out(x, target, half == number, seed) for number in range(2)]
    errors = [auc_error(curve) for curve in curves]
    return Estimate(float(np.mean([c.auc for c in curves])), float(np.linalg.norm(errors) / 2))


def _held_out(x: np.ndarray, target: np.ndarray, tested: np.ndarray, seed: int) -> Roc:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingClassifier(
        max_iter=500, early_stopping=True, validation_fraction=0.2, random_state=seed
    )
    # Spinning OpenMP threads cost a multiple on cores that other jobs share.
    with threadpool_limits(1, user_api="openmp"):
        model.fit(x[~tested], target[~tested])
        score = model.predict_proba(x[tested])[:, 1]
    return roc(score, target[tested] == 1, np.ones(tested.sum()))


def _alternate(condition: np.ndarray) -> np.ndarray:
    """Half of each row, (R,) 0 or 1: alternating in order of the condition.

    A real and a generated shower of the same energy come into the same half: otherwise trees that
    remember an energy's class would be wrong about the other one, and AUCs fall below one half.
    """
    half = np.empty(len(condition), np.int64)
    half[np.argsort(condition, kind="stable")] = np.arange(len(condition)) % 2
    return half
