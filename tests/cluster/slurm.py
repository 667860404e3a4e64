"""A throw-away SLURM on this machine: one controller, several nodes, fake GPUs, loopback only.

Needs no systemd and no cgroups, and runs as root or as an ordinary user.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.daemons import Unavailable, install, wait_until

NODE_MARK = "ROOTLOOM_TEST_NODE"
FINISHED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}

# Requeued jobs wait as long as a credential lives (120 s by default), lost nodes SlurmdTimeout.
CONFIG = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=2
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
DefMemPerCPU=256
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=6
KillWait=20
InactiveLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=UNLIMITED State=UP PriorityTier=10
"""
NODE = (
    "NodeName={name} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs=8 Sockets=1 "
    "CoresPerSocket=8 ThreadsPerCore=1 RealMemory=16000 Gres=gpu:2 State=UNKNOWN"
)
# A GPU without a device file is dropped by this version, so two character devices stand in.
GPUS = "AutoDetect=off\n" + "".join(
    f"NodeName={{names}} Name=gpu File={device}\n" for device in ("/dev/null", "/dev/zero")
)


class Slurm:
    """A running SLURM. `client` is what its commands, and heads, need in their environment."""

    def __init__(self, root: Path, nodes: int = 2) -> None:
        self.root = root
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.client = {"SLURM_CONF": str(root / "slurm.conf")}
        self.environment = {**os.environ, **self.client}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        ports = free_ports(len(self.nodes) + 1)
        for folder in ("state", "run", "log", *(f"spool/{name}" for name in self.nodes)):
            (self.root / folder).mkdir(parents=True)
        lines = [
            NODE.format(name=name, host=host, port=port)
            for name, port in zip(self.nodes, ports[1:], strict=True)
        ]
        config = CONFIG.format(
            host=host, port=ports[0], user=_user(), root=self.root, nodes="\n".join(lines)
        )
        (self.root / "slurm.conf").write_text(config)
        (self.root / "gres.conf").write_text(GPUS.format(names=",".join(self.nodes)))
        # Loaded, but unused with the plugins above; "disabled" exists from 23.02 on only.
        old = _version() < (23, 2)
        plugin = "cgroup/v1" if old else "disabled"
        (self.root / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")

    # -- daemons --------------------------------------------------------------------------------
    def start(self) -> None:
        """Start everything and wait until all nodes take jobs."""
        self.start_controller()
        for name in self.nodes:
            self.start_node(name)
        wait_until(lambda: self._idle() == len(self.nodes), 120, self._why_not)

    def start_controller(self) -> None:
        """Start slurmctld, on the state it left when it was stopped."""
        self._start("slurmctld", ["slurmctld", "-D"], {})

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs run on."""
        self._stop("slurmctld", signal.SIGTERM)

    def start_node(self, name: str) -> None:
        """Start one slurmd."""
        self._start(name, ["slurmd", "-D", "-N", name], {NODE_MARK: name})

    def kill_slurmd(self, name: str) -> None:
        """SIGKILL one slurmd; the jobs on its node run on unsupervised."""
        self._stop(name, signal.SIGKILL)

    def kill_node(self, name: str) -> None:
        """Everything on a node dies at once, as when its power fails."""
        self._stop(name, signal.SIGKILL)
        self._kill_processes({NODE_MARK: name})
        self._kill_processes({"SLURMD_NODENAME": name})

    def stop(self) -> None:
        """Stop all daemons and whatever they started."""
        for name in list(self._daemons):
            self._stop(name, signal.SIGTERM)
        self._kill_processes({})

    def _start(self, name: str, command: list[str], extra: Mapping[str, str]) -> None:
        with (self.root / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [_daemon(command[0]), *command[1:]],
                env={**self.environment, **extra},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _stop(self, name: str, number: signal.Signals) -> None:
        daemon = self._daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _kill_processes(self, also: Mapping[str, str]) -> None:
        """SIGKILL all processes of this SLURM whose environment holds these as well."""
        wanted = {**self.client, **also}
        marks = {f"{key}={value}".encode() for key, value in wanted.items()}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                found = set((folder / "environ").read_bytes().split(b"\0"))
            except OSError:
                continue  # ended meanwhile, or another user's
            # A test's own process has the variable when the test put it there.
            if marks <= found and int(folder.name) != os.getpid():
                _kill(int(folder.name))

    def _idle(self) -> int:
        lines = self.command(
            "sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N", check=False
        )
        return len(lines.split())

    def _why_not(self) -> str:
        logs = sorted((self.root / "log").iterdir())
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-800:]}" for log in logs)

    # -- what users do --------------------------------------------------------------------------
    def command(self, *command: str, check: bool = True) -> str:
        """Output of a SLURM command. Raises AssertionError when it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def queue(self) -> dict[str, str]:
        """State of every job and array task that the controller knows, by its id."""
        lines = self.command("squeue", "-h", "-r", "--states=all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def show(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says."""
        text = self.command("scontrol", "--oneliner", "show", "job", job)
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def jobs(self, folder: Path) -> list[dict[str, str]]:
        """What `scontrol show job` says of all jobs and array tasks submitted in a folder.

        The key "rule" is added: the folder of the batch script's log is named after it.
        """
        text = self.command("scontrol", "--oneliner", "show", "jobs")
        found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
        found = [job for job in found if job.get("WorkDir") == str(folder)]
        for job in found:
            job["rule"] = Path(job["StdOut"]).relative_to(folder / ".snakemake/slurm_logs").parts[0]
            array = "ArrayJobId" in job
            job["id"] = f"{job['ArrayJobId']}_{job['ArrayTaskId']}" if array else job["JobId"]
        return found

    def running(self, comment: str = "") -> list[str]:
        """Ids of running jobs whose comment contains a text."""
        lines = self.command("squeue", "-h", "-r", "-t", "R", "-o", "%i %k").splitlines()
        return [line.split()[0] for line in lines if comment in line]

    def running_in(self, folder: Path, rule: str) -> list[dict[str, str]]:
        """Jobs of a rule, submitted in a folder, that run now."""
        return [j for j in self.jobs(folder) if j["rule"] == rule and j["JobState"] == "RUNNING"]

    def release(self, job: str) -> None:
        """Let a requeued job start now: SLURM may have it wait for two minutes.

        The wait begins when the last process of the first start has ended.
        """
        restarted = lambda: int(self.show(job)["Restarts"]) > 0  # noqa: E731
        wait_until(restarted, 300, lambda: str(self.show(job)))
        wait_until(lambda: self.queue()[job] != "COMPLETING", 300, lambda: str(self.show(job)))
        if self.queue()[job] == "PENDING":
            # It may start by itself meanwhile, and is then no longer to be changed.
            self.command("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)

    def ended(self) -> list[dict[str, str]]:
        """One record for each job that ended (again, when it was requeued), oldest first."""
        file = self.root / "log" / "jobcomp.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]

    def clear(self) -> None:
        """Cancel all jobs and wait until the nodes are free again."""
        self.command("scancel", "--user", _user())
        busy = ("-t", "PD,R,CG,S,CF,RQ")
        wait_until(lambda: not self.command("squeue", "-h", *busy).strip(), 60, self._why_not)


@contextmanager
def slurm(nodes: int = 2) -> Iterator[Slurm]:
    """A SLURM for the block. Raises Unavailable when it cannot run here."""
    if not _daemon("slurmctld"):
        install("slurm-wlm")
    if not _daemon("slurmctld"):
        raise Unavailable("slurmctld is not there after installing slurm-wlm")
    # A short path: the nodes' sockets lie below it.
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    root.chmod(0o755)
    running = Slurm(root, nodes)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(root, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with socket.socket() as first:
        sockets = [first, *(socket.socket() for _ in range(count - 1))]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [int(one.getsockname()[1]) for one in sockets]
        for one in sockets:
            one.close()
    return ports


def _daemon(name: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


def _version() -> tuple[int, int]:
    text = subprocess.run([_daemon("slurmctld"), "-V"], capture_output=True, text=True).stdout
    major, minor = text.split()[-1].split(".")[:2]
    return int(major), int(minor)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        for _ in range(50):
            os.kill(pid, 0)
            time.sleep(0.02)
    except ProcessLookupError:
        pass
