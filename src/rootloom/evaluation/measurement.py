"""A figure with its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Estimate(NamedTuple):
    """A figure of one sample and its statistical error; NaN where it is undefined."""

    value: float
    error: float


@dataclass(frozen=True)
class Measurement:
    """A figure over the M members (independent trainings) of a method.

    value: mean over members; statistical: error from the test sample's size; spread: standard
    deviation over members, None for one; None instead of an infinite or undefined value.
    at_least: lower limit at 68.27 % confidence where there is no error but such a limit.
    why: where value or error is missing, the reason in words.
    """

    value: float | None
    statistical: float | None
    spread: float | None
    median: float | None
    members: tuple[float | None, ...]
    at_least: float | None = None
    why: str | None = None


# How a figure is written: as the log of a job does, or rounded as the report does.
Quote = Callable[[Measurement], str]


def survivors(count: float, effective: float, total: int) -> str:
    """How many of the background rows are left, and what they are worth where weights differ."""
    left = f"{count:,.0f}" if count == round(count) else f"{count:,.1f}"
    worth = f" ({effective:,.3g} effective)" if effective < 0.9 * count else ""
    return f"{left}{worth} of {total:,}"


def unrounded(found: Measurement) -> str:
    """All digits of value, error and spread, and the reason where one is missing."""
    errors = "".join(f" ± {e}" for e in (found.statistical, found.spread) if e is not None)
    limit = "" if found.at_least is None else f", above {found.at_least}"
    return f"{found.value}{errors}{limit}" + (f" ({found.why})" if found.why else "")
