"""Why jobs ended, on disk: what ran out of memory or time asks for more, what was lost does not.

The head process writes; rules, in the head and in every job, read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rootloom import fileio
from rootloom.cluster.ledger import FOLDER

# "lost": preempted, evicted, node failure, removed by hand, or stopped with its state saved.
Cause = Literal["memory", "time", "lost", "failed"]
LARGEST_FACTOR = 16

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
    """Note that a job ended for this cause; only "memory" and "time" are kept."""
    if cause not in ("memory", "time"):
        return
    counts = _read(folder)
    of_job = counts.setdefault(_name(rule, wildcards), {})
    of_job[cause] = of_job.get(cause, 0) + 1
    fileio.write_json(folder / "outcomes.json", {"jobs": counts})


def note_stopped(log: str | Path, *, folder: Path = FOLDER) -> None:
    """Say that the job of this log file stopped on a signal with its state saved.

    Written by the job itself: its exit code does not reach the batch system, because the engine in
    between ends with a code of its own.
    """
    fileio.write_text(_stopped(log, folder), "")


def clear_stopped(log: str | Path, *, folder: Path = FOLDER) -> None:
    """Forget an earlier stop of the job of this log file."""
    _stopped(log, folder).unlink(missing_ok=True)


def was_stopped(log: str | Path, *, folder: Path = FOLDER) -> bool:
    """Whether the job of this log file last stopped on a signal with its state saved."""
    return _stopped(log, folder).exists()


def _stopped(log: str | Path, folder: Path) -> Path:
    return folder / "stopped" / hashlib.sha256(str(log).encode()).hexdigest()[:20]


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
        _cache[path] = version, fileio.read_json(path, expected, lambda c: dict(c["jobs"]), fix=fix)
    return _cache[path][1]
