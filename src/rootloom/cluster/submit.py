"""The head as a batch job: it needs no terminal, and runs again when its node is lost."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootloom.cluster.head import STOP_COMMANDS, SUBMITTED, Lease
from rootloom.cluster.ledger import FOLDER, run_name
from rootloom.config.documents import read_yaml
from rootloom.errors import ConfigError, nearest

MEMORY_MB = 2000  # twice what a plan of 10,000 files takes
LEAD_SECONDS = 120  # before the head's time is up, to queue it again
LOGS = Path(".snakemake", "log")

# Bash handles a signal only after the command in the foreground has ended: hence "&" and "wait".
_SLURM_SCRIPT = """#!/bin/bash
# The head of a run. When its time is nearly up it is queued again and continues.
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1
export {mark}="SLURM $SLURM_JOB_ID"
"$@" &
head=$!
code=0
while kill -0 "$head" 2>/dev/null; do
  wait "$head"
  code=$?
done
exit "$code"
"""


@dataclass(frozen=True)
class Profile:
    """The settings of a profile. path: its folder."""

    path: Path
    content: Mapping[str, Any]

    @property
    def executor(self) -> str:
        """The executor's name; "local" where the profile names none."""
        return str(self.content.get("executor", "local"))

    @property
    def system(self) -> str:
        """SLURM, HTCondor, or "" for anything else."""
        names = {"slurm": "SLURM", "htcondor": "HTCondor"}
        return next((words for key, words in names.items() if key in self.executor), "")

    @property
    def carries(self) -> bool:
        """Whether files are transferred with jobs: nodes do not see the working directory."""
        shared = self.content.get("shared-fs-usage", "input-output")
        return "input-output" not in (shared if isinstance(shared, list) else str(shared).split())

    def default_resource(self, name: str) -> str:
        """A value among the profile's default resources, or ""."""
        found = self.content.get("default-resources") or {}
        if not isinstance(found, dict):
            listed = found.split() if isinstance(found, str) else found
            found = dict(str(item).partition("=")[::2] for item in listed)
        return str(found.get(name, "")).strip("'\"")


def read_profile(root: Path, name: str) -> Profile:
    """A profile by its name below `profiles/`, or by its folder. Raises ConfigError."""
    folder = root / "profiles" / name if "/" not in name else root / name
    for file in (folder / "profile.yaml", folder / "config.yaml"):
        if file.exists():
            return Profile(folder, read_yaml(file, empty=True))
    known = [path.name for path in (root / "profiles").glob("*")]
    raise ConfigError(
        f"profile '{name}'",
        expected="a folder with a profile.yaml",
        found=f"none at {folder}",
        fix=nearest(name, known),
    )


def need_command(command: str, system: str) -> None:
    """Raise ConfigError where a batch system's command is missing."""
    if shutil.which(command) is None:
        raise ConfigError(
            command,
            expected=f"{system}'s command {command} on this machine",
            found="none in PATH",
            fix=f"log in to a submit host of {system}, or load its module",
        )


def submit(root: Path, profile: Profile, arguments: Sequence[str]) -> list[str]:
    """Submit the head of `root` with these arguments for Snakemake; return lines for the user.

    Raises ConfigError if the profile has no batch system or one of its commands is missing. If
    a head of this directory already runs or waits, the lines say so and nothing is submitted.
    """
    if profile.system not in STOP_COMMANDS:
        raise ConfigError(
            str(profile.path),
            expected="a profile whose executor is rootloom-slurm or rootloom-htcondor",
            found=f"executor {profile.executor}",
            fix="run snakemake itself, in tmux or screen",
        )
    for command in COMMANDS[profile.system]:
        need_command(command, profile.system)
    name = f"{run_name(root, getpass.getuser())}-head"
    running = _already(root, profile.system, name)
    if running:
        return [*running, "nothing was submitted"]
    (root / LOGS).mkdir(parents=True, exist_ok=True)
    snakemake = [sys.executable, "-m", "snakemake", "--profile", str(profile.path), *arguments]
    number = _SUBMIT[profile.system](root, profile, name, snakemake)
    return [f"the head is {profile.system} job {number}", *_how_to_follow(profile.system, number)]


def environment(root: Path) -> dict[str, str]:
    """The environment of this process, with the checkout's library first in PYTHONPATH."""
    paths = [str((root / "src").resolve()), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _already(root: Path, system: str, name: str) -> list[str]:
    """Lines about a head that already runs or waits here; empty if there is none."""
    lease = Lease(root / FOLDER)
    found = lease.look()
    if found.record is not None and lease.is_live(found):
        record = found.record
        return [f"a head already runs here: {record.holder()}", f"end it: {record.stop_command()}"]
    queries = {
        "SLURM": ["squeue", "-h", "--user", getpass.getuser(), "--name", name, "-o", "%i"],
        "HTCondor": ["condor_q", "-constraint", f'JobBatchName == "{name}"', "-af", "ClusterId"],
    }
    numbers = _run(queries[system], root).split()
    if not numbers:
        return []
    return [
        f"the head is queued already, as {system} job {numbers[0]}",
        *_how_to_follow(system, numbers[0]),
    ]


def _how_to_follow(system: str, number: str) -> list[str]:
    states = {"SLURM": f"squeue --job {number}", "HTCondor": f"condor_q {number}"}
    return [
        f"follow it: tail -F {LOGS / f'head-{number}.log'}",
        f"its state: {states[system]}",
        f"end it:    {STOP_COMMANDS[system]} {number} (its jobs run on; the next head finds them)",
    ]


def _submit_slurm(root: Path, profile: Profile, name: str, snakemake: Sequence[str]) -> str:
    log = LOGS / "head-%j.log"
    command = [
        "sbatch", "--parsable", "--requeue", "--open-mode=append", f"--job-name={name}",
        f"--chdir={root}", f"--output={log}", f"--error={log}", "--ntasks=1",
        f"--mem={MEMORY_MB}M", f"--signal=B:USR1@{LEAD_SECONDS}", "--export=ALL",
    ]  # fmt: skip
    for option in ("partition", "account", "qos"):
        value = profile.default_resource(f"slurm_{option}")
        if value:
            command.append(f"--{option}={value}")
    script = _SLURM_SCRIPT.replace("{mark}", SUBMITTED)
    text = _run([*command, "/dev/stdin", *snakemake], root, script, environment(root))
    return text.strip().partition(";")[0]


def _submit_htcondor(root: Path, profile: Profile, name: str, snakemake: Sequence[str]) -> str:
    variables = {
        SUBMITTED: "HTCondor $(ClusterId)",
        "PYTHONPATH": environment(root)["PYTHONPATH"],
    }
    description = {
        "universe": "scheduler",
        "executable": snakemake[0],
        "arguments": _quoted(snakemake[1:]),
        "environment": _quoted([f"{key}={value}" for key, value in variables.items()]),
        "getenv": "True",
        "initialdir": str(root),
        "output": str(LOGS / "head-$(ClusterId).log"),
        "error": str(LOGS / "head-$(ClusterId).log"),
        "batch_name": name,
        # A head that is killed with its machine is queued again. If it is removed by hand it ends
        # at once, and its jobs run on.
        "on_exit_remove": "ExitBySignal == False",
        "remove_kill_sig": "SIGKILL",
    }
    text = "".join(f"{key} = {value}\n" for key, value in description.items()) + "queue\n"
    found = _run(["condor_submit", "-terse", "-"], root, text)
    return found.partition(".")[0].strip()


def _quoted(words: Sequence[str]) -> str:
    """Words in HTCondor's quoting (condor_submit, "arguments")."""
    inner = " ".join("'" + word.replace("'", "''") + "'" for word in words)
    return '"' + inner.replace('"', '""') + '"'


def _run(
    command: Sequence[str], root: Path, text: str = "", variables: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        command, cwd=root, input=text, capture_output=True, text=True, env=variables
    )
    if done.returncode:
        raise ConfigError(
            command[0],
            expected="that the batch system answers",
            found=(done.stderr or done.stdout).strip(),
            fix="the site's values at the top of the profile are those of this cluster?",
        )
    return done.stdout


COMMANDS = {
    "SLURM": ("sbatch", "squeue", "scancel"),
    "HTCondor": ("condor_submit", "condor_q", "condor_rm"),
}
_SUBMIT = {"SLURM": _submit_slurm, "HTCondor": _submit_htcondor}
