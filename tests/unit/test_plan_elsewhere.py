"""A plan that is made again on another machine: from its configuration and list of files alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from tests.workflow.project import Project, make_project

from rootloom.errors import ConfigError
from rootloom.planning.plan import Plan
from rootloom.stages import make_plan
from snakemake_executor_plugin_rootloom_htcondor.reads import excerpts_for

SETTINGS = {"experiment": "toy", "results": "results"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four ROOT files in a list."""
    made = make_project(tmp_path_factory.mktemp("here"), jets=10)
    toy = made.path / "config/datasets/toy.yaml"
    content = yaml.safe_load(toy.read_text())
    for label, rule in content["classes"].items():
        (made.path / f"{label}.txt").write_text(f"data/{label}-*.root\n")
        rule["files"] = [f"{label}.txt"]
    toy.write_text(yaml.safe_dump(content))
    return made


def fingerprints(plan: Plan) -> list[str]:
    pack = plan.files("toy").packs[0]
    asked = {
        "index": {"dataset": "toy", "pack": pack},
        "preprocess": {"dataset": "toy", "representation": "toy-tree", "pack": pack},
        "train": {"method": "dense", "member": "0"},
        "friends": {"dataset": "toy", "pack": pack},
    }
    return [plan.job(rule, **wildcards)["fingerprint"] for rule, wildcards in asked.items()]


def test_it_asks_for_the_same_jobs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    here = make_plan(SETTINGS, project.path)
    pack = here.files("toy").packs[0]
    params = {"job": here.job("index", dataset="toy", pack=pack)}
    named = {"dataset": "toy", "pack": pack}
    job = SimpleNamespace(is_group=lambda: False, params=params, wildcards_dict=named)
    shutil.copytree(project.path / "config", tmp_path / "config")
    for path, content in excerpts_for(job, here.lists()).items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
    expected, files = fingerprints(here), here.files("toy").of_pack(pack)
    monkeypatch.chdir(tmp_path)
    there = make_plan(SETTINGS, tmp_path, noted=True)
    assert fingerprints(there) == expected
    assert there.files("toy").of_pack(pack) == files


def test_file_names_that_start_elsewhere_are_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(SETTINGS, project.path)
    monkeypatch.chdir(project.path)
    plan.require_start_here()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="started in the checkout"):
        plan.require_start_here()
