"""The main job on real batch systems, from the simulation to the report: few jets and one epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from tests import warm
from tests.cluster.condor import COMPILED_AS_HERE, Pool
from tests.cluster.heads import Head
from tests.cluster.slurm import Slurm
from tests.workflow.project import Project, environment, make_project

EXPERIMENT = "w-tagging"
CONDOR = "profiles/htcondor"
# Each rule once on either: a network for a representation of particles, and a kind of baseline.
ON_SLURM = {"recnn-gated", "boosted-trees"}
ON_HTCONDOR = {"cnn", "mass-tau21"}


def main_job(path: Path, methods: set[str]) -> Project:
    """The main job as it is shipped, with one small file a class and only some methods."""
    project = make_project(path)
    project.edit("config/datasets/w-jets.yaml", "rows_per_file: 2000", "rows_per_file: 120")
    project.edit("config/datasets/w-jets.yaml", "files: {demo: 4,", "files: {demo: 1,")
    project.edit("config/experiments/w-tagging.yaml", "epochs: 8", "epochs: 1")
    file = project.path / "config/experiments/w-tagging.yaml"
    experiment = yaml.safe_load(file.read_text())
    for kind in ("methods", "baselines"):
        experiment[kind] = {n: m for n, m in experiment[kind].items() if n in methods}
    file.write_text(yaml.safe_dump(experiment, sort_keys=False))
    project.edit("config/config.yaml", "experiment: toy", f"experiment: {EXPERIMENT}")
    return project


def planned(project: Project) -> dict[str, int]:
    return {rule: len(outputs) for rule, outputs in project.planned().items()}


def check_results(project: Project, methods: set[str]) -> None:
    results = project.path / "results" / EXPERIMENT
    assert (results / "report.html").stat().st_size > 10_000
    assert (results / "images.png").stat().st_size > 10_000
    files = list((results.parent / "datasets").rglob("*.root"))
    assert len(list((results / "friends").rglob("*.root"))) == len(files) > 0
    assert {path.stem for path in results.glob("evaluation/*/*.json")} == methods


def test_on_slurm(slurm_cluster: Slurm, tmp_path: Path) -> None:
    project = main_job(tmp_path / "project", ON_SLURM)
    expected = planned(project)
    python = warm.python(environment())
    Head(project.path, "profiles/slurm", slurm_cluster.client, python=python).run()
    check_results(project, ON_SLURM)
    jobs = slurm_cluster.jobs(project.path)
    assert Counter(job["rule"] for job in jobs) == expected
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}


def test_on_htcondor(condor_pool: Pool) -> None:
    project = main_job(condor_pool.folder / "main-job", ON_HTCONDOR)
    expected = planned(project)
    project.edit(f"{CONDOR}/profile.yaml", *COMPILED_AS_HERE)
    condor_pool.own(project.path)
    condor_pool.undisturbed(project.path, CONDOR).run()
    check_results(project, ON_HTCONDOR)
    jobs = condor_pool.everything(project.path)
    assert Counter(job["rule"] for job in jobs) == expected
    assert {(job["JobStatus"], job["NumJobStarts"]) for job in jobs} == {(4, 1)}
