"""The functions expressions may call, over NumPy and Awkward arrays of entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np


def delta_phi(a: Any, b: Any) -> Any:
    """a − b brought to [−π, π), rad."""
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def element(values: Any, position: int) -> Any:
    """Object number `position` of every entry; NaN where an entry has fewer objects."""
    if isinstance(values, np.ndarray):
        return values[:, position]
    length = position + 1 if position >= 0 else -position
    # From the end, padding must come first: reversed, the last object is the first.
    padded = ak.pad_none(values if position >= 0 else values[:, ::-1], length, axis=1)
    return ak.fill_none(padded[:, length - 1], np.nan)


def _first(values: Any) -> Any:
    return element(values, 0)


def _reduced(reduce: Callable[..., Any]) -> Callable[[Any], Any]:
    def over_objects(values: Any) -> Any:
        return ak.fill_none(reduce(values, axis=-1), np.nan)

    return over_objects


def _count(values: Any) -> Any:
    return ak.num(values, axis=-1)


def _sum(values: Any) -> Any:
    return ak.sum(values, axis=-1)


def _any(values: Any) -> Any:
    return ak.any(values, axis=-1)


def _all(values: Any) -> Any:
    return ak.all(values, axis=-1)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return ak.where(condition, yes, no)


# The largest and smallest of no object are NaN, their number and sum 0, any false, all true.
OVER_OBJECTS: dict[str, Callable[..., Any]] = {
    "count": _count,
    "sum": _sum,
    "any": _any,
    "all": _all,
    "max": _reduced(ak.max),
    "min": _reduced(ak.min),
    "first": _first,
}

_UNARY_NAMES = [
    "sqrt",
    "cbrt",
    "log",
    "log2",
    "log10",
    "log1p",
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "arcsin",
    "arccos",
    "arctan",
    "arcsinh",
    "arccosh",
    "arctanh",
    "floor",
    "ceil",
    "sign",
    "isfinite",
    "isnan",
]
_BINARY_NAMES = ["minimum", "maximum", "arctan2", "hypot"]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in (*_UNARY_NAMES, *_BINARY_NAMES)},
    **OVER_OBJECTS,
    "abs": np.absolute,
    "round": np.rint,
    "where": _where,
    "delta_phi": delta_phi,
}

ARGUMENTS: dict[str, int] = {
    **dict.fromkeys(FUNCTIONS, 1),
    **dict.fromkeys((*_BINARY_NAMES, "delta_phi"), 2),
    "where": 3,
}
