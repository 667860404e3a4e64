"""Discriminants of three or more classes in a configuration, and their checks.

Imports nothing heavy, because the plan uses this file before any job.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from rootloom.errors import ConfigError, require_known

# Fractions are written by hand: thirds with six digits must be accepted.
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Discriminant:
    """One class against a mixture of others: D = log(p_signal / Σ fraction · p).

    signal: a class. fractions: of the other classes in the mixture, with sum 1; 0 for a class that
    is not named. ATLAS's D_b, arXiv:2211.16345.
    """

    signal: str
    fractions: Mapping[str, Annotated[float, Field(ge=0)]]


def check_discriminants(
    discriminants: Mapping[str, Discriminant], classes: Collection[str], where: str
) -> None:
    """Refuse invalid discriminants of these classes; raises ConfigError naming the first."""
    for name, one in discriminants.items():
        of = f"{where}.{name}"
        if len(classes) < 3:
            raise ConfigError(
                of,
                expected="three classes or more",
                found=", ".join(classes),
                fix="leave it out: with two classes, the score is the discriminant",
            )
        require_known([one.signal], classes, f"{of}.signal", "a class of the dataset")
        require_known(one.fractions, classes, f"{of}.fractions", "classes of the dataset")
        if one.signal in one.fractions:
            raise ConfigError(
                f"{of}.fractions",
                expected=f"classes other than the signal '{one.signal}'",
                found=f"'{one.signal}'",
                fix="the signal is not part of the mixture",
            )
        _check_sum(one, f"{of}.fractions")


def _check_sum(one: Discriminant, where: str) -> None:
    total = math.fsum(one.fractions.values())
    # In this form NaN is refused as well.
    positive = all(share >= 0 for share in one.fractions.values())
    if not (positive and abs(total - 1) <= SUM_TOLERANCE):
        raise ConfigError(
            where,
            expected="numbers of at least 0 whose sum is 1",
            found=f"{', '.join(f'{k}: {v:g}' for k, v in one.fractions.items())} (sum {total:.6g})",
            fix="divide each by the sum",
        )
