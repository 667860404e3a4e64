"""An adversarial training with few showers: killed, trained on to the same bits, and learning."""

from __future__ import annotations

import json

import yaml

from tests.workflow.project import Project
from tests.workflow.test_interruption import kill_and_run_again

GAN = {
    "dataset": "calo",
    "task": {"kind": "adversarial"},
    "training": {
        "batch_size": 32, "epochs": 12, "learning_rate": 2.0e-3, "beta1": 0.5,
        "group_rates": {"discriminator": 0.1}, "tensorboard": False, "checkpoint_every_steps": 3,
        "early_stopping": {"patience": None},
    },
    "methods": {"calogan": {"model": "tiny-calogan", "representation": "calorimeter-cells"}},
}  # fmt: skip
TINY = {"kind": "calogan", "latent": 8, "depth": 2, "kernels": 3, "dimensions": 2, "group": 8}
MODEL = "results/gan/models/calogan/0/model.safetensors"


def test_an_adversarial_training(fresh: Project) -> None:
    fresh.edit("config/datasets/calo.yaml", "rows_per_file: 2000", "rows_per_file: 300")
    fresh.edit("config/datasets/calo.yaml", "files: {demo: 5,", "files: {demo: 1,")
    for particle in ("gamma", "piplus"):
        fresh.edit("config/datasets/calo.yaml", f"  {particle}: {{process: {particle}}}\n", "")
    config = fresh.path / "config"
    (config / "models" / "tiny-calogan.yaml").write_text(yaml.safe_dump(TINY))
    (config / "experiments" / "gan.yaml").write_text(yaml.safe_dump(GAN, sort_keys=False))
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: gan")
    fresh.snakemake("results/datasets/calo/calorimeter-cells/statistics.json")
    kill_and_run_again(fresh, MODEL, "results/gan/training/calogan/0")
    (history,) = fresh.path.glob("results/gan/**/history.jsonl")
    *epochs, whole = map(json.loads, history.read_text().splitlines())
    assert whole["epochs"] == len(epochs) == 12
    # The generator learns at least how much energy to make.
    assert epochs[-1]["energy_off"] < 0.9 * epochs[0]["energy_off"]
    # What tells particles apart does not generate them, and the other way round.
    fresh.edit("config/experiments/gan.yaml", "model: tiny-calogan", "model: tiny-cnn")
    assert "role gan" in fresh.snakemake("--dry-run", check=False)
