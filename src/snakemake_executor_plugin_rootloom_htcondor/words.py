"""One portable block of resources in HTCondor's words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

TOKEN = "RootloomToken"
RUN = "RootloomRun"
GPU_WORDS = (
    "require_gpus", "gpus_minimum_capability", "gpus_minimum_memory", "gpus_minimum_runtime",
    "cuda_version",
)  # fmt: skip


def translated(resources: Mapping[str, Any], runtime_attribute: str | None) -> dict[str, str | int]:
    """Submit commands for runtime (minutes), mem_mb, disk_mb (MB), gpu and accounting_group.

    runtime_attribute: the job attribute from which the site reads the longest run time, in seconds;
    without one it is HTCondor's own limit, which holds a job that exceeds it.
    """
    words: dict[str, str | int] = {}
    if memory := resources.get("mem_mb"):
        words["request_memory"] = f"{int(memory)}MB"
    if disk := resources.get("disk_mb"):
        words["request_disk"] = f"{int(disk)}MB"
    if gpus := resources.get("gpu"):
        words["request_gpus"] = int(gpus)
    if group := resources.get("accounting_group"):
        words["accounting_group"] = group
    if runtime := resources.get("runtime"):
        limit = f"+{runtime_attribute}" if runtime_attribute else "allowed_job_duration"
        words[limit] = int(runtime) * 60
    return words


def identified(token: str, run: str) -> dict[str, str]:
    """Submit commands by which the next head recognises a job, in the queue and in the event log.

    All jobs of a working directory are one batch: one line of `condor_q`.
    """
    return {
        f"+{TOKEN}": f'"{token}"',
        f"+{RUN}": f'"{run}"',
        "submit_event_notes": token,
        "batch_name": run,
    }


def command_line(command: Sequence[str]) -> str:
    """Arguments of a program in HTCondor's quoting, in which nothing is expanded."""
    return '"' + " ".join(_quoted(word) for word in command) + '"'


def words_of(command: str) -> list[str]:
    """A shell command that calls one program, as the program's arguments."""
    return shlex.split(command)


def _quoted(word: str) -> str:
    escaped = word.replace('"', '""').replace("'", "''").replace("$", "$(DOLLAR)")
    return f"'{escaped}'"
