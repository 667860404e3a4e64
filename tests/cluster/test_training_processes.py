"""A training on two machines of a real SLURM: one srun step, and the bits of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import warm
from tests.cluster.daemons import wait_until
from tests.cluster.slurm import Slurm
from tests.trainings import MODEL, naming, two_node_project
from tests.workflow.project import Project, environment, path_of

SECONDS = 900
LONG = 12
HISTORY = "results/toy/models/dense/0/history.jsonl"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of two machines with everything that training reads."""
    project = two_node_project(tmp_path_factory.mktemp("nodes") / "project")
    project.snakemake("results/datasets/toy/features/statistics.json")
    return project


@pytest.fixture(scope="module")
def whole(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with a longer training, undisturbed: two processes of this machine."""
    project = prepared.copy(tmp_path_factory.mktemp("whole") / "project")
    project.edit("config/experiments/toy.yaml", "epochs: 3", f"epochs: {LONG}")
    project.snakemake(MODEL)
    return project


def head(project: Project, slurm: Slurm, python: str = sys.executable) -> subprocess.Popen[str]:
    """Snakemake through the profile as it is shipped, asking for states more often."""
    options = ["--profile", "profiles/slurm", "--seconds-between-status-checks", "1"]
    return subprocess.Popen(
        [python, "-m", "snakemake", *options, MODEL],
        cwd=project.path,
        env=environment() | path_of() | slurm.client,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project: Project, slurm: Slurm) -> tuple[int, str]:
    """Exit code and words of a head that is not disturbed, and neither are its jobs."""
    process = head(project, slurm, warm.python(environment()))
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def log(project: Project) -> str:
    file = project.path / "results/logs/train/toy/dense/0.log"
    return file.read_text() if file.exists() else ""


def steps(project: Project) -> int:
    logs = project.path.glob("results/toy/training/dense/0/*/log.jsonl")
    return sum(path.read_text().count("\n") for path in logs)


def weights(project: Project) -> dict[str, np.ndarray]:
    return load_file(project.path / MODEL)


def test_two_nodes_train_what_one_process_trains(
    prepared: Project, slurm_cluster: Slurm, tmp_path: Path
) -> None:
    project = prepared.copy(tmp_path / "two")
    code, output = run(project, slurm_cluster)
    assert code == 0, output + log(project)
    for number, node in enumerate(slurm_cluster.nodes):
        assert f"{number}: process {number + 1} of 2 on {os.uname().nodename} sees 1 × cpu" in log(
            project
        ), node
    alone = prepared.copy(tmp_path / "one")
    alone.edit("config/experiments/toy.yaml", "nodes: 2\n", "")
    alone.snakemake(MODEL)
    mine, theirs = weights(project), weights(alone)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["warned", "requeued"])
def test_a_job_taken_away_goes_on_to_the_same_bits(
    prepared: Project, whole: Project, slurm_cluster: Slurm, tmp_path: Path, how: str
) -> None:
    """warned: a signal to the batch script, as before a time limit. requeued: by hand."""
    project = prepared.copy(tmp_path / "disturbed")
    project.edit("config/experiments/toy.yaml", "epochs: 3", f"epochs: {LONG}")
    process = head(project, slurm_cluster)
    wait_until(lambda: steps(project) > 7, SECONDS, lambda: log(project))  # the first epoch is over
    (job,) = slurm_cluster.running()
    if how == "warned":
        slurm_cluster.command("scancel", "--batch", "--signal=TERM", job)
    else:
        slurm_cluster.command("scontrol", "requeue", job)
        slurm_cluster.release(job)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output + log(project)
    if how == "warned":
        assert "was lost (1 of 20 times)" in output
    # The engine begins the log anew: it is that of the second start, which went on.
    assert "process 1 of 2" in log(project)
    assert f"epoch {LONG}/{LONG}  training" in log(project)
    assert f"epoch 1/{LONG}  training" not in log(project)
    mine, theirs = weights(project), weights(whole)
    assert all((mine[name] == theirs[name]).all() for name in mine | theirs)
    assert not naming(project.path / "results/toy/training")


def test_nodes_without_the_gpus_are_refused(
    prepared: Project, slurm_cluster: Slurm, tmp_path: Path
) -> None:
    """SLURM grants two GPUs a node, which are none: the training says so and does not start."""
    project = prepared.copy(tmp_path / "gpus")
    project.edit("config/experiments/toy.yaml", "nodes: 2\n", "nodes: 2\ngpus_per_node: 2\n")
    code, output = run(project, slurm_cluster)
    assert code != 0
    assert "expected: 2 × gpu, the experiment's gpus_per_node" in log(project), output
    assert "found:    1 × cpu" in log(project)
    assert not (project.path / MODEL).exists()
