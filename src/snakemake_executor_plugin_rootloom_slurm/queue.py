"""What SLURM says of jobs, and why a job ended."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rootloom.cluster.ledger import Place
from rootloom.cluster.outcomes import Cause

DONE = "COMPLETED"
LOST = {"BOOT_FAIL", "CANCELLED", "NODE_FAIL", "PREEMPTED", "REVOKED"}
# Why a job is not started, where waiting does not help.
HOPELESS = {
    "PartitionTimeLimit": "its runtime is longer than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows",
    "BadConstraints": "no node has what it asks for",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its quality of service is not valid",
}
ENDED = LOST | {"DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"}

# SLURM may send the signal before a time limit up to a minute early.
SIGNAL_SLACK = 60
TAIL = 16_384
# Without cgroups a job killed for its memory is one that failed; its log says why.
_MEMORY = re.compile(
    r"exceeded (job |step )?memory limit|oom[-_ ]kill|out of memory", re.IGNORECASE
)


@dataclass(frozen=True)
class State:
    """State of one job or array task; times in seconds, limit None where there is none."""

    name: str
    elapsed: int = 0
    limit: int | None = None
    token: str = ""
    reason: str = ""

    @property
    def kind(self) -> str:
        """ "active", "done" or "failed"."""
        return "done" if self.name == DONE else "failed" if self.name in ENDED else "active"

    @property
    def waits(self) -> bool:
        """Whether it is queued and does not run."""
        return self.name == "PENDING"


def states(run_name: str) -> dict[str, State] | None:
    """Jobs and array tasks of a run by id; None when the controller does not answer."""
    text = _ask(
        "squeue", "--noheader", "--array", "--states=all", f"--name={run_name}",
        "--format=%i|%T|%M|%l|%r|%k",
    )  # fmt: skip
    if text is None:
        return None
    found = {}
    for line in text.splitlines():
        job, name, elapsed, limit, reason, comment = line.split("|", 5)
        found[job.strip()] = State(
            name, seconds(elapsed) or 0, seconds(limit), comment.strip(), reason.strip()
        )
    return found


def archived(jobs: Sequence[str]) -> dict[str, State]:
    """The same for jobs that the controller has forgotten, where accounting remembers them."""
    if not jobs or shutil.which("sacct") is None:
        return {}
    text = _ask(
        "sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={','.join(jobs)}",
        "--format=JobID,State,ElapsedRaw,TimelimitRaw",
    )  # fmt: skip
    found = {}
    for line in (text or "").splitlines():
        job, name, elapsed, limit = line.split("|")
        minutes = int(limit) * 60 if limit.isdigit() else None
        found[job] = State(name.split()[0], int(elapsed or 0), minutes)
    return found


def places(found: dict[str, State]) -> dict[Place, str]:
    """Ids by place: the comment holds the token, an array task's number is its position."""
    return {
        Place(state.token, int(job.partition("_")[2] or 1)): job
        for job, state in found.items()
        if state.token.startswith("rl")
    }


def cause_of(state: State, log: Path | None, *, stopped: bool, lead: int) -> Cause:
    """Why a job ended.

    log: what its batch script printed. stopped: it said itself that it stopped on a signal with its
    state saved. lead: seconds before the time limit at which it was sent that signal, 0 for never.
    """
    if state.name == "OUT_OF_MEMORY":
        return "memory"
    if stopped or state.name in LOST:
        return "lost"
    if state.name in ("TIMEOUT", "DEADLINE"):
        return "time"
    if _MEMORY.search(_tail(log)):
        return "memory"
    if lead and state.limit and state.elapsed >= state.limit - lead - SIGNAL_SLACK:
        return "time"
    return "failed"


def seconds(text: str) -> int | None:
    """SLURM's [days-][[hours:]minutes:]seconds; None for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)??(?:(\d+):)?(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _tail(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        return file.read().decode(errors="replace")


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
