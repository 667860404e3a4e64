"""The main job on a real SLURM, from the simulation to the report, with few jets and one epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.heads import Head
from tests.cluster.slurm import Slurm
from tests.workflow.project import make_project

EXPERIMENT = "w-tagging"
METHODS = {
    "cnn", "maxout", "recnn-gated", "recnn-simple", "dnn",
    "mass", "tau21", "mass-tau21", "boosted-trees",
}  # fmt: skip


@pytest.mark.long
def test_the_main_job_from_simulation_to_report(slurm_cluster: Slurm, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.edit("config/datasets/w-jets.yaml", "rows_per_file: 2000", "rows_per_file: 120")
    project.edit("config/datasets/w-jets.yaml", "files: {demo: 4,", "files: {demo: 1,")
    project.edit("config/experiments/w-tagging.yaml", "epochs: 8", "epochs: 1")
    project.edit("config/config.yaml", "experiment: toy", f"experiment: {EXPERIMENT}")
    planned = {rule: len(outputs) for rule, outputs in project.planned().items()}
    Head(project.path, "profiles/slurm", slurm_cluster.client).run()
    results = project.path / "results" / EXPERIMENT
    assert (results / "report.html").exists()
    assert {path.stem for path in results.glob("evaluation/*.json")} == METHODS
    jobs = slurm_cluster.jobs(project.path)
    assert Counter(job["rule"] for job in jobs) == planned
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
