"""A short soak: one fault of each kind, then the same bits as ever and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import soak

from tests.cluster.slurm import Slurm

SEED = 3
MINUTES = 1.5  # of faults; after them the run comes to its end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the undisturbed run, which serves all tests."""
    return tmp_path_factory.mktemp("soak")


def check(folder: Path, site: soak.Site, faults: dict[str, soak.Fault]) -> None:
    one = soak.Soak(folder, site, SEED, faults)
    one.prepare()
    outcome = one.run(len(faults), MINUTES)
    assert outcome.problems == []
    assert sum(outcome.faults.values()) > 0, "nothing struck"


def test_faults_on_this_machine(folder: Path) -> None:
    check(folder, soak.local_site(folder), soak.soak_faults.ANYWHERE)


def test_faults_on_slurm(folder: Path, slurm_cluster: Slurm) -> None:
    faults = soak.soak_faults.ANYWHERE | soak.soak_faults.ON_SLURM
    check(folder, soak.slurm_site(folder, slurm_cluster), faults)
