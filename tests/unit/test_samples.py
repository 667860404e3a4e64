# ruff: noqa: E501 (a table of datasets)
"""Samples of a dataset: what a reader makes of each, and refusals before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from rootloom.config.sections import Dataset, parse
from rootloom.errors import ConfigError, InputError
from rootloom.planning.plan import Plan
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = np.array([1.5, -2.0, 4.0, 0.25, -1.0, 3.0])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("samples") / "in.root"
    columns = {"x": np.arange(6.0), "w": WEIGHTS, "PFMET_pt": np.arange(6.0) * 10}
    with uproot.recreate(path) as made:
        events = made.mktree("Events", {k: v.dtype for k, v in columns.items()})
        for start in (0, 2, 4):  # a basket each, so that a step reads one of them
            events.extend({k: v[start : start + 2] for k, v in columns.items()})
        jets = ak.Array([[1.0, 2.0], [], [3.0]])
        made.mktree("Jets", {"Jet_w": ak.type(jets).content}).extend({"Jet_w": jets})
        made.mktree("Empty", {k: v.dtype for k, v in columns.items()})
        sums = {"genEventSumw": np.array([100.0, 23.5])}
        made.mktree("Runs", {"genEventSumw": np.dtype("f8")}).extend(sums)
    return str(path)


def reader(**fields: Any) -> RowReader:
    given = {
        "tree": "Events",
        "variables": {"x": "x"},
        "classes": (ClassRule("all"),),
        "weight": "w",
    }
    return RowReader(**{**given, **fields})


@pytest.mark.parametrize("step", [1, 2, 6])
@pytest.mark.parametrize("select", [None, "x > 3", "x < 2", "x > 100"])
def test_weights_are_counted_before_the_selection(file: str, step: int, select: str | None) -> None:
    blocks = list(reader(select=select).read(file, 0, 6, step=step))
    assert len(blocks) == {None: 3, "x > 3": 1, "x < 2": 2, "x > 100": 1}[select] or step == 6
    assert sum(block.entries for block in blocks) == 6
    assert sum(block.sum_of_weights for block in blocks) == WEIGHTS.sum()
    kept = WEIGHTS[kept_by(select)]
    assert np.concatenate([block.weight for block in blocks]).tolist() == kept.tolist()


def test_single_precision_does_not_round_the_sum(tmp_path: Path) -> None:
    weight = np.array([2.0**25, *[1.0] * 7], np.float32)
    with uproot.recreate(tmp_path / "w.root") as made:
        columns = {"x": np.zeros(8), "w": weight}
        made.mktree("Events", {k: v.dtype for k, v in columns.items()}).extend(columns)
    (block,) = reader().read(str(tmp_path / "w.root"), 0, 8)
    assert block.sum_of_weights == 2.0**25 + 7


def test_weights_of_objects_have_no_sum_over_events(file: str) -> None:
    jets = reader(tree="Jets", rows="Jet", variables={"w": "Jet_w"}, weight="Jet_w")
    (block,) = jets.read(file, 0, 3)
    assert block.weight.tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(block.sum_of_weights)


def test_a_training_weight_is_read_beside_the_event_weight(file: str) -> None:
    blocks = list(reader(training_weight="w * 2", select="x > 3").read(file, 0, 6))
    training = np.concatenate([block.training_weight for block in blocks])
    assert training.tolist() == (2 * WEIGHTS[4:]).tolist()
    assert np.concatenate([block.weight for block in blocks]).tolist() == WEIGHTS[4:].tolist()


def test_a_sum_that_stands_in_another_tree_is_counted_once_a_file(file: str) -> None:
    one = reader(sum_of_weights=("Runs", "genEventSumw"))
    for part, total in ((0, 123.5), (1, 0.0)):
        blocks = list(one.read(file, 0, 6, step=2, part=part))
        assert sum(block.sum_of_weights for block in blocks) == total
    empty = reader(tree="Empty", sum_of_weights=("Runs", "genEventSumw"))
    assert [b.sum_of_weights for b in empty.read(file, 0, 0)] == [123.5]
    with pytest.raises(InputError, match="'Runs'"):
        list(reader(sum_of_weights=("Runz", "genEventSumw")).read(file, 0, 6))


def test_entries_without_a_weight_count_as_one(file: str) -> None:
    (block,) = reader(weight=None).read(file, 1, 6)
    assert (block.entries, block.sum_of_weights) == (5, 5.0)


def test_the_first_branch_that_is_there(file: str) -> None:
    branches = inspect(file, "Events").branches
    one = reader(variables={"met": 'branch("MET_pt", "PFMET_pt") / 10'}).fitted(branches)
    assert set(one.branches()) == {"PFMET_pt", "w"}
    (block,) = one.read(file, 0, 6)
    assert block.columns["met"].tolist() == list(range(6))
    both = reader(variables={"met": 'branch("x", "PFMET_pt")'}).fitted(branches)
    assert set(both.branches()) == {"x", "w"}
    with pytest.raises(InputError, match=r"(?s)MET_p.*'PFMET_pt'"):
        reader(variables={"met": 'branch("MET_pt", "FMET_pt")'}).fitted(branches)


SAMPLES = {
    "data": {"files": ["data.root"], "class": "data", "weight": None},
    "mc": {"files": ["mc.root"], "class": "mc", "tree": "nominal", "variables": {"x": "2 * y"}, "cross_section": 831.8, "sum_of_weights": {"tree": "Runs", "branch": "sumw"}},
}  # fmt: skip


def kept_by(select: str | None) -> np.ndarray:
    """Which entries `select` keeps, of x = 0 … 5."""
    kept = {None: range(6), "x > 3": (4, 5), "x < 2": (0, 1), "x > 100": ()}[select]
    return np.array(kept, int)


def dataset(**changes: Any) -> Dataset:
    given = {"samples": SAMPLES, "weight": "genWeight", "variables": {"x": "x"}}
    return parse(Dataset, {**given, **changes}, "toy")


def test_classes_follow_from_the_samples() -> None:
    found = dataset()
    assert list(found.classes) == ["data", "mc"]
    assert found.by_files() == {"data", "mc"}
    mixed = {**SAMPLES, "other": {"files": ["o.root"]}}
    both = dataset(samples=mixed, classes={"data": {}, "mc": {}, "third": {"where": "x > 1"}})
    assert both.by_files() == {"data", "mc"}
    assert both.class_of("other") is None


def plan(folder: Path, experiment: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """Of the default experiment on the dataset, or of another."""
    for name in ("config", "config/datasets", "config/experiments"):
        (folder / name).mkdir()
    for entry in (ROOT / "config").iterdir():
        if entry.name not in ("datasets", "experiments"):
            (folder / "config" / entry.name).symlink_to(entry)
    default = yaml.safe_load((ROOT / "config/experiments/default.yaml").read_text())
    given = {"samples": SAMPLES, "weight": "genWeight", "variables": {"x": "x"}, **changes}
    wanted = {**default, **(experiment or {}), "dataset": "toy"}
    (folder / "config/datasets/toy.yaml").write_text(yaml.safe_dump(given))
    (folder / "config/experiments/toy.yaml").write_text(yaml.safe_dump(wanted))
    for name in ("data.root", "mc.root"):
        (folder / name).touch()
    return make_plan({"experiment": "toy"}, folder)


def test_each_sample_is_read_by_its_own_words(tmp_path: Path) -> None:
    found = plan(tmp_path, luminosity=30)
    readers = found.data("toy").readers()
    assert readers["data"]["weight"] is None
    assert readers["mc"]["weight"] == "genWeight"
    assert (readers["data"]["tree"], readers["mc"]["tree"]) == ("Events", "nominal")
    assert (readers["data"]["variables"], readers["mc"]["variables"]) == (
        {"x": "x"},
        {"x": "2 * y"},
    )
    assert readers["mc"]["sum_of_weights"] == ["Runs", "sumw"]
    expected = {"mc": {"expected": 831.8 * 30 * 1000, "sum_of_weights": None}}
    assert found.data("toy").weighting()["samples"] == expected
    files = [
        file
        for pack in found.files("toy").packs
        for file in found.files("toy").of_pack(pack).values()
    ]
    assert {(f.sample, f.label) for f in files} == {("data", "data"), ("mc", "mc")}


@pytest.mark.parametrize("number", [402.6, 402])
def test_what_a_sample_says_for_itself_reaches_its_reader(tmp_path: Path, number: float) -> None:
    own = {"training_weight": "abs(w)", "targets": {"t": "3 * t"}, "sum_of_weights": number}
    samples = {"data": {**SAMPLES["data"], "training_weight": 1}, "mc": {**SAMPLES["mc"], **own}}
    found = plan(tmp_path, samples=samples, targets={"t": "t"})
    readers = found.data("toy").readers()
    assert [readers[name]["training_weight"] for name in ("data", "mc")] == ["1", "abs(w)"]
    assert [readers[name]["targets"] for name in ("data", "mc")] == [{"t": "t"}, {"t": "3 * t"}]
    assert found.data("toy").weighting()["samples"]["mc"]["sum_of_weights"] == number
    assert found.data("toy").weighting()["own"]


def test_one_files_trees_may_be_two_samples(tmp_path: Path) -> None:
    same = {
        name: {"files": ["mc.root"], "class": name, "tree": name}
        for name in ("signal", "background")
    }
    found = plan(tmp_path, samples=same)
    files = [
        file
        for pack in found.files("toy").packs
        for file in found.files("toy").of_pack(pack).values()
    ]
    assert sorted((f.sample, f.url) for f in files) == [
        ("background", str(tmp_path / "mc.root")),
        ("signal", str(tmp_path / "mc.root")),
    ]
    assert len({f.key for f in files}) == 2


KEEP = {"negative_weights": "keep"}


@pytest.mark.parametrize(
    ("changes", "experiment", "message"),
    [
        (
            {"samples": {**SAMPLES, "mc": {"files": ["mc.root"], "clas": "mc"}}},
            {},
            "did you mean 'class'",
        ),
        (
            {"classes": {"data": {}, "mcc": {"where": "x > 0"}}},
            {},
            "(?s)sample 'mc'.*did you mean 'mcc'",
        ),
        (
            {
                "samples": {
                    **SAMPLES,
                    "mc": {"files": ["mc.root"], "class": "mc", "variables": {"xx": "1"}},
                }
            },
            {},
            "(?s)samples.mc.variables.*'xx'.*'x'",
        ),
        ({"samples": {**SAMPLES, "mc": {"class": "mc"}}}, {}, "a sample needs files"),
        (
            {
                "samples": {
                    **SAMPLES,
                    "mc": {"files": ["mc.root"], "class": "mc", "sum_of_weights": 3},
                }
            },
            {},
            "needs a cross_section",
        ),
        (
            {
                "samples": {
                    **SAMPLES,
                    "mc": {"files": ["mc.root"], "class": "mc", "cross_section": -3},
                }
            },
            {},
            "greater than 0",
        ),
        (
            {
                "samples": {
                    **SAMPLES,
                    "mc": {"files": ["mc.root"], "class": "mc", "training_weight": 1},
                }
            },
            {},
            "(?s)one for every sample.*none for data",
        ),
        ({"files": ["x.root"]}, {}, "exactly one of"),
        ({"luminosity": 0}, {}, "greater than 0"),
        ({"negative_weights": "keeep"}, {}, "'absolute' or 'keep'"),
        (KEEP, {}, "(?s)boosted-trees.*both signs.*boosted_trees.*absolute"),
        (
            {},
            {
                "evaluation": {
                    "weights": "training",
                    "significances": {"z": {"signal": 1, "background": 1}},
                }
            },
            "(?s)significances.*weights: event",
        ),
        ({}, {"evaluation": {"weights": "trainin"}}, r"(?s)evaluation\.weights.*event, training"),
    ],
)
def test_wrong_samples_and_weights_are_refused_in_the_plan(
    changes: dict[str, Any], experiment: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, experiment, **changes)


def test_signs_may_be_kept_by_baselines_that_take_them(tmp_path: Path) -> None:
    cut = {"baselines": {"cut": {"kind": "cut", "variable": "x"}}}
    assert plan(tmp_path, cut, **KEEP).data("toy").weighting()["negative"] == "keep"


def test_a_new_cross_section_makes_no_shard_anew(tmp_path: Path) -> None:
    jobs = []
    for place, value in (("a", 831.8), ("b", 900.0)):
        (tmp_path / place).mkdir()
        samples = {**SAMPLES, "mc": {**SAMPLES["mc"], "cross_section": value}}
        found = plan(tmp_path / place, samples=samples)
        jobs.append(
            (found, found.job("statistics", dataset="toy", representation="features")["section"])
        )
    assert jobs[0][1] == jobs[1][1]
    trained = [found.job("train", method="dnn", member="0") for found, _ in jobs]
    assert trained[0]["section"]["weighting"] != trained[1]["section"]["weighting"]
