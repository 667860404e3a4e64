"""Functions that order objects, and choose some by their index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import function
from rootloom.rootio.functions.values import (
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
def sort(x: Any, by: Any = None, *, descending: bool = False) -> Any:
    """The objects in the order of `by` (by default their own values), smallest first; equal ones
    keep their order.
    """
    by = x if by is None else by
    _check_key("sort", x, by)
    return x[_order("sort", by, descending)]


@function(GROUP, "argsort(Jet_btag)", [[0, 2, 1], [], [0]])
def argsort(x: Any, *, descending: bool = False) -> Any:
    """The indices of the objects from the smallest to the largest, for `take`."""
    return _order("argsort", x, descending)


@function(GROUP, "argmax(Jet_btag)", [1, -1, 0])
def argmax(x: Any) -> Any:
    """The index of the largest object; -1 if there is none."""
    return _place("argmax", ak.argmax, x)


@function(GROUP, "argmin(Jet_btag)", [0, -1, 0])
def argmin(x: Any) -> Any:
    """The index of the smallest object; -1 if there is none."""
    return _place("argmin", ak.argmin, x)


@function(GROUP, "max_by(Jet_pt, Jet_btag)", [50.0, np.nan, 100.0])
def max_by(x: Any, by: Any) -> Any:
    """The object with the largest `by`; NaN if there is none: `take(x, argmax(by))`."""
    _check_key("max_by", x, by)
    return take(x, argmax(by))


@function(GROUP, "min_by(Jet_pt, Jet_btag)", [80.0, np.nan, 100.0])
def min_by(x: Any, by: Any) -> Any:
    """The object with the smallest `by`; NaN if there is none: `take(x, argmin(by))`."""
    _check_key("min_by", x, by)
    return take(x, argmin(by))


@function(GROUP, "take(Jet_pt, Muon_jetIdx)", [[50.0, np.nan], [], [100.0]])
def take(x: Any, place: Any) -> Any:
    """The objects with these indices, one per entry or lists of them; NaN (four-vectors of NaN) for
    an index that does not exist, such as -1.
    """
    objects("take", x)
    place = whole("take", place)
    rank = depth(place)
    if rank < 1 or rank > 3:
        raise refuse("take", "a place an entry, or lists of places", place)
    if rank == 1:
        return take(x, place[:, np.newaxis])[:, 0]
    if rank == 3:
        inside = ak.flatten(ak.num(place, axis=2), axis=1)
        return ak.unflatten(take(x, ak.flatten(place, axis=2)), inside, axis=1)
    place = ak.from_regular(place, axis=1)
    there = (place >= 0) & (place < ak.num(x, axis=1))
    found = x[ak.mask(place, there)]
    return filled(found, axis=1) if depth(x) == 2 else ak.fill_none(found, [], axis=1)


def _check_key(what: str, x: Any, by: Any) -> None:
    rank = depth(objects(what, by))
    if depth(objects(what, x)) >= 2 and differing(x, by) is not None:
        raise ValueError("as many keys as objects in every entry")
    counts = ((ak.num(x, axis=axis), ak.num(by, axis=axis)) for axis in range(1, rank))
    if depth(objects(what, x)) < rank or not all(ak.all(a == b, axis=None) for a, b in counts):
        raise refuse(what, "as many keys as objects in every entry", by)


def _order(what: str, by: Any, descending: bool) -> Any:
    return ak.argsort(real(objects(what, by)), axis=-1, ascending=not descending, stable=True)


def _place(what: str, of: Callable[..., Any], x: Any) -> Any:
    return ak.fill_none(of(real(objects(what, x)), axis=-1), -1, axis=None)
