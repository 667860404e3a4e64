"""Where a result came from: written into every output."""

from __future__ import annotations

import json
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
    job: dict[str, Any],
    *,
    inputs: dict[str, str] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The provenance of one output: what was asked, by which code, from which inputs.

    job: section, code, upstream and fingerprint, as the plan gives them to a rule.
    inputs: checksums by name. The machine is named by its kind only: outputs are shared.
    """
    return {
        "stage": stage,
        **job,
        "version": code_version(),
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


def read(path: Path) -> dict[str, Any] | None:
    """The provenance record inside an output; None when it has none or is not there.

    Looks where the stages put it: key "provenance" of JSON, root attribute of HDF5, header entry of
    safetensors, TObjString of ROOT.
    """
    readers = {
        ".json": _from_json,
        ".h5": _from_hdf5,
        ".safetensors": _from_safetensors,
        ".root": _from_root,
    }
    reader = readers.get(path.suffix)
    if reader is None or not path.exists():
        return None
    try:
        found = reader(path)
    except (OSError, ValueError, KeyError):
        return None
    return found if isinstance(found, dict) else None


def _from_json(path: Path) -> Any:
    return json.loads(path.read_text()).get("provenance")


def _from_hdf5(path: Path) -> Any:
    import h5py

    from rootloom import hdf5

    hdf5.require_sound_heaps(path, ends=True)
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs["provenance"])


def _from_root(path: Path) -> Any:
    import uproot

    with uproot.open(path) as file:
        return json.loads(str(file["provenance"]))


def _from_safetensors(path: Path) -> Any:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        metadata = json.loads(file.read(length))["__metadata__"]
    return json.loads(json.loads(metadata["rootloom"])["record"])["provenance"]
