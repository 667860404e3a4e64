"""Several processes train as one would, leave together, and never outlive each other."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.trainings import MODEL, Training, naming, start, two_node_project
from tests.workflow.project import Project

from rootloom.shards.statistics import Statistics

# Long enough to be disturbed; a signal or a failure ends it much earlier.
LONG = 16
BATCH = 52
MANY = 200  # where rows stay on the device and an epoch takes milliseconds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Trained by the rule itself, in two processes on this machine."""
    project = two_node_project(tmp_path_factory.mktemp("processes") / "project")
    output = project.snakemake(MODEL)
    for number in range(2):
        assert f"{number}: process {number + 1} of 2 on" in output
    return project


@pytest.fixture(scope="module")
def undisturbed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = start(project, tmp_path_factory.mktemp("whole"), epochs=LONG)
    assert training.wait() == 0
    return training


@pytest.fixture
def long(project: Project, tmp_path: Path) -> Callable[[], Training]:
    """Starts a long training of two processes, always in the same directory."""
    path = tmp_path / "training"
    return lambda: start(project, path, disturbed=True, epochs=LONG, checkpoint_every_steps=3)


def close(a: Training, b: Training) -> None:
    mine, theirs = a.weights(), b.weights()
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-6)
    for one, other in zip(a.history(), b.history(), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("devices", [1, 2])
def test_two_processes_equal_one(project: Project, tmp_path: Path, devices: int) -> None:
    section = {"model": {"kind": "dnn", "hidden": [16], "dropout": 0.2}}
    two = start(project, tmp_path / "two", devices=devices, section=section, batch_size=BATCH)
    assert two.wait() == 0
    assert two.log().count(f"sees {devices} × cpu") == 2
    one = start(project, tmp_path / "one", nodes=1, section=section, batch_size=BATCH)
    assert one.wait() == 0
    file = project.path / "results/datasets/toy/features/statistics.json"
    rows = Statistics.from_json(file.read_text()).rows[0].sum()
    assert 0 < rows % BATCH < BATCH // 2  # in the last batch one of the processes has no rows
    assert len(one.history()) == 3
    assert one.history()[0]["loss"] > 1.01 * one.history()[2]["loss"]
    close(two, one)


def losses(training: Training) -> list[tuple[int, float]]:
    lines = (training.path / "training/log.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


def test_however_it_is_disturbed_it_ends_with_the_same_bits(
    long: Callable[[], Training], undisturbed: Training
) -> None:
    """Signals to the job, a signal to one process alone, and kills, one after the other."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        training = long()
        training.wait_for_steps()
        training.process.send_signal(number)
        assert training.wait() == 75
        assert "the checkpoint is written" in last_line(training)
        assert not naming(training.path)

    training = long()
    training.wait_for_steps()
    training.alive()[1].send_signal(signal.SIGTERM)
    assert training.wait() == 75
    assert "the checkpoint is written" in last_line(training)

    training = long()
    training.wait_for_steps()
    training.alive()[1].kill()
    assert training.wait() == 1
    assert "error: training in 2 processes\n" in training.log()
    assert "ended by SIGKILL" in training.log()
    assert not naming(training.path)

    training = long()
    training.wait_for_steps()
    training.process.kill()
    training.wait()
    limit = time.monotonic() + 60
    while naming(training.path):
        assert time.monotonic() < limit
        time.sleep(0.1)

    assert not (training.path / "model.safetensors").exists()
    training = long()
    assert training.wait() == 0
    assert training.same_bits(undisturbed)
    assert training.history() == undisturbed.history()


def last_line(training: Training) -> str:
    return training.log().splitlines()[-1]


def test_devices_that_were_not_asked_for_are_refused(project: Project, tmp_path: Path) -> None:
    training = start(project, tmp_path / "training", devices=2, section={"gpus_per_node": 4})
    assert training.wait() == 1
    refusal = training.log().partition("error: ")[2]
    assert refusal.startswith("process ")
    assert "expected: 4 × gpu, the experiment's gpus_per_node" in refusal
    assert "found:    2 × cpu" in refusal
    assert not naming(training.path)


def test_one_process_refuses_the_wrong_devices_too(project: Project, tmp_path: Path) -> None:
    training = start(project, tmp_path / "training", nodes=1, section={"gpus_per_node": 1})
    assert training.wait() == 1
    assert "expected: 1 × gpu" in training.log()


def test_a_checkpoint_of_two_processes_is_continued_by_one(
    long: Callable[[], Training], project: Project, undisturbed: Training
) -> None:
    training = long()
    training.wait_for_steps()
    training.process.terminate()
    assert training.wait() == 75
    steps = len(losses(training))
    assert steps
    training = start(project, training.path, nodes=1, epochs=LONG)
    assert training.wait() == 0
    assert losses(training)[:steps] == losses(undisturbed)[:steps]
    close(training, undisturbed)


def test_the_same_training_twice_at_once_is_done_once(project: Project, tmp_path: Path) -> None:
    first = start(project, tmp_path / "training", nodes=1, disturbed=True, epochs=MANY)
    first.wait_for_steps()
    stopped = psutil.Process(first.process.pid)
    stopped.suspend()  # it must not end before the second one has begun
    second = start(project, tmp_path / "training", nodes=1, epochs=MANY)
    second.wait_for(lambda: "waiting for it to end" in second.log())
    stopped.resume()
    assert first.wait() == 0
    trained = first.weights()
    assert second.wait() == 0
    assert "continuing from its checkpoint" in second.log()
    assert first.log().count(f"epoch 1/{MANY}  training") == 1
    assert all((trained[name] == value).all() for name, value in second.weights().items())
