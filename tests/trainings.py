"""Trainings of a toy project in processes of their own: started, signalled, killed, compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import load_file

from tests import warm
from tests.workflow.project import Project, environment, make_project, path_of

MODEL = "results/toy/models/dense/0/model.safetensors"
# Plain gradient descent: Adam's first step amplifies rounding.
TRAINING = {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.05, "epochs": 3, "log_every": 2}
SECONDS = 600

STAGE = """
import json, sys
from pathlib import Path
from rootloom.cluster.running import running
from rootloom.stages import train
place = Path(sys.argv[1])
with running(str(place / "log")):
    train.run(**json.loads((place / "arguments.json").read_text()))
"""


def two_node_project(path: Path) -> Project:
    """A toy project whose experiment asks for two machines."""
    project = make_project(path)
    options = "".join(f"  {name}: {value}\n" for name, value in TRAINING.items())
    project.edit("config/experiments/toy.yaml", "dataset: toy\n", "dataset: toy\nnodes: 2\n")
    project.edit("config/experiments/toy.yaml", "  epochs: 2\n", options)
    return project


@dataclass(frozen=True)
class Training:
    """A training in a directory of its own, with the model it leaves."""

    path: Path
    process: subprocess.Popen[bytes]
    since: int  # lines that an earlier run left in the log of steps

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(SECONDS)

    def log(self) -> str:
        """What it said."""
        return (self.path / "log").read_text()

    def wait_for(self, true: Callable[[], Any]) -> Any:
        """What a condition gives once it holds, while the training runs."""
        limit = time.monotonic() + SECONDS
        while not (found := true()):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < limit, self.log()
            time.sleep(0.02)
        return found

    def wait_for_steps(self) -> None:
        """Return when it has made some steps."""
        self.wait_for(lambda: lines(self.path) > self.since + 1)

    def alive(self) -> list[psutil.Process]:
        """Its processes but the first: those that name its directory."""
        return [p for p in naming(self.path) if p.pid != self.process.pid]

    def weights(self) -> dict[str, np.ndarray]:
        """The trained parameters."""
        return load_file(self.path / "model.safetensors")

    def history(self) -> list[dict[str, float]]:
        """What is noted of each epoch."""
        lines = (self.path / "history.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines[:-2]]  # then the whole, and the digest

    def same_bits(self, other: Training) -> bool:
        """Whether both trained the very same parameters."""
        mine, theirs = self.weights(), other.weights()
        return all((mine[name] == theirs[name]).all() for name in mine | theirs)


def lines(path: Path) -> int:
    """Lines in the log of steps."""
    log = path / "training/log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def naming(path: Path) -> list[psutil.Process]:
    """Processes with a path in their command."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(path) in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


def arguments_of(project: Project) -> dict[str, Any]:
    """What the train stage was given, from the order that its processes found."""
    order = next(project.path.glob("results/toy/training/dense/0/*/processes/job.json"))
    arguments: dict[str, Any] = json.loads(order.read_text())["arguments"]
    return arguments


def start(
    project: Project,
    path: Path,
    *,
    nodes: int = 2,
    devices: int = 1,
    platform: str = "cpu",
    disturbed: bool = False,
    section: Mapping[str, Any] | None = None,
    **training: Any,
) -> Training:
    """Run the stage as the rule does, on `devices` (virtual, if CPUs) a process.

    disturbed: whether it, or one of its processes, is to be stopped. If not, and on CPUs, they are
    forked from one that has imported (`tests.warm`).
    """
    arguments = arguments_of(project)
    path.mkdir(exist_ok=True)
    fields = arguments["job"]["section"]
    fields |= {"nodes": nodes, **(section or {})}
    fields["training"] |= training
    arguments |= {
        "directory": str(path / "training"),
        "model": str(path / "model.safetensors"),
        "history": str(path / "history.jsonl"),
    }
    (path / "arguments.json").write_text(json.dumps(arguments))
    stage = path / "stage.py"
    stage.write_text(STAGE)
    surroundings = (
        environment()
        | path_of()
        | {
            "JAX_PLATFORMS": platform,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_COMPILATION_CACHE_DIR": os.environ["JAX_COMPILATION_CACHE_DIR"],
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    )
    cold = disturbed or platform != "cpu"
    python = sys.executable if cold else warm.python(environment())
    before = lines(path)
    process = subprocess.Popen([python, str(stage), str(path)], cwd=project.path, env=surroundings)
    return Training(path, process, before)
