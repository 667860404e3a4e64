"""A metric with its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Estimate(NamedTuple):
    """A metric of one sample and its statistical error; NaN if undefined."""

    value: float
    error: float


@dataclass(frozen=True)
class Measurement:
    """A metric over the M members (independent trainings) of a method.

    value: mean over members; statistical: error from the finite test sample; spread: standard
    deviation over members, None for one member; None instead of an infinite or undefined value.
    at_least: lower limit at 68.27 % confidence if there is a limit instead of an error.
    why: the reason in words if value or error is missing.
    """

    value: float | None
    statistical: float | None
    spread: float | None
    median: float | None
    members: tuple[float | None, ...]
    at_least: float | None = None
    why: str | None = None


# Formats a metric: unrounded for the log of a job, or rounded for the report.
Quote = Callable[[Measurement], str]


def survivors(count: float, effective: float, total: int) -> str:
    """Words for the background rows that pass a cut, with their effective number."""
    left = f"{count:,.0f}" if count == round(count) else f"{count:,.1f}"
    worth = f" ({effective:,.3g} effective)" if effective < 0.9 * count else ""
    return f"{left}{worth} of {total:,}"


def unrounded(found: Measurement) -> str:
    """All digits of value, error and spread, and the reason if one is missing."""
    errors = "".join(f" ± {e}" for e in (found.statistical, found.spread) if e is not None)
    limit = "" if found.at_least is None else f", above {found.at_least}"
    return f"{found.value}{errors}{limit}" + (f" ({found.why})" if found.why else "")
