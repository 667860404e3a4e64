"""Whether this installation can work here: each check answers in plain words."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rootloom.provenance import package_versions

REQUIRED = ("awkward", "flax", "h5py", "hdf5plugin", "jax", "numba", "optax", "snakemake", "uproot")
OPTIONAL = {
    "pythia8mc": "simulation (extra 'simulate')",
    "fastjet": "simulation (extra 'simulate')",
    "fsspec_xrootd": "root:// files (extra 'remote')",
    "aiohttp": "https:// files (extra 'remote')",
    "tensorboard": "looking at training curves (extra 'tensorboard')",
}
FREE_BYTES = 2 * 1024**3  # a demo run leaves well under 1 GB; twice that is comfortable
SLOW_SYNC_SECONDS = 0.5


@dataclass(frozen=True)
class Finding:
    """The answer of one check. level: "ok", "note" (works without it) or "problem"."""

    check: str
    level: str
    text: str


def examine(root: Path, results: Path, profile: str | None = None) -> Iterator[Finding]:
    """All findings, in the order a user would fix them."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("devices", _devices),
        ("configuration", lambda: _configuration(root)),
        ("disk", lambda: _disk(results)),
    ]
    if profile:
        checks.append(("profile", lambda: _profile(root, profile)))
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding(name, "problem", f"the check itself failed: {error}")


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    text = f"Python {sys.version.split()[0]} at {sys.prefix}"
    yield Finding("python", "ok" if good else "problem", text if good else f"{text}: 3.11 needed")


def _packages() -> Iterator[Finding]:
    missing = [name for name in REQUIRED if not _importable(name)]
    if missing:
        yield Finding("packages", "problem", f"not importable: {', '.join(missing)}; run make run")
    else:
        versions = package_versions()
        shown = ", ".join(f"{name} {versions[name]}" for name in ("jax", "uproot", "snakemake"))
        yield Finding("packages", "ok", f"all {len(REQUIRED)} importable ({shown})")
    for name, use in OPTIONAL.items():
        if not _importable(name):
            yield Finding("packages", "note", f"{name} is not installed: no {use}")


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _devices() -> Iterator[Finding]:
    import jax

    devices = jax.local_devices()
    kinds = ", ".join(sorted({d.device_kind for d in devices}))
    text = f"JAX sees {len(devices)} {jax.default_backend()} device(s): {kinds}"
    yield Finding("devices", "ok", f"{text}; {os.cpu_count()} CPU cores")
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        yield Finding(
            "devices",
            "problem",
            "nvidia-smi is here but JAX runs on the CPU: install 'jax[cuda13]' of its version",
        )


def _configuration(root: Path) -> Iterator[Finding]:
    from rootloom import schema
    from rootloom.config import Library

    library = Library(root / "config")
    if schema.text() != (root / "config" / "schema.json").read_text():
        yield Finding("configuration", "problem", "schema.json is not current: run rootloom schema")
    names = library.names("experiments")
    for name in names:
        if name != "default":
            library.experiment(name)
    yield Finding("configuration", "ok", f"experiments: {', '.join(names)}")


def _disk(results: Path) -> Iterator[Finding]:
    results.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(results).free
    level = "ok" if free > FREE_BYTES else "problem"
    yield Finding("disk", level, f"{free / 1024**3:.1f} GiB free under {results}")
    started = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=results) as file:
        file.write(b"rootloom")
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    level = "ok" if seconds < SLOW_SYNC_SECONDS else "note"
    yield Finding("disk", level, f"a synced write takes {1000 * seconds:.0f} ms")


def _profile(root: Path, profile: str) -> Iterator[Finding]:
    folder = root / "profiles" / profile if "/" not in profile else root / profile
    found = [folder / name for name in ("profile.yaml", "config.yaml") if (folder / name).exists()]
    if found:
        yield Finding("profile", "ok", f"{found[0]}")
    else:
        known = ", ".join(sorted(p.name for p in (root / "profiles").iterdir()))
        yield Finding("profile", "problem", f"no profile in {folder}; known: {known}")
