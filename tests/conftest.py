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

# Compiled programs are shared between tests, and with the processes that tests start.
_CACHE = tempfile.mkdtemp(prefix="rootloom-compiled-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


@pytest.fixture
def strict() -> Iterator[None]:
    """Refuse arrays of different ranks in one operation, where a mistake in a shape would hide."""
    import jax

    with jax.numpy_rank_promotion("raise"):
        yield


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    # Warnings that our own lines raise are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::rootloom(\..*)?")
