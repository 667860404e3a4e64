"""Strict numerics and eight virtual devices, fixed before anything imports JAX."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

os.environ["PJRT_NPROC"] = "2"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
_FLAG = "--xla_force_host_platform_device_count=8"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

# Compiled programs are shared between tests, and with the processes that tests start.
_CACHE = tempfile.mkdtemp(prefix="rootloom-compiled-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    # Warnings that our own lines raise are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::rootloom(\..*)?")
