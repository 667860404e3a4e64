"""A line with the progress of a run: rewritten on a terminal, at intervals in a log file."""

from __future__ import annotations

import sys
import time

DECIDES_NO_VALUE = "tests/unit/test_training_fit.py::test_what_is_logged_and_printed_changes_no_bit"

# Seconds between lines in a log file, where they cannot be rewritten.
_LINE_SECONDS = 30.0


class Progress:
    """Counts the batches of this session and estimates the time left."""

    def __init__(self, batches: int, rows_per_batch: float, *, enabled: bool = True) -> None:
        self._left, self._rows, self._enabled = batches, rows_per_batch, enabled
        self._live = sys.stderr.isatty()
        self._spoke = time.monotonic()
        self._counted, self._since = 0, 0.0

    def advance(self, batches: int, text: str) -> None:
        """Count batches and, when it is time, print the progress."""
        now = time.monotonic()
        self._left -= batches
        # The first batches are not timed, because they include the compilation.
        if self._since:
            self._counted += batches
        else:
            self._since = now
        if self._enabled and (self._live or now - self._spoke > _LINE_SECONDS):
            self._spoke = now
            self._print(self._line(text, now), end="\r" if self._live else "\n")

    def note(self, text: str, *, last: bool = False) -> None:
        """Print a permanent line; last: the run ends here, even if more was expected."""
        if self._enabled:
            self._print(text if last else self._line(text, time.monotonic()), end="\n")

    def _line(self, text: str, now: float) -> str:
        rate = self._counted / max(now - self._since, 1e-9) if self._since else 0.0
        if not rate or self._left <= 0:
            return text
        return (
            f"{text}  {rate * self._rows:,.0f} rows/s, at most {_duration(self._left / rate)} left"
        )

    def _print(self, line: str, end: str) -> None:
        clear = "\x1b[K" if self._live else ""
        print(f"{line}{clear}", end=end, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
