"""What SLURM's answers mean, and the batch script that hands on a warning."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootloom.cluster.ledger import Place
from snakemake_executor_plugin_rootloom_slurm import queue
from snakemake_executor_plugin_rootloom_slurm.queue import State
from snakemake_executor_plugin_rootloom_slurm.script import LEAD, batch_script, lead

# Saves its state when it is told to stop, as training does; what it is asked to is its argument.
SAVES = """
import signal, sys, time

def stop(number, frame):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(75)

signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:07", 7),
        ("59:59", 3599),
        ("1:00:00", 3600),
        ("2-03:04:05", ((2 * 24 + 3) * 60 + 4) * 60 + 5),
        ("UNLIMITED", None),
        ("INVALID", None),
    ],
)
def test_times(text: str, expected: int | None) -> None:
    assert queue.seconds(text) == expected


@pytest.mark.parametrize(
    ("state", "log", "stopped", "cause"),
    [
        (State("OUT_OF_MEMORY", 10, 600), "", False, "memory"),
        (State("TIMEOUT", 600, 600), "", False, "time"),
        (State("TIMEOUT", 600, 600), "", True, "lost"),  # its state is saved: it goes on
        (State("CANCELLED", 10, 600), "", False, "lost"),
        (State("NODE_FAIL", 10, 600), "", False, "lost"),
        (State("PREEMPTED", 10, 600), "", False, "lost"),
        (State("FAILED", 10, 600), "", True, "lost"),
        (State("FAILED", 10, 600), "", False, "failed"),
        (State("FAILED", 10, 600), "slurmstepd: error: Exceeded job memory limit", False, "memory"),
        (State("FAILED", 10, 600), "Detected 1 oom_kill event in StepId=7.batch", False, "memory"),
        (State("FAILED", 545, 600), "", False, "time"),  # died of the warning
        (State("FAILED", 545, None), "", False, "failed"),
    ],
)
def test_why_a_job_ended(tmp_path: Path, state: State, log: str, stopped: bool, cause: str) -> None:
    file = tmp_path / "1.log"
    file.write_text(log)
    assert queue.cause_of(state, file, stopped=stopped, lead=60) == cause
    if not log:
        assert queue.cause_of(state, tmp_path / "none.log", stopped=stopped, lead=60) == cause


def test_a_job_that_was_not_warned_did_not_die_of_the_warning(tmp_path: Path) -> None:
    assert queue.cause_of(State("FAILED", 290, 300), None, stopped=False, lead=0) == "failed"


def test_tasks_of_an_array_are_places_of_a_token() -> None:
    found = {
        "7_2": State("RUNNING", token="rlabc"),
        "9": State("PENDING", token="rldef"),
        "10": State("RUNNING", token="somebody's"),
    }
    assert queue.places(found) == {Place("rlabc", 2): "7_2", Place("rldef", 1): "9"}


@pytest.mark.parametrize(
    ("runtime", "seconds"), [(None, 0), (1, 0), (10, 60), (20, LEAD), (6000, LEAD)]
)
def test_when_a_job_is_warned(runtime: int | None, seconds: int) -> None:
    assert lead(runtime) == seconds


def start(commands: list[str], task: str | None = None) -> subprocess.Popen[str]:
    """The batch script as SLURM starts it: read from a file, a process group of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "SLURM_ARRAY_TASK_ID"}
    if task:
        environment["SLURM_ARRAY_TASK_ID"] = task
    return subprocess.Popen(
        ["sh", "-c", batch_script(commands)], env=environment, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize(("task", "printed"), [(None, "one\n"), ("1", "one\n"), ("2", "two\n")])
def test_a_script_runs_the_command_of_its_task(task: str | None, printed: str) -> None:
    done = start(["echo one", "echo two; exit 3"], task)
    assert done.communicate()[0] == printed
    assert done.returncode == (3 if task == "2" else 0)


def test_a_warning_to_the_shell_reaches_the_job_and_is_waited_for(tmp_path: Path) -> None:
    program = tmp_path / "saves.py"
    program.write_text(SAVES)
    job = start([f"{sys.executable} {program}"])
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    os.kill(job.pid, signal.SIGTERM)
    assert job.communicate()[0] == "saved\n"
    assert job.returncode == 75


def test_a_warning_to_everything_ends_no_sooner(tmp_path: Path) -> None:
    program = tmp_path / "saves.py"
    program.write_text(SAVES)
    job = start([f"{sys.executable} {program}"])
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    os.killpg(job.pid, signal.SIGTERM)
    time.sleep(0.1)
    assert job.communicate()[0] == "saved\n"
    assert job.returncode == 75
