"""A baseline: the variable whose means are furthest apart."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rootloom.baselines.base import Classifier, select


@dataclass(frozen=True)
class Best:
    probability: ClassVar[bool] = False
    turned: ClassVar[str] = ""
    parameters: ClassVar[int] = 1

    column: int

    def score(self, columns):
        return columns[:, self.column].astype(np.float64)


@dataclass(frozen=True)
class Furthest(Classifier):
    """The variable whose means differ most. variables: from which it chooses."""

    reads: ClassVar[str] = "variables"

    variables: tuple[str, ...] = ("pt",)
    max_rows: int = 1000
    seed: int = 1

    def needs(self, names):
        return select(self.variables, names)

    def fit(self, train, validation):
        means = [train.x[train.target == k].mean(axis=0) for k in (0, 1)]
        return Best(int(np.argmax(means[1] - means[0])))
