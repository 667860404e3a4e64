"""Records on disk of why jobs ended: after running out of memory or time, a job asks for more.

The head process writes them; rules read them, in the head and in every job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rootloom.cluster.ledger import FOLDER
from rootloom.errors import ResourceError, ResultError
from rootloom.system import atomic

# "lost": preempted, evicted, node failure, removed by hand, or stopped with its state saved.
Cause = Literal["memory", "time", "lost", "failed"]
LARGEST_FACTOR = 16
# What a job records of its own end. "stopped": on a signal, with its state saved. "refused": by an
# error that another attempt cannot change.
Note = Literal["stopped", "refused"]
STOPPED: Note = "stopped"
REFUSED: Note = "refused"

_Counts = dict[str, dict[str, int]]
_cache: dict[Path, tuple[tuple[int, int], _Counts]] = {}


def factor(
    kind: Literal["memory", "time"],
    rule: str,
    wildcards: Mapping[str, str],
    *,
    folder: Path = FOLDER,
) -> int:
    """Factor on a job's memory or time: 2 for each time it ran out, at most 16.

    Costs one `stat` if nothing new was recorded.
    """
    counts = _read(folder).get(_name(rule, wildcards), {})
    return min(2 ** counts.get(kind, 0), LARGEST_FACTOR)


def record(cause: Cause, rule: str, wildcards: Mapping[str, str], *, folder: Path = FOLDER) -> None:
    """Record that a job ended for this cause; only "memory" and "time" are kept.

    If the disk is full, or the record is damaged, the next attempt asks for no more than this one.
    """
    if cause not in ("memory", "time"):
        return
    try:
        counts = _read(folder)
        of_job = counts.setdefault(_name(rule, wildcards), {})
        of_job[cause] = of_job.get(cause, 0) + 1
        atomic.write_json(folder / "outcomes.json", {"jobs": counts})
    except (ResourceError, ResultError) as refusal:
        print(f"note: {refusal}")


def note(what: Note, log: str | Path, *, folder: Path = FOLDER) -> None:
    """Record how the job of this log file ended.

    The job itself writes this, because its exit code does not reach the batch system: the engine
    in between ends with its own code.
    """
    atomic.write_text(_place(what, log, folder), "")


def clear(log: str | Path, *, folder: Path = FOLDER) -> None:
    """Remove the record of how the job of this log file ended before."""
    for what in (STOPPED, REFUSED):
        take(what, log, folder=folder)


def noted(what: Note, log: str | Path, *, folder: Path = FOLDER) -> bool:
    """Whether the job of this log file ended like this."""
    return _place(what, log, folder).exists()


def take(what: Note, log: str | Path, *, folder: Path = FOLDER) -> bool:
    """Whether it ended like this; removes the record."""
    try:
        _place(what, log, folder).unlink()
    except FileNotFoundError:
        return False
    return True


def _place(what: Note, log: str | Path, folder: Path) -> Path:
    return folder / what / hashlib.sha256(str(log).encode()).hexdigest()[:20]


def _name(rule: str, wildcards: Mapping[str, str]) -> str:
    return ",".join([rule, *(f"{name}={value}" for name, value in sorted(wildcards.items()))])


def _read(folder: Path) -> _Counts:
    path = folder / "outcomes.json"
    try:
        state = path.stat()
    except FileNotFoundError:
        return {}
    version = (state.st_mtime_ns, state.st_ino)
    if path not in _cache or _cache[path][0] != version:
        expected = "which jobs ran out of memory or time"
        fix = "delete it: jobs then ask for their original memory and time"
        _cache[path] = version, atomic.read_json(path, expected, lambda c: dict(c["jobs"]), fix=fix)
    return _cache[path][1]
