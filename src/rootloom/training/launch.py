"""Starts the processes of one training, passes signals on to them, and sees all of them end.

Under SLURM they are one `srun` step over the job's machines; anywhere else they are children on
this machine. It imports no JAX and decides no number.
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
# Seconds the others get to end by themselves once one has failed.
_GRACE = 20.0
_POLL = 0.1
# Seconds after which a signal is passed on again: between srun and its tasks one can be lost.
_AGAIN = 10.0


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

    directory: where the processes find their order and leave word; all machines must see it.
    held: descriptors that local processes inherit. Raises Preempted when a signal ended the
    training, the first process's own refusal where one refused, else LostError.
    """
    # A job that is itself a task of a step has one machine, whatever its allocation.
    step = "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" not in os.environ
    place = directory / PROCESSES
    shutil.rmtree(place, ignore_errors=True)
    order = {
        "arguments": dict(arguments),
        "coordinator": _coordinator(local=not step),
        "processes": layout.processes,
        # Processes that share a machine share its GPUs out among them.
        "gpus": 0 if step else layout.gpus,
    }
    write_text(place / "job.json", json.dumps(order))
    commands = [_srun(place, layout)] if step else _local(place, layout)
    # srun would kill its tasks for a SIGTERM to its process group: it gets one of its own.
    with signals.watch() as interrupt, _started(commands, held, apart=step) as children:
        _attend(children, interrupt)
        codes = [child.returncode for child in children]
    _judge(place, codes, interrupt, layout)


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
    """One task a machine of the job's allocation; `--wait` ends the others when one has ended."""
    return [
        "srun",
        f"--nodes={layout.processes}",
        f"--ntasks={layout.processes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={layout.cpus}",
        "--mpi=none",
        "--label",
        f"--wait={_GRACE:.0f}",
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
    """The commands running, their words printed line by line; none of them outlives the block.

    Their standard input stays open as long as this process lives: its end tells them to stop.
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
    """Wait for all; pass a signal on; after a failure, wait only so long for the others."""
    passed, limit = float("-inf"), float("inf")
    while any(child.poll() is None for child in children):
        if interrupt and time.monotonic() > passed + _AGAIN:
            print(f"{interrupt.name}: asking the processes to save and to end", flush=True)
            passed = time.monotonic()
            _pass_on(children)
        if limit == float("inf") and any(child.poll() for child in children):
            limit = time.monotonic() + _GRACE
        if time.monotonic() > limit:
            return
        time.sleep(_POLL)


def _pass_on(children: Sequence[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            # Not SIGTERM: srun would kill its tasks for it, and hands on this one.
            child.send_signal(signal.SIGUSR1)


def _judge(
    place: Path, codes: Sequence[int | None], interrupt: signals.Interrupt, layout: Layout
) -> None:
    """Raise what ended the training early: a refusal before a signal, and that before a death."""
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
        fix="see its words above; run again, and training goes on from its last checkpoint",
    )


def _ended(number: int, code: int | None) -> str:
    """How one ended, in words; empty for a good end."""
    if code is None:
        return f"process {number} stopped because another had failed"
    if code < 0:
        return f"process {number} ended by {signal.Signals(-code).name}"
    return f"process {number} ended with code {code}" if code else ""
