"""Shipped experiments, made small: simulated, trained, killed, trained on, scored and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import uproot

from tests.workflow.project import make_project, shrink
from tests.workflow.test_interruption import kill_and_run_again

LONG = {
    "epochs": 40,
    "checkpoint_every_steps": 3,
    "early_stopping": {"patience": None},
    "tensorboard": False,
}


def run(folder: Path, name: str, methods: list[str], rows: int, **training: object) -> Path:
    """Results of an experiment whose first method was killed.

    rows: a class. training: fields that replace the experiment's.
    """
    project = make_project(folder / "project", files=0)
    shrink(project, name, methods, rows=rows, training={**LONG, **training})
    project.snakemake("--until", "statistics")
    model = f"results/{name}/models/{methods[0]}/0/model.safetensors"
    kill_and_run_again(project, model, f"results/{name}/training/{methods[0]}/0")
    project.snakemake()
    results = project.path / "results" / name
    assert (results / "report.html").stat().st_size > 10_000
    return results


def evaluations(
    folder: Path, name: str, methods: list[str], rows: int, **training: object
) -> dict[str, dict[str, Any]]:
    """What was found by each method, see `run`; every file has got a friend."""
    results = run(folder, name, methods, rows, **training)
    files = list((results.parent / "datasets").rglob("*.root"))
    assert len(list((results / "friends").rglob("*.root"))) == len(files) > 0
    return {method: result_of(results, method) for method in methods}


def result_of(results: Path, method: str) -> dict[str, Any]:
    """What was found by a method, of some rows."""
    (file,) = (results / "evaluation").glob(f"*/{method}.json")
    content = json.loads(file.read_text())
    assert sum(content["rows"].values()) > 0
    found: dict[str, Any] = content["result"]
    return found


def areas(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """AUC by method and positive class."""
    return {
        method: {d["positive"]: d["auc"]["value"] for d in result["discriminations"]}
        for method, result in found.items()
    }


def test_w_tagging_sets(tmp_path: Path) -> None:
    """`w-tagging`, whose jets these are, runs on batch systems: `cluster/test_main_job.py`."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    methods = ["particle-transformer", "mass-tau21"]
    found = evaluations(tmp_path, "w-tagging-sets", methods, 60, batch_size=8, epochs=10)
    assert all(0 <= auc["w"] <= 1 for auc in areas(found).values())


def test_higgs(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    found = evaluations(tmp_path, "higgs", ["lorentz-low", "trees-high"], 60, batch_size=16)
    assert all(0 <= auc["higgs"] <= 1 for auc in areas(found).values())


def test_particle_identification(tmp_path: Path) -> None:
    methods = ["dnn", "cnn", "boosted-trees"]
    for auc in areas(evaluations(tmp_path, "calo-identification", methods, 300)).values():
        # Pions differ from both others in depth, width and energy; photons start later.
        assert auc["piplus"] > 0.97
        assert min(auc["eplus"], auc["gamma"]) > 0.7


def test_generators(tmp_path: Path) -> None:
    results = run(tmp_path, "calogan", ["flow"], 500, batch_size=32, epochs=4)
    (made,) = (results / "generated").glob("*/flow/0.root")
    with uproot.open(made) as file:
        energies = file["showers"]["energy"].array()
    values = result_of(results, "flow")["values"]
    assert len(energies) > 100
    # Whatever the cells, a flow in ratios of energies cannot be far from the requested one.
    assert values["response"]["value"] < 0.05
    assert values["auc_low"]["value"] > 0.5


def test_muons(tmp_path: Path) -> None:
    methods = ["cnn-seamless", "dense-heading"]
    found = evaluations(tmp_path, "muons", methods, 160, batch_size=16, epochs=12)
    assert (tmp_path / "project/results/muons/resolution.png").stat().st_size > 10_000
    for result in found.values():
        means = {one["name"]: one["mean"]["value"] for one in result["resolutions"]}
        assert list(means) == [
            "angle_direction",
            "distance_entry",
            "distance_track",
            "impact_track",
        ]
        # Some hundred events teach where light comes from: a guess is 45 degrees and 12 m off.
        assert means["angle_direction"] < 40
        assert means["distance_entry"] < 10
