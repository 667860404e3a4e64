"""Three datasets in one experiment: one trains, another is evaluated, a third has no truth."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import uproot
import yaml
from sklearn.metrics import roc_auc_score

from tests.toy import write_jets
from tests.workflow.project import SMALL_EXPERIMENT, Project, make_project

JETS = 80
EXPERIMENT: dict[str, Any] = {
    **SMALL_EXPERIMENT,
    "baselines": {"shape": {"kind": "cut", "variable": "tau21"}},
}
LUMINOSITY, CROSS_SECTIONS = 2.0, {"w": 3.0, "qcd": 50.0}
# Another generator, whose file names the classes in another order, and data.
OTHER = {
    "like": "toy",
    "luminosity": LUMINOSITY,
    "samples": {
        f"pp_{label}": {"files": [f"data/other-{label}.root"], "class": label, "cross_section": x}
        for label, x in CROSS_SECTIONS.items()
    },
    "classes": {"w": None, "qcd": None},
    "splits": {"train": 0, "validation": 0, "test": 1},
}
RUN = {"like": "toy", "files": ["data/run.root"], "classes": {}, "weight": None}
ROLES = {"train": "toy", "evaluate": ["other"], "score": ["run"]}


@dataclass(frozen=True)
class Extended:
    """A project after datasets were added to a finished experiment and it ran again.

    before: content of the results by path when it was finished. planned: jobs by rule after that.
    """

    project: Project
    before: dict[Path, str]
    planned: dict[str, int]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    project = make_project(
        tmp_path_factory.mktemp("datasets"), jets=JETS, files=1, experiment=EXPERIMENT
    )
    data = project.path / "data"
    for number, label in enumerate(CROSS_SECTIONS):
        write_jets(data / f"other-{label}.root", label == "w", JETS, 50 + number)
    write_jets(data / "run.root", True, JETS, 60)
    project.snakemake()
    before = contents(project)
    add(project, {"other": OTHER, "run": RUN}, ROLES)
    planned = {rule: len(outputs) for rule, outputs in project.planned().items()}
    project.snakemake()
    return Extended(project, before, planned)


def add(project: Project, datasets: dict[str, Any], roles: dict[str, Any]) -> None:
    config = project.path / "config"
    for name, content in datasets.items():
        text = yaml.safe_dump(content, sort_keys=False)
        (config / "datasets" / f"{name}.yaml").write_text(text)
    experiment = {k: v for k, v in EXPERIMENT.items() if k != "dataset"} | {"datasets": roles}
    (config / "experiments" / "toy.yaml").write_text(yaml.safe_dump(experiment))


def contents(project: Project) -> dict[Path, str]:
    """A hash of each result that is a shard, a sum, a model or what methods make of rows."""
    results = project.path / "results"
    suffixes = (".h5", ".json", ".safetensors", ".jsonl", ".root")
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("datasets/toy", *(f"toy/{one}" for one in MADE))
        for path in sorted((results / folder).rglob("*"))
        if path.suffix in suffixes
    }


MADE = ("models", "bundles", "predictions", "evaluation", "friends")


def test_a_dataset_that_is_added_computes_its_own_part_alone(extended: Extended) -> None:
    assert extended.planned == {
        "index": 2, "apart": 2, "preprocess": 2, "moments": 2, "statistics": 2, "predict": 2,
        "baseline": 2, "evaluate": 2, "friends": 2, "report": 1,
    }  # fmt: skip
    after = contents(extended.project)
    assert {path: after[path] for path in extended.before} == extended.before
    assert any("predictions" in str(path) for path in extended.before)
    assert extended.project.planned() == {}


def predictions(extended: Extended, dataset: str, method: str, group: str) -> dict[str, Any]:
    results = extended.project.path / "results/toy"
    with h5py.File(results / f"predictions/{dataset}/{method}/0/{group}.h5") as file:
        found = {name: file[name][...] for name in ("weight", "truth", "entry", "file")}
        keys = np.array(json.loads(file.attrs["files"]))
        own = "training_weight" in file
        return {
            **found, "score": file["scores"][:, 0], "key": keys[found["file"]], "own": own,
            "classes": json.loads(file.attrs["classes"]),
        }  # fmt: skip


@pytest.mark.parametrize("method", ["dense", "shape"])
def test_truth_goes_by_name_and_weights_by_the_datasets_own_cross_sections(
    extended: Extended, method: str
) -> None:
    rows = predictions(extended, "other", method, "test")
    assert rows["classes"] == ["qcd", "w"]  # as in the training
    assert not rows["own"]
    signal = np.array([key.startswith("other-w") for key in rows["key"]])
    assert signal.sum() == (~signal).sum() == JETS
    np.testing.assert_array_equal(rows["truth"], signal)
    sums = {}
    for label, here in (("w", signal), ("qcd", ~signal)):
        with uproot.open(extended.project.path / f"data/other-{label}.root") as file:
            own = file["jets"]["weight"].array(library="np").astype(np.float64)
        scale = 1000 * CROSS_SECTIONS[label] * LUMINOSITY / own.sum()
        np.testing.assert_allclose(rows["weight"][here], scale * own[rows["entry"][here]], 1e-5)
        sums[label] = 1000 * CROSS_SECTIONS[label] * LUMINOSITY
    path = extended.project.path / f"results/toy/evaluation/other/{method}.json"
    found = json.loads(path.read_text())
    assert found["weights"] == pytest.approx(sums, rel=1e-4)
    expected = roc_auc_score(signal, rows["score"], sample_weight=rows["weight"])
    auc = found["result"]["discriminations"][0]["auc"]["value"]
    assert auc == pytest.approx(expected, abs=1e-6)
    assert found["rows"] == {"qcd": JETS, "w": JETS}
    # A probability is one of the mixture of classes in training, which these rows do not have.
    assert found["result"]["discriminations"][0]["calibration"] is None


def test_what_has_no_truth_is_scored_and_not_evaluated(extended: Extended) -> None:
    results = extended.project.path / "results/toy"
    assert {path.name for path in (results / "evaluation").iterdir()} == {"toy", "other"}
    (friend,) = (results / "friends/run").glob("*.root")
    with uproot.open(friend) as file:
        branches = file["jets_toy_scores"].arrays(library="np")
    for method in ("dense", "shape"):
        assert len(predictions(extended, "run", method, "test")["score"]) == 0
        rows = predictions(extended, "run", method, "none")
        (name,) = (one for one in branches if method in one)
        assert np.isfinite(branches[name]).all()
        np.testing.assert_array_equal(branches[name][rows["entry"]], rows["score"])
        assert len(rows["score"]) == JETS
        np.testing.assert_array_equal(rows["weight"], 1)


def test_the_page_has_a_chapter_for_each_and_one_table_for_all(extended: Extended) -> None:
    results = extended.project.path / "results/toy"
    page = (results / "report.html").read_text()
    assert (results / "figures/other/roc.png").stat().st_size > 1000
    assert 'id="on-other"' in page
    assert 'id="on-run"' not in page
    assert "results/toy/friends/run" in page
    _, _, table = page.partition('id="side-by-side"')
    for dataset in ("toy", "other"):
        evaluation = json.loads((results / f"evaluation/{dataset}/shape.json").read_text())
        auc = evaluation["result"]["discriminations"][0]["auc"]["value"]
        assert f"{auc:.2f}" in table.partition("</table>")[0]
    ids = [part.partition('"')[0] for part in page.split('id="')[1:]]
    assert len(ids) == len(set(ids))


def test_copies_of_files_that_train_are_refused_before_any_training(tmp_path: Path) -> None:
    """All their rows would be tested, those that have trained as well."""
    project = make_project(tmp_path, jets=JETS, files=1, experiment=EXPERIMENT)
    data = project.path / "data"
    for label in CROSS_SECTIONS:
        shutil.copy(data / f"{label}-0.root", data / f"other-{label}.root")
    add(project, {"other": OTHER}, {"train": "toy", "evaluate": ["other"]})
    output = project.snakemake(check=False)
    copied = (
        r"dataset 'other': splits(.|\n)*data/other-\w+.root, which has the events of data/\w+-0"
    )
    assert re.search(copied, output)
    assert not list((project.path / "results/toy").rglob("*.safetensors"))
    assert not list((project.path / "results/toy/predictions").glob("other/*/*/*"))
    same = {**OTHER, "samples": None, "luminosity": None, "classes": None}
    same = {key: value for key, value in same.items() if value is not None and key != "splits"}
    same["classes"] = {label: {"files": [f"data/other-{label}.root"]} for label in ("qcd", "w")}
    add(project, {"other": same}, {"train": "toy", "evaluate": ["other"]})
    project.snakemake("results/toy/apart/other.json")


def test_a_dataset_that_lacks_a_branch_is_refused_by_name(
    extended: Extended, tmp_path: Path
) -> None:
    project = extended.project.copy(tmp_path / "project")
    with uproot.recreate(project.path / "data/less.root") as file:
        file.mktree("jets", {"tau1": np.float32}).extend({"tau1": np.ones(3, np.float32)})
    less = {**RUN, "files": ["data/less.root"]}
    add(project, {"less": less}, {**ROLES, "score": ["less"]})
    output = project.snakemake("results/toy/friends/less/packs/0-of-1.json", check=False)
    assert "data/less.root" in output
    assert "trimmed_mass" in output
