"""The fuzzer finds what it is for, and a short run of it finds nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks import fuzz

from rootloom.errors import ConfigError


def short_run(*kinds: str, cases: int) -> None:
    # A process of its own: it forks, which a process with JAX's threads in it should not.
    command = [sys.executable, fuzz.__file__, "--seed", "11", "--cases", str(cases)]
    done = subprocess.run([*command, "--kinds", ",".join(kinds)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = sum(int(line.split()[0]) for line in done.stdout.splitlines()[:-1])
    assert found == cases, done.stdout


def test_damaged_and_misspelt_input_is_read_or_refused() -> None:
    kinds = [kind for kind in fuzz.KINDS if kind not in ("json", "full", "kill")]
    short_run(*kinds, "yaml", "expressions", "full", "kill", cases=54)


def test_damaged_results_are_read_or_refused() -> None:
    short_run("json", cases=30)


def _refuse(rng: random.Random, folder: Path) -> str:
    raise ConfigError("here", expected="a", found="b")


def _slow(rng: random.Random, folder: Path) -> str:
    time.sleep(30)
    return "read"


def _crash(rng: random.Random, folder: Path) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "read"


def _trip(rng: random.Random, folder: Path) -> str:
    return {}["x"]  # type: ignore[no-any-return]


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"refuse": _refuse, "slow": _slow, "crash": _crash, "trip": _trip}
    monkeypatch.setattr(fuzz, "KINDS", own)


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.usefixtures("kinds")
def test_tracebacks_crashes_and_hangs_are_faults_and_the_run_goes_on(tmp_path: Path) -> None:
    cases = [("refuse", 0), ("trip", 0), ("crash", 0), ("slow", 0), ("refuse", 1)]
    counts, faults = fuzz.run(cases, 1, tmp_path, seconds=1.0)
    assert counts["refuse: refused"] == 2
    assert [(fault.kind, fault.what) for fault in faults] == [
        ("trip", "KeyError: 'x'"), ("crash", f"ended by signal {signal.SIGKILL}"), ("slow", "hang"),
    ]  # fmt: skip


def _outcome(case: fuzz.Kind, number: int, folder: Path) -> str:
    try:
        return case(random.Random(number), folder)
    except fuzz.SilentError as error:
        return type(error).__name__


def test_a_silent_difference_is_a_fault(tmp_path: Path) -> None:
    """Numbers that are read as others than were written, from a file that says what it holds."""

    def write(path: Path) -> None:
        path.write_text('{"digest": "0", "number": 17}')

    lax = fuzz.Format("lax.json", write, lambda path: path.read_bytes())
    case = fuzz._damaged_file([lax])
    taken = [_outcome(case, number, tmp_path) for number in range(20)]
    assert "SilentError" in taken


def test_a_case_is_the_same_each_time(tmp_path: Path) -> None:
    data = bytes(range(256))
    assert fuzz.damaged(data, random.Random(3)) == fuzz.damaged(data, random.Random(3))
    assert len({fuzz.damaged(data, random.Random(n)) for n in range(30)}) > 20
