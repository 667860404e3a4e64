"""One figure from several trainings of the same method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rootloom.evaluation.measurement import Estimate, Measurement


def summarise(values: Sequence[float | None], errors: Sequence[float | None]) -> Measurement:
    """One figure from M trainings: mean, mean statistical error, spread and median.

    The members see the same test rows, so their statistical errors do not average down. `None`
    stands for a value that is infinite or undefined; one of them makes the mean undefined too.
    """
    known = [v for v in values if v is not None]
    complete = len(known) == len(values)
    known_errors = [e for e in errors if e is not None]
    several = complete and len(values) > 1
    return Measurement(
        value=float(np.mean(known)) if complete else None,
        statistical=float(np.mean(known_errors)) if complete and known_errors else None,
        spread=float(np.std(known, ddof=1)) if several else None,
        median=float(np.median(known)) if complete else None,
        members=tuple(values),
    )


def over_members(found: Sequence[Estimate]) -> Measurement:
    """The same of estimates, one a training."""
    return summarise([known(e.value) for e in found], [known(e.error) for e in found])


def known(value: float) -> float | None:
    """None instead of an infinite or undefined value."""
    return float(value) if np.isfinite(value) else None
