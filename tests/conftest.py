"""Eight virtual CPU devices, fixed before anything imports JAX, and strict numerics."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"  # also where there is a GPU: `test_training_gpu` asks for it
os.environ["PJRT_NPROC"] = "2"
_FLAG = "--xla_force_host_platform_device_count=8"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

# Compiled programs are shared between tests, lanes, and the processes that tests start.
_LANE = "PYTEST_XDIST_WORKER" in os.environ
if not _LANE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="rootloom-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# `make test` runs the tests in lanes, on few cores: most tests of batch systems wait. What one lane
# runs in a row is a file, or all tests that share a fixture of the session that is dear to make.
_SHARED = ("finished",)
# The longest first, so that no lane is left with one of them at the end.
_FIRST = (
    "tests/cluster/test_htcondor.py",
    "tests/cluster/test_htcondor_transfer.py",
    "tests/cluster/test_slurm.py",
    "finished",
    "tests/cluster",
    "tests/workflow",
)


@pytest.fixture
def strict() -> Iterator[None]:
    """Refuse arrays of different ranks in one operation, where a mistake in a shape would hide."""
    import jax

    with jax.numpy_rank_promotion("raise"):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lanes = {item: _lane(item) for item in items}
    items.sort(key=lambda item: _place(lanes[item]))  # stable: the order within a lane stays
    for item in items:
        item.add_marker(pytest.mark.xdist_group(lanes[item]))


def _lane(item: pytest.Item) -> str:
    """Name of what is run in one lane with a test."""
    shared = [name for name in _SHARED if name in getattr(item, "fixturenames", ())]
    return shared[0] if shared else item.nodeid.partition("::")[0]


def _place(lane: str) -> int:
    places = [place for place, name in enumerate(_FIRST) if lane.startswith(name)]
    return min(places, default=len(_FIRST))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _LANE:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    # Warnings that our own lines raise are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::rootloom(\..*)?")
