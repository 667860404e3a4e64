"""A small project on a batch system, and head processes that run it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import yaml

from tests.cluster.daemons import wait_until
from tests.workflow.project import ROOT, TOY_EXPERIMENT, Project, environment, make_project
from tests.workflow.test_reruns import contents

MODELS = "results/toy/models/dense"
TRAINING = "results/toy/training/dense"
# Batch systems are polled every ten seconds or so by the profiles; here nobody minds.
FAST = (
    "--seconds-between-status-checks", "1", "--max-status-checks-per-second", "10",
    "--latency-wait", "10",
)  # fmt: skip
# A few seconds: long enough to be stopped after the first of many checkpoints.
EPOCHS = 1000
SECONDS = 600  # until something must have happened, on a machine that others use as well
TRAINING_OPTIONS = {
    "batch_size": 16, "epochs": EPOCHS, "tensorboard": False, "checkpoint_every_steps": 500,
    "early_stopping": {"patience": None},
}  # fmt: skip

# `removed` is taken away by hand while it runs; `hungry` and `slow` need twice what they ask for.
CAUSES = """
from rootloom.cluster.outcomes import factor


def scaled(kind, rule, amount):
    return lambda wildcards: amount * factor(kind, rule, wildcards)


rule all:
    input:
        expand("{rule}.txt", rule=["hungry", "slow", "removed", "gpu"]),


rule hungry:
    output:
        "hungry.txt",
    resources:
        mem_mb=scaled("memory", "hungry", 600),
        runtime=scaled("time", "hungry", 30),
    shell:
        "python3 -c 'import time; block = bytearray(700 << 20); time.sleep(20)'; touch {output}"


rule slow:
    output:
        "slow.txt",
    resources:
        mem_mb=scaled("memory", "slow", 500),
        runtime=scaled("time", "slow", 1),
        attempt=lambda wildcards, attempt: attempt,
    shell:
        "[ {resources.attempt} -gt 1 ] || sleep 300; touch {output}"


rule removed:
    output:
        "removed.txt",
    resources:
        mem_mb=scaled("memory", "removed", 500),
        runtime=scaled("time", "removed", 30),
        attempt=lambda wildcards, attempt: attempt,
    shell:
        "[ -e seen ] || {{ touch seen; sleep 300; }}; echo {resources.attempt} > {output}"


rule gpu:
    output:
        "gpu.txt",
    resources:
        mem_mb=500,
        runtime=30,
        gpu=2,
    shell:
        "echo $NAME_OF_GPUS > {output}"
"""


def troubled(path: Path, gpus: str) -> None:
    """A workflow whose jobs end for every cause there is, in a new folder.

    gpus: variable in which the batch system tells a job its GPUs.
    """
    shutil.copytree(ROOT / "profiles", path / "profiles")
    (path / "Snakefile").write_text(CAUSES.replace("NAME_OF_GPUS", gpus))


# `waits` is never started; QUEUED says so in the batch system's words.
WAITING = """
rule waits:
    output:
        "waits.txt",
    resources:
        mem_mb=500,
        runtime=30,
        QUEUED,
    shell:
        "echo by the job > {output}"


rule other:
    output:
        "other.txt",
    resources:
        mem_mb=500,
        runtime=30,
    shell:
        "touch {output}"
"""


def taken_back(head: Head, queued: str, is_queued: Callable[[], bool]) -> None:
    """A head dies while its job waits, and the result is there when the next one comes.

    Raises AssertionError when that one does not take the job back.
    """
    (head.path / "Snakefile").write_text(WAITING.replace("QUEUED", queued))
    process = head.start("waits.txt")
    wait_until(is_queued, 300, head.log)
    head.kill(process)
    # As when it dies between the submission and the engine's note of it.
    shutil.rmtree(head.path / ".snakemake/incomplete")
    (head.path / "waits.txt").write_text("by an earlier start\n")
    head.finish(head.start("waits.txt", "other.txt"))
    assert "Cancelled, because its result exists already" in head.log()
    assert (head.path / "waits.txt").read_text() == "by an earlier start\n"


def small_project(path: Path, members: int = 1) -> Project:
    """One file a class, one network and one cut: every rule runs, most of them once."""
    project = make_project(path, files=1)
    experiment = {key: value for key, value in TOY_EXPERIMENT.items() if key != "images"}
    experiment["training"] = TRAINING_OPTIONS
    network = {"model": "tiny-dnn", "representation": "features", "members": members}
    experiment["methods"] = {"dense": network}
    experiment["baselines"] = {"mass": TOY_EXPERIMENT["baselines"]["mass"]}
    text = yaml.safe_dump(experiment, sort_keys=False)
    (path / "config/experiments/toy.yaml").write_text(text)
    return project


def model(member: int = 0) -> str:
    """The trained model of a member."""
    return f"{MODELS}/{member}/model.safetensors"


def weights(project: Project, member: int = 0) -> str:
    """The trained parameters, bit for bit."""
    return contents(project.path / model(member))


@contextmanager
def held(saved: Callable[[], list[Path]], count: int, why: Callable[[], str]) -> Iterator[None]:
    """Trainings that stand still, each from its first checkpoint on, while the block ends them.

    However fast they are, none is over before its signal arrives. saved: their checkpoints, as seen
    from here. why: printed when they do not come.
    """
    stopped: dict[Path, psutil.Process] = {}

    def all_stand() -> bool:
        for log in {_log_of(checkpoint) for checkpoint in saved()} - set(stopped):
            stopped[log] = _writer(log)
            stopped[log].suspend()
        return len(stopped) == count

    wait_until(all_stand, SECONDS, why)
    yield
    for process in stopped.values():
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # its node was lost
            wait_until(partial(_is_told_to_end, process), SECONDS, why)
            process.resume()


def _log_of(checkpoint: Path) -> Path:
    """Log of the training that saved a state."""
    root, _, below = str(checkpoint).partition(TRAINING)
    return Path(root, "results/logs/train/toy/dense", Path(below).parts[1]).with_suffix(".log")


def _is_told_to_end(process: psutil.Process) -> bool:
    """Whether SIGTERM waits for a stopped process, or somebody else let it go on."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    stopped = process.status() == psutil.STATUS_STOPPED
    return bool(pending >> (signal.SIGTERM - 1) & 1) or not stopped


def _writer(log: Path) -> psutil.Process:
    """The process that has a file open: its number may be another one in its own name space."""
    file = log.stat()
    for process in psutil.process_iter():
        for descriptor in Path(f"/proc/{process.pid}/fd").glob("*"):
            with suppress(OSError):  # ended or closed meanwhile
                if os.path.samestat(descriptor.stat(), file):
                    return process
    raise AssertionError(f"no process writes to {log}: the training is over")


def checkpoints(project: Project) -> list[Path]:
    """The states that trainings have saved."""
    return list((project.path / TRAINING).rglob("step-*.safetensors"))


def logs(project: Project) -> list[Path]:
    """One for each job that ran; the engine clears it when the job starts again."""
    return list((project.path / "results/logs").rglob("*.log"))


@dataclass
class Head:
    """How a folder is run: the batch system's environment and the command line.

    python: of the head and its jobs. Where nothing is to be ended, it may be one that has imported
    before (`tests.warm`).
    """

    path: Path
    profile: str
    environment: Mapping[str, str] = field(default_factory=dict)
    fast: tuple[str, ...] = FAST
    python: str = sys.executable

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run to the end; its output. Raises AssertionError when it fails, or with check=False
        when it does not.
        """
        done = subprocess.run(
            self._command(arguments), cwd=self.path, env=self._environment(),
            capture_output=True, text=True,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert (done.returncode == 0) is check, output
        return output

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one; what it prints goes to `head.log` in the project."""
        with (self.path / "head.log").open("ab") as log:
            return subprocess.Popen(
                self._command(arguments), cwd=self.path, env=self._environment(),
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def log(self) -> str:
        """What started heads printed."""
        return (self.path / "head.log").read_text(errors="replace")

    def finish(self, process: subprocess.Popen[bytes], seconds: float = 900) -> None:
        """Wait for a started one to end well."""
        process.wait(seconds)
        assert process.returncode == 0, self.log()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a head alone: what it started lives on, as when its machine lets it go."""
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        engine = [self.python, "-m", "snakemake", "--profile", self.profile]
        return [*engine, *self.fast, *arguments]

    def _environment(self) -> dict[str, str]:
        # The executors are found among the installed packages, before the Snakefile is read.
        source = {"PYTHONPATH": str(ROOT / "src")}
        return {**environment(), **self.environment, **source}
