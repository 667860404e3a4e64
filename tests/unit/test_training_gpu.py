"""Trainings on a GPU: what a CPU trains, and the same bits however they are disturbed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.trainings import MODEL, Training, start, two_node_project
from tests.workflow.project import Project, environment

LONG = 400
PLATFORM = "cuda"


def missing() -> str:
    """Why no GPU can be used, empty if one can."""
    if not shutil.which("nvidia-smi"):
        return "no NVIDIA GPU on this machine (nvidia-smi is not there)"
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    surroundings = environment() | {"JAX_PLATFORMS": PLATFORM}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"JAX finds no GPU: {done.stderr.splitlines()[-1]}"


WHY = missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY), reason=WHY)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = two_node_project(tmp_path_factory.mktemp("gpu") / "project")
    project.snakemake(MODEL)
    return project


@pytest.fixture(scope="module", params=[0, 1 << 31], ids=["sent", "resident"])
def train(request: pytest.FixtureRequest, project: Project) -> Callable[..., Training]:
    """Starts a training on the GPU whose rows are sent, or stay there."""
    section = {"model": {"kind": "dnn", "hidden": [16], "dropout": 0.2}, "gpus_per_node": 1}
    return partial(
        start,
        project,
        nodes=1,
        platform=PLATFORM,
        section=section,
        resident_bytes=request.param,
        checkpoint_every_steps=3,
    )


def losses(training: Training) -> list[float]:
    return [epoch["loss"] for epoch in training.history()]


def test_it_trains_what_a_cpu_trains(
    train: Callable[..., Training], project: Project, tmp_path: Path
) -> None:
    # Matrix products of GPUs have fewer digits than those of CPUs, so that losses are compared.
    section = {"model": {"kind": "dnn", "hidden": [16], "dropout": 0.2}}
    cpu = start(project, tmp_path / "cpu", nodes=1, section=section)
    gpu = train(tmp_path / "gpu", checkpoint_every_steps=1000)
    assert [cpu.wait(), gpu.wait()] == [0, 0], gpu.log()
    assert len(losses(gpu)) == 3
    assert losses(cpu)[0] > 1.05 * losses(cpu)[2]
    assert losses(gpu) == pytest.approx(losses(cpu), rel=0.01)


def test_however_it_is_disturbed_it_ends_with_the_same_bits(
    train: Callable[..., Training], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", epochs=LONG)
    assert whole.wait() == 0, whole.log()
    for number in (signal.SIGTERM, signal.SIGKILL):
        training = train(tmp_path / "disturbed", epochs=LONG)
        training.wait_for_steps()
        training.process.send_signal(number)
        assert training.wait() == {signal.SIGTERM: 75, signal.SIGKILL: -9}[number]
    last = train(tmp_path / "disturbed", epochs=LONG)
    assert last.wait() == 0, last.log()
    assert last.same_bits(whole)
    assert losses(last) == losses(whole)
