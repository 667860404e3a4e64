"""Objects of another collection gathered to the objects that are rows, such as a jet's candidates.

What belongs to a row is found once a range of entries: `Places`. Expressions of a gathered
collection then see branches through `Gathered`: those of its objects, of the links to them and of
the rows have one value for each object of each row, and others are the event's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError, DataError
from rootloom.rootio.definitions import gather_rewritten
from rootloom.rootio.expressions import Arrays, Expression
from rootloom.rootio.functions.values import Value, depth, real, truth, whole
from rootloom.rootio.names import INSIDE

# Of the numbers of objects that TRefArrays refer to, without the process that made them.
_UNIQUE = 0xFFFFFF


class GatherRule(NamedTuple):
    """Which objects of the collection `of` belong to a row; see `config.sections.Gather`.

    One of `row`, `links`, `references` and `lists` says so. All but `of` and `most` are
    expressions. lists: indices of the objects of each row.
    """

    of: str
    row: str | None = None
    object: str | None = None
    links: str | None = None
    references: str | None = None
    lists: str | None = None
    select: str | None = None
    sort: str | None = None
    most: int | None = None

    def expressions(self) -> dict[str, str]:
        """Its expressions by their key, and that of the numbers of referred objects."""
        found: dict[str, str] = {}

        def note(key: str, text: str) -> str:
            found[key] = text
            return text

        self.rewritten(note)
        return found | ({"numbers": f"{self.of}.fUniqueID"} if self.references else {})

    def rewritten(self, one: Callable[[str, str], str]) -> GatherRule:
        """The rule with `one(key, text)` in place of each of its expressions."""
        return GatherRule(**gather_rewritten(self._asdict(), one))


def belongs(name: str, collection: str) -> bool:
    """Whether a branch is of a collection: `Jet`, `Jet_pt`, `Jet.PT`, `Jet/pt`."""
    marks = tuple(collection + mark for mark in ("_", ".", INSIDE))
    return name == collection or name.startswith(marks)


@dataclass(frozen=True)
class Places:
    """P objects in R rows of E entries, row after row.

    per_entry: (E,) int64, rows of each. row: (P,) int64, number of the row among all, not falling.
    object: (P,) int64, index among the objects of the entry. link: likewise among the links of the
    entry; None where no table of links is.
    """

    per_entry: np.ndarray
    row: np.ndarray
    object: np.ndarray
    link: np.ndarray | None = None

    @property
    def entry(self) -> np.ndarray:
        """(P,) int64."""
        found: np.ndarray = np.repeat(np.arange(len(self.per_entry)), self.per_entry)[self.row]
        return found

    def only(self, chosen: np.ndarray) -> Places:
        """Some of the objects, by a mask or by their numbers, which keep rows together."""
        link = None if self.link is None else self.link[chosen]
        return replace(self, row=self.row[chosen], object=self.object[chosen], link=link)

    def sorted(self, key: np.ndarray) -> Places:
        """The same with the largest key (P,) of each row first; NaN last, equal ones as before."""
        return self.only(np.lexsort((np.where(np.isnan(key), np.inf, -key), self.row)))

    def leading(self, most: int) -> Places:
        """The first `most` of each row."""
        first = np.searchsorted(self.row, self.row)
        return self.only(np.arange(len(self.row)) - first < most)

    def laid_out(self, flat: ak.Array) -> ak.Array:
        """Values of the objects (P, …) as (E, rows, objects, …)."""
        counts = np.bincount(self.row, minlength=int(self.per_entry.sum()))
        return ak.unflatten(ak.unflatten(flat, counts), self.per_entry)


class Gathered(Mapping[str, Value]):
    """Branches as the expressions of a gathered collection see them.

    Raises DataError for a place beyond the objects of an entry, naming the entry.
    """

    def __init__(self, arrays: Arrays, places: Places, rule: GatherRule, rows: str) -> None:
        self._arrays, self._places, self._rule, self._rows = arrays, places, rule, rows
        self._table = table_of(rule)

    def __getitem__(self, name: str) -> Value:
        value, places = self._arrays[name], self._places
        if belongs(name, self._rule.of):
            return self._read(name, value, places.object)
        if places.link is not None and self._table and belongs(name, self._table):
            return self._read(name, value, places.link)
        if belongs(name, self._rows):
            first = np.cumsum(places.per_entry) - places.per_entry
            return self._read(name, value, places.row - first[places.entry])
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def _read(self, name: str, value: Value, place: np.ndarray) -> ak.Array:
        if depth(value) < 2:
            raise ConfigError(
                f"gathered branch '{name}'",
                expected="several objects an entry",
                found="one value an entry",
            )
        lists = ak.from_regular(ak.Array(value), axis=1)
        counts = ak.to_numpy(ak.num(lists, axis=1)).astype(np.int64)
        entry = self._places.entry
        _require_inside(place, counts[entry], entry + self._arrays.start, name)
        first = np.cumsum(counts) - counts
        return self._places.laid_out(ak.flatten(lists, axis=1)[first[entry] + place])


def table_of(rule: GatherRule) -> str | None:
    """The collection whose branch is the index of rows: JetPFCands of JetPFCands_jetIdx."""
    name = Expression(rule.row).bare if rule.row else None
    return name[: max(name.rfind("_"), name.rfind("."))] if name else None


def gather(rule: GatherRule, name: str, arrays: Arrays, per_entry: np.ndarray, rows: str) -> Arrays:
    """The branches as expressions of the gathered collection `name` see them.

    per_entry: (E,) int64, rows of each entry; rows: the collection of the rows. Raises DataError
    for an index, link or reference that leads nowhere, ConfigError for values of another shape.
    """
    found = _Finder(rule, name, arrays, per_entry, rows)
    places = found.places()
    for key, of in (("select", _selected), ("sort", _sorted)):
        if getattr(rule, key):
            places = of(places, found.of_objects(key, places))
    if rule.most is not None:
        places = places.leading(rule.most)
    return Arrays(Gathered(arrays, places, rule, rows), arrays.start)


def _selected(places: Places, value: Value) -> Places:
    return places.only(ak.to_numpy(truth(value)))


def _sorted(places: Places, value: Value) -> Places:
    return places.sorted(ak.to_numpy(real(value)))


class _Finder:
    """Finds the places of one gathered collection in a range of entries."""

    def __init__(
        self, rule: GatherRule, name: str, arrays: Arrays, per_entry: np.ndarray, rows: str
    ) -> None:
        self._rule, self._name, self._arrays = rule, name, arrays
        self._per_entry, self._rows = per_entry, rows
        self._texts = rule.expressions()

    def places(self) -> Places:
        """All objects of all rows, in the file's order."""
        rule = self._rule
        if rule.links:
            return self._linked()
        if rule.references:
            return self._referred()
        if rule.row:
            return self._indexed(whole(f"gather.{self._name}.row", self._value("row")))
        return self._places_of(whole(f"gather.{self._name}", self._value("lists")))

    def of_objects(self, key: str, places: Places) -> Value:
        """An expression's value of each object, (P,)."""
        view = Arrays(Gathered(self._arrays, places, self._rule, self._rows), self._arrays.start)
        value = self._expression(key).evaluate(view)
        if depth(value) != 3:
            raise self._expression(key).refuse(
                "a value of each gathered object", "one of something else"
            )
        return ak.flatten(ak.flatten(value, axis=2), axis=1)

    def _expression(self, key: str) -> Expression:
        return Expression(self._texts[key], f"gather.{self._name}.{key}: '{self._texts[key]}'")

    def _value(self, key: str) -> ak.Array:
        value = self._expression(key).evaluate(self._arrays)
        if depth(value) < 2:
            raise self._expression(key).refuse("several objects an entry", "one value an entry")
        return ak.from_regular(ak.Array(value), axis=1)

    def _indexed(self, row_of: Value) -> Places:
        """From the row of each link or object (E, L), negative for none."""
        counts = ak.to_numpy(ak.num(row_of, axis=1))
        entry = np.repeat(np.arange(len(counts)), counts)
        row, link = (ak.to_numpy(ak.flatten(x, axis=1)) for x in (row_of, ak.local_index(row_of)))
        there = row >= 0
        thing = link
        if self._rule.object:
            index = whole(f"gather.{self._name}.object", self._value("object"))
            if not np.array_equal(ak.to_numpy(ak.num(index, axis=1)), counts):
                raise self._unequal()
            thing = ak.to_numpy(ak.flatten(index, axis=1))
            there &= thing >= 0
        entry, row, link, thing = (x[there].astype(np.int64) for x in (entry, row, link, thing))
        where = f"gather.{self._name}.row"
        _require_inside(row, self._per_entry[entry], entry + self._arrays.start, where)
        number = (np.cumsum(self._per_entry) - self._per_entry)[entry] + row
        order = np.argsort(number, kind="stable")
        table = link[order] if self._rule.object else None
        return Places(self._per_entry, number[order], thing[order], table)

    def _linked(self) -> Places:
        """From ElementLinks (E, R, O): key 0 is none, and all others are of one container."""
        links = self._value("links")
        self._require_fields(links, ("m_persKey", "m_persIndex"), "ElementLinks")
        there = links.m_persKey != 0
        keys = np.unique(ak.to_numpy(ak.ravel(links.m_persKey[there])))
        if len(keys) > 1:
            raise DataError(
                f"gather.{self._name}.links: '{self._rule.links}'",
                expected=f"links to one container, '{self._rule.of}'",
                found=f"containers with keys {', '.join(map(str, keys[:4]))}",
                fix="choose links of one kind",
            )
        return self._places_of(links.m_persIndex[there])

    def _referred(self) -> Places:
        """From a TRefArray of each row, and the number of each object."""
        references = self._value("references")
        self._require_fields(references, ("refs",), "TRefArrays")
        numbers = self._value("numbers")
        wanted = references.refs & _UNIQUE
        counts = ak.to_numpy(ak.num(numbers, axis=1)).astype(np.int64)
        entry = np.repeat(np.arange(len(counts)), counts)
        known = _keys(entry, ak.to_numpy(ak.flatten(numbers, axis=1)) & _UNIQUE)
        index = ak.to_numpy(ak.flatten(ak.local_index(numbers), axis=1))
        order = np.argsort(known, kind="stable")
        base = self._places_of(wanted)
        asked = _keys(base.entry, base.object)
        place = np.minimum(np.searchsorted(known[order], asked), max(len(known) - 1, 0))
        # Constituents may be of several collections: those of others are not there.
        found = known[order][place] == asked if len(known) else np.zeros(len(asked), bool)
        return replace(base.only(found), object=index[order][place[found]].astype(np.int64))

    def _places_of(self, lists: Value) -> Places:
        """From lists of numbers of the objects of each row (E, R, O)."""
        if depth(lists) != 3:
            raise self._unequal()
        if not np.array_equal(ak.to_numpy(ak.num(lists, axis=1)), self._per_entry):
            raise self._unequal()
        of_rows = ak.flatten(lists, axis=1)
        counts = ak.to_numpy(ak.num(of_rows, axis=1))
        flat = ak.to_numpy(ak.flatten(of_rows, axis=1)).astype(np.int64)
        return Places(self._per_entry, np.repeat(np.arange(len(counts)), counts), flat)

    def _require_fields(self, value: ak.Array, fields: tuple[str, ...], what: str) -> None:
        if not set(fields) <= set(ak.fields(value)):
            raise ConfigError(
                f"gather.{self._name}",
                expected=f"a branch of {what} for each of '{self._rows}'",
                found=f"{ak.type(value)}"[:200],
            )

    def _unequal(self) -> DataError:
        return DataError(
            f"gather.{self._name}",
            expected=f"a list for each of '{self._rows}', and equally long indices",
            found="other numbers of them in an entry",
            fix=f"name branches of '{self._rows}' and of one table of links",
        )


def _keys(entry: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Numbers that tell objects of all entries apart."""
    return entry.astype(np.int64) * (_UNIQUE + 1) + number.astype(np.int64)


def _require_inside(place: np.ndarray, counts: np.ndarray, entry: np.ndarray, what: str) -> None:
    """Refuse places (P,) at or beyond the numbers of objects there are (P,)."""
    beyond = np.flatnonzero(place >= counts)
    if len(beyond):
        first = beyond[0]
        raise DataError(
            f"'{what}': entry {entry[first]}",
            expected=f"an index below {counts[first]}, the number of objects there",
            found=str(place[first]),
            fix="gather from the collection that the index is of",
        )
