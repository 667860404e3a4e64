"""The workflow on an HTCondor whose nodes do not see the folder it runs in: files are carried."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cluster.condor import COMPILED_AS_HERE, Pool, PoolHead
from tests.cluster.daemons import wait_until
from tests.cluster.heads import EPOCHS, SECONDS, held, logs, model, small_project, weights
from tests.workflow.project import ROOT, Project, make_project

PROFILE = "profiles/htcondor"
SANDBOXES = ".snakemake/htcondor/sandboxes"
STATE = "in/state.tar"
EXECUTE = "/var/lib/condor/execute"

# `removed` and `killed` leave half of their work where they may find it, and wait to be ended.
TROUBLED = """
rule all:
    input:
        "removed.txt",
        "killed.txt",
        "broken.txt",


rule removed:
    input:
        "words.txt",
    output:
        "removed.txt",
    params:
        directory="kept-removed",
    shell:
        "mkdir -p {params.directory}; [ ! -e {params.directory}/half ] || "
        "{{ cat {input} {params.directory}/half > {output}; exit 0; }}; "
        "echo half > {params.directory}/half; sleep 600"


use rule removed as killed with:
    output:
        "killed.txt",
    params:
        directory="kept-killed",


rule broken:
    output:
        "broken.txt",
    log:
        "logs/broken.log",
    retries: 0
    shell:
        "touch {output}; echo the reason is in the log > {log}; exit 1"
"""


def apart(path: Path) -> None:
    """Make a copy of the profile say that only the software is shared.

    Programs are compiled there as here, since results of both are compared.
    """
    for edit in (("# shared-fs-usage: ", "shared-fs-usage: "), COMPILED_AS_HERE):
        Project(path).edit(f"{PROFILE}/profile.yaml", *edit)


def sent_home(path: Path) -> list[Path]:
    """What running jobs have sent."""
    return list((path / SANDBOXES).glob(f"*/*/{STATE}"))


@pytest.fixture(scope="module")
def troubled(apart_pool: Pool) -> Iterator[tuple[PoolHead, Popen[bytes]]]:
    """Jobs that wait to be ended, beside the other tests, and send home what they have."""
    path = apart_pool.folder / "troubled"
    shutil.copytree(ROOT / "profiles", path / "profiles")
    (path / "Snakefile").write_text(TROUBLED)
    (path / "words.txt").write_text("whole\n")
    apart(path)
    apart_pool.own(path)
    head = apart_pool.head(path, PROFILE)
    head.fast += ("--rootloom-htcondor-state-seconds", "2")
    process = head.start()
    yield head, process
    if process.poll() is None:
        head.kill(process)


@pytest.fixture(scope="module")
def untouched(apart_pool: Pool) -> Project:
    """A project in which nothing has run."""
    project = small_project(apart_pool.folder / "untouched")
    apart(project.path)
    return project


@pytest.fixture(scope="module")
def completed(apart_pool: Pool, untouched: Project) -> PoolHead:
    """A complete run whose training was evicted once."""
    project = untouched.copy(apart_pool.folder / "completed")
    apart_pool.own(project.path)
    head = apart_pool.head(project.path, PROFILE)
    process = head.start()
    with held(lambda: apart_pool.found(EXECUTE, "step-*.safetensors"), 1, head.log):
        (training,) = apart_pool.running(project.path, "train")
        apart_pool.command("condor_vacate_job", training)
    wait_until(lambda: bool(sent_home(project.path)), SECONDS, head.log)
    head.finish(process)
    return head


def test_jobs_see_nothing_of_the_folder(
    apart_pool: Pool, untouched: Project, troubled: tuple[PoolHead, Popen[bytes]]
) -> None:
    folder = apart_pool.folder / "plain"
    folder.mkdir()
    seen = [str(apart_pool.folder), str(ROOT / "src"), str(untouched.path)]
    lines = {
        "executable": "/bin/ls", "transfer_executable": "False", "arguments": " ".join(seen),
        "output": folder / "out", "error": folder / "err", "log": folder / "log",
        "should_transfer_files": "YES", "request_memory": 100,
    }  # fmt: skip
    text = "".join(f"{word} = {value}\n" for word, value in lines.items())
    (folder / "job").write_text(f"{text}queue\n")
    apart_pool.own(folder)
    apart_pool.command("condor_submit", str(folder / "job"))
    apart_pool.command("condor_wait", "-wait", str(SECONDS), str(folder / "log"))
    listed = (folder / "out").read_text().split()
    assert sorted(listed) == sorted(f"{path}:" for path in seen[:2])  # and nothing in them
    assert f"{seen[2]}': No such file" in (folder / "err").read_text()


def test_an_evicted_training_ends_as_one_in_this_folder(
    apart_pool: Pool, untouched: Project, request: pytest.FixtureRequest
) -> None:
    here = untouched.copy(apart_pool.folder / "here")
    with ThreadPoolExecutor() as beside:
        trained = beside.submit(here.snakemake, model())
        there = Project(request.getfixturevalue("completed").path)
        trained.result()
    assert weights(there) == weights(here)
    (training,) = (j for j in apart_pool.everything(there.path) if j["rule"] == "train")
    assert training["NumJobStarts"] == 2
    (log,) = (log for log in logs(there) if log.parts[-4] == "train")
    assert f"epoch 1/{EPOCHS}" not in log.read_text()  # the checkpoint was used


def test_everything_comes_back_once(apart_pool: Pool, completed: PoolHead) -> None:
    there = Project(completed.path)
    jobs = apart_pool.everything(there.path)
    assert len(jobs) == len(logs(there))
    results = there.path / "results"
    for pattern in ("toy/report.html", "toy/friends/toy/*.root", "datasets/toy/*/shards/*/*/*.h5"):
        assert list(results.glob(pattern)), pattern
    assert list(there.path.rglob("*.partial")) == []
    assert [p.name for p in (there.path / SANDBOXES).rglob("*") if p.is_file()] == [
        p.name for p in (there.path / SANDBOXES).glob("code-*.tar.gz")
    ]
    assert "Nothing to be done" in completed.run()
    assert len(apart_pool.everything(there.path)) == len(jobs)


def test_what_a_lost_job_had_made_is_not_lost(
    apart_pool: Pool, troubled: tuple[PoolHead, Popen[bytes]]
) -> None:
    head, process = troubled
    path = head.path
    wait_until(lambda: len(sent_home(path)) == 2, SECONDS, head.log)
    head.kill(process)
    apart_pool.command("condor_rm", *apart_pool.running(path, "removed"))
    process = head.start()  # it finds one job running, and what the other has left
    orders = f"grep -l killed.txt {EXECUTE}/dir_*/job.json"
    (order,) = apart_pool.command("sh", "-c", orders, user=0).split()
    starter = Path(order).parent.name.removeprefix("dir_")  # which HTCondor names after its number
    apart_pool.command("kill", "-KILL", starter, user=0)
    for name in ("removed.txt", "killed.txt"):
        wait_until((path / name).exists, SECONDS, head.log)
        assert (path / name).read_text() == "whole\nhalf\n"
    process.wait(SECONDS)
    assert process.returncode != 0
    assert "the reason is in the log" in head.log()
    assert "is already in the queue" in head.log()
    assert (path / "logs/broken.log").exists()
    assert not (path / "broken.txt").exists()


def test_a_canary_reports_from_a_node(condor_pool: Pool) -> None:
    project = make_project(condor_pool.folder / "canary", 10, 1)
    assert "seen here" in reported_by_canary(condor_pool, project)


def test_a_canary_is_carried(apart_pool: Pool, untouched: Project) -> None:
    project = untouched.copy(apart_pool.folder / "canary")
    assert "carried here" in reported_by_canary(apart_pool, project)


def reported_by_canary(pool: Pool, project: Project) -> str:
    """Send one and check what it reports."""
    pool.own(project.path)
    text = pool.head(project.path, PROFILE).rootloom("doctor", "--profile", "htcondor")
    assert re.search(r"ok +node +\S+, \d+ cores \(HTCondor \S+", text), text
    for check in ("canary", "scratch", "environment", "clock", "files"):
        assert re.search(rf"ok +{check} ", text, re.MULTILINE), text
    return text
