"""The last lines of a failed run: which rule failed, why, and where its log is.

They are printed after all messages of Snakemake, so that the cause is at the end of the screen.
"""

from __future__ import annotations

import atexit
import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from rootloom.errors import RootloomError

# A RootloomError inside other output: the line before "expected" names the place.
_REFUSAL = re.compile(
    r"^.*\n  expected: .*(?:\n(?!  found:).*)*?\n  found: .*(?:\n  fix: .*)?", re.MULTILINE
)
LOG_BYTES = 100_000  # of a log's end that are looked at


def refuse(refusal: RootloomError) -> NoReturn:
    """End the process with code 1; the error is its last message."""
    _say_last(f"error: {refusal}")
    sys.exit(1)


class Ending(logging.Handler):
    """A log handler that records failed jobs and reports them at the end of the run."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._failed: dict[str, logging.LogRecord] = {}
        self._refusal = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Record failed jobs, those that a later attempt finished, and errors of the plan."""
        event, fields = str(getattr(record, "event", "")), vars(record)
        if event == "job_error":
            self._failed.setdefault(str(fields.get("jobid")), record)
        elif event == "job_finished":
            self._failed.pop(str(fields.get("job_id")), None)
        elif record.levelno >= logging.ERROR and (found := refusal_in(record.getMessage())):
            if not self._refusal:
                atexit.register(self._say_refusal)
            self._refusal = found

    def speak(self) -> None:
        """Print at the end of the process what failed first, and how many other jobs failed."""
        if self._failed:
            _say_last(self.text())

    def text(self) -> str:
        """The lines about failed jobs; "" without any."""
        if not self._failed:
            return ""
        first, *others = map(vars, self._failed.values())
        logs = [str(path) for path in first.get("log") or ()]
        rules = dict.fromkeys(str(one.get("rule_name")) for one in others)
        more = f", and {len(others)} more ({', '.join(rules)})" if others else ""
        cause = next(filter(None, map(cause_in, logs)), "nothing in its log: was it killed?")
        said = str(first.get("rule_msg") or "").strip()
        return "\n".join(
            [
                f"a job of rule '{first.get('rule_name')}' failed{more}:",
                *([said] if said and not logs else []),
                cause,
                *(f"log: {path}" for path in logs),
            ]
        )

    def _say_refusal(self) -> None:
        _print(f"error: {self._refusal}")


def refusal_in(text: str) -> str:
    """The last RootloomError in a text; "" if there is none."""
    found = _REFUSAL.findall(text)
    return str(found[-1]).removeprefix("error: ") if found else ""


def cause_in(log: str) -> str:
    """The cause in a job's log: its RootloomError, or the last line of a traceback; else ""."""
    try:
        with Path(log).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    text = text.rpartition("-- started")[2]
    if found := refusal_in(text):
        return f"error: {found}"
    lines = [line for line in text.splitlines()[1:] if line.strip()]
    return "\n".join(lines[-1:])[:1000]


def _say_last(text: str) -> None:
    # At exit, because the engine prints more after everything that it calls.
    atexit.register(_print, text)


def _print(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        print(f"\n{text}", file=sys.stderr, flush=True)
