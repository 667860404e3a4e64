"""Scores on their way back to ROOT: who is scored, what branches are called, what ROOT says."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from tests.contents import content_digest
from tests.stages import Run

from rootloom.baselines.cut import Cut
from rootloom.errors import ChangedError, DataError, InputError, ResultError
from rootloom.evaluation import predictions
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import (
    Header,
    Predictions,
    Rows,
    prediction_writer,
    write_predictions,
)
from rootloom.representations.features import FeatureVector
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.friends import write_friend
from rootloom.rootio.names import friend_branch, friend_tree, identifier
from rootloom.shards.ids import event_ids, fold_of, row_ids
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import shard_statistics
from rootloom.shards.update import recipes, write_or_update
from rootloom.shards.weights import WeightTable
from rootloom.stages import evaluate as evaluations
from rootloom.stages import friends
from rootloom.stages.friend_trees import Scores
from rootloom.stages.scoring import LearningData
from rootloom.types import GROUPS, RowBlock

FRACTIONS = {"train": 0.5, "validation": 0.25, "test": 0.25}


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Jets of three flavours; c jets may lack a truth, and some of them an input."""
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 5, 400)
    size = int(counts.sum())
    flavour = rng.choice([0, 4, 5], size)
    pt = rng.uniform(10, 100, size)
    mass = np.where((flavour == 4) & (np.arange(size) % 3 == 0), np.nan, rng.uniform(1, 9, size))
    truth = np.where(flavour == 4, np.nan, pt)
    parts = {"pt": pt, "flavour": flavour, "mass": mass, "truth": truth}
    path = tmp_path_factory.mktemp("jets") / "in.root"
    with uproot.recreate(path) as file:
        content = ak.zip({n: ak.unflatten(v, counts) for n, v in parts.items()})
        file.mktree("Events", {"Jet": ak.type(content).content}).extend({"Jet": content})
    return str(path)


def reader(**fields: object) -> RowReader:
    given = {
        "variables": {"pt": "Jet_pt", "mass": "Jet_mass"},
        "rows": "Jet",
        "select": "Jet_pt > 20",
        "classes": (
            ClassRule("light", "Jet_flavour == 0"),
            ClassRule("b", "Jet_flavour == 5"),
        ),
        "targets": {"pt": "Jet_truth"},
    }
    return RowReader("Events", **{**given, **fields})  # type: ignore[arg-type]


def flat(url: str) -> Mapping[str, np.ndarray]:
    """Everything of the file, a row a jet."""
    with uproot.open(url) as file:
        found = file["Events"].arrays()
    columns = {n.removeprefix("Jet_"): ak.to_numpy(ak.flatten(found[n])) for n in found.fields[1:]}
    entry = np.repeat(np.arange(len(found)), ak.to_numpy(found.nJet))
    return {
        **columns,
        "entry": entry,
        "object": ak.to_numpy(ak.flatten(ak.local_index(found.Jet_pt))),
    }


def make_shard(path: Path, url: str, variables: tuple[str, ...]) -> int:
    """The shard of some variables, or those that are missing from it; how many were read."""
    read = reader(variables={name: f"Jet_{name}" for name in variables}, targets={})

    def blocks(columns: list[str]) -> Iterator[RowBlock]:
        return read.read(url, 0, 400, columns=columns, step=90, unlabelled=True)

    representation = FeatureVector(variables=variables)
    return write_or_update(
        path,
        blocks=blocks,
        representation=representation,
        recipe=recipes(representation, read.expressions(variables), "here"),
        file_key="in",
        splits=FRACTIONS,
        auxiliary=(),
        attributes={},
    )


def test_rows_of_no_class_are_read_when_asked_for(jets: str) -> None:
    rows, wanted = flat(jets), reader()
    labelled = list(wanted.read(jets, 0, 400, step=90))
    assert sum(map(len, labelled)) == int(((rows["pt"] > 20) & (rows["flavour"] != 4)).sum())
    blocks = list(wanted.read(jets, 0, 400, step=90, unlabelled=True))
    label = np.concatenate([block.label for block in blocks])
    entry = np.concatenate([block.entry for block in blocks])
    # Without a mass they cannot be scored; without a truth they can.
    kept = (rows["pt"] > 20) & np.isfinite(rows["mass"])
    np.testing.assert_array_equal(entry, rows["entry"][kept])
    expected = np.select([rows["flavour"] == 0, rows["flavour"] == 5], [0, 1], -1)
    np.testing.assert_array_equal(label, expected[kept])
    assert sum(block.entries for block in blocks) == 400
    # What a row of a class lacks is refused as before, with and without the others.
    for unlabelled in (False, True):
        with pytest.raises(DataError, match=r"'bad'(.|\n)*finite"):
            list(
                reader(variables={"bad": "log(Jet_flavour)"}).read(
                    jets, 0, 400, unlabelled=unlabelled
                )
            )


def test_they_lie_beside_the_splits_and_count_in_none(jets: str, tmp_path: Path) -> None:
    make_shard(tmp_path / "s.h5", jets, ("pt",))
    rows = flat(jets)
    selected = rows["pt"] > 20
    with Shard(tmp_path / "s.h5") as shard:
        none = shard.read("none")
        labels = {np.asarray(shard.read(name)["label"]).min() for name in GROUPS[:3]}
        sizes = [shard.rows(name) for name in GROUPS]
    charm = selected & (rows["flavour"] == 4)
    np.testing.assert_array_equal(none["entry"], rows["entry"][charm])
    assert set(np.asarray(none["label"])) == {-1}
    assert labels == {0}
    assert sum(sizes) == int(selected.sum())
    found = shard_statistics(
        tmp_path / "s.h5", FeatureVector(variables=("pt",)), classes=("light", "b")
    )
    assert found.rows.sum() == sum(sizes[:3])


def test_a_new_column_may_unmake_them(jets: str, tmp_path: Path) -> None:
    path, whole = tmp_path / "s.h5", tmp_path / "whole.h5"
    assert make_shard(path, jets, ("pt",)) == 1
    with Shard(path) as shard:
        before = shard.rows("none")
    # Not defined for some of them: all columns are written anew, and those rows are left out.
    assert make_shard(path, jets, ("pt", "mass")) == 2
    make_shard(whole, jets, ("pt", "mass"))
    assert content_digest(path) == content_digest(whole)
    with Shard(path) as shard:
        assert 0 < shard.rows("none") < before
    # One that is defined for all is only added.
    make_shard(path, jets, ("pt",))
    assert make_shard(path, jets, ("pt", "flavour")) == 1


def test_a_baseline_scores_them_but_never_sees_them(jets: str, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    make_shard(path, jets, ("pt",))
    table = WeightTable(np.ones((2, 1)))
    data = LearningData([path], table, ("light", "b"), "b", ())
    learned = Cut("pt", direction="below").learn(data)
    assert learned.splits == GROUPS
    assert learned.turned == ("negated",)
    assert Cut("pt", direction="above").learn(data).turned == ()
    assert Cut("pt", window=True).learn(data).turned == ("minus_distance",)


HEADER = Header("dnn", ("a", "b"), "b", ("score",), files=("one", "two"), experiment="my-test.2")
ENTRY = np.array([0, 2, 2, 3, 5, 6, 7])
OBJECT = np.array([1, 0, 2, 0, 0, 0, 1])
SPLIT = np.array([0, 1, 0, 3, 2, 0, 3])


def files(
    folder: Path, method: str, members: Mapping[int, np.ndarray], **header: object
) -> list[Path]:
    """Prediction files of a method for file "one", rows of each split in a file of its own."""
    made = []
    for member, scores in members.items():
        for number, split in enumerate(GROUPS):
            here = np.flatnonzero(number == SPLIT)[::-1]  # in any order
            rows = Rows(
                id=row_ids(event_ids("one", ENTRY[here]), OBJECT[here]),
                weight=np.ones(len(here)),
                truth=np.full(len(here), -1 if split == "none" else 1),
                scores=np.reshape(scores[here], (len(here), -1)),
                file=np.zeros(len(here)),
                entry=ENTRY[here],
                object=OBJECT[here],
            )
            fields = {**vars(HEADER), "method": method, "member": member, "split": split, **header}
            made.append(folder / f"{method}-{member}-{split}.h5")
            write_predictions(made[-1], Predictions(Header(**fields), rows))
    return made


def test_branches_say_experiment_method_member_and_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = {m: rng.normal(size=7).astype(np.float32) for m in range(3)}
    three = rng.normal(size=(7, 3)).astype(np.float32)
    paths = [
        *files(tmp_path, "k-fold", values),
        *files(tmp_path, "bags", {m: values[m] for m in (0, 1)}),
        *files(tmp_path, "tau21", {0: values[0]}, turned=("negated",)),
        *files(
            tmp_path, "many", {0: three}, classes=("a", "b", "c"),
            columns=("score_a", "score_b", "score_c"),
        ),
        *files(tmp_path, "fit", {0: three[:, :2]}, columns=("x", "y")),
    ]  # fmt: skip
    scores = Scores(paths, ["one"], "my-test.2", {"k-fold": 3})
    found = scores.of("one")
    assert found.entry.tolist() == ENTRY.tolist()
    assert found.object.tolist() == OBJECT.tolist()
    assert set(found.branches) == set(scores.legend()) == {
        "my_test_2_split",
        "my_test_2__k_fold__0", "my_test_2__k_fold__1", "my_test_2__k_fold__2",
        "my_test_2__k_fold__mean", "my_test_2__k_fold__spread",
        "my_test_2__k_fold__left_out", "my_test_2__k_fold__fold",
        "my_test_2__bags__0", "my_test_2__bags__1",
        "my_test_2__bags__mean", "my_test_2__bags__spread",
        "my_test_2__tau21__negated",
        "my_test_2__many__a", "my_test_2__many__b", "my_test_2__many__c",
        "my_test_2__fit__x", "my_test_2__fit__y",
    }  # fmt: skip
    branch = {n.removeprefix("my_test_2_"): v for n, v in found.branches.items()}
    assert branch["split"].tolist() == SPLIT.tolist()
    fold = fold_of(event_ids("one", ENTRY), 3)
    assert branch["_k_fold__fold"].tolist() == fold.tolist()
    stacked = np.stack([values[m] for m in range(3)])
    np.testing.assert_array_equal(branch["_k_fold__left_out"], stacked[fold, np.arange(7)])
    np.testing.assert_allclose(branch["_k_fold__mean"], stacked.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        branch["_bags__mean"], stacked[:2].mean(axis=0), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        branch["_bags__spread"], stacked[:2].std(axis=0, ddof=1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(branch["_many__b"], three[:, 1])
    np.testing.assert_array_equal(branch["_fit__y"], three[:, 1])
    for word in ("3 none", "-1 dropped by `select`", "0 train"):
        assert word in scores.legend()["my_test_2_split"]
    nothing = Scores(paths, ["two"], "my-test.2", {"k-fold": 3}).of("two")
    assert len(nothing.entry) == 0
    assert set(nothing.branches) == set(found.branches)


def test_nothing_is_read_of_the_rows_of_other_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "CHUNK", 4)
    path, number = tmp_path / "p.h5", np.repeat([0, 1, 0, 2, 1], [6, 6, 4, 4, 3])
    whole = Rows(
        id=np.arange(23), weight=np.ones(23), truth=np.ones(23), scores=np.arange(23.0)[:, None],
        file=number, entry=np.arange(23), object=np.zeros(23),
    )  # fmt: skip
    header = Header(**{**vars(HEADER), "files": ("one", "two", "three", "none of it")})
    with prediction_writer(path, header) as writer:
        for part in (slice(0, 8), slice(8, 9), slice(9, 23)):
            columns = {
                name: v[part] for name, v in vars(whole).items() if isinstance(v, np.ndarray)
            }
            writer.append(Rows(**columns))
    with h5py.File(path) as file:
        places = [file[name].id.get_chunk_info(4).byte_offset for name in ("file", "scores")]
    content = bytearray(path.read_bytes())
    for place in places:  # rows 16 to 19, of "three"
        content[place + 3] ^= 1
    path.write_bytes(content)
    found = Scores([path], ["two", "none of it", "one"], "e", {})
    assert found.of("two").branches["e__dnn"].tolist() == [*range(6, 12), 20, 21, 22]
    assert found.of("one").entry.tolist() == [*range(6), *range(12, 16)]
    assert len(found.of("none of it").entry) == 0
    with pytest.raises(InputError, match=r"p\.h5"):
        Scores([path], ["three"], "e", {})


def test_places_of_rows_that_are_not_theirs_are_refused(tmp_path: Path) -> None:
    path = files(tmp_path, "dnn", {0: np.zeros(7)})[0]
    for wrong in ([[1, 0]], [[0, 1]], [[0, 0], [1, 9]], []):
        with h5py.File(path, "r+") as file:
            del file["runs"]
            file["runs"] = np.reshape(np.array(wrong, np.int64), (-1, 2))
        with pytest.raises(InputError, match="runs"):
            Scores([path], ["one", "two"], "e", {})
    with h5py.File(path, "r+") as file:
        del file["runs"]
    with pytest.raises(InputError, match="runs"):
        Scores([path], ["one"], "e", {})


def write_jets(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    jets = ak.zip({"pt": ak.unflatten(rng.uniform(0, 100, 60), rng.multinomial(60, [0.05] * 20))})
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Jet": ak.type(jets).content}).extend({"Jet": jets})


def test_all_files_of_a_pack_that_have_changed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / f"{name}.root" for name in ("first", "second", "third")]
    for seed, path in enumerate(paths):
        write_jets(path, seed)
    classes = {"soft": {"where": "Jet_pt < 50"}, "hard": {"where": "Jet_pt >= 50"}}
    run = Run(tmp_path, {
        "tree": "Events", "rows": "Jet", "files": ["*.root"], "classes": classes,
        "variables": {"pt": "Jet_pt"}, "splits": FRACTIONS,
    })  # fmt: skip
    (pack,) = run.plan.files("mine").packs
    index, notes = run.index(pack), run.plan.paths.changed("mine", "{file}")
    for seed, path in enumerate(paths[1:]):
        write_jets(path, 7 + seed)
    with pytest.raises(ChangedError, match=r"(?s)second\.root.*third\.root|third.*second"):
        friends.run(
            run.plan.job("friends", dataset="mine", pack=pack),
            listing=str(run.plan.files("mine").list_path),
            predictions=[],
            index=index,
            friends=str(tmp_path / "friends" / "{file}.root"),
            changed=notes,
            output="friends.json",
        )
    noted = {path.stem.partition("-")[0] for path in Path(notes).parent.glob("*.json")}
    assert noted == {"second", "third"}


def test_methods_that_disagree_about_a_split_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = files(tmp_path, "one", {0: np.zeros(7)})
    monkeypatch.setattr(sys.modules[__name__], "SPLIT", SPLIT[::-1])
    two = files(tmp_path, "two", {0: np.zeros(7)})
    with pytest.raises(DataError, match="same splits"):
        Scores([*one, *two], ["one"], "e", {}).of("one")


def test_predictions_of_another_split_in_the_place_of_one_are_refused(tmp_path: Path) -> None:
    # Their fingerprints are the same: one job made them all.
    made = files(tmp_path, "one", {0: np.zeros(7)})
    named = zip(GROUPS, made, strict=True)
    paths = {split: path.rename(tmp_path / f"{split}.h5") for split, path in named}
    shutil.copy(paths["none"], paths["test"])
    section = {"dataset": "mine", "method": "one", "evaluation": {"kind": "classification"}}
    branches = friends.Branches(experiment="e", folds={}, readers={}, simulated=False)
    said = r"test\.h5\n.*rows of 'test'.*\n.*those of 'none'"
    with pytest.raises(ResultError, match=said):
        friends.scores_of(branches, list(map(str, paths.values())), ["one"])
    section |= {"examples": None, "evaluate": "rootloom.stages.evaluating:evaluate_predictions"}
    for given in ({"results": [paths["test"]]}, {"held_out": [paths["test"]]}):
        of = {**dict.fromkeys(evaluations.Paths.__annotations__, ()), "results": [paths["train"]]}
        of |= {**given, "output": str(tmp_path / "found.json")}
        with pytest.raises(ResultError, match=said):
            evaluations.run({"section": section}, **of)


def test_rows_of_no_class_are_not_evaluated(tmp_path: Path) -> None:
    paths = files(tmp_path, "dnn", {0: np.linspace(0, 1, 7)})
    with pytest.raises(DataError, match=r"rows of no class(.|\n)*test\.h5"):
        evaluate([paths[GROUPS.index("none")]])


@pytest.mark.parametrize("name", ["w-tagging", "a--b", "3.class", "_x_", "Λ-baryon", "a_b__c"])
def test_names_are_identifiers_that_keep_parts_apart(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", identifier(name))
    assert friend_branch("a-b", "c") != friend_branch("a", "b-c")
    assert friend_branch(name, "0", "1").endswith("__0__1")


@pytest.mark.parametrize("tree", ["Events", "Events;7", "ntuples/Events", "a/b/Events;1"])
def test_a_friend_tree_has_neither_cycle_nor_folder(tree: str) -> None:
    assert friend_tree(tree, "my-tagger") == "Events_my_tagger_scores"


# -- what ROOT itself says ---------------------------------------------------------------------

READS = r"""
import sys
import ROOT
ROOT.gErrorIgnoreLevel = ROOT.kWarning
inputs, first, second = sys.argv[1:]
file = ROOT.TFile.Open(inputs)
for name in ("Flat", "Events"):
    tree = file.Get(name)
    for experiment, path in (("one-tagger", first), ("other.tagger", second)):
        friend = f"{name}_{experiment.replace('-', '_').replace('.', '_')}_scores"
        assert tree.AddFriend(friend, f"{path}.{name}.root"), friend
        assert tree.GetFriend(friend).GetEntries() == tree.GetEntries(), friend
    cut = "one_tagger_split >= 0 && one_tagger__dnn > other_tagger__dnn"
    print(name, tree.Draw("one_tagger__dnn", cut, "goff"))
    frame = ROOT.RDataFrame(tree)
    if name == "Flat":
        print("sum", frame.Filter(cut).Sum("one_tagger__dnn").GetValue())
    else:
        best = frame.Define("good", f"one_tagger__dnn[{cut}]")
        print("sum", best.Define("total", "Sum(good)").Sum("total").GetValue())
        same = frame.Filter("Jet_pt.size() == one_tagger__dnn.size()").Count().GetValue()
        print("same", same, frame.Count().GetValue())
"""


@pytest.mark.skipif(
    importlib.util.find_spec("ROOT") is None, reason="ROOT is not importable (pip install root)"
)
def test_root_attaches_friends_of_two_experiments(jets: str, tmp_path: Path) -> None:
    rows, counts = flat(jets), None
    with uproot.open(jets) as file:
        counts = file["Events"]["nJet"].array(library="np").astype(int)
        pt = file["Events"]["Jet_pt"].array()
    inputs = tmp_path / "in.root"
    with uproot.recreate(inputs) as file:
        jet = ak.zip({"pt": pt})
        file.mktree("Events", {"Jet": ak.type(jet).content}).extend({"Jet": jet})
        file.mktree("Flat", {"x": "f8"}).extend({"x": np.arange(400.0)})
    rng, wanted = np.random.default_rng(3), {}
    for shape, entry, number in (
        ("Flat", np.arange(0, 400, 3), np.zeros(134, int)),
        ("Events", rows["entry"][::2], rows["object"][::2]),
    ):
        split = rng.integers(0, 4, len(entry)).astype(np.int32)
        scores = [rng.normal(size=len(entry)).astype(np.float32) for _ in range(2)]
        for experiment, score in zip(("one-tagger", "other.tagger"), scores, strict=True):
            name = identifier(experiment)
            write_friend(
                tmp_path / f"{experiment}.{shape}.root",
                400,
                entry,
                number,
                {f"{name}_split": split, friend_branch(experiment, "dnn"): score},
                friend_tree(f"{shape};1", experiment),
                collection=name,
                counts=counts if shape == "Events" else None,
            )
        better = scores[0] > scores[1]
        wanted[shape] = int(better.sum()), float(scores[0][better].sum())
    done = subprocess.run(
        [sys.executable, "-c", READS, inputs, tmp_path / "one-tagger", tmp_path / "other.tagger"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    said = SimpleNamespace(draws=[int(w[1]) for w in words if w[0] in wanted], rest=words)
    assert said.draws == [wanted["Flat"][0], wanted["Events"][0]]
    sums = [float(w[1]) for w in words if w[0] == "sum"]
    np.testing.assert_allclose(sums, [wanted["Flat"][1], wanted["Events"][1]], rtol=1e-4)
    assert ["same", "400", "400"] in words
