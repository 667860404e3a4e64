"""One complete toy run, shared by the tests of this folder as copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import warm
from tests.workflow.project import ROOT, SMALL_EXPERIMENT, Project, environment, make_project

EXECUTED = ROOT / "tests" / "executed"  # its jobs note which code they execute


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose run is complete; tests must not change it."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    noted = project.path.parent / "executed"
    noted.mkdir()
    noting = {"PYTHONPATH": f"{EXECUTED}:{ROOT / 'src'}", "ROOTLOOM_EXECUTED": str(noted)}
    project.snakemake(python=warm.python(environment() | noting, "noting"), **noting)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the complete run, to be changed at will."""
    return finished.copy(tmp_path / "project")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    return make_project(tmp_path / "project")


@pytest.fixture
def small(tmp_path: Path) -> Project:
    """One of a small network and a cut, in which nothing has run."""
    return make_project(tmp_path / "project", experiment=SMALL_EXPERIMENT)
