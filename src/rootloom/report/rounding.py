"""Formatting of numbers: rounded to their errors, with grouped digits and units."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

THIN = "\u2009"  # thin space: groups digits, and keeps ± from breaking a line


def places(error: float) -> int:
    """Decimal places for an error; negative means tens, hundreds, …

    The Particle Data Group's rule (Review of Particle Physics, Introduction §5.3): of the three
    leading digits of the error, 100–354 keep two digits, 355–949 keep one, and 950–999 are rounded
    up to 1000 and keep two.
    """
    exact = Decimal(repr(float(error)))
    exponent = exact.adjusted()
    leading = int((exact.scaleb(2 - exponent)).to_integral_value(ROUND_HALF_EVEN))
    if leading >= 1000:  # 999.6 became 1000
        return -exponent
    return -exponent if leading >= 355 else 1 - exponent


def fixed(value: float, decimals: int) -> str:
    """A number with that many decimal places, digits grouped by thousands."""
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals))
    if rounded == 0:
        rounded = abs(rounded)  # no minus zero
    return f"{rounded:,f}".replace(",", THIN).replace("-", "\u2212")


def measurement(value: float | None, *errors: float | None) -> str:
    """`value ± error ± …`, all rounded to the first positive error; "–" for None.

    A value without a positive error gets two digits, because more would suggest a precision.
    """
    if value is None:
        return "–"
    known = [e for e in errors if e is not None]
    first = next((e for e in known if e > 0), None)
    if first is None:
        return bare(value)
    decimals = places(first)
    parts = [fixed(value, decimals), *(fixed(e, decimals) for e in known)]
    return f"{THIN}±{THIN}".join(parts)


def bare(value: float) -> str:
    """A value without an error: two digits of it, or of 1 − value if that is smaller."""
    lacking = 1 - value
    if 0 < lacking < value:
        return fixed(value, 1 - Decimal(repr(float(f"{lacking:.1e}"))).adjusted())
    return significant(value, 2)


def above(limit: float) -> str:
    """`> limit` for a lower limit, rounded down so that the printed limit holds.

    Two or three digits of the limit, or of 1 − limit if that is smaller.
    """
    lacking = 1 - limit
    decimals = places(min(limit / 10, lacking) if 0 < lacking < limit else limit / 10)
    step = Decimal(1).scaleb(-decimals)
    return f">{THIN}{fixed(float(Decimal(repr(limit)).quantize(step, ROUND_FLOOR)), decimals)}"


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, without an exponent."""
    # Through the exponential format, because rounding can carry into a new leading digit.
    exact = Decimal(f"{value:.{digits - 1}e}")
    return fixed(float(exact), digits - 1 - (exact.adjusted() if exact else 0))


def grouped(number: float) -> str:
    """A count, digits grouped by thousands; one decimal place if it is small and not whole."""
    whole = round(number)
    return fixed(number, 1) if abs(number - whole) > 0.05 and number < 10 else fixed(whole, 0)


def duration(seconds: float | None) -> str:
    """A time in seconds, minutes or hours; "–" for None."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{significant(seconds, 2) if seconds < 10 else fixed(seconds, 0)}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    hours, minutes = divmod(minutes, 60)
    return f"{grouped(hours)}{THIN}h {minutes:02d}{THIN}min"


def percent(share: float) -> str:
    """A share in per cent with two significant digits; never rounded to 0 or 100."""
    value = 100 * share
    if 0 < value < 0.01:
        return f"<{THIN}0.01{THIN}%"
    if 99.95 <= value < 100:
        return f">{THIN}99.9{THIN}%"
    return f"{fixed(value, 0 if value >= 99.95 or value == 0 else 1 if value >= 1 else 2)}{THIN}%"
