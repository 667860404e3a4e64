"""Identities and splits: stable, unique in practice, of the right proportions."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, chisquare

from rootloom.errors import ConfigError, DataError
from rootloom.rootio.header import inspect
from rootloom.shards.ids import (
    Naming,
    event_ids,
    event_of,
    event_split,
    fold_of,
    named_event_ids,
    row_ids,
    split_of,
)
from rootloom.types import SPLITS as NAMES
from rootloom.types import RowBlock

ROOT = Path(__file__).resolve().parents[2]

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
# Of simulated files, computed by the version before identities belonged to events.
SIMULATED = [0x8696AF5319366D72, 0xABBF4274FF9858E8, 0xBACC61424914883E, 0xA5AF21CD40594989]
SIMULATED_SPLITS, SIMULATED_FOLDS = [0, 1, 1, 1], [2, 3, 2, 0]
IDS_OF_100_000 = "4fff2bec1156edd06b71a65fc59ddaf5632b805cd67fbd2e227e3ae8b0dfd8d9"
SPLITS_OF_100_000 = "c07896fb79792cd4aeff152e4bb4bd40039005724d4b08772628f97b9d2803b5"


def block(entry: np.ndarray, object: np.ndarray | None = None, **fields: Any) -> RowBlock:
    number = np.zeros(len(entry), np.int32) if object is None else object.astype(np.int32)
    label, weight = np.zeros(len(entry), np.int32), np.ones(len(entry), np.float32)
    return RowBlock(entry, number, label, weight, {}, **fields)


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def test_simulated_events_have_the_identities_they_always_had() -> None:
    entry = np.array([0, 1, 2, (1 << 44) - 1])
    ids, split = Naming.of_simulated("w-00001").rows(block(entry), SHARES)
    assert ids.tolist() == SIMULATED
    assert split.tolist() == SIMULATED_SPLITS
    assert fold_of(ids, 5).tolist() == SIMULATED_FOLDS
    ids, split = Naming.of_simulated("w-00001").rows(block(np.arange(100_000)), SHARES)
    assert digest(ids.astype("<u8")) == IDS_OF_100_000
    assert digest(split) == SPLITS_OF_100_000


@pytest.fixture(scope="module")
def page() -> SimpleNamespace:
    """What the programs of docs/identity.md define; its own vectors are checked on the way."""
    found: dict[str, Any] = {}
    text = (ROOT / "docs" / "identity.md").read_text()
    for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(program, found)
    assert "rootloom" not in " ".join(re.findall(r"import .*", text))
    return SimpleNamespace(**found)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=20), st.integers(0, (1 << 44) - 1), st.integers(0, 1 << 20), st.integers(2, 99)
)
def test_the_page_is_right_about_entries(
    page: SimpleNamespace, origin: str, entry: int, obj: int, folds: int
) -> None:
    ids, split = Naming("f", origin).rows(block(np.array([entry]), np.array([obj])), SPLITS)
    event = page.event_of_entry(origin, entry)
    assert int(ids[0]) == page.row_of_event(event, obj)
    assert int(event_of(ids, np.array([obj]))[0]) == page.event_of_row(int(ids[0]), obj) == event
    assert NAMES[split[0]] == page.split_of(event, SPLITS["train"], SPLITS["validation"])
    assert int(fold_of(np.array([event], np.uint64), folds)[0]) == page.fold_of(event, folds)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=4))
def test_the_page_is_right_about_names(
    page: SimpleNamespace, sample: str, numbers: list[int]
) -> None:
    found = named_event_ids(sample, np.array([numbers], np.int64).reshape(1, -1))
    assert int(found[0]) == page.event_of_name(sample, *numbers)


def test_the_page_begins_with_the_identity_of_a_file_at_hand(page: SimpleNamespace) -> None:
    header = inspect(str(ROOT / "tests/data/nano_tt_v12.root"), "Events")
    assert (header.origin, header.first_entry) == (page.NANO, 0)


def test_ids_are_unique_over_files_entries_and_objects() -> None:
    entry, obj = (a.ravel() for a in np.meshgrid(np.arange(50_000), np.arange(4)))
    ids = np.concatenate([row_ids(event_ids(f"file{k}", entry), obj) for k in range(10)])
    assert len(np.unique(ids)) == len(ids) == 2_000_000


def test_names_that_differ_little_are_different_events() -> None:
    grid = np.meshgrid(np.arange(100), np.arange(100), np.arange(100))
    names = np.stack([axis.ravel() for axis in grid], axis=1)
    ids = np.concatenate([named_event_ids(sample, names) for sample in ("", "a", "b")])
    assert len(np.unique(ids)) == len(ids) == 3_000_000
    swapped = named_event_ids("a", names[:, ::-1])
    assert (swapped == named_event_ids("a", names)).sum() == (names[:, 0] == names[:, 2]).sum()


def test_objects_share_the_fold_of_their_event_too() -> None:
    entry, obj = np.repeat(np.arange(1000), 3), np.tile(np.arange(3), 1000)
    ids, split = Naming("f", "origin").rows(block(entry, obj), SPLITS)
    assert len(np.unique(ids)) == 3000
    for found in (split, fold_of(event_of(ids, obj), 5)):
        assert (found.reshape(1000, 3) == found.reshape(1000, 3)[:, :1]).all()
        assert len(np.unique(found)) > 2


def test_an_unknown_object_number_is_taken_for_the_event() -> None:
    ids = event_ids("a", np.arange(9))
    np.testing.assert_array_equal(event_of(ids, np.full(9, -1, np.int32)), ids)


def test_parts_of_a_table_continue_each_other() -> None:
    whole = Naming("t", "table").events(block(np.arange(100)))
    rest = Naming("u", "table", 60).events(block(np.arange(40)))
    np.testing.assert_array_equal(whole[60:], rest)


def test_named_events_are_known_by_their_names_alone() -> None:
    names = np.array([[1, 2, 3], [1, 2, 4], [1, 2, 3]])
    one = Naming("f", "here", 5, "tt").events(block(np.arange(3), event=names))
    other = Naming("g", "there", 0, "tt").events(block(np.arange(3)[::-1], event=names))
    np.testing.assert_array_equal(one, other)
    assert one[0] == one[2] != one[1]
    assert not np.isin(
        one, Naming("f", "here", 5, "qcd").events(block(np.arange(3), event=names))
    ).any()


def test_split_fractions_are_binomial_and_independent_of_the_file() -> None:
    for key in ("a.root", "b.root"):
        counts = np.bincount(event_split(event_ids(key, np.arange(200_000)), SPLITS), minlength=3)
        for count, fraction in zip(counts, SPLITS.values(), strict=True):
            assert binomtest(int(count), 200_000, fraction).pvalue > 1e-4


def test_neighbouring_entries_are_split_independently() -> None:
    ids = event_ids("a.root", np.arange(100_000))
    split = event_split(ids, {"train": 0.5, "test": 0.5}) == 0
    both = int((split[1:] & split[:-1]).sum())
    assert binomtest(both, 99_999, 0.25).pvalue > 1e-4


def test_a_larger_training_share_only_takes_from_the_others() -> None:
    ids = event_ids("a.root", np.arange(10_000))
    small = split_of(ids, {"train": 0.6, "validation": 0.2, "test": 0.2})
    large = split_of(ids, {"train": 0.7, "validation": 0.2, "test": 0.1})
    assert (large[small == 0] == 0).all()


def test_a_split_of_everything_or_nothing() -> None:
    ids = event_ids("a.root", np.arange(1000))
    assert (split_of(ids, {"test": 1.0}) == 2).all()
    assert (split_of(ids, {"train": 1.0}) == 0).all()
    assert split_of(ids[:0], {"train": 1.0}).shape == (0,)


def test_a_declared_split_comes_before_the_hash() -> None:
    ids, shares = event_ids("a.root", np.arange(1000)), {"train": 0.5, "validation": 0.5}
    declared = np.where(np.arange(1000) < 300, 2, -1).astype(np.int8)
    by_hash = event_split(ids, shares)
    found = event_split(ids, shares, declared)
    assert (found[:300] == 2).all()
    assert np.array_equal(found[300:], by_hash[300:])
    assert np.array_equal(event_split(ids[:300], {}, declared[:300]), declared[:300])
    rows = block(np.arange(7, 1007), split=declared)
    with pytest.raises(DataError, match=r"f: entry 307(.|\n)*none of them holds \(700 such rows"):
        Naming("f", "a.root").rows(rows, {})


def test_folds_are_alike_in_size_and_independent_of_the_split() -> None:
    ids = event_ids("a.root", np.arange(60_000))
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
    with pytest.raises(DataError, match="object"):
        row_ids(event_ids("a.root", np.array([0])), np.array([-1]))
    for entry in (-1, 1 << 44):
        with pytest.raises(DataError, match=r"entry numbers from 0 to 2\^44"):
            event_ids("a.root", np.array([entry]))
