"""A plan that is made again on another machine, from names, sizes and times alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from tests.workflow.project import Project, make_project

from rootloom.errors import ConfigError
from rootloom.plan import Plan

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


def fingerprints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    plan = Plan(SETTINGS, folder)
    pack = next(iter(plan.packs))
    asked = {
        "index": {"pack": pack},
        "preprocess": {"representation": "toy-tree", "pack": pack},
        "train": {"method": "dense", "member": "0"},
        "friends": {"pack": pack},
    }
    return [plan.job(rule, **wildcards)["fingerprint"] for rule, wildcards in asked.items()]


def test_it_asks_for_the_same_jobs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = fingerprints(project.path, monkeypatch)
    plan = Plan(SETTINGS, project.path)
    shutil.copytree(project.path / "config", tmp_path / "config")
    for name in plan.read_for_plan():
        shutil.copyfile(name, tmp_path / name)
    for name, (size, moment) in plan.looked_at().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
        os.utime(tmp_path / name, ns=(moment, moment))
    assert len(plan.looked_at()) == 4
    assert fingerprints(tmp_path, monkeypatch) == here
    os.truncate(next((tmp_path / "data").iterdir()), 1)
    assert fingerprints(tmp_path, monkeypatch) != here


def test_a_retry_is_part_of_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    retries = Path(Plan(SETTINGS, project.path).paths.retries("toy"))
    retries.parent.mkdir(parents=True)
    retries.write_text("{}")
    assert Plan(SETTINGS, project.path).read_for_plan() == ["qcd.txt", "w.txt", str(retries)]


def test_file_names_that_start_elsewhere_are_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="started in the checkout"):
        Plan(SETTINGS, project.path).looked_at()
