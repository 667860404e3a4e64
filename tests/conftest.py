"""Strict numerics and eight virtual devices, fixed before anything imports JAX."""

from __future__ import annotations

import os

import pytest

os.environ["PJRT_NPROC"] = "2"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
_FLAG = "--xla_force_host_platform_device_count=8"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()


def pytest_configure(config: pytest.Config) -> None:
    # Warnings that our own lines raise are errors; those of other packages are theirs.
    config.addinivalue_line("filterwarnings", r"error:::rootloom(\..*)?")
