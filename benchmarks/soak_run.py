"""A run of the workflow under observation: its processes, and what its head reports as finished."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.cluster.slurm import Slurm

from rootloom.cluster.running import STARTS
from rootloom.system import provenance

_FIELD = re.compile(r"^    (log|output|jobid): (.*)$")
_FINISHED = re.compile(r"^Finished jobid: (\d+) ")
_SCRIPT = re.compile(r"\.snakemake/scripts/")


@dataclass(frozen=True)
class Site:
    """Where runs take place.

    arguments: of Snakemake, the executor among them. environment: of the head. cluster: a running
    batch system of `tests/cluster`, or None.
    """

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    cluster: Slurm | None = None

    def processes(self, head: int) -> Iterator[psutil.Process]:
        """The processes of a run, on the nodes as well, without the batch system's daemons."""
        seen = set()
        for process in (*_family(head), *self._on_nodes()):
            if process.pid not in seen:
                seen.add(process.pid)
                yield process

    def _on_nodes(self) -> Iterator[psutil.Process]:
        """Whatever has the batch system's marks in its environment: a job script or below it."""
        if self.cluster is None:
            return
        for process in psutil.process_iter():
            try:
                marks = process.environ()
                daemon = process.name().startswith("slurm")
            except psutil.Error:
                continue
            here = marks.get("SLURM_CONF") == self.environment["SLURM_CONF"]
            if here and "SLURM_JOB_ID" in marks and not daemon:
                yield process


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def role(process: psutil.Process, head: int) -> str:
    """ "head", "worker" (a job's own script), "engine" (Snakemake on a node) or "other"."""
    if process.pid == head:
        return "head"
    try:
        words = process.cmdline()
    except psutil.Error:
        return "other"
    if any(_SCRIPT.search(word) for word in words[:2]):
        return "worker"
    return "engine" if "snakemake" in words[:3] else "other"


@dataclass
class Ledger:
    """By log file: how often its job had been started when the head reported it as finished."""

    project: Path
    finished: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, list[str]] = field(default_factory=dict)

    def starts(self, log: str) -> int:
        file = self.project / STARTS
        return file.read_text().splitlines().count(log) if file.exists() else 0

    def note_whole(self, reference: Path) -> None:
        """Count as finished also what is whole and current though no head has seen it end."""
        for log, paths in self.outputs.items():
            if log not in self.finished and all(self._is_current(p, reference) for p in paths):
                self.finished[log] = self.starts(log)

    def _is_current(self, path: str, reference: Path) -> bool:
        ours, theirs = (provenance.read(folder / path) for folder in (self.project, reference))
        return bool(ours and theirs) and ours["fingerprint"] == theirs["fingerprint"]

    def again(self) -> list[str]:
        """Finished jobs that were started again since."""
        return [
            f"{log}: {then} starts when it had finished, {self.starts(log)} now"
            for log, then in sorted(self.finished.items())
            if self.starts(log) != then
        ]


class Attempt:
    """One head, from its start to its end."""

    def __init__(self, site: Site, project: Path, ledger: Ledger) -> None:
        self.site, self.ledger = site, ledger
        self.head = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *site.arguments],
            cwd=project,
            env=site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.changed = time.monotonic()
        self._jobs: dict[str, str] = {}
        self._outputs: list[str]
        self._log, self._outputs = "", []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.head.stdout is not None
        for line in self.head.stdout:
            self.lines.append(line.rstrip("\n"))
            self.changed = time.monotonic()
            self._note(self.lines[-1])

    def _note(self, line: str) -> None:
        if found := _FIELD.match(line):
            if found[1] == "log":
                self._log = found[2].partition(" ")[0]
            elif found[1] == "output":
                self._outputs = [word.split(" ")[0] for word in found[2].split(", ")]
            elif found[1] == "jobid":
                self._jobs[found[2]] = self._log
                if self._log:
                    self.ledger.outputs[self._log] = self._outputs
                self._log, self._outputs = "", []
        elif (found := _FINISHED.match(line)) and self._jobs.get(found[1]):
            log = self._jobs[found[1]]
            self.ledger.finished[log] = self.ledger.starts(log)

    @property
    def runs(self) -> bool:
        return self.head.poll() is None

    @property
    def has_planned(self) -> bool:
        """Whether the first jobs were handed out."""
        return bool(self._jobs)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Processes by role."""
        found: dict[str, list[psutil.Process]] = {}
        for process in self.site.processes(self.head.pid):
            found.setdefault(role(process, self.head.pid), []).append(process)
        return found

    def kill_head(self) -> None:
        self.head.kill()
        self.head.wait()

    def wait(self, seconds: float) -> bool:
        """Whether the run ended within some seconds."""
        try:
            self.head.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Read what is left. Jobs of a dead head may hold the pipe open for a moment."""
        self._reader.join(10)


def surroundings(cache: Path) -> dict[str, str]:
    """A user's environment; compiled programs are shared, as every run compiles the same ones."""
    from tests.workflow.project import ROOT, environment

    return {
        **environment(),
        "PYTHONPATH": str(ROOT / "src"),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
