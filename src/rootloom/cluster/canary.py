"""A small test job that is submitted like all others, and what it finds on its node."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rootloom.cluster.ledger import FOLDER
from rootloom.cluster.submit import Profile, environment
from rootloom.system.atomic import write_text
from rootloom.system.provenance import package_versions

OUTPUT = "seen.json"
PROBE_BYTES = 8 * 1024**2  # enough for a rate, not enough to disturb anyone
POLL_SECONDS = 0.05
_QUEUES = {
    "SLURM": ("SLURM_JOB_ID", "SLURM_JOB_PARTITION"),
    "HTCondor": ("_CONDOR_SLOT", "_CONDOR_JOB_AD"),
}


class Scratch(TypedDict):
    """The folder for temporary files: free bytes, and bytes a second written to it."""

    folder: str
    free: int
    rate: float


class Seen(TypedDict):
    """What a canary reports. started: when, seconds since 1970. ahead: the clock of its files'
    system before the node's, seconds. queue: variables of the batch system that say where it ran.
    """

    started: float
    ahead: float
    host: str
    prefix: str
    versions: dict[str, str]
    queue: dict[str, list[str]]
    cores: int
    scratch: Scratch
    gpus: list[str]


@dataclass(frozen=True)
class Flight:
    """Result of a test job. Times in seconds.

    seen: its report from the node, None if it did not come back. wait: from submission to its
    start. visible: from writing a file there until the file is seen here. clock: how far the
    node's clock is ahead of this one. text: the output of the head, to show after a failure.
    """

    seen: Seen | None
    wait: float = 0.0
    visible: float = 0.0
    clock: float = 0.0
    text: str = ""


def plugin_problem(profile: Profile) -> str:
    """Why the profile's executor cannot be loaded; "" when it can."""
    if profile.executor in ("local", "dryrun", "touch"):
        return ""
    module = f"snakemake_executor_plugin_{profile.executor.replace('-', '_')}"
    try:
        importlib.import_module(module)
        # Our plugins can always be imported, so that the engine starts without their packages.
        if importlib.util.find_spec(f"{module}.executor"):
            importlib.import_module(f"{module}.executor")
    except ImportError as error:
        extra = (profile.system or profile.executor).lower()
        return f"executor {profile.executor}: {error}; install this package's extra '{extra}'"
    return ""


def fly(root: Path, profile: Profile, *, gpu: bool, patience: float) -> Flight:
    """Submit one test job; wait at most `patience` seconds for it."""
    folder = root / FOLDER / f"canary-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(root / "workflow/canary.smk"),
        "--directory", str(folder), "--profile", str(profile.path), "--retries", "0",
        "--config", f"gpu={int(gpu)}",
    ]  # fmt: skip
    with (folder / "head.txt").open("w") as log:
        head = subprocess.Popen(
            command,
            cwd=root,
            env=environment(root),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            arrived = _watch(head, folder, patience)
        finally:
            _end(head)
    text = (folder / "head.txt").read_text(errors="replace")
    flight = _landed(folder, arrived, text)
    if flight.seen is not None and head.returncode == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return flight


def _watch(head: subprocess.Popen[bytes], folder: Path, patience: float) -> tuple[float, float]:
    """Times at which the job was submitted and its output was seen here; 0 for never."""
    limit = time.monotonic() + patience
    handed = seen = 0.0
    while head.poll() is None and time.monotonic() < limit:
        if not handed and "rule canary:" in (folder / "head.txt").read_text(errors="replace"):
            handed = time.time()
        if not seen and OUTPUT in os.listdir(folder):
            seen = time.time()
        time.sleep(POLL_SECONDS)
    if not seen and (folder / OUTPUT).exists():
        seen = time.time()
    return handed, seen


def _end(head: subprocess.Popen[bytes]) -> None:
    """Stop a head whose job did not start, so that it takes the job out of the queue."""
    if head.poll() is None:
        head.send_signal(signal.SIGINT)
        try:
            head.wait(60)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait()


def _landed(folder: Path, arrived: tuple[float, float], text: str) -> Flight:
    handed, here = arrived
    if not here:
        return Flight(None, text=text)
    seen = json.loads((folder / OUTPUT).read_text())
    ahead = _ahead_of(folder)
    return Flight(
        seen,
        wait=max(0.0, (seen["started"] - seen["ahead"]) - (handed - ahead)) if handed else 0.0,
        visible=max(0.0, (here - ahead) - (folder / OUTPUT).stat().st_mtime),
        clock=seen["ahead"] - ahead,
        text=text,
    )


def _ahead_of(folder: Path) -> float:
    """Seconds by which this machine's clock is ahead of that of the shared file system."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        before = time.time()
        os.utime(file.name)
        after = time.time()
        return (before + after) / 2 - os.stat(file.name).st_mtime


def look_around(output: Path, *, gpu: bool) -> None:
    """On the node: write a report of the machine, its packages and its devices."""
    started = time.time()
    seen: Seen = {
        "started": started,
        "ahead": _ahead_of(output.parent),
        "host": platform.node(),
        "prefix": sys.prefix,
        "versions": package_versions(),
        "queue": {
            name: [os.environ[key] for key in keys if key in os.environ]
            for name, keys in _QUEUES.items()
        },
        "cores": len(os.sched_getaffinity(0)),
        "scratch": _scratch(),
        "gpus": list(_gpus()) if gpu else [],
    }
    write_text(output, json.dumps(seen, indent=1))


def _scratch() -> Scratch:
    folder = tempfile.gettempdir()
    block = os.urandom(PROBE_BYTES)
    begun = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    free = shutil.disk_usage(folder).free
    return {"folder": folder, "free": free, "rate": PROBE_BYTES / max(seconds, 1e-9)}


def _gpus() -> Iterator[str]:
    """GPUs of the job, by the variable that selects them, and the devices that JAX finds."""
    import jax

    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if name in os.environ:
            yield f"{name}={os.environ[name]}"
    for device in jax.local_devices():
        if device.platform != "cpu":
            yield f"JAX: {device.device_kind}"
