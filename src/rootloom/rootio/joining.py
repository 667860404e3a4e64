"""Matches the entries of friend trees to those of the tree that is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rootloom.errors import DataError, InputError
from rootloom.rootio.checks import whole_numbers
from rootloom.rootio.functions.values import in_words

if TYPE_CHECKING:
    import awkward as ak

_SIGN = np.uint64(1 << 63)


class Friend(NamedTuple):
    """A friend tree.

    by: integer branches of both trees whose values match entries; () matches entry i with entry i.
    None, if the dataset does not say, does the same, but refuses a friend with an index.
    checksum: of its header when it was indexed; None for any.
    """

    url: str
    tree: str
    by: tuple[str, ...] | None = None
    checksum: str | None = None


class Checksums(NamedTuple):
    """Checksums of the header of a tree, and of its friends by name; None for any."""

    own: str | None = None
    friends: Mapping[str, str] = MappingProxyType({})

    def friend(self, name: str) -> str | None:
        """The checksum of a friend."""
        return self.friends.get(name)


NO_CHECKSUMS = Checksums()


def require_entries(name: str, friend: Friend, found: int, url: str, entries: int) -> None:
    """Raise InputError if a friend without `by` has another number of entries than the tree."""
    if found != entries:
        raise InputError(
            f"{friend.url}: tree '{friend.tree}', friend '{name}' of {url}",
            expected=f"{entries} entries, one for each of the tree that it belongs to",
            found=f"{found} entries",
            fix=f"name branches of both trees that match their entries: {name}: "
            "{by: [run, event], …}",
        )


def key_rows(arrays: Sequence[ak.Array], by: Sequence[str], where: str, start: int) -> np.ndarray:
    """Keys of entries, (E, K) int64, from a branch for each part of the key.

    start: the number of the first entry. Raises DataError for numbers that are not whole,
    InputError for branches without exactly one number per entry.
    """
    found = []
    for name, values in zip(by, arrays, strict=True):
        flat = np.asarray(values) if values.ndim == 1 and not values.fields else None
        if flat is None or flat.dtype.kind not in "biuf":
            raise InputError(
                f"{where}: branch '{name}', which `by` names",
                expected="one number an entry",
                found=in_words(values),
                fix="name branches such as run, luminosityBlock, event",
            )
        entry = np.arange(start, start + len(flat))
        found.append(whole_numbers(flat, entry, f"{where}: branch '{name}'"))
    return np.stack(found, axis=1)


@dataclass(frozen=True)
class Index:
    """Lookup of a friend's entries by key. keys: sorted, (F,) bytes; entries: (F,) of each."""

    by: tuple[str, ...]
    where: str
    keys: np.ndarray
    entries: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray], by: Sequence[str], where: str) -> Index:
        """parts: keys of the friend's entries in order, (E, K) each.

        Raises InputError for a key that two entries have.
        """
        rows = np.concatenate([np.empty((0, len(by)), np.int64), *parts])
        keys = _sortable(rows)
        order = np.argsort(keys, kind="stable")
        twice = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if len(twice):
            one, other = (int(order[twice[0] + i]) for i in (0, 1))
            raise InputError(
                where,
                expected=f"one entry for each {_named(by, rows[one])}",
                found=f"entries {one} and {other}",
                fix="name more branches in `by`, or write each entry once",
            )
        return cls(tuple(by), where, keys[order], order)

    def find(self, rows: np.ndarray, start: int, url: str) -> np.ndarray:
        """The friend's entry for each key in `rows` (E, K): (E,) int64.

        start: the number of the first entry of `url` among them. Raises DataError for a key without
        an entry.
        """
        wanted = _sortable(rows)
        place = np.searchsorted(self.keys, wanted)
        there = place < len(self.keys)
        there[there] = self.keys[place[there]] == wanted[there]
        if not there.all():
            entry = int(np.argmin(there))
            raise DataError(
                f"{url}: entry {start + entry}",
                expected=f"an entry of the friend {self.where} with {_named(self.by, rows[entry])}",
                found=f"none among {len(self.keys)}",
                fix="give the friend an entry for every event, or name other branches in `by`",
            )
        return np.asarray(self.entries[place], np.int64)


def _sortable(rows: np.ndarray) -> np.ndarray:
    """Rows of int64 as bytes that sort as the rows do, (E,)."""
    unsigned = np.ascontiguousarray(rows).view(np.uint64) ^ _SIGN
    return np.ascontiguousarray(unsigned.astype(">u8")).view(f"S{8 * rows.shape[1]}").ravel()


def _named(by: Sequence[str], row: np.ndarray) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(by, row, strict=True))
