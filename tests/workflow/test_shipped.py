"""Shipped experiments, made small: simulated, trained, killed, trained on, scored and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workflow.project import make_project, shrink
from tests.workflow.test_interruption import kill_and_run_again

# The method that is killed while it trains, and others to run along.
SHIPPED = {"higgs": ("deep-low", "trees-high")}
LONG = {
    "batch_size": 16,
    "epochs": 40,
    "checkpoint_every_steps": 3,
    "early_stopping": {"patience": None},
    "tensorboard": False,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_experiment(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    killed, *others = SHIPPED[name]
    project = make_project(tmp_path / "project", files=0)
    shrink(project, name, [killed, *others], rows=60, training=LONG)
    project.snakemake("--until", "statistics")
    model = f"results/{name}/models/{killed}/0/model.safetensors"
    kill_and_run_again(project, model, f"results/{name}/training/{killed}/0")
    project.snakemake()
    results = project.path / "results" / name
    for method in (killed, *others):
        evaluation = json.loads((results / "evaluation" / f"{method}.json").read_text())
        assert sum(evaluation["rows"].values()) > 0
        assert 0 <= evaluation["discriminations"][0]["auc"]["value"] <= 1
    assert (results / "report.html").stat().st_size > 10_000
