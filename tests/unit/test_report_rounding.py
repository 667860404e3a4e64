"""Rounding against the examples of the Particle Data Group."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootloom.report.rounding import (
    THIN,
    above,
    duration,
    fixed,
    grouped,
    measurement,
    percent,
    places,
    significant,
)

PM = f"{THIN}±{THIN}"


@pytest.mark.parametrize(("value", "error", "expected"), [
    # Review of Particle Physics, Introduction, section 5.3.
    (0.827, 0.119, f"0.83{PM}0.12"),
    (0.827, 0.367, f"0.8{PM}0.4"),
    # "for errors from 950 to 999, round up to 1000 and keep two digits"
    (14.674, 0.964, f"14.7{PM}1.0"),
    (0.92216, 0.000704, f"0.9222{PM}0.0007"),
    (83.27, 3.14, f"83.3{PM}3.1"),
    (1615.0, 93.0, f"1,620{PM}90".replace(",", THIN)),
    (12345.0, 951.0, f"12,300{PM}1,000".replace(",", THIN)),
    (0.0, 0.354, f"0.00{PM}0.35"),
    (0.0, 0.355, f"0.0{PM}0.4"),
    (5.0, 0.0, "5.0"),
    (-0.0004, 0.03, f"0.000{PM}0.030"),
    (-12.0, 1.5, f"\u221212.0{PM}1.5"),
])  # fmt: skip
def test_measurement(value, error, expected):
    assert measurement(value, error) == expected


def test_further_errors_follow_the_first():
    assert measurement(83.27, 3.14, 0.03) == f"83.3{PM}3.1{PM}0.0"
    assert measurement(83.27, None, 12.3) == f"83{PM}12"
    assert measurement(None, 1.0) == "–"
    # Without an error more than two digits would claim to be known.
    assert measurement(0.75, None, None) == "0.75"
    assert measurement(0.98765) == "0.988"
    assert measurement(1.0) == "1.0"
    assert measurement(123.4) == "120"


@given(st.floats(1e-12, 1e12))
def test_the_rounded_error_keeps_one_or_two_digits(error):
    decimals = places(error)
    kept = round(Decimal(repr(error)) * Decimal(10) ** decimals)
    assert 4 <= kept <= 35 or kept in (3, 10), kept
    assert kept < 36
    # Never more than 1/7 away: 0.355 → 0.4.
    assert abs(Decimal(kept).scaleb(-decimals) - Decimal(repr(error))) <= Decimal(repr(error)) / 7


@given(st.one_of(st.floats(1.001, 1e9), st.floats(1e-6, 0.999999)))
def test_a_limit_is_rounded_down(limit):
    printed = Decimal(above(limit).removeprefix(f">{THIN}").replace(THIN, ""))
    exact = Decimal(repr(limit))
    assert printed <= exact
    # By less than a third of it, or of what it lacks to 1 (0.9645 is printed as 0.96).
    assert exact - printed < min(exact, 1 - exact if 0 < 1 - exact < exact else exact) / 3


def test_small_helpers():
    assert fixed(-0.001, 2) == "0.00"
    assert significant(1234.5, 2) == f"1{THIN}200"
    assert significant(0.0, 2) == "0.0"
    assert grouped(48761) == f"48{THIN}761"
    assert grouped(3.4) == "3.4"
    assert grouped(1234.4) == f"1{THIN}234"


@pytest.mark.parametrize(("seconds", "expected"), [
    (None, "–"), (0.42, "0.42 s"), (9.96, "10 s"), (31.0, "31 s"), (59.96, "1 min 00 s"),
    (1630, "27 min 10 s"), (3599.7, "1 h 00 min"), (90_061, "25 h 01 min"),
])  # fmt: skip
def test_duration(seconds, expected):
    found = duration(seconds)
    assert found.replace(THIN, " ") == expected


@pytest.mark.parametrize(("share", "expected"), [
    (0, "0 %"), (1, "100 %"), (0.125, "12.5 %"), (0.004, "0.40 %"), (0.00001, "< 0.01 %"),
    (0.9999, "> 99.9 %"), (0.5, "50.0 %"),
])  # fmt: skip
def test_percent(share, expected):
    assert percent(share).replace(THIN, " ") == expected
