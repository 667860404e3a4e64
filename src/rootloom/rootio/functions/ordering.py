"""Functions that order objects, and choose some by their index."""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import function
from rootloom.rootio.functions.values import (
    Value,
    depth,
    differing,
    filled,
    objects,
    real,
    refuse,
    whole,
)

GROUP = "Order and choice"


@function(GROUP, "sort(Jet_pt, Jet_btag)", [[80.0, 30.0, 50.0], [], [100.0]])
def sort(x: Value, by: Value | None = None, *, descending: bool = False) -> Value:
    """The objects in the order of `by` (by default their own values), smallest first; equal ones
    keep their order.
    """
    by = x if by is None else by
    _check_key("sort", x, by)
    return objects("sort", x)[_order("sort", by, descending)]


@function(GROUP, "argsort(Jet_btag)", [[0, 2, 1], [], [0]])
def argsort(x: Value, *, descending: bool = False) -> Value:
    """The indices of the objects from the smallest to the largest, for `take`."""
    return _order("argsort", x, descending)


@function(GROUP, "argmax(Jet_btag)", [1, -1, 0])
def argmax(x: Value) -> Value:
    """The index of the largest object; -1 if there is none."""
    return _place("argmax", ak.argmax, x)


@function(GROUP, "argmin(Jet_btag)", [0, -1, 0])
def argmin(x: Value) -> Value:
    """The index of the smallest object; -1 if there is none."""
    return _place("argmin", ak.argmin, x)


@function(GROUP, "max_by(Jet_pt, Jet_btag)", [50.0, np.nan, 100.0])
def max_by(x: Value, by: Value) -> Value:
    """The object with the largest `by`; NaN if there is none: `take(x, argmax(by))`."""
    _check_key("max_by", x, by)
    return take(x, argmax(by))


@function(GROUP, "min_by(Jet_pt, Jet_btag)", [80.0, np.nan, 100.0])
def min_by(x: Value, by: Value) -> Value:
    """The object with the smallest `by`; NaN if there is none: `take(x, argmin(by))`."""
    _check_key("min_by", x, by)
    return take(x, argmin(by))


@function(GROUP, "take(Jet_pt, Muon_jetIdx)", [[50.0, np.nan], [], [100.0]])
def take(x: Value, place: Value) -> ak.Array:
    """The objects with these indices, one per entry or lists of them; NaN (four-vectors of NaN) for
    an index that does not exist, such as -1.
    """
    lists = objects("take", x)
    places: ak.Array = whole("take", place)
    rank = depth(places)
    if rank < 1 or rank > 3:
        raise refuse("take", "a place an entry, or lists of places", places)
    if rank == 1:
        return take(lists, places[:, np.newaxis])[:, 0]
    if rank == 3:
        inside = ak.flatten(ak.num(places, axis=2), axis=1)
        return ak.unflatten(take(lists, ak.flatten(places, axis=2)), inside, axis=1)
    places = ak.from_regular(places, axis=1)
    there = (places >= 0) & (places < ak.num(lists, axis=1))
    found = lists[ak.mask(places, there)]
    return filled(found, axis=1) if depth(lists) == 2 else ak.fill_none(found, [], axis=1)


def _check_key(what: str, x: Value, by: Value) -> None:
    rank = depth(objects(what, by))
    if depth(objects(what, x)) >= 2 and differing(x, by) is not None:
        raise ValueError("as many keys as objects in every entry")
    counts = ((ak.num(x, axis=axis), ak.num(by, axis=axis)) for axis in range(1, rank))
    if depth(objects(what, x)) < rank or not all(ak.all(a == b, axis=None) for a, b in counts):
        raise refuse(what, "as many keys as objects in every entry", by)


def _order(what: str, by: Value, descending: bool) -> ak.Array:
    return ak.argsort(real(objects(what, by)), axis=-1, ascending=not descending, stable=True)


def _place(what: str, of: Callable[..., Value], x: Value) -> Value:
    return ak.fill_none(of(real(objects(what, x)), axis=-1), -1, axis=None)
