"""Why a job ended, from what the event log says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rootloom.cluster.outcomes import Cause

EXIT_LOST = 75  # of the wrapper on the node: the job was told to stop, or could not start there

# Numbers of HTCondor's manual, "Hold reason codes" (HoldReasonCode, HoldReasonSubCode).
_OUT_OF_MEMORY = 34  # above the limit of its cgroup
_POLICIES = (3, 21, 26)  # periodic_hold of the job, of the machine, of the schedd
_MEMORY_POLICY = 102  # subcode of the policy "hold if memory exceeded"
_TOO_LONG = (46, 47)  # allowed_job_duration, allowed_execute_duration
_BY_HAND = "via condor_rm"
# What the system or a user sends; the others a program raises itself.
_SENT_SIGNALS = (1, 2, 9, 10, 12, 15)
_NEARLY = 0.95


@dataclass(frozen=True)
class Ending:
    """What is known of the last start of a job; memory in MB, duration in seconds."""

    reason: str = ""
    code: int = 0
    subcode: int = 0
    held: bool = False
    removed: bool = False
    exit_code: int | None = None
    signal: int | None = None
    memory: int = 0
    started: float | None = None
    duration: float = 0.0

    @property
    def state(self) -> Literal["done", "failed"] | None:
        """How it ended; None while it has not."""
        if self.exit_code == 0:
            return "done"
        over = self.removed or self.exit_code is not None or self.signal is not None
        return "failed" if over else None

    def after(self, kind: str, event: Mapping[str, Any], time: float) -> Ending:
        """The same after one more event of the log, at `time` (seconds since 1970)."""
        if kind in ("SUBMIT", "EXECUTE", "JOB_EVICTED", "JOB_RELEASED"):
            return Ending(started=time if kind == "EXECUTE" else None)
        lasted = time - self.started if self.started is not None else 0.0
        if kind == "IMAGE_SIZE":
            return replace(self, memory=max(self.memory, int(event.get("MemoryUsage", 0))))
        if kind == "JOB_HELD":
            return replace(
                self, held=True, duration=lasted, reason=str(event.get("HoldReason", "")),
                code=int(event.get("HoldReasonCode", 0)),
                subcode=int(event.get("HoldReasonSubCode", 0)),
            )  # fmt: skip
        if kind == "JOB_ABORTED":
            reason = str(event.get("Reason", ""))
            return replace(self, removed=True, duration=lasted, reason=reason)
        if kind == "JOB_TERMINATED":
            memory = max(self.memory, int(event.get("MemoryUsage", 0)))
            code, signal = event.get("ReturnValue"), event.get("TerminatedBySignal")
            if isinstance(code, int) and code > 128:  # what the wrapper says of a signal
                signal, code = code - 128, None
            return replace(self, duration=lasted, memory=memory, exit_code=code, signal=signal)
        return self


def cause_of(
    ending: Ending, *, memory: int | None, runtime: int | None, stopped: bool
) -> Cause | None:
    """Why a job ended; None for one that is held for a reason which a user may repair.

    memory: MB it asked for. runtime: minutes it asked for. stopped: it said itself that it stopped
    on a signal with its state saved.
    """
    short_of_memory = bool(memory) and ending.memory >= (memory or 0)
    if ending.held:
        return _cause_of_hold(ending, short_of_memory, stopped)
    if ending.removed:
        if ending.reason.startswith(_BY_HAND) or stopped:
            return "lost"
        if short_of_memory or "memory" in ending.reason.lower():
            return "memory"
        if runtime and ending.duration >= _NEARLY * 60 * runtime:
            return "time"
        return "lost"
    if stopped or ending.exit_code == EXIT_LOST:
        return "lost"
    if ending.signal in _SENT_SIGNALS:
        return "memory" if short_of_memory else "lost"
    return "failed"


def _cause_of_hold(ending: Ending, short_of_memory: bool, stopped: bool) -> Cause | None:
    by_policy = ending.code in _POLICIES
    if ending.code == _OUT_OF_MEMORY or (by_policy and ending.subcode == _MEMORY_POLICY):
        return "memory"
    if by_policy and (short_of_memory or "memory" in ending.reason.lower()):
        return "memory"
    if ending.code in _TOO_LONG:
        return "lost" if stopped else "time"
    return None
