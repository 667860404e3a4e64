"""What no other attempt can lift gets none, whoever runs the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootloom.cluster import outcomes
from rootloom.cluster.attempts import spare_refused
from rootloom.cluster.running import running
from rootloom.errors import ConfigError, InputError, ResourceError, StorageError, UnsteadyError


class Job:
    """As the engine's: three attempts more."""

    def __init__(self, *log: str) -> None:
        self.log = log

    @property
    def restart_times(self) -> int:
        return 3


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(kind: type) -> Exception:
    return kind("here", expected="a", found="b")


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (made(ConfigError), 0),
        (made(InputError), 0),
        (made(StorageError), 0),
        (PermissionError(13, "Permission denied"), 0),
        (ModuleNotFoundError("No module named 'jax'"), 0),
        (made(UnsteadyError), 3),
        (made(ResourceError), 3),
        (MemoryError(), 3),
        (OSError(116, "Stale file handle"), 3),
        (ValueError("a defect, or a device that failed"), 3),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, attempts: int) -> None:
    kind = type("Job", (Job,), {"restart_times": Job.restart_times})
    spare_refused(kind)
    with pytest.raises(SystemExit), running("logs/a.log"):
        raise error
    assert kind("logs/other.log").restart_times == 3
    assert kind().restart_times == 3
    assert kind("logs/a.log").restart_times == attempts
    # Said once: another failure of the job, in a later run, is another matter.
    assert kind("logs/a.log").restart_times == 3


def test_a_refusal_without_attempts_takes_none_of_a_later_run() -> None:
    kinds = [type("Job", (Job,), {"restart_times": property(lambda _, n=n: n)}) for n in (0, 3)]
    for kind in kinds:
        spare_refused(kind)
    without, later = kinds
    with pytest.raises(SystemExit), running("logs/a.log"):
        raise made(InputError)
    assert without("logs/a.log").restart_times == 0
    assert later("logs/a.log").restart_times == 3


def test_a_job_that_is_started_again_has_not_been_refused() -> None:
    with pytest.raises(SystemExit), running("logs/a.log"):
        raise made(ConfigError)
    assert outcomes.noted(outcomes.REFUSED, "logs/a.log")
    with running("logs/a.log"):
        assert not outcomes.noted(outcomes.REFUSED, "logs/a.log")


def test_an_engine_that_asks_in_another_way_is_left_alone() -> None:
    kind = type("Job", (), {"restart_times": 3})
    spare_refused(kind)
    assert kind.restart_times == 3


def test_the_engine_installed_here_asks_in_this_way() -> None:
    jobs = pytest.importorskip("snakemake.jobs")
    assert isinstance(vars(jobs.Job)["restart_times"], property)
