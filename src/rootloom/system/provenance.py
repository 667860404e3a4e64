"""Provenance: how a result was made, written into every output."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeGuard

import rootloom
from rootloom.system import atomic

# By the names that code imports them under.
PACKAGES = (
    "awkward", "fastjet", "flax", "h5py", "jax", "numba", "numpy", "optax", "pythia8mc", "scipy",
    "sklearn", "snakemake", "uproot", "vector",
)  # fmt: skip
# Packages with other names on PyPI, or that consist of several.
_PUBLISHED = {"jax": ("jax", "jaxlib"), "sklearn": ("scikit-learn",)}


def record(
    stage: str,
    job: Mapping[str, object],
    *,
    inputs: Mapping[str, object] | None = None,
    seed: int | None = None,
) -> dict[str, object]:
    """The provenance of one output: its configuration, code and inputs.

    job: section, code, upstream and fingerprint, as the plan gives them to a rule, and the packages
    that its code imports; their versions are recorded.
    inputs: checksums by name, or other identifiers. Only the kind of the machine is recorded, not
    its name, because outputs are shared.
    """
    return {
        "stage": stage,
        **job,
        "version": code_version(),
        "packages": package_versions(_packages(job)),
        "inputs": inputs or {},
        "seed": seed,
        "host": host_kind(),
    }


def _packages(job: Mapping[str, object]) -> tuple[str, ...]:
    named = job.get("packages", PACKAGES)
    return tuple(map(str, named)) if isinstance(named, Iterable) else PACKAGES


@cache
def code_version() -> str:
    """Version of rootloom, with the commit if it runs from a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return rootloom.__version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return rootloom.__version__
    return f"{rootloom.__version__}+{done.stdout.strip()}"


@cache
def package_versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of these packages; by default of all that can change a number."""
    return {"python": platform.python_version(), **versions_of(packages)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the installed ones, by the names they are published under.

    packages: by the names that code imports.
    """
    found = {}
    for package in sorted(packages):
        for name in _PUBLISHED.get(package, (package,)):
            if (today := _version(name)) is not None:
                found[name] = today
    return found


def other_versions(made_by: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Packages whose version differs from that with which a result was made: both versions.

    made_by: the record in the result.
    """
    then = made_by.get("packages") or {}
    now = {name: today for name in then if (today := _version(name)) is not None}
    return {name: (str(then[name]), now[name]) for name in now if then[name] != now[name]}


def _version(name: str) -> str | None:
    """Installed version of a package by its published name, or of Python; None if missing."""
    if name == "python":
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def host_kind() -> dict[str, str | int | None]:
    """The kind of machine, not its name."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def read(path: Path) -> dict[str, Any] | None:
    """The provenance record of an output; None if it has none, is damaged or missing.

    A record has a fingerprint and inputs. It is stored as key "provenance" of JSON, root attribute
    of HDF5, header entry of safetensors, TObjString of ROOT.
    """
    readers = {
        ".json": _from_json,
        ".h5": _from_hdf5,
        ".safetensors": _from_safetensors,
        ".root": _from_root,
    }
    found = _read(readers.get(path.suffix), path)
    return found if _is_record(found) else None


def _is_record(found: object) -> TypeGuard[dict[str, Any]]:
    """Whether a record has all entries that callers use: a flipped bit may have changed a name."""
    return (
        isinstance(found, dict)
        and isinstance(found.get("fingerprint"), str)
        and isinstance(found.get("inputs"), dict)
    )


def fingerprint(path: Path) -> str | None:
    """The fingerprint of the job that made an output; None if there is none, or it is damaged.

    Of JSON files only the end is read, because a plan asks thousands of files.
    """
    if path.suffix in (".json", ".jsonl"):
        found = _read(atomic.fingerprint_at_end, path)
        return found if isinstance(found, str) else None
    made_by = read(path)
    return str(made_by["fingerprint"]) if made_by else None


def is_current(outputs: Sequence[str], made_from: str) -> bool:
    """Whether all outputs exist, and those with a fingerprint have this one.

    False if none has a fingerprint: then it is unknown which job wrote them.
    """
    paths = [Path(output) for output in outputs]
    if not made_from or not all(path.exists() for path in paths):
        return False
    carriers = [path for path in paths if path.suffix in _CARRIERS]
    return bool(carriers) and all(fingerprint(path) == made_from for path in carriers)


# Files that contain the fingerprint of their job.
_CARRIERS = (".json", ".jsonl", ".h5", ".safetensors", ".root")


def _read(reader: Callable[[Path], object] | None, path: Path) -> object:
    if reader is None or not path.is_file():
        return None
    try:
        return reader(path)
    except Exception:  # every reader fails in its own way on a damaged file
        return None


def _from_json(path: Path) -> object:
    return json.loads(path.read_text()).get("provenance")


def _from_hdf5(path: Path) -> object:
    import h5py

    from rootloom.system import hdf5

    hdf5.require_sound_heaps(path, ends=True)
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs["provenance"])


def _from_root(path: Path) -> object:
    import uproot

    with uproot.open(path) as file:
        return json.loads(str(file["provenance"]))


def _from_safetensors(path: Path) -> object:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            return None
        metadata = json.loads(file.read(length))["__metadata__"]
    return json.loads(json.loads(metadata["rootloom"])["record"])["provenance"]
