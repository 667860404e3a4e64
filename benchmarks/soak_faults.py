"""What goes wrong on purpose. Each fault strikes a run and says what it did, or that it could not.

A fault that lasts gives back how it is undone; that happens before the next run is started, or as
soon as no more faults are to strike.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil

from soak_run import Attempt

Undo = Callable[[], None]
Struck = tuple[str, Undo | None]  # in words, and how it is undone
Fault = Callable[[Attempt, Path, Random], Struck | None]

SMALLEST_LIMIT, LARGEST_LIMIT = 0, 30_000  # bytes a file may still grow to: toy results are larger
READABLE = (".root", ".h5", ".json", ".safetensors")  # formats that show that they are cut off


def kill_any(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """SIGKILL one process of the run, each kind of process as likely as the others."""
    found = attempt.processes()
    if not found:
        return None
    kind = random.choice(sorted(found))
    process = random.choice(found[kind])
    if kind == "head":
        attempt.kill_head()
    else:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return f"kill -9 {kind}", None


def kill_head(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """SIGKILL the head."""
    attempt.kill_head()
    return "kill -9 head", None


def signal_worker(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """SIGTERM or SIGUSR1 to a job's script, as batch systems send before they take a node."""
    workers = attempt.processes().get("worker")
    if not workers:
        return None
    number = random.choice((signal.SIGTERM, signal.SIGUSR1))
    with contextlib.suppress(psutil.NoSuchProcess):
        random.choice(workers).send_signal(number)
    return f"{number.name} to a worker", None


def stop_head(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """SIGTERM or SIGINT to the head, as a logout or an impatient user sends."""
    number = random.choice((signal.SIGTERM, signal.SIGINT))
    attempt.head.send_signal(number)
    return f"{number.name} to the head", None


def limit_files(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """From now on no process of the run can write a large file: a quota that is used up."""
    limit = random.randint(SMALLEST_LIMIT, LARGEST_LIMIT)
    for group in attempt.processes().values():
        for process in group:
            with contextlib.suppress(psutil.Error, PermissionError):
                process.rlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return "quota used up", None


def fill_disk(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """Leave next to no room on the project's own (small) file system."""
    ballast = project / "ballast"
    if ballast.exists() or not os.path.ismount(project):
        return None
    left = random.randint(0, 20_000)
    free = os.statvfs(project)
    # Unbuffered: nothing is left to be written when the file is closed.
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(max(0, free.f_bavail * free.f_frsize - left) // 4096):
            file.write(b"\0" * 4096)
    return "disk full", lambda: ballast.unlink(missing_ok=True)


def truncate_file(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """Cut an input or a finished result in half, as a failing disk does, until the run ends."""
    if not attempt.has_planned:
        return None
    candidates = [
        path
        for folder in ("data", "results")
        for path in sorted((project / folder).rglob("*"))
        if path.suffix in READABLE and not path.name.startswith(".")
    ]
    if not candidates:
        return None
    path = random.choice(candidates)
    try:
        before, content = path.stat(), path.read_bytes()
        os.truncate(path, len(content) // 2)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    except FileNotFoundError:
        return None

    def restore() -> None:
        # Unless a job has put a new file in its place.
        if path.exists() and path.stat().st_ino == before.st_ino:
            path.write_bytes(content)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return f"unreadable {path.suffix} file", restore


def requeue(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """The batch system takes a job's node away and queues the job again."""
    return _to_a_job(attempt, random, ["scontrol", "requeue"], "requeue")


def cancel(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """Somebody removes a running job by hand."""
    return _to_a_job(attempt, random, ["scancel"], "scancel")


def _to_a_job(attempt: Attempt, random: Random, command: list[str], words: str) -> Struck | None:
    cluster = attempt.site.cluster
    jobs = sorted(cluster.running()) if cluster else []
    if cluster is None or not jobs:
        return None
    cluster.command(*command, random.choice(jobs), check=False)
    return words, None


def lose_node(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """All processes of one node die at once, or only the daemon that watches over them."""
    cluster = attempt.site.cluster
    if cluster is None:
        return None
    name = random.choice(cluster.nodes)
    if random.random() < 0.5:
        cluster.kill_node(name)
        return "node lost", lambda: cluster.start_node(name)
    cluster.kill_slurmd(name)
    return "kill -9 slurmd", lambda: cluster.start_node(name)


def stop_controller(attempt: Attempt, project: Path, random: Random) -> Struck | None:
    """The batch system's own head is away for a while."""
    cluster = attempt.site.cluster
    if cluster is None:
        return None
    cluster.stop_controller()
    return "slurmctld away", cluster.start_controller


ANYWHERE: dict[str, Fault] = {
    "kill": kill_any,
    "kill head": kill_head,
    "signal": signal_worker,
    "stop head": stop_head,
    "quota": limit_files,
    "disk": fill_disk,
    "unreadable": truncate_file,
}
ON_SLURM: dict[str, Fault] = {
    "requeue": requeue,
    "cancel": cancel,
    "node": lose_node,
    "controller": stop_controller,
}
