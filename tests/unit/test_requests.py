# ruff: noqa: E501 (tables of edits and the messages they bring)
"""What a user asks for wrongly is refused in the plan: file, key, expected, found, nearest fix."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rootloom.config.sections import Dataset, Experiment, Library, Settings, parse
from rootloom.errors import ConfigError
from rootloom.stages import make_plan
from rootloom.system.paths import check_name, check_results

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Library(ROOT / "config")
MC: dict[str, Any] = {"files": ["f.root"], "class": "a"}


def mc(**keys: Any) -> dict[str, Any]:
    return {"samples": {"mc": {**MC, **keys}}}


@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (Dataset, mc(cross_section="831.8 pb"), r"samples.mc.cross_section\n.*a number \(pb;.*\n.*'831.8 pb'\n.*cross_section: 831.8"),
        (Dataset, mc(cross_section="0.8318 nb"), r"a number in pb, without the unit"),
        (Dataset, {**mc(), "luminosity": -3}, r"x.yaml: luminosity\n.*greater than 0 \(fb⁻¹;.*\n.*-3"),
        (Dataset, {**mc(), "luminosity": "140 fb-1"}, r"luminosity: 140, as the unit is fb"),
        (Dataset, {**mc(), "luminosity": True}, r"a number\n.*True"),
        (Dataset, {**mc(), "luminosity": float("inf")}, r"a finite number"),
        (Dataset, {**mc(), "negative_weights": "absolut"}, "did you mean 'absolute'"),
        (Dataset, {**mc(), "step": 0}, r"step\n.*at least 1"),
        (Dataset, {**mc(), "splits": {"train": "0.7"}}, r"splits.train\n.*a share of all events"),
        (Dataset, {**mc(), "files": "a.root"}, r"a list.*\n.*\n.*files: \[a.root\]"),
        (Dataset, {**mc(), "variables": {"target.pt": "x"}, "targets": {"pt": "y"}}, r"one quantity a name: 'target.pt'"),
        (Dataset, {**mc(), "variables": {"jet.pt": "x"}, "objects": {"jet": {"pt": "y"}}}, r"one quantity a name: 'jet.pt'"),
        (Dataset, mc(select=None, where=3), r"where\n.*known key"),
        (Dataset, {"simulate": {"source": {}, "files": {"demo": 10**9}, "rows_per_file": 1}}, "files.demo\n.*at most"),
        (Experiment, {"dataset": "d", "methods": {"m": {"model": "a", "representation": "b", "members": 10**9}}}, "methods.m.members\n.*at most"),
        (Experiment, {"dataset": "d", "methods": {"m": {"model": "a", "representation": "b", "members": True}}}, r"methods.m.members\n.*a number"),
        (Experiment, {"dataset": "d", "task": "classification"}, r"task\n.*a mapping of keys"),
    ],
)  # fmt: skip
def test_keys_are_refused_with_the_nearest_fix(cls: Any, data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(cls, data, "x.yaml")


@pytest.mark.parametrize(
    ("group", "section", "message"),
    [
        ("evaluations", {"kind": "classification", "weights": "trainin"}, "weights\n.*event, training\n.*'trainin'\n.*did you mean 'training'"),
        ("models", {"kind": "dnn", "hidden": [0]}, r"hidden.0\n.*a whole number at least 1"),
        ("models", {"kind": "dnn", "hidden": [10**9]}, r"hidden.0\n.*at most 65536"),
        ("models", {"kind": "dnn", "hidden": 300}, r"a list(.|\n)*hidden: \[300\]"),
        ("models", {"kind": "dnn", "dropout": 1.0}, r"dropout\n.*below 1"),
        ("models", {"kind": "cnn", "filters": [16.0]}, r"filters.0\n.*whole number.*\n.*16.0\n.*16"),
        ("models", {"kind": ["dnn"]}, r"kind\n.*known kind of models, .*\n.*\['dnn'\]"),
        ("models", {"kind": {"a": 1}}, r"kind\n.*known kind of models"),
        ("models", {}, r"kind\n.*\n.*no such key"),
        ("baselines", {"kind": "cut"}, r"variable\n.*no default"),
        ("reweight", {"kind": "reweight", "variabel": "pt"}, r"variabel\n.*known field"),
        ("training", {"kind": "training", "learning_rate": "1e-3"}, r"a number\n"),
        ("training", {"kind": "training", "optimizer": "adma"}, "did you mean 'adam'"),
    ],
)  # fmt: skip
def test_sections_of_classes_are_refused_likewise(
    group: str, section: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        LIBRARY.check(group, section, "x.yaml")


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/b", "{wildcard}", "$(id)", "a b", "", ".hidden", "-rf", "é", "a" * 300,
             "http://x/y", "a\nb", "a;b", "~"]
)  # fmt: skip
def test_names_are_parts_of_paths(name: str) -> None:
    with pytest.raises(ConfigError, match="beginning with a letter or digit"):
        check_name(name, "x.yaml")
    with pytest.raises(ConfigError, match="letters, digits"):
        make_plan({"experiment": name}, ROOT)


@pytest.mark.parametrize(
    "results",
    ["../results", "a/../../b", "{dataset}", "$(id)", "$HOME/x", "~/x", "https://x/y", "s3://b/k", "",
     " ", "a\nb", "`id`", "a;b", "x*", "-x", "a\\b", "'", "a ", "a/" + "b" * 300],
)  # fmt: skip
def test_results_are_a_directory(results: str) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml: results\n.*a directory"):
        make_plan({"experiment": "w-tagging", "results": results}, ROOT)


def test_ordinary_results_and_names_stay() -> None:
    for results in ("results", "/scratch/me/run_2", "a/b.c", "my results", "."):
        check_results(results, "here")
    for name in ("w-tagging", "2016_B", "T.v2", "x" * 100):
        check_name(name, "here")
    with pytest.raises(ConfigError, match="folders of the results"):
        make_plan({"experiment": "datasets"}, ROOT)


@pytest.mark.parametrize("name", ["taken", "taken/below", "gone/below", "here"])
def test_results_below_a_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also where the file is in the place of an experiment's or a dataset's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "nano-btag").touch()
    said = r"config.yaml: results: \S+\n.*directory.*\n.*a (file|link to nothing): \S+\n.*fix"
    with pytest.raises(ConfigError, match=said):
        make_plan({"experiment": "nano-btag", "results": name}, ROOT)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped configuration, with an experiment on a given file."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "tests" / "data", tmp_path / "tests" / "data")
    return tmp_path / "config"


def changed(file: Path, change: dict[str, Any]) -> None:
    """Set keys of a YAML file; "a.b" is a key of a key."""
    content = yaml.safe_load(file.read_text())
    for place, value in change.items():
        *parents, last = place.split("/")
        inside = content
        for key in parents:
            inside = inside.setdefault(key, {})
        inside[last] = value
    file.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("datasets/nano-btag.yaml", {"variables/pt": "1 +* 2"}, r"datasets/nano-btag.yaml: variables.pt: .*\n.*expression"),
        ("datasets/nano-btag.yaml", {"select": "Jet_pt >"}, r"datasets/nano-btag.yaml: select: .*\n"),
        ("datasets/nano-btag.yaml", {"weight": "__import__('os')"}, r"datasets/nano-btag.yaml: weight: .*\n"),
        ("datasets/nano-btag.yaml", {"classes/b": {"where": "squrt(Jet_pt)"}}, r"nano-btag.yaml: classes.b.where: .*\n.*\n.*\n.*'sqrt'"),
        ("datasets/nano-btag.yaml", {"splits": {"train": 0.9, "validation": 0.1, "test": "("}}, r"nano-btag.yaml: splits.test: .*\n"),
        ("datasets/nano-btag.yaml", {"identity": ["("]}, r"nano-btag.yaml: identity.0: .*\n"),
        ("datasets/nano-btag.yaml", {"variables/a b": "1"}, r"nano-btag.yaml: variables: a b\n"),
        ("datasets/nano-btag.yaml", {"objects": {"jets": {"../x": "Jet_pt"}}}, r"nano-btag.yaml: objects.jets: ../x\n"),
        ("datasets/nano-btag.yaml", {"like": "../w-jets"}, r"nano-btag.yaml: like: ../w-jets\n"),
        ("datasets/nano-btag.yaml", {"like": "w-jet"}, r"nano-btag.yaml: like: dataset 'w-jet'\n.*\n.*\n.*'w-jets'"),
        ("datasets/nano-btag.yaml", {"reweight": {"variable": "pt", "bins": 0, "low": 0, "high": 1}}, r"nano-btag.yaml: reweight.*\n.*bins ≥ 1"),
        ("datasets/nano-btag.yaml", {"reweight": {"variable": "pt", "bins": 3, "low": 0, "high": 1, "target": "bb"}}, r"reweight.target\n.*\n.*'bb'"),
        ("experiments/nano-btag.yaml", {"baselines/deepjet/variable": "deepjt"}, r"experiments/nano-btag.yaml: baselines.deepjet.variable\n.*variables of the representation 'features'\n.*\n.*'deepjet'"),
        ("experiments/nano-btag.yaml", {"baselines/more": {"kind": "boosted_trees", "variables": ["x"]}}, r"baselines.more.variables\n.*\n.*'x'"),
        ("experiments/nano-btag.yaml", {"baselines/more": {"kind": "likelihood"}}, r"baselines.more.variables\n.*\n.*'trimmed_mass'"),
        ("experiments/nano-btag.yaml", {"baselines/more": {"kind": "likelihood", "variables": ["pt"], "bins": [1]}}, r"nano-btag.yaml: baselines.more.*\n.*bins ≥ 2"),
        ("experiments/nano-btag.yaml", {"training/batch_size": 0}, r"nano-btag.yaml: training.batch_size\n.*above zero"),
        ("experiments/nano-btag.yaml", {"training/momentum": 0.9}, r"nano-btag.yaml: training.momentum\n"),
        ("experiments/nano-btag.yaml", {"methods/dnn/training": {"momentum": 0.9}}, r"nano-btag.yaml: methods.dnn.training.momentum\n"),
        ("experiments/nano-btag.yaml", {"training/group_rates": {"head": -1.0}}, r"nano-btag.yaml: training.group_rates.head\n"),
        ("experiments/nano-btag.yaml", {"training/epoch": 3}, r"nano-btag.yaml: training.epoch\n.*\n.*\n.*'epochs'"),
        ("experiments/nano-btag.yaml", {"methods/dnn/training": {"epoch": 3}}, r"nano-btag.yaml: methods.dnn.training.epoch\n"),
        ("experiments/nano-btag.yaml", {"dataset": "w-tagging"}, r"dataset 'w-tagging'\n.*\n.*\n.*'w-tagging' is an experiment; of datasets, "),
        ("experiments/nano-btag.yaml", {"methods/dnn/model": "nano-jets"}, r"'nano-jets' is a representation; of models, "),
        ("experiments/nano-btag.yaml", {"methods/dnn/model": "../models/dnn"}, r"nano-btag.yaml: methods.dnn.model: ../models/dnn\n"),
        ("experiments/nano-btag.yaml", {"dataset": "a/b"}, r"nano-btag.yaml: dataset: a/b\n"),
        ("experiments/nano-btag.yaml", {"methods/a{b}": {"model": "dnn", "representation": "nano-jets"}}, r"nano-btag.yaml: methods: a{b}\n"),
        ("experiments/nano-btag.yaml", {"evaluation": {"profiles": ["btag"]}}, r"nano-btag.yaml: evaluation.profiles\n"),
        ("experiments/nano-btag.yaml", {"evaluation": {"profiles": ["eta"]}}, r"evaluation.profiles\n.*\n.*\n.*`targets: {eta: Jet_eta}` in \S+nano-btag.yaml, and profiles: \[target.eta\]"),
        ("representations/nano-jets.yaml", {"max_objects": 0}, r"representations/nano-jets.yaml: .*max_objects.*\n.*a positive number"),
    ],
)  # fmt: skip
def test_what_only_the_parts_know_is_asked_in_the_plan(
    config: Path, file: str, change: dict[str, Any], message: str
) -> None:
    changed(config / file, change)
    with pytest.raises(ConfigError, match=message):
        make_plan({"experiment": "nano-btag"}, config.parent)


def test_columns_of_a_representation_are_those_of_the_dataset(config: Path) -> None:
    changed(config / "datasets/w-jets.yaml", {"objects/constituents": {"px": "px"}})
    with pytest.raises(ConfigError, match=r"representations/[a-z-]*.yaml(.|\n)*constituents\.py"):
        make_plan({"experiment": "w-tagging"}, config.parent)


def test_processes_are_those_of_the_source(config: Path) -> None:
    changed(config / "datasets/w-jets.yaml", {"classes/w/process": "z"})
    with pytest.raises(ConfigError, match=r"w-jets.yaml: classes.w.process\n.*\n.*'z'"):
        make_plan({"experiment": "w-tagging"}, config.parent)


def test_a_file_that_nobody_asked_for_is_no_reason_to_refuse(config: Path) -> None:
    (config / "models" / "broken.yaml").write_text("kind: [")
    (config / "representations" / "broken.yaml").write_text("a: 1\na: 2")
    assert make_plan({"experiment": "nano-btag"}, config.parent).targets()
    changed(config / "experiments/nano-btag.yaml", {"methods/dnn/representation": "jet-image"})
    with pytest.raises(ConfigError, match="choose one of"):
        make_plan({"experiment": "nano-btag"}, config.parent)


def test_jobs_do_not_ask_again(config: Path) -> None:
    """What the head has parsed needs no parsing in each of ten thousand jobs."""
    changed(config / "datasets/nano-btag.yaml", {"variables/pt": "1 +* 2"})
    assert make_plan({"experiment": "nano-btag"}, config.parent, noted=True).request.all_methods


def test_settings_name_their_file() -> None:
    with pytest.raises(ConfigError, match=r"config/config.yaml: job_minutes\n.*greater than 0"):
        make_plan({"job_minutes": 0}, ROOT)
    with pytest.raises(ConfigError, match="did you mean 'results'"):
        parse(Settings, {"result": "x"}, "config/config.yaml")


def test_a_key_is_blamed_on_the_file_that_says_it(config: Path) -> None:
    """A dataset that is like another has that one's mistakes, and not in its own file."""
    (config / "datasets" / "mine.yaml").write_text("like: nano-btag\ndescription: mine\n")
    for change, where in (
        ({"step": 0}, "nano-btag.yaml: step"),
        ({"selct": "1"}, "nano-btag.yaml: selct"),
    ):
        changed(config / "datasets/nano-btag.yaml", change)
        with pytest.raises(ConfigError, match=rf"^config/datasets/{where}\n"):
            Library(config).dataset("mine")
    (config / "datasets" / "mine.yaml").write_text("like: w-jets\nstep: 0\n")
    with pytest.raises(ConfigError, match=r"^config/datasets/mine.yaml: step\n"):
        Library(config).dataset("mine")


def test_an_experiment_that_is_not_there_may_be_a_dataset() -> None:
    said = r"experiments/w-jet.yaml, or config/datasets/w-jet.yaml for(.|\n)*did you mean 'w-jets'"
    with pytest.raises(ConfigError, match=said):
        make_plan({"experiment": "w-jet"}, ROOT)
    with pytest.raises(ConfigError, match=r"did you mean 'nano-btag'\?"):  # of both kinds: once
        make_plan({"experiment": "nano-btg"}, ROOT)


def test_targets_are_profiled_without_reweighting(config: Path) -> None:
    file = config / "datasets/nano-btag.yaml"
    changed(file, {"reweight": None, "targets": {"eta": "Jet_eta"}})
    changed(config / "experiments/nano-btag.yaml", {"evaluation": {"profiles": ["target.eta"]}})
    assert (
        "target.eta"
        in make_plan({"experiment": "nano-btag"}, config.parent).data("nano-btag").auxiliary()
    )
