"""The calorimeter's experiments with few showers: train, kill, resume, predict, evaluate."""

from __future__ import annotations

import json
import os
import signal

from tests.workflow.project import Project
from tests.workflow.test_interruption import start, wait_for

LONG = "epochs: 40\n  checkpoint_every_steps: 3\n  early_stopping: {patience: null}"


def reduce(project: Project, experiment: str, epochs: str) -> None:
    """Few showers, and a training with many checkpoints."""
    project.edit("config/datasets/calo.yaml", "rows_per_file: 2000", "rows_per_file: 300")
    project.edit("config/datasets/calo.yaml", "files: {demo: 5,", "files: {demo: 1,")
    project.edit(f"config/experiments/{experiment}.yaml", epochs, LONG)
    project.edit("config/config.yaml", "experiment: toy", f"experiment: {experiment}")


def kill_while_training(project: Project, experiment: str, method: str) -> None:
    """Start a run and kill all of it once a checkpoint is there."""
    run = start(project)
    folder = project.path / "results" / experiment / "training" / method / "0"
    wait_for(lambda: list(folder.rglob("*.safetensors")), "a checkpoint")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def test_particle_identification(fresh: Project) -> None:
    reduce(fresh, "calo-identification", "epochs: 15")
    kill_while_training(fresh, "calo-identification", "dnn")
    results = fresh.path / "results" / "calo-identification"
    assert not (results / "models" / "dnn" / "0" / "model.safetensors").exists()
    assert "ended without a word" in fresh.snakemake()
    assert (results / "report.html").stat().st_size > 10_000
    assert len(list((results / "friends").rglob("*.root"))) == 3
    for method in ("dnn", "cnn", "boosted-trees"):
        content = json.loads((results / "evaluation" / f"{method}.json").read_text())
        found = {d["positive"]: d["auc"]["value"] for d in content["discriminations"]}
        # Pions differ from both others in depth, width and energy; photons start later.
        assert found["piplus"] > 0.97
        assert min(found["eplus"], found["gamma"]) > 0.7
