"""What HTCondor is told, and what its answers mean; no pool is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("htcondor2")

from snakemake_executor_plugin_rootloom_htcondor import node, words
from snakemake_executor_plugin_rootloom_htcondor.ending import Ending, cause_of

ASKED = {"memory": 2000, "runtime": 60, "stopped": False}


def after(*events: tuple[str, dict[str, Any]], seconds: float = 10.0) -> Ending:
    """A job that was started, to which events happened that many seconds later."""
    ending = Ending().after("EXECUTE", {}, 1000.0)
    for kind, event in events:
        ending = ending.after(kind, event, 1000.0 + seconds)
    return ending


def hold(code: int, subcode: int = 0, reason: str = "") -> tuple[str, dict[str, Any]]:
    event = {"HoldReasonCode": code, "HoldReasonSubCode": subcode, "HoldReason": reason}
    return "JOB_HELD", event


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (after(hold(34)), "memory"),
        (after(hold(21, 102, "memory usage exceeded request_memory")), "memory"),
        (after(("IMAGE_SIZE", {"MemoryUsage": 2100}), hold(26)), "memory"),
        (after(hold(46)), "time"),
        (after(hold(47)), "time"),
        (after(hold(1, reason="via condor_hold (by user tester)")), None),
        (after(hold(13, reason="no such file")), None),
        (after(("JOB_ABORTED", {"Reason": "via condor_rm (by user tester)"})), "lost"),
        (after(("JOB_ABORTED", {"Reason": "SYSTEM_PERIODIC_REMOVE"}), seconds=3590), "time"),
        (after(("JOB_ABORTED", {"Reason": "SYSTEM_PERIODIC_REMOVE"})), "lost"),
        (after(("JOB_TERMINATED", {"ReturnValue": 1})), "failed"),
        (after(("JOB_TERMINATED", {"ReturnValue": 75})), "lost"),
        (after(("JOB_TERMINATED", {"ReturnValue": 137})), "lost"),
        (after(("JOB_TERMINATED", {"TerminatedBySignal": 9})), "lost"),
        (after(("JOB_TERMINATED", {"TerminatedBySignal": 9, "MemoryUsage": 2000})), "memory"),
        (after(("JOB_TERMINATED", {"ReturnValue": 139})), "failed"),
    ],
)
def test_why_a_job_ended(ending: Ending, cause: str | None) -> None:
    assert cause_of(ending, **ASKED) == cause


def test_a_job_that_saved_its_state_goes_on_with_what_it_asked_for() -> None:
    stopped = {**ASKED, "stopped": True}
    assert cause_of(after(hold(46)), **stopped) == "lost"
    assert cause_of(after(("JOB_TERMINATED", {"ReturnValue": 1})), **stopped) == "lost"


def test_an_earlier_start_tells_nothing_about_the_last_one() -> None:
    ending = after(("IMAGE_SIZE", {"MemoryUsage": 2100}), ("JOB_EVICTED", {}))
    ending = ending.after("EXECUTE", {}, 5000.0).after("JOB_TERMINATED", {"ReturnValue": 137}, 5010)
    assert cause_of(ending, **ASKED) == "lost"


def test_one_block_of_resources_in_the_words_of_htcondor() -> None:
    asked = {"runtime": 90, "mem_mb": 2000, "disk_mb": 500, "gpu": 1, "tmpdir": "/tmp"}
    said = {"request_memory": "2000MB", "request_disk": "500MB", "request_gpus": 1}
    assert words.translated(asked, None) == {**said, "allowed_job_duration": 5400}
    assert words.translated(asked, "MaxRuntime") == {**said, "+MaxRuntime": 5400}
    assert words.translated({"mem_mb": 1000, "gpu": 0}, None) == {"request_memory": "1000MB"}


def test_the_wrapper_hands_on_what_it_is_told_and_says_so(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"trap 'touch {seen}; exit 1' TERM; touch ready; sleep 60 & wait"
    process = subprocess.Popen([sys.executable, node.__file__, tmp_path, "sh", "-c", script])
    while not (tmp_path / "ready").exists():
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == node.LOST
    assert seen.exists()


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("", 0)])
def test_the_wrapper_ends_as_its_command(tmp_path: Path, script: str, status: int) -> None:
    command = [sys.executable, node.__file__, str(tmp_path), "sh", "-c", script]
    assert subprocess.run(command).returncode == status


def test_a_node_without_the_folder_is_not_the_right_one(tmp_path: Path) -> None:
    command = [sys.executable, node.__file__, str(tmp_path / "absent"), "true"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == node.LOST
    assert "absent is not on this node" in done.stderr
