"""The workflow on a real HTCondor: causes of failure, lost jobs, a lost queue and lost heads."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_rootloom_htcondor.words import command_line
from tests.cluster.condor import Pool, PoolHead
from tests.cluster.daemons import wait_until
from tests.cluster.heads import (
    EPOCHS,
    SECONDS,
    checkpoints,
    held,
    logs,
    model,
    small_project,
    taken_back,
    troubled,
    weights,
)
from tests.workflow.project import ROOT, Project

PROFILE = "profiles/htcondor"
MEMBERS = 3

STEADY_JOBS = 3
STEADY = """
rule all:
    input:
        expand("{number}.txt", number=range(3)),


rule steady:
    output:
        "{number}.txt",
    shell:
        "echo started >> {wildcards.number}.starts; "
        "while [ ! -e go ]; do sleep 1; done; touch {output}"
"""


@pytest.fixture(scope="module")
def causes(condor_pool: Pool) -> Iterator[PoolHead]:
    """A workflow of troubled jobs that runs beside the other tests: one waits for a time limit."""
    path = condor_pool.folder / "causes"
    troubled(path, gpus="_CONDOR_AssignedGPUs")
    condor_pool.own(path)
    head = condor_pool.head(path, PROFILE)
    process = head.start()
    wait_until((path / "seen").exists, SECONDS, head.log)
    for job in condor_pool.running(path, "removed"):
        condor_pool.command("condor_rm", job)
    yield head
    if process.poll() is None:
        head.kill(process)


@pytest.fixture(scope="module")
def undisturbed(condor_pool: Pool, causes: PoolHead) -> Project:
    """A complete run in which nothing happened."""
    project = small_project(condor_pool.folder / "undisturbed", MEMBERS)
    condor_pool.own(project.path)
    condor_pool.undisturbed(project.path, PROFILE).run()
    return project


@pytest.fixture
def untrained(condor_pool: Pool, undisturbed: Project, request: pytest.FixtureRequest) -> Project:
    """A copy in which all before the training is done."""
    project = undisturbed.copy(condor_pool.folder / request.node.name)
    for done in ("results/toy", "results/logs", ".snakemake/htcondor"):
        shutil.rmtree(project.path / done)
    condor_pool.own(project.path)
    return project


def test_the_whole_workflow_runs_each_job_once(condor_pool: Pool, undisturbed: Project) -> None:
    assert (undisturbed.path / "results/toy/report.html").exists()
    jobs = condor_pool.everything(undisturbed.path)
    assert {job["JobStatus"] for job in jobs} == {4}
    assert len(jobs) == len(logs(undisturbed))
    assert {job["NumJobStarts"] for job in jobs} == {1}
    assert sum(job["rule"] == "train" for job in jobs) == MEMBERS
    assert len({job["JobBatchName"] for job in jobs}) == 1


def test_training_goes_on_after_eviction_hold_and_removal(
    condor_pool: Pool, undisturbed: Project, untrained: Project
) -> None:
    head = condor_pool.head(untrained.path, PROFILE)
    process = head.start(*(model(member) for member in range(MEMBERS)))
    with held(lambda: checkpoints(untrained), MEMBERS, head.log):
        evicted, on_hold, removed = sorted(condor_pool.running(untrained.path, "train"))
        condor_pool.command("condor_vacate_job", evicted)
        condor_pool.command("condor_hold", on_hold)
        condor_pool.command("condor_rm", removed)
    wait_until(lambda: f"HTCondor holds job {on_hold}" in head.log(), SECONDS, head.log)
    condor_pool.command("condor_release", on_hold)
    head.finish(process)
    for member in range(MEMBERS):
        assert weights(untrained, member) == weights(undisturbed, member)
    jobs = {str(job["ClusterId"]): job for job in condor_pool.everything(untrained.path)}
    assert len(jobs) == MEMBERS + 1  # the removed one, again
    assert jobs[evicted]["NumJobStarts"] == jobs[on_hold]["NumJobStarts"] == 2
    for log in logs(untrained):
        assert f"epoch 1/{EPOCHS}" not in log.read_text()  # the checkpoint was used
    assert "Trying to restart" not in head.log()  # no attempt was spent


def test_a_killed_head_and_a_killed_schedd_leave_no_job_twice(condor_pool: Pool) -> None:
    path = condor_pool.folder / "steady"
    shutil.copytree(ROOT / "profiles", path / "profiles")
    (path / "Snakefile").write_text(STEADY)
    condor_pool.own(path)
    head = condor_pool.head(path, PROFILE)
    process = head.start()
    wait_until(lambda: bool(condor_pool.jobs(path)), SECONDS, head.log)
    head.kill(process)  # while the others are being submitted
    process = head.start()
    wait_until(lambda: len(list(path.glob("*.starts"))) == STEADY_JOBS, SECONDS, head.log)
    assert "is already in the queue" in head.log()
    condor_pool.kill_schedd()
    head.kill(process)
    (path / "go").touch()  # they end while there is no head, and perhaps no schedd
    wait_until(lambda: len(list(path.glob("*.txt"))) == STEADY_JOBS, SECONDS, head.log)
    head.finish(head.start())
    jobs = condor_pool.everything(path)
    assert len(jobs) == STEADY_JOBS
    assert {job["JobStatus"] for job in jobs} == {4}
    # Not the schedd's own count of starts: one that is killed may not have written it down yet.
    assert {file.read_text() for file in path.glob("*.starts")} == {"started\n"}


def test_a_job_whose_result_is_there_is_taken_back(condor_pool: Pool) -> None:
    path = condor_pool.folder / "waiting"
    shutil.copytree(ROOT / "profiles", path / "profiles")
    condor_pool.own(path)
    head = condor_pool.head(path, PROFILE)
    taken_back(head, 'requirements="False"', lambda: bool(condor_pool.jobs(path)))
    states = {job["rule"]: job["JobStatus"] for job in condor_pool.everything(path)}
    assert states == {"waits": 3, "other": 4}  # removed, completed


def test_each_cause_of_failure_has_its_remedy(condor_pool: Pool, causes: PoolHead) -> None:
    wait_until(
        lambda: all((causes.path / f"{rule}.txt").exists() for rule in ("slow", "hungry")),
        SECONDS,
        causes.log,
    )
    asked: dict[str, list[tuple[int, int]]] = {}
    for job in sorted(condor_pool.everything(causes.path), key=lambda job: job["ClusterId"]):
        limits = (job["RequestMemory"], job["AllowedJobDuration"])
        asked.setdefault(job["rule"], []).append(limits)
    assert asked["hungry"] == [(600, 1800), (1200, 1800)]
    assert asked["slow"] == [(500, 60), (500, 120)]
    assert asked["removed"] == [(500, 1800)] * 2
    assert (causes.path / "removed.txt").read_text() == "1\n"  # still the first attempt
    assert (causes.path / "gpu.txt").read_text() == "fake0,fake1\n"


def test_arguments_arrive_as_they_are(condor_pool: Pool) -> None:
    awkward = ["a b", "it's", 'say "yes"', "$(HOME)", "train:method=dense,member=0", ""]
    folder = condor_pool.folder / "arguments"
    folder.mkdir()
    program = folder / "program"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    lines = {"executable": program, "arguments": command_line(awkward), "output": folder / "out"}
    text = "".join(f"{word} = {value}\n" for word, value in lines.items())
    (folder / "job").write_text(f"{text}log = {folder}/log\nrequest_memory = 100\nqueue\n")
    condor_pool.own(folder)
    condor_pool.command("condor_submit", str(folder / "job"))
    condor_pool.command("condor_wait", "-wait", str(SECONDS), str(folder / "log"))
    assert json.loads((folder / "out").read_text()) == awkward
