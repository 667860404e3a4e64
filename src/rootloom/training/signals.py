"""Signals by which batch systems announce the end of a job; the loop asks for them here."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rootloom.cluster.running import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupt:
    """The name of the signal that came, or an empty string."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


@contextmanager
def watch() -> Iterator[Interrupt]:
    """In the block, record SIGTERM and SIGUSR1 instead of ending the process."""
    interrupt = Interrupt()
    with _handled(interrupt._set):
        yield interrupt


@contextmanager
def leave_at_once() -> Iterator[None]:
    """In the block, raise Preempted on SIGTERM or SIGUSR1.

    For the time before and after the steps, when there is nothing to save.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise Preempted(f"{signal.Signals(number).name} outside the training loop")

    with _handled(leave):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
