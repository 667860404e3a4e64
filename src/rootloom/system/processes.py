"""Identities of processes: a process number alone may be reused after the process has ended."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

_SYSTEM = Path("/proc")
_ENGINE = "ROOTLOOM_ENGINE"


@dataclass(frozen=True)
class Identity:
    """A process of one machine: its number, and when it was started.

    started: clock ticks since the machine started, if the system has them (they do not depend on
    the clock being set), else seconds since 1970.
    """

    pid: int
    started: float

    def is_alive(self) -> bool:
        """Whether this process still runs; a zombie does not."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """The process with this number now; None if there is none or it has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return Identity(pid, _started(process))
    except (psutil.Error, OSError):
        return None


def _started(process: psutil.Process) -> float:
    file = _SYSTEM / str(process.pid) / "stat"
    if not file.exists():
        return process.create_time()
    # The name in parentheses may hold anything; field 22 is counted from behind it (proc(5)).
    return float(file.read_text().rpartition(")")[2].split()[19])


def place() -> str:
    """The scope of process numbers: one boot of one machine, and one container on it."""
    try:
        boot = (_SYSTEM / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def announce_engine() -> None:
    """Name this process to the jobs that it will start, through their environment."""
    me = identify(os.getpid())
    if me is not None:
        os.environ[_ENGINE] = f"{me.pid} {me.started} {place()}"


def announced_engine() -> Identity | None:
    """The process that started this job; None if it is unknown or on another machine.

    It may have ended already.
    """
    pid, _, rest = os.environ.get(_ENGINE, "").partition(" ")
    started, _, where = rest.partition(" ")
    return Identity(int(pid), float(started)) if pid and where == place() else None
