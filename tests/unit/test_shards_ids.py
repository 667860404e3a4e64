"""Identities and splits: stable, unique in practice, of the right proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, chisquare

from rootloom.errors import ConfigError, DataError
from rootloom.shards.ids import event_ids, event_split, fold_of, split_of

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
GOLDEN = [
    "0x2cb161af4316bb63",
    "0x1cee5a45ccd264ed",
    "0x68d74cf4359ee044",
    "0xc388670b4d443ce",
]


def slow_id(key: str, entry: int, obj: int) -> int:
    """The same hash in Python integers."""
    import hashlib

    word = (1 << 64) - 1
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    z = (entry << 20) | obj
    for half in (digest[:8], digest[8:]):
        z = ((z ^ int.from_bytes(half, "little")) + 0x9E3779B97F4A7C15) & word
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        z ^= z >> 31
    return z


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.integers(0, (1 << 44) - 1), st.integers(0, (1 << 20) - 1))
def test_ids_equal_a_reference_in_python_integers(key: str, entry: int, obj: int) -> None:
    assert int(event_ids(key, np.array([entry]), np.array([obj]))[0]) == slow_id(key, entry, obj)


def test_ids_never_change() -> None:
    ids = event_ids("a.root", np.array([0, 1, 1, 1 << 43]), np.array([0, 0, 1, 7], np.int32))
    assert ids.dtype == np.uint64
    assert [hex(i) for i in ids.tolist()] == GOLDEN


def test_ids_are_unique_over_files_entries_and_objects() -> None:
    entry, obj = (a.ravel() for a in np.meshgrid(np.arange(50_000), np.arange(4)))
    ids = np.concatenate([event_ids(f"file{k}.root", entry, obj) for k in range(10)])
    assert len(np.unique(ids)) == len(ids) == 2_000_000


def test_split_fractions_are_binomial_and_independent_of_the_file() -> None:
    for key in ("a.root", "b.root"):
        counts = np.bincount(event_split(key, np.arange(200_000), SPLITS), minlength=3)
        for count, fraction in zip(counts, SPLITS.values(), strict=True):
            assert binomtest(int(count), 200_000, fraction).pvalue > 1e-4


def test_neighbouring_entries_are_split_independently() -> None:
    split = event_split("a.root", np.arange(100_000), {"train": 0.5, "test": 0.5}) == 0
    both = int((split[1:] & split[:-1]).sum())
    assert binomtest(both, 99_999, 0.25).pvalue > 1e-4


def test_adding_files_moves_no_event() -> None:
    alone = event_split("a.root", np.arange(1000), SPLITS)
    together = [event_split(key, np.arange(1000), SPLITS) for key in ("0.root", "a.root", "z.root")]
    assert np.array_equal(alone, together[1])


def test_a_larger_training_share_only_takes_from_the_others() -> None:
    ids = event_ids("a.root", np.arange(10_000), np.zeros(10_000, np.int32))
    small = split_of(ids, {"train": 0.6, "validation": 0.2, "test": 0.2})
    large = split_of(ids, {"train": 0.7, "validation": 0.2, "test": 0.1})
    assert (large[small == 0] == 0).all()


def test_objects_of_one_event_share_its_split() -> None:
    entry = np.repeat(np.arange(1000), 3)
    split = event_split("a.root", entry, SPLITS).reshape(1000, 3)
    assert (split == split[:, :1]).all()
    assert len(np.unique(split)) == 3


def test_a_split_of_everything_or_nothing() -> None:
    ids = event_ids("a.root", np.arange(1000), np.zeros(1000, np.int32))
    assert (split_of(ids, {"test": 1.0}) == 2).all()
    assert (split_of(ids, {"train": 1.0}) == 0).all()
    assert split_of(ids[:0], {"train": 1.0}).shape == (0,)


def test_a_declared_split_comes_before_the_hash() -> None:
    entry = np.arange(1000)
    declared = np.where(entry < 300, 2, -1).astype(np.int8)
    by_hash = event_split("a.root", entry, {"train": 0.5, "validation": 0.5})
    found = event_split("a.root", entry, {"train": 0.5, "validation": 0.5}, declared)
    assert (found[:300] == 2).all()
    assert np.array_equal(found[300:], by_hash[300:])
    assert np.array_equal(event_split("a.root", entry[:300], {}, declared[:300]), declared[:300])
    with pytest.raises(DataError, match=r"entry 300(.|\n)*none of them holds \(700 such rows"):
        event_split("a.root", entry, {}, declared)


def test_folds_are_alike_in_size_and_independent_of_the_split() -> None:
    ids = event_ids("a.root", np.arange(60_000), np.zeros(60_000, np.int32))
    fold, split = fold_of(ids, 5), split_of(ids, SPLITS)
    assert fold.min() == 0
    assert fold.max() == 4
    table = np.array([np.bincount(fold[split == s], minlength=5) for s in range(3)])
    assert chi2_contingency(table).pvalue > 1e-4
    assert chisquare(table.sum(axis=0)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": 0.5, "test": 0.4}, "add up to 1"),
        ({"train": 1.2, "test": -0.2}, "from 0 to 1"),
        ({"train": 0.5, "tset": 0.5}, "did you mean 'test'"),
    ],
)
def test_bad_splits_are_refused(splits: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        split_of(np.zeros(1, np.uint64), splits)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match=r"2\^20"):
        event_ids("a.root", np.array([0]), np.array([1 << 20]))
    with pytest.raises(DataError, match="entry"):
        event_ids("a.root", np.array([-1]), np.array([0]))
