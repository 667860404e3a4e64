"""Bundles and what they say of new files: the bits of a run, in the order of the files."""

from __future__ import annotations

import contextlib
import json
import re
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import h5py
import jax
import numpy as np
import pytest
import uproot
from tests import bundles
from tests.bundles import TREE, Made

import rootloom
from rootloom.cli import main
from rootloom.errors import ConfigError, LackError, TrainingError
from rootloom.evaluation.predictions import read_predictions
from rootloom.export import bundle
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.friends import write_friend
from rootloom.shards.ids import HASH
from rootloom.stages import applying
from rootloom.stages.applying import Request
from rootloom.stages.scorers import Scorer
from rootloom.training import devices, tensors
from rootloom.types import Ragged

MD5 = {**HASH, "name": "MD5"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.project(tmp_path_factory.mktemp("toy") / "project")


def made(project: Path, method: str) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "configure", lambda **given: None)  # those of this process
        return bundles.make(project, method)


@pytest.fixture(scope="module")
def dense(project: Path) -> Made:
    """Three members, each without a fold of its own."""
    return made(project, "dense")


@pytest.fixture(scope="module")
def scorer(dense: Made) -> Scorer:
    return Scorer.load(dense.bundle)


def applied(found: Scorer, folder: Path, output: Path, files: str, **more: Any) -> dict[str, Any]:
    """What is written of each file, by its stem."""
    with contextlib.chdir(folder):
        done = applying.apply(found, Request([files], output, **more))
    assert not done.refused
    return {Path(url).stem: outputs for url, outputs in done.written.items()}


def identities() -> dict[str, Any]:
    """The program of docs/identity.md."""
    page: dict[str, Any] = {}
    text = (ROOT / "docs/identity.md").read_text()
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], page)
    return page


# -- the same numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dense", "sets", "image"])
def test_new_files_get_the_bits_that_a_run_gives_them(
    project: Path, tmp_path: Path, method: str, request: pytest.FixtureRequest
) -> None:
    """Read with h5py and uproot: what stage predict says of each entry, and nothing of others."""
    run = request.getfixturevalue("dense") if method == "dense" else made(project, method)
    outputs = applied(Scorer.load(run.bundle), project, tmp_path, "data/run-*.root")
    several = len(run.predictions) > 1
    for member, path in run.predictions.items():
        with h5py.File(path) as file:
            keys = json.loads(file.attrs["files"])
            rows = {name: file[name][...] for name in ("file", "entry", "scores", "id")}
        assert len(keys) == len(outputs) == bundles.FILES
        for number, key in enumerate(keys):
            stem, here = key.rpartition("-")[0], rows["file"] == number
            with uproot.open(outputs[stem].friend) as file:
                tree = file[TREE].arrays(library="np")
            with uproot.open(project / f"data/{stem}.root") as file:
                pt = file["jets"]["trimmed_pt"].array(library="np")
            name = f"toy__{method}" + (f"__{member}" if several else "")
            expected = np.full(len(pt), np.nan, np.float32)
            expected[rows["entry"][here]] = rows["scores"][here, 0]
            np.testing.assert_array_equal(tree[name], expected)
            np.testing.assert_array_equal(np.isfinite(expected), pt > 260)
            np.testing.assert_array_equal(tree["toy_split"], np.where(pt > 260, 3, -1))
            with h5py.File(outputs[stem].predictions) as file:
                np.testing.assert_array_equal(file["id"][...], rows["id"][here])
                stored = file[f"aux/score__{member}"] if several else file["scores"][:, 0]
                np.testing.assert_array_equal(stored, rows["scores"][here, 0])


def test_members_are_gathered_and_the_one_that_left_an_event_out_is_chosen(
    project: Path, scorer: Scorer, tmp_path: Path
) -> None:
    """By the program of docs/identity.md, for a file that has trained."""
    page = identities()
    outputs = applied(scorer, project, tmp_path, "data/w-*.root")["w-0"]
    with uproot.open(project / "data/w-0.root") as file:
        origin = f"{file.file.uuid.hex}/jets"
    with uproot.open(outputs.friend) as file:
        arrays = file[TREE].arrays(library="np")
    tree = {name.removeprefix("toy__dense__"): values for name, values in arrays.items()}
    members = np.stack([tree[str(m)] for m in range(3)]).astype(np.float64)
    there = np.isfinite(members[0])
    fold = [page["fold_of"](page["event_of_entry"](origin, e), 3) for e in range(len(there))]
    np.testing.assert_array_equal(tree["fold"][there], np.array(fold)[there])
    assert len(set(np.array(fold)[there])) == 3
    chosen = members[fold, np.arange(len(there))].astype(np.float32)
    np.testing.assert_array_equal(tree["left_out"][there], chosen[there])
    np.testing.assert_allclose(tree["mean"][there], members.mean(axis=0)[there], rtol=1e-6)
    np.testing.assert_allclose(tree["spread"][there], members.std(axis=0, ddof=1)[there], 1e-5)
    found = read_predictions(outputs.predictions)  # as any tagger's: the mean, the others beside
    np.testing.assert_array_equal(found.rows.scores[:, 0], tree["mean"][there])
    np.testing.assert_array_equal(found.rows.aux["score__left_out"], chosen[there])


def test_an_rntuple_holds_the_same(project: Path, scorer: Scorer, tmp_path: Path) -> None:
    for container in ("ttree", "rntuple"):
        options = {"container": container}
        applied(scorer, project, tmp_path / container, "data/run-0.root", **options)
    (first,), (second,) = (list((tmp_path / c).glob("*.root")) for c in ("ttree", "rntuple"))
    with uproot.open(first) as one, uproot.open(second) as other:
        assert other.classname_of(TREE) == "ROOT::RNTuple"
        assert str(other["legend"]) == str(one["legend"])
        for name, values in one[TREE].arrays(library="np").items():
            np.testing.assert_array_equal(other[TREE].arrays()[name], values)


def test_lists_of_objects_are_as_long_in_an_rntuple(tmp_path: Path) -> None:
    counts = np.array([2, 0, 1])
    entry, number, score = np.array([0, 2]), np.array([1, 0]), np.array([0.25, 0.5])
    write_friend(
        tmp_path / "a.root", 3, entry, number, {"me_score": score}, collection="me",
        counts=counts, container="rntuple",
    )  # fmt: skip
    with uproot.open(tmp_path / "a.root") as file:
        found = file["Scores"].arrays()["me_score"].to_list()
    assert [len(one) for one in found] == [2, 0, 1]
    assert (found[0][1], found[2]) == (0.25, [0.5])


def test_rows_are_held_a_block_at_a_time(
    project: Path, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref] = []
    most = []
    read = RowReader.read

    def counted(self: RowReader, *given: Any, **named: Any) -> Any:
        for block in read(self, *given, **named):
            held.append(weakref.ref(block))
            most.append(sum(one() is not None for one in held))
            yield block
            del block

    monkeypatch.setattr(RowReader, "read", counted)
    monkeypatch.setattr(applying, "STEP", 10)
    bundles.without(project / "data/run-0.root", tmp_path / "a.root", cluster=10)
    applied(scorer, tmp_path, tmp_path, "a.root")
    assert len(held) == 12
    assert max(most) <= 2


# -- in memory -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagger(dense: Made) -> Any:
    return rootloom.load(dense.bundle)


def test_a_notebook_gets_what_files_get(
    project: Path, scorer: Scorer, tagger: Any, tmp_path: Path
) -> None:
    outputs = applied(scorer, project, tmp_path, "data/run-0.root")["run-0"]
    with uproot.open(outputs.friend) as file:
        tree = file[TREE].arrays(library="np")
    with uproot.open(project / "data/run-0.root") as file:
        events = file["jets"].arrays()
    found = tagger(events)
    assert set(found) == {f"score__{of}" for of in (0, 1, 2, "mean", "spread")}
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, tree[f"toy__dense__{name.removeprefix('score__')}"])
    assert set(tagger.branches()) <= set(events.fields)
    columns = {name: events[name].to_numpy() for name in tagger.branches()}
    np.testing.assert_array_equal(tagger(columns)["score__mean"], found["score__mean"])
    # What the expressions make, made here.
    quantities = {name: columns[name] for name in tagger.inputs() if name in columns}
    quantities["tau32"] = columns["tau3"] / np.maximum(columns["tau2"], 1e-6)
    assert set(quantities) == set(tagger.inputs())
    whole = tagger.of_quantities(quantities)["score__mean"]
    there = np.isfinite(found["score__mean"])
    np.testing.assert_allclose(whole[there], found["score__mean"][there], rtol=1e-5)
    assert np.isfinite(whole).all()  # nothing is selected
    none = tagger({name: values[:0] for name, values in columns.items()})
    assert all(len(values) == 0 for values in none.values())


def test_events_that_cannot_be_read_are_refused_by_name(tagger: Any) -> None:
    columns = {name: np.ones(2) for name in tagger.branches()}
    with pytest.raises(LackError, match=r"events\n.*'tau3'(.|\n)*did you mean 'tau2'"):
        tagger({name: values for name, values in columns.items() if name != "tau3"})
    with pytest.raises(rootloom.errors.InputError, match=r"one element for each(.|\n)*'c2': 3"):
        tagger({**columns, "c2": np.ones(3)})
    with pytest.raises(ConfigError, match="a record array or a dictionary"):
        tagger(ak.Array([1.0, 2.0]))
    with pytest.raises(ConfigError, match=r"sample(.|\n)*qcd, w(.|\n)*'z'"):
        tagger(columns, sample="z")
    with pytest.raises(ConfigError, match=r"a rate of 'score'(.|\n)*working_points"):
        tagger.threshold("rate", 1.0)


def test_objects_that_are_rows_have_lists_and_events_with_names_their_folds(scorer: Scorer) -> None:
    """A bundle of jets, by the networks of the toy: sixteen features of them are the jet's pT."""
    page = identities()
    found = scorer.bundle
    (first, *_) = found.sources.values()
    reader = {
        **first.reader, "rows": "Jet", "select": "Jet_pt > 20", "identity": ["run", "event"],
        "variables": dict.fromkeys(first.reader["variables"], "Jet_pt"),
    }  # fmt: skip
    source = bundle.Source(reader=reader, friends={})
    jets = rootloom.api.Method(Scorer(replace(found, sources={"mc": source}), "here"))
    pt = ak.Array([[10.0, 30.0], [], [25.0], [50.0, 5.0, 40.0]])
    events = {"Jet_pt": pt, "run": np.array([1, 1, 2, 2]), "event": np.arange(4)}
    said = jets(events)
    assert ak.num(said["score__mean"]).to_list() == [2, 0, 1, 3]
    assert np.isnan(said["score__0"]).to_list() == (pt <= 20).to_list()
    row = {name: np.array([30.0]) for name in jets.inputs()}
    alone = jets.of_quantities(row)["score__1"][0]
    assert said["score__1"][0, 1] == pytest.approx(alone, rel=1e-5)
    for event, run in ((0, 1), (2, 2), (3, 2)):
        fold = page["fold_of"](page["event_of_name"]("mc", run, event), 3)
        chosen = said[f"score__{fold}"][event].to_numpy()
        np.testing.assert_array_equal(said["score__left_out"][event].to_numpy(), chosen)


# -- what is refused -------------------------------------------------------------------------------


def test_a_bundle_comes_back_as_it_was(scorer: Scorer, tmp_path: Path) -> None:
    bundle.save(tmp_path / "again.safetensors", scorer.bundle)
    again = bundle.load(tmp_path / "again.safetensors")
    for name, value in vars(scorer.bundle).items():
        if name not in ("params", "check"):
            assert getattr(again, name) == value, name
    jax.tree.map(np.testing.assert_array_equal, again.params, scorer.bundle.params)
    np.testing.assert_array_equal(again.check.scores, scorer.bundle.check.scores)
    assert again.partition.folds == 3
    assert len(again.check.columns["id"]) == min(64, len(again.check.columns["id"]))
    assert json.loads(json.dumps(again.sources["w"].reader))["select"] == bundles.SELECT


def test_a_bit_of_the_parameters_that_no_checksum_shows(scorer: Scorer, tmp_path: Path) -> None:
    found = scorer.bundle
    params = jax.tree.map(np.array, found.params[1])
    bits = params["head"]["kernel"].view(np.uint32)
    bits[0, 0] ^= np.uint32(1 << 30)  # of the exponent
    damaged = replace(found, params=[found.params[0], params, found.params[2]])
    path = tmp_path / "model.safetensors"
    bundle.save(path, damaged)
    words = r"'score' of row \d+ of the check sample(.|\n)*by member 1(.|\n)*rows differ"
    with pytest.raises(TrainingError, match=words):
        Scorer.load(path)
    with pytest.raises(TrainingError, match=words):
        rootloom.load(path)


@pytest.mark.parametrize(("arrays", "record", "words"), [
    ({}, {"schema": 2}, r"schema 2: what one training wrote(.|\n)*bundles/METHOD"),
    ({}, {"schema": 4}, r"schema 4(.|\n)*newer version"),
    ({}, {"schema": None}, r"schema None"),
    ({}, {"more": 1}, r"more(.|\n)*Unexpected"),
    ({}, {"members": [0, 1, 1]}, r"members(.|\n)*no two alike"),
    ({}, {"members": "012"}, r"members(.|\n)*list"),
    ({}, {"classes": ["a", "a"]}, r"classes(.|\n)*no two alike"),
    ({}, {"columns": []}, r"columns(.|\n)*one or more"),
    ({}, {"sources": {"": {"reader": 1}}}, r"sources(.|\n)*reader"),
    ({}, {"partition": {"shares": {}, "folds": 3, "simulated": False, "hash": MD5}},
     r"partition.hash(.|\n)*MD5(.|\n)*version of rootloom that wrote"),
    ({"other/x": np.ones(1, np.float32)}, {}, r"other/x"),
    ({"params/0/head/bias": np.ones(1)}, {}, r"params/0/head/bias(.|\n)*float64"),
    ({"params/0/head/bias": np.array([np.inf], np.float32)}, {}, r"finite"),
    ({"params/0/head/bias": np.ones(2, np.float32)}, {}, r"head/bias(.|\n)*\(1,\)(.|\n)*\(2,\)"),
    ({"check/scores": np.ones((1, 2), np.float32)}, {}, r"check/scores"),
    ({"check/inputs/x.c2": np.ones(3, np.float32)}, {}, r"x\.c2(.|\n)*rows"),
    ({"check/inputs/y/values": np.ones(3), "check/inputs/y/offsets": np.array([0, 5])}, {},
     r"inputs/y(.|\n)*offsets"),
    ({}, {"task": {"kind": "os:system"}}, r"os:system"),
    ({}, {"model": {"kind": "dnn", "hiden": [3]}}, r"hiden"),
])  # fmt: skip
def test_bundles_of_strangers(
    dense: Made, tmp_path: Path, arrays: dict, record: dict, words: str
) -> None:
    path = tmp_path / "model.safetensors"
    stored, content = tensors.read(dense.bundle)
    tensors.write(path, {**stored, **arrays}, {**content, **record})
    with pytest.raises(rootloom.errors.RootloomError, match=words):
        Scorer.load(path)


def test_a_broken_file_keeps_no_other_from_being_scored(
    project: Path, dense: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(devices, "configure", lambda **given: None)
    monkeypatch.chdir(tmp_path)
    good = project / "data/run-0.root"
    Path("broken.root").write_bytes(good.read_bytes()[:3000])
    bundles.without(good, Path("lacking.root"), "d2")
    with uproot.recreate("empty.root") as file, uproot.open(good) as source:
        names = [n for n in source["jets"].keys() if n[0] not in "cn"]  # noqa: SIM118
        arrays = source["jets"].arrays(names)
        kinds = {n: ak.type(arrays[n]).content for n in arrays.fields}
        file.mktree("jets", {**kinds, "c2": np.float32})
    with uproot.recreate("low.root") as file:
        low = {n: arrays[n][:3] for n in arrays.fields}
        low |= {"c2": np.ones(3, np.float32), "trimmed_pt": np.ones(3, np.float32)}
        file["jets"] = low
    asked = ["apply", str(dense.bundle), str(good), "*.root", "--output", "out"]
    assert main(asked) == 1
    said = capsys.readouterr()
    assert "3 files scored, 2 not: broken.root, lacking.root" in said.err
    assert re.search(r"broken.root(.|\n)*truncated", said.err)
    assert re.search(r"lacking.root(.|\n)*'d2'", said.err)
    assert {p.name.rpartition("-")[0] for p in Path("out").iterdir()} == {"run-0", "empty", "low"}
    assert not list(Path("out").glob(".*"))
    for name, entries in (("empty", 0), ("low", 3)):
        (friend,) = Path("out").glob(f"{name}-*.root")
        with uproot.open(friend) as file:
            tree = file[TREE].arrays(library="np")
        assert tree["toy_split"].tolist() == [-1] * entries
        assert np.isnan(tree["toy__dense__mean"]).all()
        (stored,) = Path("out").glob(f"{name}-*.h5")
        assert len(read_predictions(stored).rows) == 0
    before = {p: p.read_bytes() for p in Path("out").iterdir()}
    assert main(asked) == 1
    assert "something there already" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in Path("out").iterdir()} == before


def test_outputs_never_replace_inputs_and_no_event_is_scored_twice(
    project: Path, scorer: Scorer, tmp_path: Path
) -> None:
    from rootloom.rootio.transport.source import key_of

    source = project / "data/run-0.root"
    data = tmp_path / "in"
    data.mkdir()
    (data / "a.root").write_bytes(source.read_bytes())
    key = key_of(str(data / "a.root"))
    (data / f"{key}.root").write_bytes(source.read_bytes())
    with pytest.raises(ConfigError, match="an output that is no input"):
        applying.apply(scorer, Request([f"{data}/*.root"], data))
    with pytest.raises(ConfigError, match=r"a\.root(.|\n)*different events"):
        applying.apply(scorer, Request([f"{data}/*.root"], tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_where_samples_are_read_in_different_ways_one_has_to_be_named(scorer: Scorer) -> None:
    found = scorer.bundle
    sources = dict(found.sources)
    own = {**sources["w"].reader, "tree": "other"}
    sources["w"] = bundle.Source(reader=own, friends={})
    several = Scorer(replace(found, sources=sources), "here")
    with pytest.raises(ConfigError, match=r"qcd, w, which are read in different ways"):
        several.reading()
    assert several.reading("w").reader.tree == "other"
    # Weights and classes are not read of new files.
    sources["w"] = bundle.Source(reader={**found.sources["w"].reader, "weight": "2"}, friends={})
    assert Scorer(replace(found, sources=sources), "here").reading().sample == ""


def test_truth_of_networks_without_classes_is_a_refusal(tmp_path: Path, dense: Made) -> None:
    """A generator scores nothing."""
    stored, content = tensors.read(dense.bundle)
    path = tmp_path / "m.safetensors"
    tensors.write(path, stored, {**content, "task": {"kind": "adversarial"}})
    with pytest.raises(rootloom.errors.RootloomError):
        Scorer.load(path)


def test_rows_in_memory_are_read_as_those_of_shards() -> None:
    from rootloom.shards.held import Held, opened, together

    table = {
        "id": np.arange(3, dtype=np.uint64),
        "x": np.arange(6.0).reshape(3, 2),
        "y": Ragged(np.arange(4), np.array([0, 1, 1, 4])),
    }
    held = opened(Held(table, "none", "here"))
    assert (held.rows("none"), held.rows("train")) == (3, 0)
    part = held.read("none", ["x", "y"], 1, 3)
    np.testing.assert_array_equal(part["x"], table["x"][1:])
    np.testing.assert_array_equal(part["y"].values, [1, 2, 3])
    np.testing.assert_array_equal(part["y"].offsets, [0, 0, 3])
    whole = together([held.read("none", None, k, k + 1) for k in range(3)])
    np.testing.assert_array_equal(whole["y"].offsets, table["y"].offsets)
    np.testing.assert_array_equal(whole["x"], table["x"])
    assert held.nbytes("none", ["id", "y"]) == 3 * 8 + 4 * 8 + 4 * 8


def test_simulated_files_are_named_as_in_the_training(scorer: Scorer, tmp_path: Path) -> None:
    from rootloom.rootio.writing import Rows, write_tree

    record = {"stage": "simulate", "fingerprint": "f", "inputs": {}}
    path = tmp_path / "w-00003.root"
    notes = {"provenance": json.dumps(record)}
    write_tree(path, "jets", [Rows({"a": np.ones(2, np.float32)})], notes)
    header = SimpleNamespace(url=str(path), origin="uuid/jets", first_entry=0)
    found = scorer.bundle
    simulated = replace(found.partition, simulated=True)
    reading = scorer.reading()
    other = SimpleNamespace(bundle=replace(found, partition=simulated))
    assert applying._naming(other, reading, "k", header).origin == "w-00003"
    assert applying._naming(scorer, reading, "k", header).origin == "uuid/jets"
