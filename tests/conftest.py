"""Eight virtual CPU devices, fixed before anything imports JAX, and strict numerics."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

from tests import COMPILE_FAST, shapes, warm
from tests.shapes import MODULES

os.environ["JAX_PLATFORMS"] = "cpu"  # also where there is a GPU: `test_training_gpu` asks for it
os.environ["PJRT_NPROC"] = "2"
for _flag in ("--xla_force_host_platform_device_count=8", *COMPILE_FAST):
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}".strip()

# Compiled programs are shared between tests, lanes, and the processes that tests start.
_LANE = "PYTEST_XDIST_WORKER" in os.environ
if not _LANE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="rootloom-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ[warm.FOLDER] = tempfile.mkdtemp(prefix="rootloom-warm-")

install_import_hook(MODULES, "tests.shapes.checked")

# `make test` runs the tests in lanes, since tests of batch systems wait most of the time. What one
# lane runs in a row is a file, or files that share a fixture of the session that is dear to make.
_TOGETHER = {
    f"tests/workflow/test_{name}.py": "tests/workflow/finished"
    for name in ("filelist", "fingerprints", "leaving", "refusals", "reruns")
}
# The longest first, so that no lane is left alone with one of them at the end.
_LONG = (
    "tests/cluster/test_htcondor.py",
    "tests/cluster/test_htcondor_transfer.py",
    "tests/cluster/test_slurm.py",
    "tests/cluster/test_main_job.py",
    "tests/workflow/finished",
    "tests/workflow/test_shipped.py",
    "tests/workflow/test_adversarial.py",
    "tests/workflow/test_datasets.py",
    "tests/unit/test_training_resident.py",
    "tests/unit/test_training_processes.py",
    "tests/unit/test_tasks_adversarial.py",
)


@pytest.fixture
def open_sizes() -> Iterator[None]:
    """Sizes of arrays may be symbols, as of networks that are exported."""
    with shapes.open_sizes():
        yield


@pytest.fixture
def strict() -> Iterator[None]:
    """Refuse arrays of different ranks in one operation, where a mistake in a shape would hide."""
    import jax

    with jax.numpy_rank_promotion("raise"):
        yield


class Lanes(LoadScopeScheduling):
    """Gives each lane the next of these parts when it has done its last one."""

    def _split_scope(self, nodeid: str) -> str:
        return _part(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that run in one lane together, and tests of different folders side by side."""
    parts: dict[str, list[pytest.Item]] = {}
    for item in items:
        parts.setdefault(_part(item.nodeid), []).append(item)
    folders: dict[str, list[str]] = {}
    for part in sorted(parts, key=_place):  # stable: short ones keep the order of their names
        folders.setdefault(part.rpartition("/")[0], []).append(part)
    side_by_side = itertools.zip_longest(*folders.values())
    items[:] = [item for row in side_by_side for part in row for item in parts.get(part, ())]


def _part(nodeid: str) -> str:
    """Name of what is run in one lane with a test."""
    file = nodeid.partition("::")[0]
    return _TOGETHER.get(file, file)


def _place(part: str) -> int:
    return _LONG.index(part) if part in _LONG else len(_LONG)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _LANE:
        for name in ("JAX_COMPILATION_CACHE_DIR", warm.FOLDER):
            shutil.rmtree(os.environ[name], ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    # Warnings that our own lines raise are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::rootloom(\..*)?")
