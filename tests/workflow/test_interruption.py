"""A run that is killed goes on where it stopped and ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from tests.workflow.project import Project, environment
from tests.workflow.test_reruns import contents

MODEL = "results/toy/models/dense/0/model.safetensors"
CHECKPOINTS = "results/toy/training/dense/0"
LONG = "epochs: 60\n  checkpoint_every_steps: 3\n  early_stopping: {patience: null}"
ENDLESS = LONG.replace("60", "1000000")


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """A run of its own session, as a user's terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=project.path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )


def wait_for(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit, f"{what}: not in time"
        time.sleep(0.05)


def wait_for_checkpoint(project: Project, checkpoints: str = CHECKPOINTS) -> None:
    folder = project.path / checkpoints
    wait_for(lambda: list(folder.rglob("*.safetensors")), "a checkpoint")


def workers(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """The job scripts of a run."""
    children = psutil.Process(run.pid).children(recursive=True)
    return [p for p in children if any("/scripts/" in word for word in p.cmdline()[:2])]


def kill_and_run_again(project: Project, model: str, checkpoints: str) -> None:
    """A training that is killed ends with the bits of one that is not."""
    undisturbed = project.copy(project.path.with_name("undisturbed"))
    undisturbed.snakemake(model)
    run = start(project, model)
    wait_for_checkpoint(project, checkpoints)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (project.path / model).exists()
    assert "ended without releasing its lease" in project.snakemake(model)
    assert contents(project.path / model) == contents(undisturbed.path / model)


def test_kill_during_training_then_run_again(fresh: Project) -> None:
    fresh.edit("config/experiments/toy.yaml", "epochs: 2", LONG)
    fresh.snakemake("results/datasets/toy/features/statistics.json")
    kill_and_run_again(fresh, MODEL, CHECKPOINTS)


def test_one_head_at_a_time_whose_jobs_end_with_it(fresh: Project) -> None:
    fresh.edit("config/experiments/toy.yaml", "epochs: 2", ENDLESS)
    run = start(fresh, MODEL)
    try:
        wait_for_checkpoint(fresh)
        (worker,) = workers(run)
        fresh.snakemake("--dry-run", MODEL)
        refusal = fresh.snakemake(MODEL, check=False)
        assert f"process {run.pid} on" in refusal
        assert "nothing needs to be unlocked" in refusal
        assert run.poll() is None
        run.kill()
        wait_for(lambda: not worker.is_running(), "the end of the job")
        log = (fresh.path / "results/logs/train/toy/dense/0.log").read_text()
        assert "stopped: " in log.partition(f"(process {run.pid}) is gone")[2]
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
