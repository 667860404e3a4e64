"""Expected significance of discovery for given numbers of events, at the best cut on the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from rootloom.evaluation.classification_results import Significance
from rootloom.evaluation.members import summarise
from rootloom.evaluation.metrics import Roc, effective_count, effective_rows, roc

# A cut is not considered when fewer effective rows of background survive: a quarter of uncertainty
# on b from the rows alone, and the largest of many thresholds is then a downward fluctuation.
MINIMUM_ROWS = 20
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Counts:
    """What is expected before any cut.

    signal, background: events, whatever the sums of weights are. uncertainty: of the background,
    relative. regularisation: events added to the background; 10 in the AMS of HiggsML.
    """

    signal: Positive
    background: Positive
    uncertainty: NotNegative = 0.0
    regularisation: NotNegative = 0.0

    def at(self, signal: np.ndarray | float, background: np.ndarray | float) -> np.ndarray:
        """Significance where these shares of signal and background survive, (...)."""
        b = self.background * background
        added = b + self.regularisation
        return asimov_significance(self.signal * signal, added, self.uncertainty * b)


class Sampled(NamedTuple):
    """Rows of one member. score, weight: (R,) float64; signal: (R,) bool; id: (R,) uint64.

    id: of the row's event: objects of one event stay together.
    """

    score: np.ndarray
    signal: np.ndarray
    weight: np.ndarray
    id: np.ndarray


def asimov_significance(
    signal: np.ndarray | float,
    background: np.ndarray | float,
    uncertainty: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Median significance of `signal` events above a background known to ± `uncertainty` events.

    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eq. 97, and Cowan's extension of it (2012) to a
    background measured in a Poisson control region. All arrays (...) ≥ 0; 0 where there is no
    signal, infinite for signal without background.
    """
    s, b, variance = np.broadcast_arrays(signal, background, np.square(uncertainty))
    s, b, variance = (np.asarray(x, np.float64) for x in (s, b, variance))
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = (s + b) * np.log1p(s / b) - s
        ratio = variance / b
        known = (s + b) * np.log((s + b) * (1 + ratio) / (b + (s + b) * ratio))
        known -= b / ratio * np.log1p(s * ratio / (b * (1 + ratio)))
        half = np.where(variance > 0, known, plain)
    half = np.where(s > 0, np.where(b > 0, half, np.inf), 0.0)
    return np.sqrt(2.0 * np.maximum(half, 0.0))


def approximate_median_significance(
    signal: np.ndarray | float, background: np.ndarray | float, regularisation: float = 10.0
) -> np.ndarray:
    """AMS = √(2[(s + b + b_r) ln(1 + s/(b + b_r)) − s]), the metric of HiggsML.

    Adam-Bourdarios et al., "The Higgs boson machine learning challenge", PMLR 42, 19 (2015), eq. 7;
    signal, background: sums of weights (...) above a cut.
    """
    return asimov_significance(signal, np.asarray(background) + regularisation)


def scan(curve: Roc, counts: Counts) -> np.ndarray:
    """Significance at every threshold of a ROC curve (K,); NaN where too few rows survive."""
    found = counts.at(curve.signal.efficiency, np.maximum(curve.background.efficiency, 0.0))
    rows = effective_count(curve.background.weight, curve.background.square)
    return np.where(rows >= MINIMUM_ROWS, found, np.nan)


def measure(
    name: str, members: Sequence[Sampled], curves: Sequence[Roc], counts: Counts, points: int
) -> Significance:
    """The significance of one method: value over members, and the scan of the threshold.

    The best of many thresholds looks better on the rows that chose it. Each half of the events, by
    identity, is cut where the other half is best, so that the value is one of unseen data.
    """
    cuts = [_cross_cut(member, counts) for member in members]
    shares = [_Shares.of(m, passed) for m, passed in zip(members, cuts, strict=True)]
    significance = [float(counts.at(s.signal, s.background)) for s in shares]
    values = [z if np.isfinite(z) else None for z in significance]
    targets = np.arange(1, points + 1) / points
    lines = [np.interp(targets, curve.signal.efficiency, scan(curve, counts)) for curve in curves]
    return Significance(
        name=name,
        value=summarise(values, [s.error(counts) for s in shares]),
        signal_efficiency=float(np.mean([s.signal for s in shares])),
        background_count=float(np.mean([s.background_rows for s in shares])),
        curve=tuple(
            (float(x), float(y))
            for x, y in zip(targets, np.median(lines, axis=0), strict=True)
            if np.isfinite(y)
        ),
    )


def _cross_cut(rows: Sampled, counts: Counts) -> np.ndarray:
    """Which rows pass the threshold that is best on the half they do not belong to; (R,) bool."""
    # Mixed, because other people's identities may be numbers in an order that means something.
    half = (rows.id * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(63)).astype(bool)
    passed = np.zeros(len(half), bool)
    for number in (False, True):
        other = half != number
        if not (rows.signal[other].any() and (~rows.signal[other]).any()):
            other = np.ones(len(half), bool)
        curve = roc(rows.score[other], rows.signal[other], rows.weight[other])
        best = curve.threshold[_best(scan(curve, counts))]
        passed |= (half == number) & (rows.score >= best)
    return passed


def _best(significance: np.ndarray) -> int:
    """Position of the largest; the last one, where everything passes, when none is known."""
    if np.isnan(significance).all():
        return len(significance) - 1
    return int(np.nanargmax(significance))


class _Shares(NamedTuple):
    """Shares of signal and background that pass, their errors, and the background's rows."""

    signal: float
    background: float
    signal_error: float
    background_error: float
    background_rows: int

    @classmethod
    def of(cls, rows: Sampled, passed: np.ndarray) -> _Shares:
        """Weighted shares, with binomial errors at the effective numbers of rows."""
        found: list[float] = []
        errors: list[float] = []
        for member in (rows.signal, ~rows.signal):
            weight = rows.weight[member]
            total = weight.sum()
            share = float(np.clip(weight[passed[member]].sum() / total, 0.0, 1.0))
            found.append(share)
            errors.append(float(np.sqrt(share * (1 - share) / effective_rows(weight))))
        left = int((passed & ~rows.signal).sum())
        return cls(found[0], found[1], errors[0], errors[1], left)

    def error(self, counts: Counts) -> float:
        """Statistical error of the significance, by central differences over half an error."""
        steps = ((self.signal_error, 0.0), (0.0, self.background_error))
        changes = [
            counts.at(self.signal + ds / 2, self.background + db / 2)
            - counts.at(max(self.signal - ds / 2, 0.0), max(self.background - db / 2, 0.0))
            for ds, db in steps
        ]
        return float(np.hypot(*changes))
