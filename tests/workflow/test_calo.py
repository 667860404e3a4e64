"""The calorimeter's experiments with few showers: train, kill, resume, predict, evaluate."""

from __future__ import annotations

import json
import os
import signal

import yaml

from tests.workflow.project import Project
from tests.workflow.test_interruption import start, wait_for

LONG = "epochs: 40\n  checkpoint_every_steps: 3\n  early_stopping: {patience: null}"


GAN = {
    "dataset": "calo",
    "task": {"kind": "adversarial"},
    "training": {
        "batch_size": 32, "epochs": 15, "learning_rate": 2.0e-3, "beta1": 0.5,
        "group_rates": {"discriminator": 0.1}, "tensorboard": False,
    },
    "methods": {"calogan": {"model": "tiny-calogan", "representation": "calorimeter-cells"}},
}  # fmt: skip
TINY = {"kind": "calogan", "latent": 8, "depth": 2, "kernels": 3, "dimensions": 2, "group": 8}


def few(project: Project) -> None:
    """Few showers."""
    project.edit("config/datasets/calo.yaml", "rows_per_file: 2000", "rows_per_file: 300")
    project.edit("config/datasets/calo.yaml", "files: {demo: 5,", "files: {demo: 1,")


def reduce(project: Project, experiment: str, epochs: str) -> None:
    """Few showers, and a training with many checkpoints."""
    few(project)
    project.edit(f"config/experiments/{experiment}.yaml", epochs, LONG)
    project.edit("config/config.yaml", "experiment: toy", f"experiment: {experiment}")


def statistics(representation: str) -> str:
    """What a training waits for."""
    return f"results/datasets/calo/{representation}/statistics.json"


def kill_while_training(project: Project, experiment: str, method: str, *arguments: str) -> None:
    """Start a run and kill all of it once a checkpoint is there."""
    run = start(project, *arguments)
    folder = project.path / "results" / experiment / "training" / method / "0"
    try:
        wait_for(lambda: list(folder.rglob("*.safetensors")), "a checkpoint")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_particle_identification(fresh: Project) -> None:
    reduce(fresh, "calo-identification", "epochs: 15")
    fresh.snakemake(statistics("shower-shapes"))
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


def test_an_adversarial_training(fresh: Project) -> None:
    few(fresh)
    for particle in ("gamma", "piplus"):
        fresh.edit("config/datasets/calo.yaml", f"  {particle}: {{process: {particle}}}\n", "")
    config = fresh.path / "config"
    (config / "models" / "tiny-calogan.yaml").write_text(yaml.safe_dump(TINY))
    (config / "experiments" / "gan.yaml").write_text(yaml.safe_dump(GAN, sort_keys=False))
    fresh.edit("config/experiments/gan.yaml", "epochs: 15", LONG.replace("40", "12"))
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: gan")
    model = "results/gan/models/calogan/0/model.safetensors"
    fresh.snakemake(statistics("calorimeter-cells"))
    kill_while_training(fresh, "gan", "calogan", model)
    assert not (fresh.path / model).exists()
    assert "ended without a word" in fresh.snakemake(model)
    (history,) = fresh.path.glob("results/gan/**/history.jsonl")
    *epochs, whole = map(json.loads, history.read_text().splitlines())
    assert whole["epochs"] == len(epochs) == 12
    # The generator learns at least how much energy to make.
    assert epochs[-1]["energy_off"] < 0.9 * epochs[0]["energy_off"]
    # What tells particles apart does not generate them, and the other way round.
    fresh.edit("config/experiments/gan.yaml", "model: tiny-calogan", "model: tiny-cnn")
    assert "role gan" in fresh.snakemake("--dry-run", check=False)
