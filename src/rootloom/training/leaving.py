"""Early end of a training after a signal: all its processes must stop at the same step."""

from __future__ import annotations

import time

import numpy as np

from rootloom.training import parallel
from rootloom.training.signals import Interrupt

# Seconds between two questions to the other processes, each of which waits for the devices.
_INTERVAL_SECONDS = 1.0
# Most steps between two questions, since steps may become slower than the measured ones; also at
# most twice as many as the last time.
_MAX_STEPS = 32


class Leaving:
    """Asks whether a signal came to any process, at steps that are the same for all processes.

    The time from a signal to the end is at most about a second, a step and a checkpoint.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._calls, self._asked, self._next, self._between = 0, 0, 1, 1
        self._since = time.monotonic()

    def agreed(self) -> bool:
        """Whether to stop. Every process must call this between the same steps."""
        if parallel.is_single_process():
            return bool(self._interrupt)
        self._calls += 1
        if self._calls < self._next:
            return False
        pace = (time.monotonic() - self._since) / (self._calls - self._asked)
        said = parallel.gather(np.asarray([bool(self._interrupt), pace], np.float32))
        stop, slowest = said.max(axis=0)
        self._since, self._asked = time.monotonic(), self._calls
        fitting = int(_INTERVAL_SECONDS / max(slowest, 1e-6))
        self._between = max(1, min(_MAX_STEPS, 2 * self._between, fitting))
        self._next = self._calls + self._between
        return bool(stop)

    def why(self) -> str:
        """The signal's name, as far as this process knows it."""
        return self._interrupt.name or "a signal to another process"
