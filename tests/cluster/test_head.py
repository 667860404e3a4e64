"""The head itself on SLURM: as a batch job that is queued again, and the canary's way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rootloom.cluster.running import STARTS
from tests.cluster.daemons import wait_until
from tests.cluster.slurm import FINISHED, Slurm
from tests.workflow.project import ROOT, Project, make_project

STATISTICS = "results/datasets/toy/features/statistics.json"
QUICK = {
    "rootloom-slurm-init-seconds-before-status-checks": 1,
    "seconds-between-status-checks": 1,
    "latency-wait": 10,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project whose SLURM profile asks the queue more often than a site would like."""
    made = make_project(tmp_path / "project", jets=40, files=1)
    profile = made.path / "profiles/slurm/profile.yaml"
    content = yaml.safe_load(profile.read_text())
    known = {k: v for k, v in QUICK.items() if not k.startswith("rootloom")}
    profile.write_text(yaml.safe_dump(content | known))
    return made


def rootloom(cluster: Slurm, project: Project, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rootloom.cli", *arguments],
        cwd=project.path,
        env={**cluster.environment, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_canary_reports_from_a_node(slurm_cluster: Slurm, project: Project) -> None:
    text = rootloom(slurm_cluster, project, "doctor", "--profile", "slurm")
    assert re.search(r"ok +node +\S+, \d+ cores \(SLURM \d+ main\)", text), text
    for check in ("canary", "scratch", "environment", "clock", "files"):
        assert re.search(rf"ok +{check} ", text, re.MULTILINE), text


def test_a_submitted_head_goes_on_after_it_was_queued_again(
    slurm_cluster: Slurm, project: Project
) -> None:
    arguments = ("submit", "--profile", "slurm", STATISTICS)
    first = rootloom(slurm_cluster, project, *arguments)
    number = re.search(r"SLURM job (\d+)", first)[1]
    log = project.path / ".snakemake/log" / f"head-{number}.log"
    index_logs = project.path / "results/logs/index"
    wait_until(lambda: any(index_logs.rglob("*.log")), 600, lambda: read(log))
    assert f"SLURM job {number}" in rootloom(slurm_cluster, project, *arguments)
    slurm_cluster.command("scontrol", "requeue", number)
    # This SLURM has no cgroups: it does not see that the head outlives the script which started it.
    wait_until(lambda: "Elapsed time" in read(log), 300, lambda: read(log))
    slurm_cluster.release(number)
    statistics = project.path / STATISTICS
    state = lambda: slurm_cluster.queue().get(number)  # noqa: E731
    wait_until(lambda: state() in FINISHED, 900, lambda: f"{state()}: {read(log)}")
    assert state() == "COMPLETED", read(log)
    assert statistics.exists()
    assert read(log).count("Building DAG of jobs") == 2
    started = (project.path / STARTS).read_text().splitlines()
    assert len(started) == len(set(started)) == 4, read(log)


def read(log: Path) -> str:
    return log.read_text() if log.exists() else f"{log.name}: not there yet"
