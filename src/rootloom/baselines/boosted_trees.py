"""Gradient-boosted decision trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rootloom.baselines.base import Classifier, Sample, collect, require_both_classes, select
from rootloom.errors import DataError

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier


@dataclass(frozen=True)
class FittedTrees:
    """A boosted ensemble. parameters: thresholds and leaf values of all trees."""

    probability: ClassVar[bool] = True
    turned: ClassVar[str] = ""

    columns: tuple[int, ...]
    model: HistGradientBoostingClassifier
    parameters: int

    def score(self, columns: np.ndarray) -> np.ndarray:
        """(R, F) → (R,) probability of signal; see `FittedBaseline`."""
        return self.model.predict_proba(columns[:, list(self.columns)])[:, 1]


@dataclass(frozen=True)
class BoostedTrees(Classifier):
    """scikit-learn's histogram gradient boosting, stopped early on the validation split.

    variables: all by default.
    max_iter: largest number of trees. patience: the fit ends after so many trees without a smaller
    validation loss. learning_rate: factor on each tree. max_leaf_nodes: largest number of leaves of
    a tree. min_samples_leaf: smallest number of rows in a leaf. l2_regularization: L2 penalty on
    the values of the leaves. threads: of OpenMP; the result does not depend on it.
    max_rows: largest number of rows of a sample; of more, so many are drawn at random. seed: of
    the draw of `max_rows`.
    """

    signed: ClassVar[bool] = False
    reads: ClassVar[str | None] = "variables"

    variables: tuple[str, ...] | None = None
    learning_rate: float = 0.1
    max_iter: int = 500
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    patience: int = 20
    threads: int = 1
    max_rows: int = 2_000_000
    seed: int = 1

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """See `Classifier`."""
        return tuple(names) if self.variables is None else select(self.variables, names)

    def fit(self, train: Sample, validation: Sample) -> FittedTrees:
        """See `Classifier`; raises DataError for negative weights, which boosting cannot use."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        wanted = self.needs(train.names)
        columns = tuple(train.names.index(name) for name in wanted)
        train = self._prepare(train.columns(wanted), "the training split")
        validation = self._prepare(validation.columns(wanted), "the validation split")
        model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            n_iter_no_change=self.patience,
            early_stopping=True,
            random_state=self.seed,
        )
        # Waiting OpenMP threads would take much time on cores that other jobs use.
        with threadpool_limits(self.threads, user_api="openmp"):
            model.fit(
                train.x,
                train.target == 1,
                # Mean weight 1, so that the regularisation means the same for any normalisation.
                sample_weight=train.weight / train.weight.mean(),
                X_val=validation.x,
                y_val=validation.target == 1,
                sample_weight_val=validation.weight / validation.weight.mean(),
            )
        return FittedTrees(columns, model, _parameters(model))

    def _prepare(self, sample: Sample, what: str) -> Sample:
        sample = collect([sample], self.max_rows, self.seed)
        require_both_classes(sample, what)
        if (sample.weight < 0).any():
            raise DataError(
                f"weights of {what}",
                expected="no negative weights for boosted trees",
                found=f"{int((sample.weight < 0).sum())} negative ones",
                fix="negative_weights: absolute, or another baseline",
            )
        # Infinite values count as absent, as everywhere.
        x = np.where(np.isfinite(sample.x), sample.x, np.nan)
        return Sample(x, sample.target, sample.weight.astype(np.float64), sample.names)


def _parameters(model: HistGradientBoostingClassifier) -> int:
    # Not public, but the only place with the number of nodes; a test checks it.
    return sum(len(tree.nodes) for trees in model._predictors for tree in trees)
