"""Boosted trees of other libraries, timed on request: a worker that `tables.py` starts and asks.

Runs in an environment of its own that has scikit-learn, LightGBM and XGBoost. Reads
"<library> <rows> <features>" lines and answers each with the processor seconds of one training.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from typing import Any

import numpy as np

TREES, LEAVES, BINS, RATE = 100, 255, 255, 0.1


@cache
def table(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    return x, x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=rows) > 0


def machine(library: str) -> Any:
    """Histogram-based, leaf by leaf, with one thread; depth bounds nothing."""
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(
            n_estimators=TREES, num_leaves=LEAVES, learning_rate=RATE, max_bin=BINS, n_jobs=1,
            verbose=-1,
        )  # fmt: skip
    if library == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(
            n_estimators=TREES, max_leaves=LEAVES, max_depth=0, grow_policy="lossguide",
            learning_rate=RATE, tree_method="hist", max_bin=BINS, n_jobs=1,
        )  # fmt: skip
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, max_bins=BINS,
        early_stopping=False,
    )  # fmt: skip


def main() -> None:
    for line in sys.stdin:
        library, rows, features = line.split()
        try:
            x, y = table(int(rows), int(features))
            start = time.process_time()
            machine(library).fit(x, y)
            print(time.process_time() - start, flush=True)
        except Exception as error:
            print(f"failed: {error}".replace("\n", " ")[:200], flush=True)


if __name__ == "__main__":
    main()
