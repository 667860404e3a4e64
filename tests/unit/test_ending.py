"""The last lines of a run: the first cause, its log, and how much else failed."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rootloom.errors import ConfigError, DataError, RootloomError
from rootloom.system.ending import Ending, cause_in, refusal_in

REFUSALS = (
    DataError("data/a.root: 'pt'", expected="a finite number", found="nan", fix="select others"),
    ConfigError("x.yaml: splits", expected="one", found="two"),
    ConfigError("x", expected="a\nb", found="c"),
)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_found_in_whatever_is_around_it(refusal: RootloomError) -> None:
    around = f"WorkflowError in file rules/x.smk, line 3:\n{refusal}\n  File 'x', line 3, in f\n"
    assert refusal_in(around) == str(refusal)
    assert refusal_in(f"error: {REFUSALS[0]}\nmore\nerror: {refusal}\n") == str(refusal)
    assert refusal_in("no refusal\n  found: nothing") == ""


def failure(ending: Ending, job: int, rule: str, log: Path | None) -> None:
    said(ending, event="job_error", jobid=job, rule_name=rule, log=[str(log)] if log else [])


def said(ending: Ending, level: int = logging.ERROR, text: str = "", **fields: Any) -> None:
    record = logging.LogRecord("engine", level, "f", 1, text, None, None)
    vars(record).update(fields)
    ending.emit(record)


def test_the_first_failure_is_told_and_the_others_counted(tmp_path: Path) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    logs[0].write_text(f"-- started\nhello\nerror: {REFUSALS[0]}\n")
    logs[1].write_text("-- started\nTraceback (most recent call last):\nKeyError: 'x'\n")
    logs[2].write_text(f"-- started\nerror: {REFUSALS[0]}\n-- started 2026\n")
    ending = Ending()
    assert ending.text() == ""
    for job, log in enumerate(logs):
        failure(ending, job, "train" if job else "index", log)
    text = ending.text()
    assert "rule 'index' failed, and 2 more (train)" in text
    assert text.endswith(f"error: {REFUSALS[0]}\nlog: {logs[0]}")
    said(ending, event="job_finished", job_id=0)  # a later attempt went well
    assert ending.text().endswith(f"failed, and 1 more (train):\nKeyError: 'x'\nlog: {logs[1]}")
    said(ending, event="job_finished", job_id=1)
    assert "was it killed?" in ending.text()  # the last start said nothing


def test_a_log_that_is_not_there_has_no_cause(tmp_path: Path) -> None:
    assert cause_in(str(tmp_path / "none.log")) == ""


def test_the_refusal_comes_after_all_else(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, logging\n"
        "from rootloom.system import ending\n"
        "from rootloom.errors import ConfigError\n"
        "logger = logging.getLogger('engine')\n"
        "logger.addHandler(ending.Ending())\n"
        "refusal = ConfigError('x.yaml: a', expected='b', found='c', fix='d')\n"
        "logger.error(f'Error in line 3: {refusal}')\n"
        "print('the engine says more')\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-4:] == [
        "error: Error in line 3: x.yaml: a", "  expected: b", "  found:    c", "  fix:      d",
    ]  # fmt: skip
    program.write_text(
        "from rootloom.system import ending\n"
        "from rootloom.errors import ConfigError\n"
        "try:\n"
        "    ending.refuse(ConfigError('x.yaml: a', expected='b', found='c'))\n"
        "finally:\n"
        "    print('the engine says more')\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-3:] == ["error: x.yaml: a", "  expected: b", "  found:    c"]
