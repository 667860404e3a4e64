"""When to leave a training early: all its processes must do so at the same step."""

from __future__ import annotations

import time

import numpy as np

from rootloom.training import parallel
from rootloom.training.signals import Interrupt

# Seconds between two questions to the others: asking costs a round trip, and waits for the devices.
_EVERY = 1.0
# Steps may become slower than those just timed: never more than so many between two questions,
# and never more than twice as many as the last time.
_MOST = 32


class Leaving:
    """Whether a signal came to any process, asked at steps that follow from what all of them know.

    So the time from a signal to the end is bounded by about a second, a step and a checkpoint.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._calls, self._asked, self._next, self._between = 0, 0, 1, 1
        self._since = time.monotonic()

    def agreed(self) -> bool:
        """Call between any two steps; every process must, at the same ones."""
        if parallel.alone():
            return bool(self._interrupt)
        self._calls += 1
        if self._calls < self._next:
            return False
        pace = (time.monotonic() - self._since) / (self._calls - self._asked)
        said = parallel.gather(np.asarray([bool(self._interrupt), pace], np.float32))
        stop, slowest = said.max(axis=0)
        self._since, self._asked = time.monotonic(), self._calls
        fitting = int(_EVERY / max(slowest, 1e-6))
        self._between = max(1, min(_MOST, 2 * self._between, fitting))
        self._next = self._calls + self._between
        return bool(stop)

    def why(self) -> str:
        """The signal's name, as far as this process knows it."""
        return self._interrupt.name or "a signal to another process"
