"""A run that is killed goes on where it stopped and ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.workflow.project import Project, environment
from tests.workflow.test_reruns import contents

MODEL = "results/toy/models/dense/0/model.safetensors"


def test_kill_during_training_then_run_again(fresh: Project) -> None:
    fresh.edit(
        "config/experiments/toy.yaml",
        "epochs: 2",
        "epochs: 60\n  checkpoint_every_steps: 3\n  early_stopping: {patience: null}",
    )
    fresh.snakemake("results/datasets/toy/features/statistics.json")
    undisturbed = fresh.copy(fresh.path.with_name("undisturbed"))
    undisturbed.snakemake(MODEL)
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", MODEL],
        cwd=fresh.path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoints = fresh.path / "results/toy/training/dense/0"
    limit = time.monotonic() + 120
    while not list(checkpoints.rglob("*.safetensors")) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert list(checkpoints.rglob("*.safetensors")), "no checkpoint was written in time"
    assert not (fresh.path / MODEL).exists()
    fresh.snakemake("--unlock")
    fresh.snakemake(MODEL)
    assert contents(fresh.path / MODEL) == contents(undisturbed.path / MODEL)
