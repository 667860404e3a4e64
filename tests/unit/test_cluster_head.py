"""The head's lease: one holder at a time, dead ones are taken over, nothing is unlocked by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from rootloom.cluster import head
from rootloom.cluster.head import HeadError, Lease, Record

HOLD = "import sys; from pathlib import Path; from rootloom.cluster.head import Lease\n"
TAKE = HOLD + "lease = Lease(Path(sys.argv[1]))\nprint(lease.take(), flush=True)\n"
DIE_AFTER_LINK = "import os; link = os.link; os.link = lambda *a: (link(*a), os._exit(1))\n"
NO_LINKS = """import os
def link(*names):
    raise PermissionError(1, "no hard links here")
os.link = link
"""
KEEP = TAKE + "sys.stdin.read()\n"


@pytest.fixture(autouse=True)
def _no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests forge records of their own process, which it would end itself for."""
    monkeypatch.setattr(head, "BEAT_SECONDS", 1e6)


def start(program: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def on_another_machine(directory: Path, **changes: object) -> Record:
    """Let the present record be one of a machine that cannot be asked."""
    path = directory / "head.json"
    record = replace(
        Record(**json.loads(path.read_text())), host="farm7", place="elsewhere", **changes
    )
    path.write_text(json.dumps(asdict(record)))
    return record


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert first.take() == ""
    with pytest.raises(HeadError, match=rf"process {os.getpid()} on (.|\n)*kill {os.getpid()}"):
        second.take()
    with pytest.raises(HeadError):
        Lease(tmp_path / "lease").take()
    first.release()
    assert Lease(tmp_path / "lease").take() == ""


def test_a_killed_holder_is_taken_over(tmp_path: Path) -> None:
    holder = start(KEEP, tmp_path)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(HeadError, match=f"process {holder.pid}"):
        Lease(tmp_path).take()
    holder.kill()  # not reaped: it remains in the process table
    while Lease(tmp_path).is_live(Lease(tmp_path).look()):
        pass
    try:
        assert f"process {holder.pid}" in Lease(tmp_path).take()
    finally:
        holder.communicate()


def test_another_process_with_the_holders_number_is_not_the_holder(tmp_path: Path) -> None:
    Lease(tmp_path).take()
    path = tmp_path / "head.json"
    record = Record(**json.loads(path.read_text()))
    path.write_text(json.dumps(asdict(replace(record, started=record.started - 1))))
    assert "ended without releasing its lease" in Lease(tmp_path).take()


def test_a_holder_elsewhere_is_judged_by_its_signs_of_life(tmp_path: Path) -> None:
    Lease(tmp_path).take()
    on_another_machine(tmp_path)
    with pytest.raises(HeadError, match=r"farm7.*last update(.|\n)*wait 5 minutes"):
        Lease(tmp_path).take()
    old = (tmp_path / "head.json").stat().st_mtime - head.LEASE_SECONDS - 1
    os.utime(tmp_path / "head.json", (old, old))
    assert "farm7" in Lease(tmp_path).take()


def test_a_requeued_batch_job_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(head.SUBMITTED, "SLURM 12")
    Lease(tmp_path).take()
    on_another_machine(tmp_path)
    monkeypatch.setenv(head.SUBMITTED, "SLURM 13")
    with pytest.raises(HeadError, match=r"SLURM job 12(.|\n)*scancel 12"):
        Lease(tmp_path).take()
    monkeypatch.setenv(head.SUBMITTED, "SLURM 12")
    assert "SLURM job 12" in Lease(tmp_path).take()


def test_a_plan_from_before_another_run_ended_is_refused(tmp_path: Path) -> None:
    waiting, first = Lease(tmp_path), Lease(tmp_path)
    first.take()
    planned_meanwhile = Lease(tmp_path)
    first.release()
    for outdated in (waiting, planned_meanwhile):
        with pytest.raises(HeadError, match="run the same command again"):
            outdated.take()
    assert Lease(tmp_path).take() == ""


@pytest.mark.parametrize("dead_holder", [False, True])
@pytest.mark.parametrize("links", [True, False])
def test_of_many_at_once_one_wins(tmp_path: Path, dead_holder: bool, links: bool) -> None:
    program = KEEP if links else f"{NO_LINKS}{KEEP}"
    for _ in range(3):
        if dead_holder:
            subprocess.run([sys.executable, "-c", f"{TAKE}import os; os._exit(1)", str(tmp_path)])
        heads = [start(program, tmp_path) for _ in range(6)]
        outputs = [one.stdout.readline() for one in heads if one.stdout]
        errors = [one.communicate()[1] for one in heads]
        assert sum(map(bool, outputs)) == 1, errors
        assert all("HeadError" in e for o, e in zip(outputs, errors, strict=True) if not o)
        assert [p.name for p in tmp_path.iterdir()] == ["head.json"]


@pytest.mark.parametrize("taker", ["dead", "released"])
def test_a_taker_that_died_between_claim_and_record_blocks_nobody(
    tmp_path: Path, taker: str
) -> None:
    run = partial(subprocess.run, stdout=subprocess.DEVNULL)
    run([sys.executable, "-c", f"{TAKE}import os; os._exit(1)", str(tmp_path)])
    if taker == "dead":
        for _ in range(2):
            run([sys.executable, "-c", f"{DIE_AFTER_LINK}{TAKE}", str(tmp_path)])
    else:
        run([sys.executable, "-c", f"{TAKE}{DIE_AFTER_LINK}lease.release()", str(tmp_path)])
    assert list(tmp_path.glob("*.next"))
    note = Lease(tmp_path).take()
    assert ("ended without releasing its lease" in note) == (taker == "dead")
    assert not list(tmp_path.glob("*.next"))
    with pytest.raises(HeadError):
        Lease(tmp_path).take()


def test_a_late_claim_on_history_is_withdrawn(tmp_path: Path) -> None:
    first = Lease(tmp_path)
    first.take()
    first.release()
    late = Lease(tmp_path)
    found = late.look()
    second = Lease(tmp_path)
    second.take()
    assert not late._replace(found, head._own_record())
    assert second.look().record == second._record


def test_a_damaged_record_is_waited_for_then_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "TAKE_WAIT_SECONDS", 0.2)
    (tmp_path / "head.json").write_text('{"token": "ab')
    with pytest.raises(HeadError, match="damaged"):
        Lease(tmp_path).take()
    os.utime(tmp_path / "head.json", (0, 0))
    Lease(tmp_path).take()
    assert json.loads((tmp_path / "head.json").read_text())["pid"] == os.getpid()


def test_a_holder_that_was_taken_over_ends(tmp_path: Path) -> None:
    fast = KEEP.replace(
        "lease =", "from rootloom.cluster import head; head.BEAT_SECONDS = 0.05\nlease ="
    )
    holder = start(fast, tmp_path)
    assert holder.stdout is not None
    holder.stdout.readline()
    on_another_machine(tmp_path, token="another")
    assert holder.wait(timeout=60) < 0
    assert "another head has taken over" in holder.communicate()[0]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n{TAKE}"
    errors = start(limited, tmp_path).communicate()[1]
    assert "room for" in errors
    assert not list(tmp_path.iterdir())
