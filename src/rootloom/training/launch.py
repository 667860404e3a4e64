"""Starts the processes of one training, forwards signals to them, and waits until all have ended.

Under SLURM they are one `srun` step over the job's machines; otherwise they are children on
this machine. It does not import JAX and does not change results.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rootloom.cluster.running import EXIT_PREEMPTED, Preempted
from rootloom.errors import LostError, from_dict
from rootloom.system.atomic import write_text
from rootloom.training import signals
from rootloom.training.lock import PROCESSES

DECIDES_NO_VALUE = "tests/unit/test_training_processes.py::test_two_processes_equal_one"

PROGRAM = "rootloom.stages.worker"
# Time for the other processes to end by themselves after one has failed.
_GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1
# A signal is forwarded again after this time, because srun can lose one.
_REPEAT_SECONDS = 10.0


@dataclass(frozen=True)
class Layout:
    """Processes of a training, with `cpus` cores and `gpus` GPUs each (0: what is there)."""

    processes: int
    cpus: int
    gpus: int


def launch(
    arguments: Mapping[str, object], directory: Path, layout: Layout, *, held: Sequence[int] = ()
) -> None:
    """Run the training that `arguments` (JSON data) describe, and return when it is complete.

    directory: in which the processes read their arguments and write their errors; all machines must
    see it. held: descriptors that local processes inherit. Raises Preempted if a signal ended the
    training, the error of the first process that reported one, else LostError.
    """
    # A job that is itself a task of a step has only one machine of its allocation.
    step = "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" not in os.environ
    place = directory / PROCESSES
    shutil.rmtree(place, ignore_errors=True)
    order = {
        "arguments": dict(arguments),
        "coordinator": _coordinator(local=not step),
        "processes": layout.processes,
        # Processes on one machine divide its GPUs among them.
        "gpus": 0 if step else layout.gpus,
    }
    write_text(place / "job.json", json.dumps(order))
    commands = [_srun(place, layout)] if step else _local(place, layout)
    # srun gets its own process group, because it kills its tasks when its group gets SIGTERM.
    with signals.watch() as interrupt, _started(commands, held, apart=step) as children:
        _attend(children, interrupt)
        codes = [child.returncode for child in children]
    _raise_cause(place, codes, interrupt, layout)


def _coordinator(*, local: bool) -> str:
    """Host and port where process 0, which runs on this machine, will listen.

    Under SLURM the job's script and task 0 of its steps run on the first machine.
    """
    given = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if given:
        return given
    host = "127.0.0.1" if local else socket.gethostname()
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{host}:{free.getsockname()[1]}"


def _srun(place: Path, layout: Layout) -> list[str]:
    """One task per machine of the allocation; `--wait` ends the others after one has ended."""
    return [
        "srun",
        f"--nodes={layout.processes}",
        f"--ntasks={layout.processes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={layout.cpus}",
        "--mpi=none",
        "--label",
        f"--wait={_GRACE_SECONDS:.0f}",
        *_program(place),
    ]


def _local(place: Path, layout: Layout) -> list[list[str]]:
    return [[*_program(place), str(number)] for number in range(layout.processes)]


def _program(place: Path) -> list[str]:
    return [sys.executable, "-m", PROGRAM, str(place)]


@contextmanager
def _started(
    commands: Sequence[list[str]], held: Sequence[int], *, apart: bool
) -> Iterator[list[subprocess.Popen]]:
    """Run the commands and print their output line by line; all have ended when the block ends.

    Their standard input stays open as long as this process lives; they stop when it is closed.
    """
    children: list[subprocess.Popen] = []
    readers: list[threading.Thread] = []
    try:
        for number, command in enumerate(commands):
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=tuple(held),
                start_new_session=apart,
            )
            children.append(child)
            label = f"{number}: " if len(commands) > 1 else ""  # srun labels lines itself
            reader = threading.Thread(target=_print_lines, args=(child, label), daemon=True)
            reader.start()
            readers.append(reader)
        yield children
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()
            assert child.stdin is not None
            child.stdin.close()
        for reader in readers:
            reader.join(timeout=5)


def _print_lines(child: subprocess.Popen, label: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        print(f"{label}{line}", end="", flush=True)


def _attend(children: Sequence[subprocess.Popen], interrupt: signals.Interrupt) -> None:
    """Wait for all, and forward a signal; after a failure wait only a limited time."""
    passed, limit = float("-inf"), float("inf")
    while any(child.poll() is None for child in children):
        if interrupt and time.monotonic() > passed + _REPEAT_SECONDS:
            print(f"{interrupt.name}: asking the processes to save and to end", flush=True)
            passed = time.monotonic()
            _pass_on(children)
        if limit == float("inf") and any(child.poll() for child in children):
            limit = time.monotonic() + _GRACE_SECONDS
        if time.monotonic() > limit:
            return
        time.sleep(_POLL_SECONDS)


def _pass_on(children: Sequence[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            # Not SIGTERM, for which srun would kill its tasks; it forwards this one.
            child.send_signal(signal.SIGUSR1)


def _raise_cause(
    place: Path, codes: Sequence[int | None], interrupt: signals.Interrupt, layout: Layout
) -> None:
    """Raise the cause of an early end: an error, else a signal, else a process that died."""
    words = [json.loads(path.read_text()) for path in sorted(place.glob("said-*.json"))]
    for word in words:
        if "refused" in word:
            raise from_dict(word["refused"])
    if not any(codes):
        return
    preempted = [word["preempted"] for word in words if "preempted" in word]
    if preempted or interrupt or EXIT_PREEMPTED in codes:
        raise Preempted(next(iter(preempted), f"{interrupt.name}, before a step was made"))
    raise LostError(
        f"training in {layout.processes} processes",
        expected="all of them to reach the end",
        found=", ".join(filter(None, map(_ended, range(len(codes)), codes))),
        fix="see its messages above; run again, and training continues from its last checkpoint",
    )


def _ended(number: int, code: int | None) -> str:
    """How a process ended, in words; empty for success."""
    if code is None:
        return f"process {number} stopped because another had failed"
    if code < 0:
        return f"process {number} ended by {signal.Signals(-code).name}"
    return f"process {number} ended with code {code}" if code else ""
