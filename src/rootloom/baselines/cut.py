"""A cut on one variable, scanned over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rootloom.baselines.base import Classifier, Sample, collect, require_both_classes, select
from rootloom.errors import DataError


@dataclass(frozen=True)
class FittedCut:
    """score = sign · (x − origin), or −|x − centre| for a window; absent values score `lowest`."""

    probability: ClassVar[bool] = False  # even if its values are in [0, 1]

    column: int
    sign: float
    centre: float | None
    lowest: float
    parameters: int
    origin: float = 0.0

    @property
    def turned(self) -> str:
        """How the score differs from the variable; it then gets another name."""
        if self.centre is not None:
            return "minus_distance"
        return "negated" if self.sign < 0 else ""

    def score(self, columns: np.ndarray) -> np.ndarray:
        """(R, F) → (R,); see `FittedBaseline`."""
        x = columns[:, self.column].astype(np.float64)
        value = _score(x - self.origin, self.sign, self.centre)
        # An absent value never passes a cut that a value of the training fails.
        return np.where(np.isfinite(value), value, self.lowest)


@dataclass(frozen=True)
class Cut(Classifier):
    """A one-sided cut on `variable`, or a symmetric window around `centre`.

    variable: to cut on. direction: keep values "above" or "below" the threshold; "auto" takes the
    side with a training AUC above one half. window: cut on the distance to `centre`. centre: of the
    window; by default the signal's weighted median in training. max_rows: largest number of rows of
    a sample; of more, so many are drawn at random. seed: of the draw of `max_rows`.
    """

    reads: ClassVar[str | None] = "variable"

    variable: str
    window: bool = False
    centre: float | None = None
    direction: Literal["auto", "above", "below"] = "auto"
    max_rows: int = 2_000_000
    seed: int = 1

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """See `Classifier`."""
        return select((self.variable,), names)

    def fit(self, train: Sample, validation: Sample) -> FittedCut:
        """See `Classifier`; the validation sample is not used."""
        column = train.names.index(self.needs(train.names)[0])
        train = collect([train], self.max_rows, self.seed)
        known = train.take(np.isfinite(train.x[:, column]))
        require_both_classes(known, f"finite '{self.variable}' in the training split")
        x, signal = known.x[:, column].astype(np.float64), known.target == 1
        weight = known.weight.astype(np.float64)
        if self.window:
            centre = self._centre(x[signal], weight[signal])
            score = _score(x, 1.0, centre)
            return FittedCut(column, 1.0, centre, float(score.min()), int(self.centre is None))
        sign, origin = self._sign(x, signal, weight), _origin(x)
        lowest = float(_score(x - origin, sign, None).min())
        return FittedCut(column, sign, None, lowest, int(self.direction == "auto"), origin)

    def _centre(self, x: np.ndarray, weight: np.ndarray) -> float:
        if self.centre is not None:
            return self.centre
        order = np.argsort(x, kind="stable")
        # With signed weights: where the cumulative sum first reaches half.
        cumulative = np.maximum.accumulate(np.cumsum(weight[order]))
        return float(x[order][np.searchsorted(cumulative, weight.sum() / 2)])

    def _sign(self, x: np.ndarray, signal: np.ndarray, weight: np.ndarray) -> float:
        if self.direction != "auto":
            return 1.0 if self.direction == "above" else -1.0
        from scipy.stats import rankdata

        if x.min() == x.max():
            raise DataError(
                f"'{self.variable}' in the training split",
                expected="more than one value to cut between",
                found=f"{x[0]:g} in all {len(x)} rows",
                fix="choose another variable, or a direction",
            )
        # Mean ranks rather than an area under a curve, because they allow negative weights.
        rank = rankdata(x)
        above = np.average(rank[signal], weights=weight[signal])
        below = np.average(rank[~signal], weights=weight[~signal])
        return 1.0 if above >= below else -1.0


def _origin(x: np.ndarray) -> float:
    """Origin of the scores: 0, or near the values if float32 could not separate them otherwise."""
    steps = np.spacing(np.abs(x).max().astype(np.float32))
    return float(np.median(x)) if steps > np.std(x) * 2.0**-12 else 0.0


def _score(x: np.ndarray, sign: float, centre: float | None) -> np.ndarray:
    return sign * x if centre is None else -np.abs(x - centre)
