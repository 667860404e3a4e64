"""The workflow on a real SLURM: arrays, causes of failure, lost jobs, lost nodes and lost heads."""

from __future__ import annotations

import os
import random
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm
from tests.cluster.daemons import wait_until
from tests.cluster.heads import (
    SECONDS,
    Head,
    checkpoints,
    held,
    logs,
    model,
    small_project,
    taken_back,
    troubled,
    weights,
)
from tests.cluster.slurm import Slurm
from tests.workflow.project import ROOT, Project, environment

PROFILE = "profiles/slurm"
MEMBERS = 3

CHANGED = """
rule made:
    output:
        "made.txt",
    params:
        job={"fingerprint": config["version"]},
    resources:
        mem_mb=500,
        runtime=30,
    shell:
        "[ {config[version]} = new ] || sleep 300; echo {config[version]} > {output}"
"""

# Kills the head that calls it: at the first call after, at the second before the job is submitted.
SBATCH = """\
#!/bin/sh
echo >> {calls}
case $(wc -l < {calls}) in
1) {sbatch} "$@"; kill -9 $PPID ;;
2) kill -9 $PPID ;;
*) exec {sbatch} "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def causes(slurm_cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A workflow of troubled jobs that runs beside the other tests: one waits for a time limit."""
    path = tmp_path_factory.mktemp("causes") / "project"
    troubled(path, gpus="SLURM_JOB_GPUS")
    head = Head(path, PROFILE, slurm_cluster.client)
    process = head.start()
    wait_until((path / "seen").exists, SECONDS, head.log)
    for job in slurm_cluster.running_in(path, "removed"):
        slurm_cluster.command("scancel", job["id"])
    yield head
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(
    slurm_cluster: Slurm, causes: Head, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A complete run in which nothing happened."""
    project = small_project(tmp_path_factory.mktemp("undisturbed") / "project", MEMBERS)
    Head(project.path, PROFILE, slurm_cluster.client, python=warm.python(environment())).run()
    return project


@pytest.fixture
def untrained(undisturbed: Project, tmp_path: Path) -> Project:
    """A copy in which all before the training is done."""
    project = undisturbed.copy(tmp_path / "project")
    for done in ("toy", "logs"):
        shutil.rmtree(project.path / "results" / done)
    return project


def test_the_whole_workflow_runs_each_job_once_and_like_jobs_as_arrays(
    slurm_cluster: Slurm, undisturbed: Project
) -> None:
    assert (undisturbed.path / "results/toy/report.html").exists()
    jobs = slurm_cluster.jobs(undisturbed.path)
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len(logs(undisturbed))
    trained = [job for job in jobs if job["rule"] == "train"]
    assert len(trained) == MEMBERS
    assert len({job["ArrayJobId"] for job in trained}) == 1
    assert len({job["JobName"] for job in jobs}) == 1


def test_training_goes_on_after_scancel_requeue_and_the_loss_of_a_node(
    slurm_cluster: Slurm, undisturbed: Project, untrained: Project
) -> None:
    head = Head(untrained.path, PROFILE, slurm_cluster.client)
    process = head.start(*(model(member) for member in range(MEMBERS)))
    with held(lambda: checkpoints(untrained), MEMBERS, head.log):
        cancelled, requeued, orphaned = sorted(
            slurm_cluster.running_in(untrained.path, "train"), key=lambda job: job["id"]
        )
        slurm_cluster.command("scancel", cancelled["id"])
        # All may be on one node, and a daemon that is killed has not sent all signals.
        ended = lambda: slurm_cluster.queue()[cancelled["id"]] == "CANCELLED"  # noqa: E731
        wait_until(ended, SECONDS, head.log)
        slurm_cluster.command("scontrol", "requeue", requeued["id"])
        slurm_cluster.kill_node(orphaned["NodeList"])
    slurm_cluster.release(requeued["id"])
    slurm_cluster.release(orphaned["id"])
    slurm_cluster.start_node(orphaned["NodeList"])
    head.finish(process)
    for member in range(MEMBERS):
        assert weights(untrained, member) == weights(undisturbed, member)
    for log in logs(untrained):
        assert "epoch 1/" not in log.read_text()  # what was done before is not done again
    assert "stopped: SIGTERM" in Path(cancelled["StdOut"]).read_text()
    jobs = {job["id"]: job for job in slurm_cluster.jobs(untrained.path)}
    assert all(int(jobs[job["id"]]["Restarts"]) > 0 for job in (requeued, orphaned))
    assert len(jobs) == MEMBERS + 1  # SLURM itself runs again what it requeues
    assert "Trying to restart" not in head.log()  # no attempt was spent


def test_a_head_killed_at_any_moment_leaves_no_job_twice(
    slurm_cluster: Slurm, tmp_path: Path, causes: Head
) -> None:
    project = small_project(tmp_path / "project")
    folder = tmp_path / "bin"
    folder.mkdir()
    sbatch = folder / "sbatch"
    sbatch.write_text(SBATCH.format(calls=tmp_path / "calls", sbatch=shutil.which("sbatch")))
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    path = f"{folder}:{os.environ['PATH']}"
    surroundings = {**slurm_cluster.client, "PATH": path}
    # Heads are killed, which ends them at once however they were started; jobs are not.
    head = Head(project.path, PROFILE, surroundings, python=warm.python(environment()))
    target = "results/toy/evaluation/toy/mass.json"
    expected = {rule: len(planned) for rule, planned in project.planned(target).items()}
    for _ in range(2):  # between submission and its record, between intent and submission
        assert head.start(target).wait(SECONDS) == -9, head.log()
    moments = random.Random(7)
    for _ in range(3):
        process = head.start(target)
        submitted = len(slurm_cluster.jobs(project.path))
        wait_until(
            lambda n=submitted, p=process: (
                len(slurm_cluster.jobs(project.path)) > n or p.poll() is not None
            ),
            SECONDS,
            head.log,
        )
        time.sleep(moments.uniform(0, 3))
        head.kill(process)
    head.finish(head.start(target))
    jobs = slurm_cluster.jobs(project.path)
    assert Counter(job["rule"] for job in jobs) == expected
    assert {(job["JobState"], job["Restarts"]) for job in jobs} == {("COMPLETED", "0")}


def test_a_job_of_an_earlier_head_ends_when_what_it_makes_has_changed(
    slurm_cluster: Slurm, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "Snakefile").write_text(CHANGED)
    head = Head(tmp_path, PROFILE, slurm_cluster.client)
    process = head.start("--config", "version=old")
    wait_until(lambda: bool(slurm_cluster.running_in(tmp_path, "made")), SECONDS, head.log)
    head.kill(process)
    head.finish(head.start("--config", "version=new"))
    states = [job["JobState"] for job in slurm_cluster.jobs(tmp_path)]
    assert sorted(states) == ["CANCELLED", "COMPLETED"]
    assert (tmp_path / "made.txt").read_text() == "new\n"


def test_a_job_whose_result_is_there_is_taken_back(slurm_cluster: Slurm, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    head = Head(tmp_path, PROFILE, slurm_cluster.client)
    words = "slurm_extra=\"'--begin=now+1hour'\""
    taken_back(head, words, lambda: bool(slurm_cluster.jobs(tmp_path)))
    states = {job["rule"]: job["JobState"] for job in slurm_cluster.jobs(tmp_path)}
    assert states == {"waits": "CANCELLED", "other": "COMPLETED"}


def test_each_cause_of_failure_has_its_remedy(slurm_cluster: Slurm, causes: Head) -> None:
    wait_until((causes.path / "slow.txt").exists, SECONDS, causes.log)
    asked: dict[str, list[tuple[str, str]]] = {}
    for job in sorted(slurm_cluster.jobs(causes.path), key=lambda job: int(job["JobId"])):
        asked.setdefault(job["rule"], []).append((job["MinMemoryNode"], job["TimeLimit"]))
    assert asked["hungry"] == [("600M", "00:30:00"), ("1200M", "00:30:00")]
    assert asked["slow"] == [("500M", "00:01:00"), ("500M", "00:02:00")]
    assert asked["removed"] == [("500M", "00:30:00")] * 2
    assert (causes.path / "removed.txt").read_text() == "1\n"  # still the first attempt
    (gpu,) = (job for job in slurm_cluster.jobs(causes.path) if job["rule"] == "gpu")
    assert gpu["TresPerJob"] == "gres:gpu:2"
    assert (causes.path / "gpu.txt").read_text() == "0,1\n"
