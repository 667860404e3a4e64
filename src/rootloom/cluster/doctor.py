"""Checks of this installation and machine, each with an answer in words."""

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
from typing import TYPE_CHECKING

from rootloom.errors import ConfigError
from rootloom.system.faults import obstacle
from rootloom.system.provenance import package_versions

if TYPE_CHECKING:
    from rootloom.cluster.canary import Flight, Seen

REQUIRED = ("awkward", "flax", "h5py", "hdf5plugin", "jax", "numba", "optax", "snakemake", "uproot")
OPTIONAL = {
    "pythia8mc": "simulation (extra 'simulate')",
    "fastjet": "simulation (extra 'simulate')",
    "XRootD": "root:// files (extra 'remote')",
    "requests": "https:// files (extra 'remote')",
    "tensorboard": "looking at training curves (extra 'tensorboard')",
}
FREE_BYTES = 2 * 1024**3  # a demo run leaves well under 1 GB; twice that is comfortable
SLOW_SYNC_SECONDS = 0.5
SLOW_VISIBLE_SECONDS = 5.0  # the engine's default latency-wait: a file seen later counts as missing
CLOCK_SECONDS = 2.0  # with a larger difference an output can look older than its input
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Finding:
    """The answer of one check. level: "ok", "note" (works without it) or "problem"."""

    check: str
    level: str
    text: str


def examine(
    root: Path,
    results: Path,
    profile: str | None = None,
    *,
    gpu: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Finding]:
    """All findings, in the order a user would fix them.

    profile: also submit a test job with it and wait at most `patience` seconds; gpu: request a GPU
    for that job.
    """
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("devices", _devices),
        ("configuration", lambda: _configuration(root)),
        ("disk", lambda: _disk(results)),
    ]
    if profile:
        checks.append(("profile", lambda: _profile(root, profile, gpu, patience)))
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
    from rootloom.config import schema
    from rootloom.config.sections import Library

    library = Library(root / "config")
    if schema.text() != (root / "config" / "schema.json").read_text():
        yield Finding("configuration", "problem", "schema.json is not current: run rootloom schema")
    names = library.names("experiments")
    for name in names:
        if name != "default":
            library.experiment(name)
    yield Finding("configuration", "ok", f"experiments: {', '.join(names)}")


def _disk(results: Path) -> Iterator[Finding]:
    if there := obstacle(results):
        yield Finding("disk", "problem", f"{results} cannot be a directory: {there} is a file")
        return
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


def _profile(root: Path, name: str, gpu: bool, patience: float) -> Iterator[Finding]:
    from rootloom.cluster.canary import fly, plugin_problem
    from rootloom.cluster.submit import COMMANDS, need_command, read_profile

    try:
        profile = read_profile(root, name)
        yield Finding("profile", "ok", f"{profile.path}, executor {profile.executor}")
        for command in COMMANDS.get(profile.system, ()):
            need_command(command, profile.system)
    except ConfigError as refusal:
        found = f"{refusal.where}: {refusal.found}; expected {refusal.expected}; {refusal.fix}"
        yield Finding("profile", "problem", found)
        return
    problem = plugin_problem(profile)
    if problem:
        yield Finding("plugin", "problem", problem)
        return
    yield Finding("plugin", "ok", f"executor {profile.executor} can be loaded")
    flight = fly(root, profile, gpu=gpu, patience=patience)
    yield from _canary(flight, gpu)
    if flight.seen is not None:
        yield _files(flight.visible, carried=profile.carries)


def _canary(flight: Flight, gpu: bool) -> Iterator[Finding]:
    seen = flight.seen
    if seen is None:
        last = "\n".join(flight.text.strip().splitlines()[-20:])
        yield Finding("canary", "problem", f"the small job did not come back:\n{last}")
        return
    yield Finding("canary", "ok", f"started {flight.wait:.1f} s after it was handed out")
    queues = [f"{name} {' '.join(found)}" for name, found in seen["queue"].items() if found]
    where = "; ".join(queues) or "no batch system"
    yield Finding("node", "ok", f"{seen['host']}, {seen['cores']} cores ({where})")
    if gpu:
        level, found = ("ok", seen["gpus"]) if seen["gpus"] else ("problem", ["none to be seen"])
        yield Finding("gpu", level, ", ".join(found))
    scratch = seen["scratch"]
    rate, free = scratch["rate"] / 1e6, scratch["free"] / 1024**3
    text = f"{scratch['folder']}: {free:.1f} GiB free, {rate:.0f} MB/s synced"
    yield Finding("scratch", "ok" if scratch["free"] > FREE_BYTES else "problem", text)
    yield _same_environment(seen)
    level = "ok" if abs(flight.clock) < CLOCK_SECONDS else "problem"
    yield Finding("clock", level, f"the node's clock is {flight.clock:+.2f} s from this machine's")


def _files(seconds: float, *, carried: bool) -> Finding:
    """How long a file written on the node takes to be seen here."""
    if carried:  # once the job has ended; the engine does not wait for it as for a file system
        return Finding("files", "ok", f"written there, carried here within {seconds:.2f} s")
    level = "ok" if seconds < SLOW_VISIBLE_SECONDS else "problem"
    fix = "" if level == "ok" else "; set latency-wait in the profile to several times that"
    return Finding("files", level, f"written there, seen here {seconds:.2f} s later{fix}")


def _same_environment(seen: Seen) -> Finding:
    here, there = package_versions(), seen["versions"]
    names = sorted({*here, *there})
    differing = [
        f"{name} {there.get(name, 'missing')} (here {here.get(name, 'missing')})"
        for name in names
        if here.get(name) != there.get(name)
    ]
    if differing:
        return Finding("environment", "problem", f"other versions there: {', '.join(differing)}")
    return Finding("environment", "ok", f"Python and packages as here ({seen['prefix']})")
