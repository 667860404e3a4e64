"""Runs the script of a job: output to its log file and terminal, errors to exit codes."""

from __future__ import annotations

import io
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from rootloom.cluster import outcomes
from rootloom.cluster.ledger import FOLDER
from rootloom.errors import ResourceError, RootloomError
from rootloom.system import faults
from rootloom.system.processes import announced_engine

EXIT_REFUSED = 1
EXIT_PREEMPTED = 75  # EX_TEMPFAIL: the job stopped on a signal with its state saved; run it again
STARTED = "-- started"  # begins the log
# All starts, one log file per line: the engine removes a job's log before it starts it again.
STARTS = FOLDER / "starts.log"
WATCH_SECONDS = 1.0  # between two checks whether the engine that started the job still runs
GRACE_SECONDS = 60.0  # time to write a checkpoint after that; then the job is killed


class Preempted(Exception):  # noqa: N818 (an event, not an error)
    """Training stopped on a signal after saving a checkpoint."""


class _Tee(io.TextIOBase):
    """Writes to several streams, which it does not close; a stream that fails is left out."""

    def __init__(self, *streams: TextIO) -> None:
        self._streams = list(streams)

    def write(self, text: str) -> int:
        self._each(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._each(lambda stream: None if stream.closed else stream.flush())

    def _each(self, action: Callable[[TextIO], object]) -> None:
        for stream in tuple(self._streams):
            try:
                action(stream)
            except OSError:
                # A closed terminal, a dead head or a full disk must not end the job.
                self._streams.remove(stream)


@contextmanager
def running(log: str) -> Iterator[None]:
    """Run a job with its output in `log` and on the terminal.

    A RootloomError, and an error of the machine, is printed without a traceback and exits with
    code 1, a preemption with code 75. Any other exception is a bug and keeps its traceback. For an
    error that another attempt cannot change, a note is left for the engine. If the engine that
    started the job is gone, the job gets SIGTERM, because a restarted engine will run it again.
    """
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        outcomes.clear(log)
        file = Path(log).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 (see `_closing`)
    except OSError as error:
        print(
            f"error: {faults.of_writing(error, Path(log), at=Path(log)) or error}", file=sys.stderr
        )
        sys.exit(EXIT_REFUSED)
    with _closing(file):
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        tee = _Tee(file, sys.stderr)
        _Tee(file).write(f"{STARTED} {now} on {platform.node()}, process {os.getpid()}\n")
        with suppress(OSError), STARTS.open("a", encoding="utf-8") as starts:
            starts.write(f"{log}\n")
        with redirect_stdout(tee), redirect_stderr(tee), _ends_with_its_engine():
            try:
                yield
            except Preempted as stop:
                print(f"stopped: {stop}")
                _note(outcomes.STOPPED, log)
                sys.exit(EXIT_PREEMPTED)
            except Exception as error:
                refusal = refusal_of(error, log)
                if refusal is None:
                    traceback.print_exc()
                    sys.exit(EXIT_REFUSED)
                print(f"error: {refusal}")
                if not refusal.passes:
                    _note(outcomes.REFUSED, log)
                sys.exit(EXIT_REFUSED)


def refusal_of(error: Exception, where: str) -> RootloomError | None:
    """The RootloomError to show for an exception; None for a bug, which needs its traceback."""
    return error if isinstance(error, RootloomError) else faults.of_system(error, where)


def _note(what: outcomes.Note, log: str) -> None:
    """Leave a note for the engine, unless the disk has no space for it."""
    try:
        outcomes.note(what, log)
    except ResourceError as refusal:
        print(f"note: {refusal}")


@contextmanager
def _closing(file: TextIO) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # closing tries once more to write what had no room
            file.close()


@contextmanager
def _ends_with_its_engine() -> Iterator[None]:
    """Send this process SIGTERM when the Snakemake that started it is gone, and later SIGKILL."""
    engine = announced_engine()
    if engine is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while engine.is_alive():
            if over.wait(WATCH_SECONDS):
                return
        print(f"stopping: the engine that started this job (process {engine.pid}) is gone")
        os.kill(os.getpid(), signal.SIGTERM)
        if not over.wait(GRACE_SECONDS):
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="engine watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def progress(what: str, unit: str, every: float = 5.0) -> Callable[[int, int], None]:
    """A callback (done, total) that prints a line with rate and time left, at most every 5 s."""
    started = time.monotonic()
    last = started

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every and done < total:
            return
        last = now
        rate = done / max(now - started, 1e-9)
        left = (total - done) / rate if rate > 0 else float("inf")
        print(f"{what}: {done}/{total} {unit}, {rate:.0f}/s, {left:.0f} s left", flush=True)

    return report
