"""The identity of a row, and the split that follows from it.

Both are pure functions of (file key, entry, object): adding, removing or reordering files never
moves an event between training, validation and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from rootloom.errors import ConfigError, DataError, nearest
from rootloom.types import SPLITS

_OBJECT_BITS = 20
_ENTRY_BITS = 64 - _OBJECT_BITS
_FOLDS = np.uint64(0x466F6C6473)  # keeps folds apart from everything else that mixes identities


def event_ids(file_key: str, entry: np.ndarray, object: np.ndarray) -> np.ndarray:
    """64-bit identities, (R,) uint64, from entry (R,) and object (R,) numbers of one file.

    Every step is a bijection of the packed (entry, object), so ids within a file never collide;
    between files they collide as random 64-bit numbers do (3e-6 for ten million rows).
    Raises DataError beyond 2^44 entries or 2^20 objects an entry.
    """
    entry, object = np.asarray(entry), np.asarray(object)
    _check_range(file_key, "entry", entry, _ENTRY_BITS)
    _check_range(file_key, "object", object, _OBJECT_BITS)
    digest = hashlib.blake2b(file_key.encode(), digest_size=16).digest()
    first, second = (np.uint64(word) for word in np.frombuffer(digest, "<u8"))
    packed = (entry.astype(np.uint64) << np.uint64(_OBJECT_BITS)) | object.astype(np.uint64)
    return mix(mix(packed ^ first) ^ second)


def split_of(ids: np.ndarray, splits: Mapping[str, float]) -> np.ndarray:
    """Index into SPLITS for each id, (R,) int8: the unit interval cut at the cumulative fractions.

    splits: fraction by split name; missing ones are 0. Raises ConfigError unless they add up to 1.
    """
    edges = np.cumsum([_fractions(splits)[name] for name in SPLITS])[:-1]
    # 53 bits: the most that a float64 in [0, 1) holds exactly
    uniform = (np.asarray(ids, np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(edges, uniform, side="right").astype(np.int8)


def fold_of(ids: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each row (R,) in 0 … folds − 1, for cross-validation; independent of its split.

    By row: objects of one event may fall into different folds.
    """
    # Mixed once more: the bits of an event's own identity have decided its split.
    bits = mix(np.asarray(ids, np.uint64) ^ _FOLDS) >> np.uint64(32)
    return ((bits * np.uint64(folds)) >> np.uint64(32)).astype(np.int64)


def event_split(
    file_key: str,
    entry: np.ndarray,
    splits: Mapping[str, float],
    declared: np.ndarray | None = None,
) -> np.ndarray:
    """The split of each row's *event*, (R,) int8: the declared one, or by hash where that is -1.

    Objects of one event share its pile-up and its recoil; were they split apart, the test set
    would have been seen in training. Raises DataError when `splits` leaves nothing to the hash and
    a row has no declared split.
    """
    open_ = np.ones(len(entry), bool) if declared is None else declared < 0
    if declared is not None and not open_.any():
        return declared
    if not splits:
        raise DataError(
            f"{file_key}: entry {entry[np.argmax(open_)]}",
            expected="a split for every row, as all three are expressions",
            found=f"none of them holds ({int(open_.sum())} such rows in {len(entry)})",
            fix="leave such rows out by `select`, or give one split a number: it takes the rest",
        )
    by_hash = split_of(event_ids(file_key, entry, np.zeros(len(entry), np.int32)), splits)
    return by_hash if declared is None else np.where(open_, by_hash, declared)


def mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014), a bijection of 64-bit words."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _check_range(file_key: str, name: str, numbers: np.ndarray, bits: int) -> None:
    if len(numbers) and (numbers.min() < 0 or int(numbers.max()) >= 1 << bits):
        raise DataError(
            file_key,
            expected=f"{name} numbers from 0 to 2^{bits} - 1",
            found=f"numbers from {numbers.min()} to {numbers.max()}",
        )


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
