"""Flow matching with few showers: killed, trained on to the same bits, and learning."""

from __future__ import annotations

import json

import yaml

from tests.workflow.project import Project, few_showers
from tests.workflow.test_interruption import kill_and_run_again

# The method's task, not the experiment's, is what is trained.
FLOW = {
    "dataset": "calo-eplus",
    "task": {"kind": "adversarial"},
    "training": {
        "batch_size": 32, "epochs": 40, "learning_rate": 3.0e-3, "clip_norm": 1.0,
        "tensorboard": False, "checkpoint_every_steps": 3, "early_stopping": {"patience": None},
    },
    "methods": {
        "flow": {
            "model": "tiny-flow", "representation": "calorimeter-cells",
            "task": {"kind": "flow_matching", "steps": 4},
        }
    },
}  # fmt: skip
TINY = {"kind": "shower_flow", "width": 16, "blocks": 1, "channels": 2, "hidden": 4}
MODEL = "results/flow/models/flow/0/model.safetensors"


def test_a_training_by_flow_matching(fresh: Project) -> None:
    few_showers(fresh)
    config = fresh.path / "config"
    (config / "models" / "tiny-flow.yaml").write_text(yaml.safe_dump(TINY))
    (config / "experiments" / "flow.yaml").write_text(yaml.safe_dump(FLOW, sort_keys=False))
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: flow")
    fresh.snakemake("results/datasets/calo-eplus/calorimeter-cells/statistics.json")
    kill_and_run_again(fresh, MODEL, "results/flow/training/flow/0")
    (history,) = fresh.path.glob("results/flow/**/history.jsonl")
    *epochs, whole, _ = map(json.loads, history.read_text().splitlines())
    assert whole["epochs"] == len(epochs) == 40
    for figure in ("energies", "cells"):
        assert epochs[-1][figure] < 0.9 * epochs[0][figure]
    # What carries noise to showers does not judge them, and the other way round.
    fresh.edit("config/experiments/flow.yaml", "model: tiny-flow", "model: calogan")
    assert "role velocity" in fresh.snakemake("--dry-run", check=False)
