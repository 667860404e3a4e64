"""The identity of an event and of a row, and the split and fold that follow from it.

All are functions of the file's own identity and the entry's number, or of numbers that identify
the event. Moving or copying a file, another spelling of its path, and adding, removing or
reordering files never move an event between training, validation and test.
`docs/identity.md` describes every byte, with an independent program and test vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rootloom.errors import ConfigError, DataError, nearest
from rootloom.types import GROUPS, NO_CLASS, SPLITS, UNLABELLED, RowBlock

# Entries are numbered in the upper bits, because the lower ones once held the object's number and
# the identities of simulated events must not change.
_OBJECT_BITS = 20
_ENTRY_BITS = 64 - _OBJECT_BITS
_FOLDS = np.uint64(0x466F6C6473)  # makes folds independent of other hashes of identities
_ZERO = np.zeros(1, np.uint64)
# By which another program computes the same identities, splits and folds: docs/identity.md.
HASH: dict[str, str | int] = {
    "name": "BLAKE2b-128, SplitMix64",
    "object_bits": _OBJECT_BITS,
    "split_bits": 53,
    "fold_constant": int(_FOLDS),
}


@dataclass(frozen=True)
class Naming:
    """How the events of one file get their identities.

    key: names the file in messages. origin: text that does not depend on the file's place
    (`Header.origin`, or the key of a simulated file). first: number of its first entry among those
    of its origin. sample: in which the numbers of `identity` are unique, if the dataset has it.
    """

    key: str
    origin: str
    first: int = 0
    sample: str = ""

    @classmethod
    def of_simulated(cls, key: str) -> Naming:
        """The naming of a simulated file: its key is its class and number."""
        return cls(key, key)

    def rows(self, block: RowBlock, splits: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Identities (R,) uint64 of a block's rows, and their indices in GROUPS (R,) int8.

        Rows of a class belong to a split, other rows to "none". Raises the errors of `event_split`,
        naming file and entry.
        """
        events = self.events(block)
        labelled = np.flatnonzero(block.label != NO_CLASS)
        group = np.full(len(block), GROUPS.index(UNLABELLED), np.int8)
        group[labelled] = event_split(
            events[labelled],
            splits,
            None if block.split is None else block.split[labelled],
            lambda row: f"{self.key}: entry {block.entry[labelled[row]]}",
        )
        return row_ids(events, block.object), group

    def events(self, block: RowBlock) -> np.ndarray:
        """Identities of the events of a block's rows, (R,) uint64."""
        if block.event is not None:
            return named_event_ids(self.sample, block.event)
        return event_ids(self.origin, np.asarray(block.entry, np.int64) + self.first)


def event_ids(origin: str, entry: np.ndarray) -> np.ndarray:
    """64-bit identities of entries (R,) of one origin, (R,) uint64.

    Every step is a bijection of the entry's number, so events of one origin never collide; those of
    different origins collide as random 64-bit numbers do (3e-6 for ten million events).
    Raises DataError beyond 2^44 entries.
    """
    entry = np.asarray(entry)
    if len(entry) and (entry.min() < 0 or int(entry.max()) >= 1 << _ENTRY_BITS):
        raise DataError(
            origin,
            expected=f"entry numbers from 0 to 2^{_ENTRY_BITS} - 1",
            found=f"numbers from {entry.min()} to {entry.max()}",
        )
    first, second = _words(origin)
    return mix(mix((entry.astype(np.uint64) << np.uint64(_OBJECT_BITS)) ^ first) ^ second)


def named_event_ids(sample: str, numbers: np.ndarray) -> np.ndarray:
    """64-bit identities (R,) uint64 of events of a sample from their numbers (R, K) int64.

    Different numbers collide as rarely as random 64-bit numbers.
    """
    first, second = _words(f"sample {sample}")
    state = np.full(len(numbers), first)
    for column in np.asarray(numbers, np.int64).astype(np.uint64).T:
        # Mixed before it is added, so that neighbouring numbers do not cancel.
        state = mix(state ^ mix(column))
    return mix(state ^ second)


def row_ids(events: np.ndarray, object: np.ndarray) -> np.ndarray:
    """Identities of rows, (R,) uint64, from those of their events and the objects' numbers (R,).

    Object 0, and a row that is an event, have the identity of the event. Raises DataError for
    negative numbers.
    """
    object = np.asarray(object)
    if len(object) and object.min() < 0:
        raise DataError(
            "object numbers", expected="0 or more in each event", found=str(object.min())
        )
    return events ^ _of_objects(object)


def event_of(ids: np.ndarray, object: np.ndarray) -> np.ndarray:
    """Identities of the events that rows (R,) belong to: the inverse of `row_ids`, (R,) uint64.

    object: -1, as in predictions of other programs, counts as 0.
    """
    return np.asarray(ids, np.uint64) ^ _of_objects(np.maximum(object, 0))


def _of_objects(object: np.ndarray) -> np.ndarray:
    return mix(np.asarray(object).astype(np.uint64)) ^ mix(_ZERO)


def _words(text: str) -> tuple[np.uint64, np.uint64]:
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    first, second = (np.uint64(word) for word in np.frombuffer(digest, "<u8"))
    return first, second


def split_of(events: np.ndarray, splits: Mapping[str, float]) -> np.ndarray:
    """Index into SPLITS for each event, (R,) int8: [0, 1) cut at the cumulative fractions.

    splits: fraction by split name; missing ones are 0. Raises ConfigError unless they add up to 1.
    """
    edges = np.cumsum([_fractions(splits)[name] for name in SPLITS])[:-1]
    # 53 bits: the most that a float64 in [0, 1) holds exactly
    uniform = (np.asarray(events, np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(edges, uniform, side="right").astype(np.int8)


def fold_of(events: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each event (R,) in 0 … folds − 1, for cross-validation; independent of its split.

    events: identities of events, not of rows, so that objects of one event stay in one fold.
    """
    # Mixed again, because the bits of the identity itself have decided the split.
    bits = mix(np.asarray(events, np.uint64) ^ _FOLDS) >> np.uint64(32)
    return ((bits * np.uint64(folds)) >> np.uint64(32)).astype(np.int64)


def event_split(
    events: np.ndarray,
    splits: Mapping[str, float],
    declared: np.ndarray | None = None,
    describe: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """The split of each row's *event*, (R,) int8: the declared one, or by hash where that is -1.

    events: identities (R,). describe: gives a row in words. Objects of one event share pile-up and
    recoil; in different splits, training would see part of the test data. Raises
    DataError, naming the first row, if all splits are expressions and none is true for a row.
    """
    open_ = np.ones(len(events), bool) if declared is None else declared < 0
    if declared is not None and not open_.any():
        return declared
    if not splits:
        raise DataError(
            describe(int(np.argmax(open_))),
            expected="a split for every row, as all three are expressions",
            found=f"none of them holds ({int(open_.sum())} such rows in {len(events)})",
            fix="remove such rows by `select`, or give one split a number: it gets the rest",
        )
    by_hash = split_of(events, splits)
    return by_hash if declared is None else np.where(open_, by_hash, declared)


def mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014), a bijection of 64-bit words."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _fractions(splits: Mapping[str, float]) -> dict[str, float]:
    for name, fraction in splits.items():
        if name not in SPLITS:
            raise ConfigError(
                "splits",
                expected=f"names out of {', '.join(SPLITS)}",
                found=f"'{name}'",
                fix=nearest(name, SPLITS),
            )
        if not 0 <= fraction <= 1:
            raise ConfigError(
                f"splits.{name}", expected="a fraction from 0 to 1", found=repr(fraction)
            )
    total = sum(splits.values())
    if abs(total - 1) > 1e-9:
        raise ConfigError(
            "splits",
            expected="fractions that add up to 1",
            found=f"a sum of {total:g}",
            fix=f"write {', '.join(SPLITS)} so that nothing is left over",
        )
    return {name: float(splits.get(name, 0.0)) for name in SPLITS}
