"""Batch systems for the tests of this folder, each started once and stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
