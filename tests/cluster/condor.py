"""A private HTCondor pool: one machine that claims 16 cores and two GPUs, in a Debian chroot.

The distribution of the tests' machine may have no HTCondor; the next Debian has. The chroot is made
once from the machine's own package mirror and kept beside other temporary files.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import rootloom  # noqa: F401 (it says where compiled kernels are kept)
from tests import warm
from tests.cluster.daemons import Unavailable, install
from tests.cluster.heads import Head
from tests.workflow.project import ROOT

SCRIPT = Path(__file__).with_name("condor-pool.sh")
CHROOT = Path(tempfile.gettempdir(), "rootloom-condor-chroot")
SUITE = "trixie"
PACKAGES = "minicondor,procps,iproute2"
TESTER = 1000
# An edit of a profile: jobs see how the tests' programs are compiled.
COMPILED_AS_HERE = "'HOME,", "'XLA_FLAGS,HOME,"
WANTED = (
    "ClusterId,JobStatus,Iwd,Out,RequestMemory,AllowedJobDuration,NumJobStarts,JobBatchName,"
    "QDate,JobCurrentStartDate,CompletionDate"
)
CONFIG = """\
NUM_CPUS = 16
MEMORY = 32768
MACHINE_RESOURCE_GPUs = fake0 fake1
use POLICY: HOLD_IF_MEMORY_EXCEEDED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, CLAIMTOBE
MAXJOBRETIREMENTTIME = 0
MachineMaxVacateTime = 120
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
JOB_START_DELAY = 0
PERIODIC_EXPR_INTERVAL = 2
STARTER_UPDATE_INTERVAL = 2
STARTER_INITIAL_UPDATE_INTERVAL = 1
SHADOW_QUEUE_UPDATE_INTERVAL = 2
PROCD_MAX_SNAPSHOT_INTERVAL = 2
MASTER_BACKOFF_CONSTANT = 1
ENABLE_USERLOG_FSYNC = False
"""


class Pool:
    """A running pool. `folder` is seen inside at its own path, and belongs to the user there."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self.folder = folder
        (inside,) = psutil.Process(process.pid).children()
        self._root = f"/proc/{inside.pid}/root"
        self._enter = [
            "nsenter", f"--target={inside.pid}", "--mount", "--pid", "--net", "--uts", "--root",
        ]  # fmt: skip

    def entering(
        self, command: list[str], folder: Path | None = None, user: int = TESTER
    ) -> list[str]:
        """The command that runs another one inside."""
        place = f"--wdns={folder or self.folder}"
        return [*self._enter, place, f"--setuid={user}", f"--setgid={user}", *command]

    def command(self, *command: str, user: int = TESTER, check: bool = True) -> str:
        """Output of a command inside. Raises AssertionError when it fails."""
        done = subprocess.run(
            self.entering(list(command), user=user), env=ENVIRONMENT, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def found(self, folder: str, name: str) -> list[Path]:
        """Files inside that match a pattern, at the paths they have outside."""
        text = self.command("find", folder, "-name", name, user=0, check=False)
        return [Path(self._root + line) for line in text.splitlines()]

    def own(self, path: Path) -> None:
        """Give a folder to the user inside."""
        for item in (path, *path.rglob("*")):
            os.chown(item, TESTER, TESTER, follow_symlinks=False)

    def head(self, path: Path, profile: str) -> PoolHead:
        """How a folder is run inside."""
        return PoolHead(path, profile, pool=self)

    def undisturbed(self, path: Path, profile: str) -> PoolHead:
        """The same, where nothing is to be ended: heads and jobs have imported before."""
        place = self.folder / "warm"
        if not place.exists():
            (place / "kernels").mkdir(parents=True)
            # What tests outside have compiled; the user inside cannot write beside the library.
            if (compiled := Path(os.environ["NUMBA_CACHE_DIR"])).exists():
                unfinished = shutil.ignore_patterns("*.tmp.*")
                shutil.copytree(compiled, place / "kernels", ignore=unfinished, dirs_exist_ok=True)
            self.own(place)
        # Process 1 inside ends with the pool.
        own = {**ENVIRONMENT, "NUMBA_CACHE_DIR": str(place / "kernels")}
        python = warm.python_of(place, own, 1, self.entering([]))
        return PoolHead(path, profile, python=python, pool=self)

    # -- jobs -----------------------------------------------------------------------------------
    def jobs(self, path: Path, history: bool = False) -> list[dict[str, Any]]:
        """Jobs submitted from a folder that are in the queue, or were."""
        program = "condor_history" if history else "condor_q"
        text = self.command(program, "-json", "-attributes", WANTED)
        found = [job for job in json.loads(text or "[]") if Path(job["Iwd"]) == path]
        return [{**job, "rule": Path(job["Out"]).parts[-3]} for job in found]

    def everything(self, path: Path) -> list[dict[str, Any]]:
        """Jobs of a folder, in the queue and after; one that leaves it meanwhile counts once."""
        found = self.jobs(path) + self.jobs(path, history=True)
        return list({job["ClusterId"]: job for job in found}.values())

    def running(self, path: Path, rule: str) -> list[str]:
        """Numbers of the running jobs of a rule."""
        jobs = self.jobs(path)
        return [str(j["ClusterId"]) for j in jobs if j["JobStatus"] == 2 and j["rule"] == rule]

    def kill_schedd(self) -> None:
        """SIGKILL the schedd; the master starts another one."""
        self.command("pkill", "-KILL", "-x", "condor_schedd", user=0)


@dataclass
class PoolHead(Head):
    """Head processes inside a pool."""

    pool: Pool | None = None

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a head alone."""
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.wait()

    def rootloom(self, *arguments: str) -> str:
        """Output of our own command line. Raises AssertionError when it fails."""
        assert self.pool is not None
        command = [sys.executable, "-m", "rootloom.cli", *arguments]
        done = subprocess.run(
            self.pool.entering(command, self.path),
            env=self._environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        assert self.pool is not None
        return self.pool.entering(super()._command(arguments), self.path)

    def _environment(self) -> dict[str, str]:
        own = {**super()._environment(), "HOME": "/home/tester", "USER": "tester"}
        # The bindings, once imported outside, say there that HTCondor has no configuration.
        return {name: value for name, value in own.items() if name != "CONDOR_CONFIG"}


ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/home/tester"}


@contextmanager
def condor(folder: Path, *, hidden: bool = False) -> Iterator[Pool]:
    """A pool for the block that shares `folder`. Raises Unavailable when it cannot run here.

    hidden: jobs see empty folders in place of `folder` and of the library of these tests' checkout.
    """
    if os.getuid() != 0:
        raise Unavailable("a private pool needs root")
    chroot = _chroot()
    absent = [str(folder), str(ROOT / "src")] if hidden else []
    folder.chmod(0o755)
    os.chown(folder, TESTER, TESTER)
    with tempfile.TemporaryDirectory(prefix="condor-") as place:
        config, mount = Path(place, "config"), Path(place, "mount")
        config.write_text(f"{CONFIG}MOUNT_UNDER_SCRATCH = {','.join(absent)}\n")
        mount.mkdir()
        python = {sys.prefix, sys.base_prefix}
        shared = [str(path) for path in (folder, ROOT, *sorted(python))]
        process = subprocess.Popen(
            [str(SCRIPT), str(chroot), str(mount), str(config), *shared],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if said.strip() != "ready":
                process.stdin.close()
                raise Unavailable(f"the pool did not start: {said}{process.stdout.read()}")
            yield Pool(process, folder)
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()


def _chroot() -> Path:
    """The chroot; made, if it is not there yet, by one process at a time."""
    with CHROOT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CHROOT.exists():
            if not shutil.which("mmdebstrap"):
                install("mmdebstrap")
            draft = CHROOT.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}"]
            done = subprocess.run(
                [*command, SUITE, str(draft), _mirror()], capture_output=True, text=True
            )
            if done.returncode:
                raise Unavailable(f"no Debian {SUITE}: {done.stderr[-500:]}")
            draft.rename(CHROOT)
    return CHROOT


def _mirror() -> str:
    """The package mirror that this machine uses itself."""
    sources = Path("/etc/apt")
    files = [*sources.glob("sources.list.d/*.sources"), *sources.glob("sources.list*")]
    for file in files:
        if file.is_file():
            found = re.search(
                r"^(?:URIs:|deb (?:\[.*\] )?)\s*(\S+)", file.read_text(), re.MULTILINE
            )
            if found:
                return found[1]
    raise Unavailable("no package mirror in /etc/apt")
