"""How a job speaks and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootloom.cluster import outcomes
from rootloom.cluster.running import EXIT_PREEMPTED, EXIT_REFUSED, STARTS, Preempted, running
from rootloom.errors import DataError

LOG = "logs/a.log"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_start_leaves_a_line_that_outlives_the_log() -> None:
    STARTS.parent.mkdir(parents=True)
    for _ in range(3):
        with running(LOG):
            print("at work")
        Path(LOG).unlink()
    assert STARTS.read_text().splitlines() == [LOG] * 3


def test_a_stop_is_noted_until_the_next_start() -> None:
    with pytest.raises(SystemExit) as stop, running(LOG):
        raise Preempted("step 3")
    assert stop.value.code == EXIT_PREEMPTED
    assert outcomes.noted(outcomes.STOPPED, LOG)
    with running(LOG):
        assert not outcomes.noted(outcomes.STOPPED, LOG)


def test_a_terminal_that_is_gone_does_not_end_a_job() -> None:
    reader, writer = os.pipe()
    program = (
        "import sys, time\nfrom rootloom.cluster.running import running\n"
        "with running('logs/a.log'):\n"
        "    sys.stdin.read()\n    print('first')\n    print('second')\n"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=writer, stderr=writer
    )
    os.close(writer)
    os.close(reader)
    job.communicate()
    assert job.returncode == 0
    assert "first\nsecond\n" in Path(LOG).read_text()


def test_a_log_that_cannot_grow_hides_no_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    Path("logs").mkdir()
    Path(LOG).symlink_to("/dev/full")
    with pytest.raises(SystemExit) as stop, running(LOG):
        raise DataError("here", expected="a", found="b")
    assert stop.value.code == EXIT_REFUSED
    assert "error: here" in capsys.readouterr().err


def test_an_error_of_the_machine_is_said_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop, running(LOG):
        raise PermissionError(13, "Permission denied", "results/report.html")
    assert stop.value.code == EXIT_REFUSED
    said = capsys.readouterr().err
    assert "error: results/report.html\n" in said
    assert "Permission denied" in said
    assert "Traceback" not in said
    with pytest.raises(SystemExit), running(LOG):
        raise ValueError("a defect")
    assert "Traceback" in capsys.readouterr().err


def test_a_place_for_logs_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, running("/proc/none/a.log"):
        raise AssertionError
    assert stop.value.code == EXIT_REFUSED
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("gone_before", [False, True])
def test_a_job_ends_with_the_process_that_started_it(gone_before: bool) -> None:
    """The engine dies while the job works, or while the job's interpreter still starts."""
    job = (
        "import sys, time\nfrom rootloom.cluster.running import running\n"
        "open('ready', 'w').close()\nsys.stdin.read()\n"
        "with running('logs/a.log'):\n    open('inside', 'w').close()\n    time.sleep(600)\n"
    )
    engine = (
        "import subprocess, sys\nfrom rootloom.system.processes import announce_engine\n"
        "announce_engine()\n"
        f"job = subprocess.Popen([sys.executable, '-c', {job!r}])\n"
        "print(job.pid, flush=True)\njob.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", engine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    pid = int(process.stdout.readline())
    _wait_for("ready")
    if not gone_before:
        process.stdin.close()
        _wait_for("inside")
    process.kill()
    process.wait()
    if gone_before:
        process.stdin.close()
    assert not process.stdout.read(), "ends when the job has closed its end of the pipe"
    assert f"(process {process.pid}) is gone" in Path(LOG).read_text()
    assert pid != process.pid


def _wait_for(name: str) -> None:
    limit = time.monotonic() + 60
    while not Path(name).exists():
        assert time.monotonic() < limit, name
        time.sleep(0.02)
