"""How a job speaks: to its log file and to the terminal, and how a refusal ends it."""

from __future__ import annotations

import io
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from rootloom.errors import RootloomError

EXIT_REFUSED = 1
EXIT_PREEMPTED = 75  # EX_TEMPFAIL: the job stopped on a signal with its state saved; run it again


class Preempted(Exception):  # noqa: N818 (an event, not an error)
    """Training stopped on a signal after saving a checkpoint."""


class _Tee(io.TextIOBase):
    """Writes to several streams at once; they outlive it."""

    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            if not stream.closed:
                stream.flush()


@contextmanager
def running(log: str) -> Iterator[None]:
    """Run a job with its output in `log` and on the terminal.

    A refusal is printed without a traceback and exits with code 1, a preemption with code 75;
    anything else is a defect and keeps its traceback.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("a", encoding="utf-8", buffering=1) as file:
        tee = _Tee(file, sys.stderr)
        with redirect_stdout(tee), redirect_stderr(tee):
            try:
                yield
            except RootloomError as refusal:
                print(f"error: {refusal}")
                sys.exit(EXIT_REFUSED)
            except Preempted as stop:
                print(f"stopped: {stop}")
                sys.exit(EXIT_PREEMPTED)
            except Exception:
                traceback.print_exc()
                sys.exit(EXIT_REFUSED)


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
