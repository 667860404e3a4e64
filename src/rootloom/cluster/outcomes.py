"""Why jobs ended, on disk: what ran out of memory or time asks for more, what was lost does not.

The head process writes; rules, in the head and in every job, read.
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
# What a job says of its own end. "stopped": on a signal, with its state saved. "refused": by what
# no other attempt can lift.
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
    """By how much a job's memory or time is to be multiplied: 2 for each time it ran out, up to 16.

    Costs one `stat` while nothing new was recorded.
    """
    counts = _read(folder).get(_name(rule, wildcards), {})
    return min(2 ** counts.get(kind, 0), LARGEST_FACTOR)


def record(cause: Cause, rule: str, wildcards: Mapping[str, str], *, folder: Path = FOLDER) -> None:
    """Note that a job ended for this cause; only "memory" and "time" are kept.

    Where that has no room, or what was noted before is damaged, the next attempt asks for no more
    than this one did.
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
    """Say how the job of this log file ended.

    Written by the job itself: its exit code does not reach the batch system, because the engine in
    between ends with a code of its own.
    """
    atomic.write_text(_place(what, log, folder), "")


def clear(log: str | Path, *, folder: Path = FOLDER) -> None:
    """Forget how the job of this log file ended before."""
    for what in (STOPPED, REFUSED):
        take(what, log, folder=folder)


def noted(what: Note, log: str | Path, *, folder: Path = FOLDER) -> bool:
    """Whether the job of this log file last said so of its end."""
    return _place(what, log, folder).exists()


def take(what: Note, log: str | Path, *, folder: Path = FOLDER) -> bool:
    """Whether it said so; forget it."""
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
        fix = "delete it: jobs then ask for what they asked for at first"
        _cache[path] = version, atomic.read_json(path, expected, lambda c: dict(c["jobs"]), fix=fix)
    return _cache[path][1]
