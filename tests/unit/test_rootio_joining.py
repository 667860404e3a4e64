"""Friend trees as inputs: other files, other trees of the same file, and scores of our own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from rootloom.errors import ConfigError, DataError, InputError, RootloomError
from rootloom.planning.plan import Plan
from rootloom.rootio.dataset import ClassRule, FriendRule, RowReader
from rootloom.rootio.friends import write_friend
from rootloom.rootio.header import inspect, require, with_friends
from rootloom.shards.reader import Shard
from rootloom.stages import index, make_plan
from rootloom.stages import preprocess as preprocessing
from rootloom.types import SPLITS

ROOT = Path(__file__).resolve().parents[2]
ALL = (ClassRule("all"),)
ENTRIES = 500
DATA = {
    "label": np.arange(ENTRIES, dtype="i4") % 2,
    "run": np.repeat(np.arange(5, dtype="i4") - 2, 100),
    "event": np.tile(np.arange(100, dtype="i8"), 5),
    "x": np.random.default_rng(1).normal(size=ENTRIES).astype("f4"),
}
SCORE = np.random.default_rng(2).normal(size=ENTRIES).astype("f4")


def write(path: Path, **trees: Mapping[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        for name, columns in trees.items():
            types = {
                k: v.dtype if isinstance(v, np.ndarray) else ak.type(v).content
                for k, v in columns.items()
            }
            file.mktree(name, types).extend(columns)
    return str(path)


def read(reader: RowReader, url: str, **friends: str) -> dict[str, np.ndarray]:
    """Columns as a job reads them: against the header, branches required, in steps."""
    header = with_friends(inspect(url, reader.tree), reader.beside(url, friends))
    fitted = reader.fitted(header.all_branches())
    require(header, fitted.branches())
    blocks = list(fitted.read(url, 0, header.entries, step=70, friends=friends))
    names = blocks[0].columns
    return {n: np.concatenate([np.asarray(b.columns[n]) for b in blocks]) for n in names}


def reader(rule: FriendRule | None = None, **variables: str) -> RowReader:
    rules = {"tagger": rule or FriendRule("tagger")}
    return RowReader("Events", variables, classes=ALL, friends=rules)


def test_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rootloom.rootio.arrays.MAX_STEP", 70)
    url = write(tmp_path / "in.root", Events=DATA)
    other = write(tmp_path / "t.root", tagger={"score": SCORE, "x": 2 * SCORE})
    asked = reader(a="tagger.score", b="score", c="x", d="tagger.x", e='branch("tagger/x")')
    found = read(asked, url, tagger=other)
    np.testing.assert_array_equal(found["a"], SCORE)
    np.testing.assert_array_equal(found["b"], SCORE)
    np.testing.assert_array_equal(found["c"], DATA["x"])  # the tree's own come first
    np.testing.assert_array_equal(found["d"], 2 * SCORE)
    np.testing.assert_array_equal(found["e"], 2 * SCORE)


def test_a_tree_of_the_same_file(tmp_path: Path) -> None:
    url = write(tmp_path / "in.root", Events=DATA, tagger={"score": SCORE})
    np.testing.assert_array_equal(read(reader(a="tagger.score"), url)["a"], SCORE)


@pytest.mark.parametrize("seed", [None, 0])
def test_by_keys_in_any_order(tmp_path: Path, seed: int | None) -> None:
    order = np.arange(ENTRIES)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(ENTRIES)
    more = {"run": [99], "event": [2**40], "score": [7.0]}
    friend = {
        name: np.concatenate([values[order], np.asarray(more[name], values.dtype)])
        for name, values in (("run", DATA["run"]), ("event", DATA["event"]), ("score", SCORE))
    }
    url = write(tmp_path / "in.root", Events=DATA)
    other = write(tmp_path / "t.root", tagger=friend)
    found = read(reader(FriendRule("tagger", ("run", "event")), a="score"), url, tagger=other)
    np.testing.assert_array_equal(found["a"], SCORE)


def test_one_entry_for_many_events(tmp_path: Path) -> None:
    runs = {"run": np.array([2, 1, 0, -1, -2], "i8"), "lumi": np.array([2, 1, 0, 9, 8], "f4")}
    url = write(tmp_path / "in.root", Events=DATA, Runs=runs)
    found = read(reader(FriendRule("Runs", ("run",)), a="lumi"), url)
    expected = np.select([DATA["run"] == r for r in runs["run"]], list(runs["lumi"]))
    np.testing.assert_array_equal(found["a"], expected)


def test_scores_of_our_own_objects(tmp_path: Path) -> None:
    pt = ak.Array([[1.0, 2.0], [], [3.0]])
    url = write(tmp_path / "in.root", Events={"Jet_pt": pt})
    path, counts = tmp_path / "scores.root", np.array([2, 0, 1])
    entry, number = np.array([0, 2]), np.array([1, 0])
    scores = np.array([0.5, 0.25])
    write_friend(path, 3, entry, number, {"dnn": scores}, "Events_scores", counts=counts)
    rules = {"first": FriendRule("Events_scores")}
    asked = RowReader(
        "Events", {"pt": "Jet_pt", "s": "first.dnn"}, rows="Jet", select="isfinite(first.dnn)",
        classes=ALL, friends=rules,
    )  # fmt: skip
    found = read(asked, url, first=str(path))
    np.testing.assert_array_equal(found["pt"], [2, 3])
    np.testing.assert_array_equal(found["s"], [0.5, 0.25])


@pytest.mark.parametrize(
    ("friend", "rule", "message"),
    [
        ({"score": SCORE[1:]}, FriendRule("tagger"), r"500 entries(.|\n)*499(.|\n)*by: \[run"),
        ({"score": SCORE}, FriendRule("scores"), r"t\.root: tree 'scores'(.|\n)*trees: tagger"),
        ({"score": SCORE}, FriendRule("tagger", ("run",)), r"t\.root(.|\n)*'run'"),
        ({"run": DATA["run"]}, FriendRule("tagger", ("run",)), r"one entry for each run -2"),
        ({"run": np.arange(-2, 2)}, FriendRule("tagger", ("run",)), r"entry 400(.|\n)*run 2\n"),
        ({"run": DATA["run"] + 0.5}, FriendRule("tagger", ("run",)), "a whole number"),
        ({"x": SCORE}, FriendRule("tagger"), r"'tagger\.score'(.|\n)*branches without"),
    ],
)
def test_friends_that_do_not_fit(
    tmp_path: Path, friend: dict[str, np.ndarray], rule: FriendRule, message: str
) -> None:
    url = write(tmp_path / "in.root", Events=DATA)
    other = write(tmp_path / "t.root", tagger=friend)
    asked = "x" if rule.by and "run" in friend else "tagger.score"
    if rule.by and "run" in friend:
        asked = "tagger.run"
    with pytest.raises((InputError, DataError), match=message):
        read(reader(rule, a=asked), url, tagger=other)


def test_a_friend_with_an_index_of_its_own_is_not_joined_by_chance(tmp_path: Path) -> None:
    other = str(ROOT / "tests/data/indexed_friend.root")
    event = np.arange(10, dtype="i4")
    url = write(tmp_path / "in.root", Events={"run": np.ones(10, "i4"), "event": event})
    with pytest.raises(InputError, match=r"a TTreeIndex(.|\n)*by: \[run, event\]"):
        read(reader(a="score"), url, tagger=other)
    by = FriendRule("tagger", ("run", "event"))
    np.testing.assert_array_equal(read(reader(by, a="score"), url, tagger=other)["a"], 9 - event)
    by = FriendRule("tagger", ())
    np.testing.assert_array_equal(read(reader(by, a="score"), url, tagger=other)["a"], event)


def test_a_name_of_two_friends_is_refused_and_so_is_a_friend_called_like_a_branch(
    tmp_path: Path,
) -> None:
    url = write(tmp_path / "in.root", Events=DATA, a={"score": SCORE}, x={"score": SCORE})
    rules = {"a": FriendRule("a"), "b": FriendRule("a")}
    asked = RowReader("Events", {"s": "score"}, classes=ALL, friends=rules)
    with pytest.raises(InputError, match=r"'score'(.|\n)*'a/score', 'b/score'"):
        read(asked, url)
    with pytest.raises(InputError, match="a name that no branch of the tree has"):
        read(
            RowReader("Events", {"s": "x.score"}, classes=ALL, friends={"x": FriendRule("x")}), url
        )


# -- through the plan -----------------------------------------------------------------------------


def plan_of(folder: Path, dataset: dict[str, Any]) -> Plan:
    (folder / "config").mkdir(exist_ok=True)
    for name in ("datasets", "experiments"):
        (folder / "config" / name).mkdir(exist_ok=True)
    for entry in (ROOT / "config").iterdir():
        link = folder / "config" / entry.name
        if not link.exists():
            link.symlink_to(entry)
    default = yaml.safe_load((ROOT / "config/experiments/default.yaml").read_text())
    files = {
        "datasets/mine": {
            "classes": {"a": {"where": "label == 0"}, "b": {"where": "label == 1"}},
            "variables": {"x": "x", "score": "tagger.score"},
            **dataset,
        },
        "experiments/mine": {**default, "dataset": "mine"},
    }
    for name, content in files.items():
        (folder / f"config/{name}.yaml").write_text(yaml.safe_dump(content))
    return make_plan({"experiment": "mine"}, folder)


def preprocess(plan: Plan) -> dict[str, np.ndarray]:
    """What the shards of all files hold, in the order of their entries, keys sorted."""
    plan.files("mine").note()
    listing, found = str(plan.files("mine").list_path), []
    for pack in plan.files("mine").packs:
        indexed, manifest = (
            plan.paths.index("mine", pack),
            plan.files("mine").manifests("features")[0],
        )
        job = plan.job("index", dataset="mine", pack=pack)
        index.run(job, listing=listing, readers=plan.data("mine").readers(), output=indexed)
        preprocessing.run(
            plan.job("preprocess", dataset="mine", representation="features", pack=pack),
            listing=listing,
            index=indexed,
            shards=plan.paths.shard("mine", "features", "{file}", "{part}"),
            output=manifest,
            changed=plan.paths.changed("mine", "{file}"),
        )
        entries = json.loads(Path(manifest).read_text())["files"]
        for key in sorted(entries):
            for path in entries[key]["shards"]:
                with Shard(Path(manifest).parent / path) as shard:
                    parts = [shard.read(s, ["entry", "x.x", "x.score"]) for s in SPLITS]
                one = {n: np.concatenate([np.asarray(p[n]) for p in parts]) for n in parts[0]}
                found.append({n: values[np.argsort(one["entry"])] for n, values in one.items()})
    return {n: np.concatenate([one[f"x.{n}"] for one in found]) for n in ("x", "score")}


def test_files_beside_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    halves = {"one": slice(0, 250), "two {2} [x]": slice(250, 500)}
    for name, part in halves.items():
        write(tmp_path / f"data/{name}.root", Events={k: v[part] for k, v in DATA.items()})
        write(tmp_path / f"scores/{name}_tagger.root", best={"score": SCORE[part]})
    friends = {"tagger": {"file": "{folder}/../scores/{stem}_tagger.root", "tree": "best"}}
    dataset = {"files": ["data/*.root"], "friends": friends}
    plan = plan_of(tmp_path, dataset)
    found = preprocess(plan)
    np.testing.assert_array_equal(found["x"], DATA["x"])
    np.testing.assert_array_equal(found["score"], SCORE)

    before = {
        key: file.state
        for key, file in plan.files("mine").of_pack(plan.files("mine").packs[0]).items()
    }
    write(tmp_path / "scores/one_tagger.root", best={"score": -SCORE[:250]})
    again = plan_of(tmp_path, dataset)
    after = {
        key: file.state
        for key, file in again.files("mine").of_pack(again.files("mine").packs[0]).items()
    }
    assert [key.partition("-")[0] for key in before if before[key] != after[key]] == ["one"]
    np.testing.assert_array_equal(preprocess(again)["score"][:250], -SCORE[:250])

    shared = {"tagger": {**friends["tagger"], "file": "scores/one_tagger.root"}}
    with pytest.raises(ConfigError, match=r"friends\.tagger\.file(.|\n)*\{stem\}"):
        plan_of(tmp_path, {**dataset, "friends": shared}).files("mine").of_pack(
            plan.files("mine").packs[0]
        )
    os.remove(tmp_path / "scores/one_tagger.root")
    with pytest.raises(InputError, match=r"friends\.tagger(.|\n)*one\.root(.|\n)*no match"):
        plan_of(tmp_path, dataset).files("mine").of_pack(plan.files("mine").packs[0])


def test_friends_of_a_sample_and_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mc.root", Events=DATA)
    url = write(tmp_path / "data.root", Events=DATA, tagger={"score": SCORE})
    key = plan_of(tmp_path, {"files": ["mc.root"]}).files("mine").of_pack("0-of-1").popitem()[0]
    write(tmp_path / f"friends/{key}.root", tagger={"score": 2 * SCORE})
    samples = {
        "mc": {"files": ["mc.root"]},
        "data": {"files": [Path(url).name], "friends": {"tagger": {}}},
    }
    dataset = {"samples": samples, "friends": {"tagger": "friends/{key}.root"}}
    found = preprocess(plan_of(tmp_path, dataset))
    np.testing.assert_array_equal(found["score"], np.concatenate([SCORE, 2 * SCORE]))


@pytest.mark.parametrize(
    ("friends", "message"),
    [
        (["in_tagger.root"], "dictionary|mapping"),
        ({"tagger": {"files": "x.root"}}, "did you mean 'file'"),
        ({"a/b": "x.root"}, "letters, digits"),
    ],
)
def test_friends_that_make_no_sense(tmp_path: Path, friends: Any, message: str) -> None:
    with pytest.raises(RootloomError, match=message):
        plan_of(tmp_path, {"files": ["x.root"], "friends": friends})


def test_rows_are_counted_alike_for_every_reader_of_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "in.root").touch()
    dataset = {"files": ["in.root"], "rows": "Jet", "classes": {"a": {"where": "run > 0"}, "b": {}}}
    dataset["classes"]["b"] = {"where": "run <= 0"}
    plan = plan_of(tmp_path, {**dataset, "variables": {"pt": "Jet_pt", "met": "met + GenJet_n"}})
    own = plan.data("mine").reader({"kind": "features", "variables": ["pt"]})
    less = plan.data("mine").reader({"kind": "features", "variables": ["met"]})
    (bare,) = plan.job("friends", dataset="mine", pack=plan.files("mine").packs[0])["section"][
        "readers"
    ].values()
    assert (own["mentions"], less["mentions"], bare["mentions"]) == ([], ["Jet_pt"], ["Jet_pt"])
    assert bare["variables"] == {}
