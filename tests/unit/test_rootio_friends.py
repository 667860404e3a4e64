from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from rootloom.errors import DataError
from rootloom.rootio.friends import write_friend
from rootloom.types import Ragged


def test_events_in_the_inputs_order(tmp_path: Path) -> None:
    path = tmp_path / "f.root"
    scores = np.array([0.5, 0.25, 1.0])
    write_friend(path, 5, np.array([4, 0, 2]), np.zeros(3, int), {"score": scores}, "S")
    with uproot.open(path) as file:
        assert file.classnames() == {"S;1": "TTree"}
        found = file["S"]["score"].array(library="np")
    np.testing.assert_array_equal(found, [0.25, np.nan, 1.0, np.nan, 0.5])


def test_objects_align_with_the_collection(tmp_path: Path) -> None:
    path = tmp_path / "f.root"
    counts = np.array([2, 0, 3, 1])
    entry, number = np.array([2, 0, 2]), np.array([2, 1, 0])
    columns = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([4.0, 5.0, 6.0])}
    write_friend(path, 4, entry, number, columns, "S", counts=counts)
    with uproot.open(path) as file:
        found = file["S"].arrays()
    assert found.fields == ["n", "a", "b"]
    assert ak.to_list(ak.num(found.a)) == ak.to_list(found.n) == counts.tolist()
    assert ak.to_list(ak.nan_to_num(found.a, nan=-1)) == [[-1, 2], [], [3, -1, 1], [-1]]
    assert ak.to_list(ak.nan_to_num(found.b, nan=-1)) == [[-1, 5], [], [6, -1, 4], [-1]]


@pytest.mark.parametrize("counts", [None, np.array([1, 0, 3, 2])])
def test_lists_of_rows_in_any_order_are_those_of_their_entries(
    tmp_path: Path, counts: np.ndarray | None
) -> None:
    entry, number = np.array([2, 0, 3, 2]), np.array([2, 0, 1, 0])
    if counts is None:
        entry, number = np.array([2, 0, 3, 1]), np.zeros(4, int)
    lists = Ragged(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([0, 2, 2, 3, 6]))
    scores = {"s": np.arange(4.0)}
    write_friend(
        tmp_path / "f.root", 4, entry, number, scores, "S",
        collection="x", counts=counts, objects={"x_t": {"q": lists}},
    )  # fmt: skip
    with uproot.open(tmp_path / "f.root") as file:
        found = file["S"].arrays()
    if counts is None:
        assert found.x_t_q.to_list() == [[], [4, 5, 6], [1, 2], [3]]
        return
    assert found.x_t_q.to_list() == [[], [], [4, 5, 6, 1, 2], [3]]
    assert found.x_t_number.to_list() == [[0], [], [3, -1, 2], [-1, 1]]


def test_more_entries_than_one_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, 120_000)
    entry = np.repeat(np.arange(len(counts)), counts)
    number = np.concatenate([np.arange(c) for c in counts])
    order = rng.permutation(len(entry))
    score = entry + number / 10
    path = tmp_path / "f.root"
    write_friend(path, len(counts), entry[order], number[order], {"s": score[order]}, counts=counts)
    with uproot.open(path) as file:
        found = file["Scores"]["s"].array()
    np.testing.assert_array_equal(ak.num(found), counts)
    np.testing.assert_allclose(ak.flatten(found), score, rtol=1e-6)


@pytest.mark.parametrize("counts", [None, np.zeros(0, int)])
def test_an_empty_input(tmp_path: Path, counts: np.ndarray | None) -> None:
    none = np.zeros(0)
    write_friend(tmp_path / "f.root", 0, none, none, {"s": none}, counts=counts)
    with uproot.open(tmp_path / "f.root") as file:
        assert file["Scores"].num_entries == 0


@pytest.mark.parametrize(
    ("entry", "number", "message"),
    [
        ([0, 4], [0, 0], "entry 4"),
        ([-1], [0], "entry -1"),
        ([0], [2], "object 2"),
        ([1], [0], "entry 1"),
        ([0, 0], [1, 1], "one prediction"),
    ],
)
def test_rows_that_are_not_the_inputs(
    tmp_path: Path, entry: list[int], number: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_friend(
            tmp_path / "f.root",
            4,
            np.array(entry),
            np.array(number),
            {"s": np.zeros(len(entry))},
            counts=np.array([2, 0, 3, 1]),
        )
    assert list(tmp_path.iterdir()) == []
