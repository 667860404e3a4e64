"""Where a result came from: written into every output."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rootloom

PACKAGES = (
    "awkward", "fastjet", "flax", "h5py", "jax", "jaxlib", "numba", "numpy", "optax",
    "pythia8mc", "scikit-learn", "snakemake", "uproot",
)  # fmt: skip


def record(
    stage: str,
    section: dict[str, Any],
    fingerprint: str,
    *,
    inputs: dict[str, str] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The provenance of one output: what was asked, by which code, from which inputs.

    inputs: checksums by name. No host name and no absolute path: outputs are shared.
    """
    return {
        "stage": stage,
        "section": section,
        "fingerprint": fingerprint,
        "code": code_version(),
        "packages": package_versions(),
        "inputs": inputs or {},
        "seed": seed,
        "host": host_kind(),
    }


@cache
def code_version() -> str:
    """Package version, with the commit when it runs from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return rootloom.__version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return rootloom.__version__
    return f"{rootloom.__version__}+{done.stdout.strip()}"


@cache
def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def host_kind() -> dict[str, Any]:
    """The kind of machine, not its name."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
