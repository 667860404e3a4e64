"""Batch systems warn before they take a node away; the loop asks here whether one has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupt:
    """Holds the name of the signal that came, or an empty string."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


@contextmanager
def watch() -> Iterator[Interrupt]:
    """Note SIGTERM and SIGUSR1 instead of dying of them, until the block ends."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, interrupt._set) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
