# ruff: noqa: E501 (a table of configurations and the messages they bring)
"""Datasets of an experiment that cannot have their roles are refused in the plan, by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.toy import write_jets

from rootloom.errors import ConfigError
from rootloom.planning.data import Role
from rootloom.planning.plan import Plan
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "w-jets"
ALL_TEST = {"train": 0, "validation": 0, "test": 1}
OTHER: dict[str, Any] = {"like": TRAIN, "files": ["data/other.root"], "splits": ALL_TEST}
OTHER["classes"] = {"w": {"where": "tau2 > 0.1"}, "qcd": {"where": "tau2 <= 0.1"}}
DATA: dict[str, Any] = {"like": TRAIN, "files": ["data/run.root"], "classes": {}, "weight": None}
METHODS = {"net": {"model": "dnn", "representation": "features"}}
EXPERIMENT: dict[str, Any] = {
    "datasets": {"train": TRAIN, "evaluate": ["other"], "score": ["run"]},
    "methods": {**METHODS, "tree": {"model": "recnn-gated", "representation": "tree-kt"}},
}
VARIABLES = yaml.safe_load((ROOT / f"config/datasets/{TRAIN}.yaml").read_text())["variables"]
FEWER = {name: text for name, text in VARIABLES.items() if name != "tau21"}


def planned(
    root: Path, experiment: dict[str, Any] | None = None, **datasets: dict[str, Any]
) -> Plan:
    """The plan of `EXPERIMENT` with these keys, where the datasets have these keys on top."""
    shutil.copytree(ROOT / "config", root / "config", dirs_exist_ok=True)
    content = {"other": OTHER, "run": DATA}
    for name, changes in {"other": {}, "run": {}, **datasets}.items():
        file = root / f"config/datasets/{name}.yaml"
        whole = content.get(name) or yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**whole, **changes}, sort_keys=False))
    section = {**EXPERIMENT, **(experiment or {})}
    (root / "config/experiments/roles.yaml").write_text(yaml.safe_dump(section))
    return make_plan({"experiment": "roles"}, root)


def test_each_dataset_has_its_role_and_its_own_files(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    roles = {data.name: data.role for data in plan.datasets}
    assert roles == {TRAIN: Role.TRAIN, "other": Role.EVALUATE, "run": Role.SCORE}
    assert [data.name for data in plan.datasets.evaluated] == [TRAIN, "other"]
    lists = {plan.files(name).list_path for name in roles}
    assert len(lists) == 3
    # Real data that are like simulated ones have their own files, no class and no weight.
    reader = plan.data("run").reader()
    assert (reader["classes"], reader["weight"]) == ([], None)
    assert plan.data("run").dataset.simulate is None
    assert [path for path in plan.evaluations() if "/run/" in path] == []
    with pytest.raises(ConfigError, match="did you mean 'other'"):
        plan.data("othr")


@pytest.mark.parametrize(
    ("experiment", "datasets", "message"),
    [
        ({"datasets": {"train": TRAIN, "score": [TRAIN]}}, {}, r"datasets\n.*once: 'w-jets' is named 2 times"),
        ({"dataset": TRAIN}, {}, "exactly one of: dataset, datasets"),
        ({"datasets": {"train": TRAIN, "evaluate": ["othr"]}}, {}, r"datasets.evaluate: dataset 'othr'(.|\n)*did you mean 'other'"),
        ({"datasets": {"train": TRAIN, "test": ["other"]}}, {}, "test"),
        ({}, {TRAIN: {"splits": {"train": 0.7, "validation": 0.3, "test": 0}}}, r"w-jets.yaml: splits.test\n.*a share above 0"),
        ({}, {"other": {"splits": {"train": 1, "validation": 0, "test": 0}}}, r"other.yaml: splits.test\n(.|\n)*test: 1}"),
        ({}, {"other": {"classes": {}}}, r"other.yaml: classes\n.*classes, or the class of every sample(.|\n)*score: \[other\]"),
        ({}, {"other": {"classes": {"w": {"where": "x"}, "qdc": {"where": "y"}}}}, r"other.yaml: classes\n.*of 'w-jets', which trains\n.*'qdc'\n.*did you mean 'qcd'"),
        ({}, {"other": {"classes": {"w": {"where": "x"}}}}, r"other.yaml: classes\n.*all classes of 'w-jets'.*: qcd, w\n.*no 'qcd'"),
        ({}, {"run": {"classes": {"z": {"where": "x"}}}}, r"run.yaml: classes\n.*no class at all: classes: {}\n.*'z'"),
        ({}, {"run": {"variables": {**FEWER, "tau12": "tau21"}}}, r"run.yaml: variables\n.*method 'net' with representation 'features' takes all\n.*no 'tau21' \(did you mean .*'tau12'\?\); 'tau12' as well"),
        ({}, {"run": {"variables": FEWER}}, r"run.yaml: variables\n.*takes all\n.*no 'tau21' \([^;]*\)\n"),
        ({}, {"other": {"variables": {**VARIABLES, "tau12": "tau21"}}}, r"other.yaml: variables\n.*takes all\n.*found: +'tau12' as well\n"),
        ({}, {"other": {"objects": {"constituent": {"px": "cons_px"}}}}, r"other.yaml: objects\n.*method 'tree' with representation 'tree-kt' reads\n.*no 'constituents'\n.*declare it; did you mean 'constituent'"),
        ({}, {"run": {"objects": {"constituents": {"px": "cons_px"}}}}, r"run.yaml, for method 'tree' with representation 'tree-kt'(.|\n)*constituents.py"),
        ({"evaluation": {"weights": "training"}}, {}, r"evaluation.weights\n.*rows of dataset 'other' have no training weight"),
        ({"evaluation": {"profiles": ["trimmed_pt"]}}, {"other": {"reweight": None}}, r"profiles\n.*of dataset 'other': the variable.*\n.*'trimmed_pt'"),
        ({"dataset": None, "datasets": {"train": "calo-eplus", "evaluate": ["calo-gamma"]}, "task": {"kind": "adversarial"},
          "methods": {"gan": {"model": "calogan", "representation": "calorimeter-cells"}}}, {}, r"datasets.evaluate\n.*scores no rows\n.*'calo-gamma'"),
    ],
)  # fmt: skip
def test_what_cannot_have_its_role_is_refused(
    tmp_path: Path, experiment: dict[str, Any], datasets: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, experiment, **datasets)


def test_targets_of_the_training_are_asked_of_what_is_evaluated(tmp_path: Path) -> None:
    roles = {"datasets": {"train": "muons", "evaluate": ["other"]}}
    muons = yaml.safe_load((ROOT / "config/experiments/muons.yaml").read_text())
    del muons["dataset"]
    first, *others = yaml.safe_load((ROOT / "config/datasets/muons.yaml").read_text())["targets"]
    targets = dict.fromkeys(others, "x") | {f"{first}_": "x"}
    other = {
        "like": "muons",
        "files": ["x"],
        "targets": targets,
        "classes": {"muon": {"where": "x"}},
    }
    with pytest.raises(
        ConfigError, match=rf"targets\n.*which trains(.|\n)*'{first}'(.|\n)*mean '{first}_'"
    ):
        planned(tmp_path, {**muons, **roles}, other=other)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"splits": {"train": 0.6, "validation": 0.1, "test": 0.3}}, False),
        ({"splits": ALL_TEST}, True),
        ({"splits": {"train": 0.6, "validation": 0.1, "test": 0.3}, "identity": ["trimmed_pt"]}, True),
        ({"splits": ALL_TEST, "files": ["links/all.root"]}, True),
        ({"splits": {"train": "odd > 0", "validation": 0.5, "test": 0.5}, "define": {"odd": "tau1 + 1"}}, True),
        ({"splits": {"train": "odd > 0", "validation": 0.5, "test": 0.5}}, False),
    ],
)  # fmt: skip
def test_events_that_are_trained_on_are_not_tested_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], refused: bool
) -> None:
    """The same file in both datasets, by other patterns or links: it must be divided alike.

    The names in expressions of splits may be defined by other expressions.
    """
    write_jets(tmp_path / "data/all.root", True, 5, 1)
    (tmp_path / "links").symlink_to("data")
    monkeypatch.chdir(tmp_path)
    train = {"files": ["data/*.root"], "simulate": None, "classes": OTHER["classes"]}
    if "train" in changes["splits"] and isinstance(changes["splits"]["train"], str):
        train |= {"splits": changes["splits"], "define": {"odd": "tau1"}}
    other = {"files": ["data/all.root"], **changes}
    # Friend trees of rows that are only scored say in which split they are, too.
    for role in ("evaluate", "score"):
        roles = {"datasets": {"train": TRAIN, role: ["other"]}}
        plan = planned(tmp_path, roles, **{TRAIN: train, "other": other})
        if not refused:
            plan.look()
            continue
        with pytest.raises(ConfigError, match=r"other.yaml: splits\n(.|\n)*all.root"):
            plan.look()
    unknown = {**other, "classes": {}}
    planned(tmp_path, roles, **{TRAIN: train, "other": unknown}).look()


def test_simulated_events_that_are_trained_on_are_not_tested_elsewhere(tmp_path: Path) -> None:
    again = {"like": TRAIN, "splits": ALL_TEST}
    roles = {"datasets": {"train": TRAIN, "evaluate": ["again"]}}
    (tmp_path / "config/datasets").mkdir(parents=True)
    file = tmp_path / "config/datasets/again.yaml"
    file.write_text(yaml.safe_dump(again))
    with pytest.raises(ConfigError, match="simulated events of process 'qcd'"):
        planned(tmp_path, roles).look()
    file.write_text(yaml.safe_dump({"like": TRAIN}))
    planned(tmp_path, roles).look()


def fingerprints(plan: Plan) -> dict[str, str]:
    """Of the jobs that read or write something of a dataset, by rule, method and dataset."""
    found = {}
    for data in plan.datasets:
        on = {"dataset": data.name}
        jobs = [("statistics", {"representation": of}) for of in ("features", "tree-kt")]
        jobs += [("predict", {"method": name, "member": "0"}) for name in ("net", "tree")]
        jobs += [("baseline", {"method": "shape"}), ("friends", {"pack": "0-of-1"})]
        if data.evaluated:
            jobs += [("evaluate", {"method": name}) for name in ("net", "shape")]
        for rule, named in jobs:
            name = " ".join([rule, *(v for k, v in named.items() if k == "method")])
            found.setdefault(f"{name} on {data.name}", "")
            found[f"{name} on {data.name}"] += plan.fingerprint(rule, **on, **named)
    for name in ("net", "tree"):
        found[f"train {name}"] = plan.fingerprint("train", method=name, member="0")
    return found


def test_a_change_of_a_dataset_reaches_what_is_made_of_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of rows stay when a cross section changes: they are scaled where they are used."""
    for name in ("other", "run"):
        write_jets(tmp_path / f"data/{name}.root", True, 5, 1)
    monkeypatch.chdir(tmp_path)
    experiment = {"baselines": {"shape": {"kind": "cut", "variable": "tau21"}}}

    def with_other(cross_section: float, select: str | None = None) -> dict[str, str]:
        sample = {"files": ["data/other.root"], "cross_section": cross_section}
        other = {"files": [], "samples": {"mc": sample}, "select": select}
        return fingerprints(planned(tmp_path, experiment, other=other))

    first = with_other(1.0)
    scaled, selected = with_other(2.0), with_other(1.0, "tau21 > 0")
    rules = ["predict net", "predict tree", "baseline shape", "evaluate net", "evaluate shape"]
    rules.append("friends")
    assert {job for job in first if scaled[job] != first[job]} == {f"{r} on other" for r in rules}
    rules.append("statistics")
    assert {job for job in first if selected[job] != first[job]} == {f"{r} on other" for r in rules}


def test_only_rows_of_the_training_were_left_out_by_a_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jets(tmp_path / "data/other.root", True, 5, 1)
    monkeypatch.chdir(tmp_path)
    crossed = {"net": {**METHODS["net"], "members": 2, "training": {"folds": 2}}}
    roles = {"train": TRAIN, "evaluate": ["other"]}
    plan = planned(tmp_path, {"datasets": roles, "methods": crossed})
    for name, folds in ((TRAIN, {"net": 2}), ("other", {})):
        assert len(plan.held_out(name, "net")) == len(folds) * 2
        job = plan.job("friends", dataset=name, pack=plan.files(name).packs[0])
        assert job["section"]["folds"] == folds
