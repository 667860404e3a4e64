"""Batch systems for the tests of this folder, each started once and stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.condor import Pool, condor
from tests.cluster.daemons import Unavailable, skip_or_fail
from tests.cluster.slurm import Slurm, slurm


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Slurm]:
    """A SLURM of two nodes with two fake GPUs each."""
    try:
        with slurm(nodes=2) as running:
            yield running
    except (Unavailable, TimeoutError) as reason:
        skip_or_fail(f"SLURM: {reason}")


@pytest.fixture(scope="session")
def condor_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """An HTCondor pool that sees one folder of this session, for all its projects."""
    try:
        with condor(tmp_path_factory.mktemp("condor")) as running:
            yield running
    except (Unavailable, TimeoutError) as reason:
        skip_or_fail(f"HTCondor: {reason}")


@pytest.fixture(scope="module")
def apart_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """An HTCondor pool whose jobs see nothing of the folder from which they are submitted."""
    try:
        with condor(tmp_path_factory.mktemp("apart"), hidden=True) as running:
            yield running
    except (Unavailable, TimeoutError) as reason:
        skip_or_fail(f"HTCondor: {reason}")
