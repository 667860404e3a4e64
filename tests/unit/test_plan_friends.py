"""What a plan says of friend trees before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.workflow.project import Project, make_project

from rootloom.errors import ConfigError
from rootloom.stages import make_plan

SETTINGS = {"experiment": "toy", "results": "results"}
EXPERIMENT = Path("config/experiments/toy.yaml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = make_project(tmp_path / "project", jets=5)
    monkeypatch.chdir(made.path)
    return made


def test_names_that_branches_would_spell_alike_are_refused(project: Project) -> None:
    make_plan(SETTINGS, project.path)
    content = yaml.safe_load(EXPERIMENT.read_text())
    cut = {"kind": "cut", "variable": "trimmed_mass"}
    content["baselines"] |= {"my-cut": cut, "my.cut": cut}
    EXPERIMENT.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"methods(.|\n)*'my-cut' and 'my\.cut'"):
        make_plan(SETTINGS, project.path)


def test_friends_know_the_folds(project: Project) -> None:
    plan = make_plan(SETTINGS, project.path)
    section = plan.job("friends", dataset="toy", pack=plan.files("toy").packs[0])["section"]
    assert section["folds"] == {"dense": 2}
    assert section["experiment"] == "toy"
