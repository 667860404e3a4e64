"""Jobs know their files from the list that the head wrote: they do not look for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rootloom.errors import InputError
from rootloom.planning.plan import Plan
from rootloom.stages import make_plan
from rootloom.system.filelist import FileList
from tests.workflow.project import Project, add_file

SETTINGS = {"experiment": "toy", "size": "demo", "results": "results"}
REMOTE = [
    "--dry-run",
    "--mode",
    "remote",
    "--force",
    "--nolock",
    "--allowed-rules",
    "index",
    "--target-jobs",
]
FILES = 1001  # more than the engine is to look at one by one


def list_of(project: Project) -> Path:
    return project.path / ".snakemake" / "rootloom" / "files" / "toy.list"


def plan_of(project: Project, **settings: object) -> Plan:
    return make_plan({**SETTINGS, **settings}, project.path, noted=True)


def make_many(project: Project) -> None:
    """Many files, which only their names are asked of, and the list that a head writes."""
    for number in range(FILES):
        (project.path / "data" / f"many-{number}.root").touch()
    dataset = project.path / "config" / "datasets" / "toy.yaml"
    content = yaml.safe_load(dataset.read_text())
    content["classes"] = {"qcd": {"where": "tau1 < 1"}, "w": {"where": "tau1 > 1"}}
    dataset.write_text(yaml.safe_dump({**content, "files": ["data/many-*.root"]}))
    make_plan(SETTINGS, project.path).files("toy").note()


def test_a_job_does_not_look_for_the_files(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh.path)
    make_many(fresh)
    (pack, *_) = plan_of(fresh).files("toy").packs
    before = make_plan(SETTINGS, fresh.path).job("index", dataset="toy", pack=pack)
    (fresh.path / "data").rename(fresh.path / "elsewhere")
    with pytest.raises(InputError, match="at least one file"):
        make_plan(SETTINGS, fresh.path).job("index", dataset="toy", pack=pack)
    assert plan_of(fresh).job("index", dataset="toy", pack=pack) == before
    assert "forced:" in fresh.snakemake(*REMOTE, f"index:dataset=toy,pack={pack}")
    with pytest.raises(InputError, match="at least one file"):
        _ = (
            plan_of(fresh, job_minutes=3).files("toy").listing
        )  # asked for otherwise: the list is another run's
    list_of(fresh).write_bytes(list_of(fresh).read_bytes()[:30])
    text = fresh.snakemake(*REMOTE, f"index:dataset=toy,pack={pack}", check=False)
    assert "expected: the list of a dataset's files" in text
    assert "delete it and run snakemake again" in text


def test_a_run_writes_the_list_and_a_plan_does_not(project: Project) -> None:
    made = FileList.read(list_of(project))
    assert made.files == 4
    add_file(project.path, "w", 7)
    assert project.planned()
    assert FileList.read(list_of(project)).digest == made.digest
    project.snakemake("--until", "index")
    assert FileList.read(list_of(project)).files == 5
