"""Helpers of all functions: number types, axes and absent objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeGuard

import awkward as ak
import numpy as np
from numpy.typing import DTypeLike

from rootloom.errors import ConfigError

# What expressions calculate with: branches, flat ones in NumPy, and plain numbers.
Value: TypeAlias = "ak.Array | np.ndarray | float"

# Words for a value with 0, 1, 2, … axes.
_SHAPES = (
    "one for any",
    "one for each",
    "a list for each",
    "a list for each object of each",
    "lists in lists for each object of each",
)
_KINDS = {"b": "truths", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}


def refuse(what: str, expected: str, value: object, fix: str = "") -> ConfigError:
    """The error for a value inside an expression, to be raised."""
    return ConfigError(what, expected=expected, found=in_words(value), fix=fix)


def in_words(value: object, entry: str = "entry") -> str:
    """Words for a value in messages: its type, and how many values there are for each `entry`."""
    if not isinstance(value, ak.Array | np.ndarray):
        return repr(value)[:200]
    shape = _SHAPES[min(depth(value), len(_SHAPES) - 1)]
    return f"{_made_of(value)}, {shape} {entry}"


def _made_of(value: Value) -> str:
    if is_words(value):
        return "words"
    if is_vector(value):
        return "four-vectors"
    dtype = primitive(value)
    return "no numbers" if dtype is None else _KINDS.get(dtype.kind, f"{dtype}")


def depth(value: Value) -> int:
    """Number of axes of a value: 0 for a number, 1 for one value per entry, 2 for lists."""
    return (
        int(ak.to_layout(value).purelist_depth) if isinstance(value, ak.Array) else np.ndim(value)
    )


def primitive(value: Value) -> np.dtype | None:
    """The type of a value's numbers; None if it does not consist of numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype
    if not isinstance(value, ak.Array):
        return np.result_type(value) if isinstance(value, bool | int | float) else None
    return _primitive(ak.to_layout(value))


def _primitive(layout: ak.contents.Content) -> np.dtype | None:
    while not layout.is_numpy:
        if layout.is_unknown:
            return np.dtype(np.float64)
        if layout.parameter("__array__") in ("string", "bytestring", "char") or not (
            layout.is_list or layout.is_option or layout.is_indexed
        ):
            return None
        layout = layout.content
    found: np.dtype = layout.dtype
    return None if layout.parameter("__array__") in ("char", "byte") else found


def is_words(value: Value) -> bool:
    """Whether a value is a branch of words."""
    if not isinstance(value, ak.Array):
        return isinstance(value, np.ndarray) and value.dtype.kind in "US"
    layout = ak.to_layout(value)
    while layout.parameter("__array__") not in ("string", "bytestring"):
        if not (layout.is_list or layout.is_option or layout.is_indexed):
            return False
        layout = layout.content
    return True


def is_vector(value: Value) -> TypeGuard[ak.Array]:
    """Whether a value is made of four-vectors."""
    return isinstance(value, ak.Array | ak.Record) and bool(ak.fields(value))


def as_type(value: Value, dtype: DTypeLike) -> Value:
    """Numbers of any shape in another type."""
    if primitive(value) == np.dtype(dtype):
        return value
    if isinstance(value, ak.Array):
        return ak.values_astype(value, dtype)
    return np.asarray(value, dtype)[()]


def whole_or_real(value: Value) -> Value:
    """Numbers to calculate with; booleans become 0 and 1 in int64."""
    return as_type(value, np.int64) if _numbers(value).kind == "b" else value


def real(value: Value) -> Value:
    """Numbers in float64."""
    _numbers(value)
    return as_type(value, np.float64)


def whole(what: str, value: Value) -> Value:
    """Whole numbers in int64."""
    if _numbers(value).kind not in "biu":
        raise refuse(what, "whole numbers", value)
    return as_type(value, np.int64)


def truth(value: Value) -> Value:
    """True where a number is neither 0 nor NaN."""
    kind = _numbers(value).kind
    if kind == "b":
        return value
    return (value != 0) & (value == value) if kind == "f" else value != 0


def _numbers(value: Value) -> np.dtype:
    dtype = primitive(value)
    if dtype is None or dtype.kind not in "biuf":
        fix = "mass(v), pt(v) and their like make numbers of four-vectors"
        if is_words(value):
            fix = 'words can only be compared: sample == "wjets"'
        raise refuse("a calculation", "numbers", value, fix)
    return dtype


def objects(what: str, value: Value) -> ak.Array:
    """A value that has several objects an entry. Raises ConfigError for one that has not."""
    if depth(value) < 2:
        raise refuse(what, "several objects an entry", value, "one value an entry needs no such")
    return value


def axis_of(what: str, value: Value, axis: int) -> int:
    """An axis counted from the outside: 1 for an entry's objects, 2 for lists inside them.

    Raises ConfigError for the axis of entries, and for one that does not exist.
    """
    rank = depth(objects(what, value))
    found = axis + rank if axis < 0 else axis
    if not 1 <= found < rank:
        raise refuse(
            f"{what}: axis={axis}",
            f"1 to {rank - 1}, or -1 for the innermost: entries (axis 0) stay apart",
            value,
        )
    return found


def differing(one: Value, other: Value) -> tuple[int, int, int] | None:
    """The first entry in which two collections differ in their numbers of objects, with these."""
    counts = [ak.to_numpy(ak.num(value, axis=1)) for value in (one, other)]
    entries = np.flatnonzero(counts[0] != counts[1])
    if not len(entries):
        return None
    first = int(entries[0])
    return first, int(counts[0][first]), int(counts[1][first])


def filled(value: Value, axis: int | None = -1) -> Value:
    """NaN for absent numbers, false for truths, "" for words, NaN in all parts for four-vectors."""
    if is_vector(value):
        parts = {name: filled(value[name], axis) for name in ak.fields(value)}
        return ak.zip(parts, with_name="Momentum4D", behavior=value.behavior)
    if is_words(value):
        return ak.fill_none(value, "", axis=axis)
    if primitive(value) == np.bool_:
        return ak.fill_none(value, False, axis=axis)
    return ak.fill_none(real(value), np.nan, axis=axis)


def element(values: Value, position: int, axis: int = 1) -> Value:
    """Object number `position` of every list; NaN where there are fewer, or an empty list."""
    what = f"[{', '.join([*':' * axis, str(position)])}]"
    lists = objects(what, values)
    rank = depth(lists)
    if axis >= rank:
        raise refuse(what, f"at least {axis + 1} axes", values)
    length = position + 1 if position >= 0 else -position
    before = (slice(None),) * axis
    # Counted from the end: reverse the lists, so that the padding comes after the objects.
    turned = lists if position >= 0 else lists[(*before, slice(None, None, -1))]
    found = ak.pad_none(turned, length, axis=axis)[(*before, length - 1)]
    if axis == rank - 1:
        return filled(found)
    return ak.fill_none(found, [], axis=axis - 1)


def each(values: ak.Array, of: Callable[[ak.Array], ak.Array]) -> ak.Array:
    """Apply a function of lists, also to lists inside lists."""
    if depth(values) <= 2:
        return of(values)
    counts = ak.num(values, axis=1)
    return ak.unflatten(each(ak.flatten(values, axis=1), of), counts)
