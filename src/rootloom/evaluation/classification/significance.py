"""Expected significance of discovery for given numbers of events, at the best cut on the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from rootloom.evaluation.classification.result import Significance
from rootloom.evaluation.members import known, summarise
from rootloom.evaluation.roc import Roc, crossing, effective_count, effective_rows, roc
from rootloom.evaluation.uncertainties import (
    CANCELS,
    MIN_EFFECTIVE_ROWS,
    NONE_LEFT,
    too_few,
    weighted_share,
)

# A cut must leave so many effective rows of background. With fewer, b has an uncertainty of a
# quarter from the rows alone, and the best of many thresholds is a downward fluctuation.
MINIMUM_ROWS = 20
NO_CUT = f"no cut: none is better that leaves {MINIMUM_ROWS} effective background rows"
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Counts:
    """Expected numbers of events before any cut.

    signal, background: numbers of events, to which the sums of weights are scaled. uncertainty:
    relative, of the background. regularisation: events added to the background; 10 in the AMS of
    HiggsML (Adam-Bourdarios et al., PMLR 42, 19 (2015), eq. 7).
    """

    signal: Positive
    background: Positive
    uncertainty: NotNegative = 0.0
    regularisation: NotNegative = 0.0

    def at(self, signal: np.ndarray | float, background: np.ndarray | float) -> np.ndarray:
        """Significance if these shares of signal and background pass, (...)."""
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

    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eq. 97, and Cowan's extension (2012) to a
    background measured in a Poisson control region. All arrays (...) ≥ 0; 0 without
    signal, infinite for signal without background.
    """
    s, b, variance = np.broadcast_arrays(signal, background, np.square(uncertainty))
    s, b, variance = (np.asarray(x, np.float64) for x in (s, b, variance))
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = (s + b) * np.log1p(s / b) - s
        ratio = variance / b
        known = (s + b) * np.log1p(s / (b + (s + b) * ratio))
        known -= b / ratio * np.log1p(s * ratio / (b * (1 + ratio)))
        half = np.where(variance > 0, known, plain)
    half = np.where(s > 0, np.where(b > 0, half, np.inf), 0.0)
    return np.sqrt(2.0 * np.maximum(half, 0.0))


def scan(curve: Roc, counts: Counts) -> np.ndarray:
    """Significance at every threshold of a ROC curve (K,); NaN where too few rows pass.

    Also NaN where negative weights cancel the background, which would look like a discovery.
    """
    passed = curve.background.efficiency
    found = counts.at(curve.signal.efficiency, np.maximum(passed, 0.0))
    rows = effective_count(curve.background.weight, curve.background.square)
    return np.where((rows >= MINIMUM_ROWS) & (passed > 0), found, np.nan)


def measure(
    name: str, members: Sequence[Sampled], curves: Sequence[Roc], counts: Counts, points: int
) -> Significance:
    """The significance of one method: value over members, and the scan of the threshold.

    The best of many thresholds looks too good on the rows that chose it. Each half of the events,
    by identity, is cut at the best threshold of the other half, so that the value is for
    independent data. The error is that of the shares that pass at these cuts. By toys (`benchmarks/
    toy_errors.py`) it is 0 to 17 % below the spread over samples where the cut is free, because the
    choice of the cut fluctuates as well. Where `MINIMUM_ROWS` limits the cut it is 10 to 70 %
    above, because the same number of background rows passes in every sample. For 400 rows with
    signed weights it is 25 % too small.
    """
    cuts = [_cross_cut(member, counts) for member in members]
    shares = [_Shares.of(m, passed) for m, passed in zip(members, cuts, strict=True)]
    why = [s.no_error() for s in shares]
    significance = [
        np.nan if r == CANCELS else s.at(counts) for s, r in zip(shares, why, strict=True)
    ]
    values = [known(z) for z in significance]
    errors = [None if r else s.error(counts) for s, r in zip(shares, why, strict=True)]
    targets = np.arange(1, points + 1) / points
    lines = [crossing(curve, targets).interpolate(scan(curve, counts)) for curve in curves]
    return Significance(
        name=name,
        value=summarise(values, errors, why=why),
        signal_efficiency=float(np.mean([s.signal for s in shares])),
        background_count=float(np.mean([s.background_rows for s in shares])),
        curve=tuple(
            (float(x), float(y))
            for x, y in zip(targets, np.median(lines, axis=0), strict=True)
            if np.isfinite(y)
        ),
    )


def _cross_cut(rows: Sampled, counts: Counts) -> np.ndarray:
    """Which rows pass the best threshold of the other half; (R,) bool."""
    # Hashed, because identities of other programs may be numbers in a meaningful order.
    half = (rows.id * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(63)).astype(bool)
    passed = np.zeros(len(half), bool)
    for number in (False, True):
        other = half != number
        # Half of few rows, or of signed weights, may have no rows of a class.
        if not all(rows.weight[other & of].sum() > 0 for of in (rows.signal, ~rows.signal)):
            other = np.ones(len(half), bool)
        curve = roc(rows.score[other], rows.signal[other], rows.weight[other])
        best = curve.threshold[_best(scan(curve, counts))]
        passed |= (half == number) & (rows.score >= best)
    return passed


def _best(significance: np.ndarray) -> int:
    """Index of the largest; the last index, where everything passes, if all are NaN."""
    if np.isnan(significance).all():
        return len(significance) - 1
    return int(np.nanargmax(significance))


class _Shares(NamedTuple):
    """Shares of signal and background that pass, their errors, and the background's rows.

    Errors are NaN where all rows of a class pass. effective: rows of signal, of background, and of
    background that passes.
    """

    signal: float
    background: float
    signal_error: float
    background_error: float
    background_rows: int
    effective: tuple[float, float, float]

    @classmethod
    def of(cls, rows: Sampled, passed: np.ndarray) -> _Shares:
        """Weighted shares, with their binomial errors."""
        classes = (rows.signal, ~rows.signal)
        found = [weighted_share(passed[member], rows.weight[member]) for member in classes]
        left = passed & ~rows.signal
        effective = [effective_rows(rows.weight[member]) for member in (*classes, left)]
        signal, background = found
        return cls(
            signal=float(np.clip(signal.value, 0.0, 1.0)),
            background=float(np.clip(background.value, 0.0, 1.0)),
            signal_error=signal.error,
            background_error=background.error,
            background_rows=int((left & (rows.weight != 0)).sum()),
            effective=(effective[0], effective[1], effective[2]),
        )

    def at(self, counts: Counts) -> float:
        """The significance."""
        return float(counts.at(self.signal, self.background))

    def no_error(self) -> str | None:
        """Why the significance has no error, or None where it has one."""
        signal, background, left = self.effective
        if reason := too_few("signal", signal) or too_few("background", background):
            return reason
        if self.background_rows == 0:
            return NONE_LEFT
        if self.background <= 0 or left < MIN_EFFECTIVE_ROWS:
            return CANCELS
        if np.isnan(self.signal_error) and np.isnan(self.background_error):
            return NO_CUT
        return too_few("surviving background", left)

    def error(self, counts: Counts) -> float:
        """Statistical error of the significance, by central differences over half an error."""
        # A class of which all rows pass has no error; that of the other class is larger.
        steps = (
            (np.nan_to_num(self.signal_error), 0.0),
            (0.0, np.nan_to_num(self.background_error)),
        )
        changes = [
            counts.at(self.signal + ds / 2, self.background + db / 2)
            - counts.at(max(self.signal - ds / 2, 0.0), max(self.background - db / 2, 0.0))
            for ds, db in steps
        ]
        return float(np.hypot(*changes))
