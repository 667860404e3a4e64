"""One complete toy run, shared by the tests of this folder as copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.project import SMALL_EXPERIMENT, Project, make_project, noting


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose run is complete; tests must not change it."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    project.snakemake(**noting(project.path.parent / "executed"))
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
