"""Functions that reduce a list of objects to one value."""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import function
from rootloom.rootio.functions.values import (
    Value,
    axis_of,
    element,
    filled,
    is_vector,
    objects,
    primitive,
    real,
    refuse,
    truth,
    whole_or_real,
)

GROUP = "One value of several objects"


@function(GROUP, "count(Jet_pt > 40)", [2, 0, 1])
def count(x: Value, *, axis: int = -1) -> Value:
    """Number of objects; for a mask, the number of objects for which it is true."""
    axis = axis_of("count", x, axis)
    if primitive(x) == np.bool_:
        return ak.sum(x, axis=axis)
    return ak.num(x, axis=axis)


@function(GROUP, "sum(Jet_pt)", [160.0, 0.0, 100.0], name="sum")
def _sum(x: Value, *, axis: int = -1) -> Value:
    """Sum, 0 if there is no object; for a mask, how many are true; also of four-vectors."""
    axis = axis_of("sum", x, axis)
    return ak.sum(x if is_vector(x) else whole_or_real(x), axis=axis)


@function(GROUP, "prod(Jet_btag)", [0.036, 1.0, 0.7])
def prod(x: Value, *, axis: int = -1) -> Value:
    """Product, 1 if there is no object."""
    return ak.prod(real(x), axis=axis_of("prod", x, axis))


@function(GROUP, "mean(Jet_pt)", [53.3333, np.nan, 100.0])
def mean(x: Value, *, axis: int = -1) -> Value:
    """Mean, NaN if there is no object."""
    return _mean(real(x), axis_of("mean", x, axis))


@function(GROUP, "std(Jet_pt)", [20.548, np.nan, 0.0])
def std(x: Value, *, axis: int = -1) -> Value:
    """Standard deviation √⟨(x − ⟨x⟩)²⟩; NaN if there is no object."""
    axis, x = axis_of("std", x, axis), real(x)
    distance = x - ak.nan_to_num(_mean(x, axis, keepdims=True))
    return np.sqrt(_mean(distance * distance, axis))


@function(GROUP, "max(Jet_pt)", [80.0, np.nan, 100.0], name="max")
def _max(x: Value, *, axis: int = -1) -> Value:
    """The largest, NaN if there is no object."""
    return _extreme("max", ak.max, x, axis)


@function(GROUP, "min(Jet_pt)", [30.0, np.nan, 100.0], name="min")
def _min(x: Value, *, axis: int = -1) -> Value:
    """The smallest, NaN if there is no object."""
    return _extreme("min", ak.min, x, axis)


@function(GROUP, "any(Jet_pt > 90)", [False, False, True], name="any")
def _any(x: Value, *, axis: int = -1) -> Value:
    """Whether it is true for any object; false if there is no object."""
    return ak.any(truth(x), axis=axis_of("any", x, axis))


@function(GROUP, "all(Jet_pt > 40)", [False, True, True], name="all")
def _all(x: Value, *, axis: int = -1) -> Value:
    """Whether it is true for all objects; true if there is no object."""
    return ak.all(truth(x), axis=axis_of("all", x, axis))


@function(GROUP, "first(Jet_pt)", [80.0, np.nan, 100.0])
def first(x: Value) -> Value:
    """The first object, NaN if there is none: `x[:, 0]`."""
    return element(objects("first", x), 0)


def _mean(x: Value, axis: int, *, keepdims: bool = False) -> Value:
    total, number = (of(x, axis=axis, keepdims=keepdims) for of in (ak.sum, ak.count))
    return total / number


def _extreme(what: str, of: Callable[..., Value], x: Value, axis: int) -> Value:
    if is_vector(x):
        raise refuse(what, "numbers", x, "take(v, argmax(pt(v))[:, 0])")
    return filled(of(whole_or_real(x), axis=axis_of(what, x, axis)), axis=None)
