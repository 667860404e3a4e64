"""Cuts on a score: thresholds by what passes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rootloom.evaluation.roc import ROUNDING, Roc, effective_count, roc
from rootloom.evaluation.uncertainties import background_at, no_background_error

By = Literal["signal_efficiency", "background_rejection", "rate"]


@dataclass(frozen=True)
class Asked:
    """What cuts are asked for. input_rate, rate: of background before and after a cut, in Hz."""

    signal_efficiency: Sequence[float] = ()
    background_rejection: Sequence[float] = ()
    input_rate: float | None = None
    rate: Sequence[float] = ()


@dataclass(frozen=True)
class Cut:
    """Rows with scores at or above `threshold` pass: these shares of signal and background.

    by, target: what was asked for. error: statistical, of the background efficiency; None where
    there is none.
    """

    by: By
    target: float
    threshold: float
    signal_efficiency: float
    background_efficiency: float
    error: float | None


def cuts(score: np.ndarray, signal: np.ndarray, weight: np.ndarray, asked: Asked) -> list[Cut]:
    """The cuts asked for, by rows with score (R,), signal (R,) bool and weight (R,).

    A signal efficiency is reached by the tightest cut that has at least that; a rejection, and a
    rate, by the loosest cut that has at most that background. Those that no cut reaches, or that
    so few rows of background cannot show, are left out. Raises DataError when either class has no
    row or no positive sum of weights.
    """
    curve = roc(score, signal, weight)
    found = [_cut(curve, *one) for one in _places(curve, asked)]
    return [one for one in found if np.isfinite(one.threshold)]


def _places(curve: Roc, asked: Asked) -> Iterator[tuple[By, float, int]]:
    """Each request with the number of a point of the curve."""
    reached = np.maximum.accumulate(curve.signal.efficiency)
    for target in asked.signal_efficiency:
        place = np.searchsorted(reached, min(target * (1 - ROUNDING), reached[-1]), side="left")
        yield "signal_efficiency", target, int(place)
    shares: list[tuple[By, float, float]] = [
        ("background_rejection", rejection, 1 / rejection)
        for rejection in asked.background_rejection
    ]
    for rate in asked.rate:
        assert asked.input_rate is not None
        shares.append(("rate", rate, rate / asked.input_rate))
    background = curve.background
    rows = effective_count(background.weight[-1:], background.square[-1:])[0]
    for by, target, share in shares:
        if share * rows >= 1:
            yield by, target, _loosest(curve, share)


def _loosest(curve: Roc, background: float) -> int:
    """The last point up to which no more than this share of background passes."""
    passed = np.maximum.accumulate(curve.background.efficiency)
    return int(np.searchsorted(passed, background * (1 + ROUNDING), side="right")) - 1


def _cut(curve: Roc, by: By, target: float, place: int) -> Cut:
    efficiency = curve.signal.efficiency[place]
    at = background_at(curve, np.array([min(max(efficiency, 1e-12), 1.0)]))
    certain = efficiency > 0 and no_background_error(curve, at, 0) is None
    return Cut(
        by=by,
        target=float(target),
        threshold=float(curve.threshold[place]),
        signal_efficiency=float(efficiency),
        background_efficiency=float(curve.background.efficiency[place]),
        error=float(at.error[0]) if certain else None,
    )
