"""A figure with its errors."""

from __future__ import annotations

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
    """

    value: float | None
    statistical: float | None
    spread: float | None
    median: float | None
    members: tuple[float | None, ...]
