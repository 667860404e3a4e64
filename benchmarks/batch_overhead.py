"""What a job costs beside its own work: waiting to start, and the engine around it.

    python -m benchmarks.batch_overhead slurm --jobs 20
    python -m benchmarks.batch_overhead htcondor --jobs 20

Starts the batch system on this machine and runs jobs that do nothing; on SLURM one by one and as an
array. The engine's CPU time is measured inside the job, so that a busy machine does not inflate it;
times by the clock are as good as the machine is idle: its load is printed with them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from tests.cluster.condor import Pool, condor
from tests.cluster.daemons import wait_until
from tests.cluster.heads import Head
from tests.cluster.slurm import Slurm, slurm

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # for a job that does nothing
FIRST_LINE = "date +%s.%N > started"
# CPU time of the job's engine until its command begins: fields 14 and 15 of proc(5)'s stat.
WORKFLOW = """
rule all:
    input:
        expand("out/{i}", i=range(int(config["jobs"]))),


rule nothing:
    output:
        "out/{i}",
    resources:
        mem_mb=400,
        runtime=10,
    shell:
        "cut -d' ' -f14,15 /proc/$PPID/stat > {output}"
"""


class System(Protocol):
    """A batch system that runs. name: of its profile. ways: further arguments, by what they do."""

    name: str
    ways: ClassVar[dict[str, tuple[str, ...]]]

    def bare(self, folder: Path) -> float:
        """Submit a job that notes its first line's time in `started`; seconds for the command."""
        ...

    def head(self, folder: Path) -> Head:
        """How a folder is run."""
        ...

    def times(self, folder: Path) -> list[tuple[float, float, float]]:
        """When each job of a folder was submitted, started and ended (seconds since 1970)."""
        ...


class OnSlurm:
    """SLURM of two nodes."""

    name = "slurm"
    ways: ClassVar[dict[str, tuple[str, ...]]] = {
        "one by one": ("--rootloom-slurm-array-jobs", "none"),
        "one array": ("--rootloom-slurm-array-jobs", "all"),
    }

    def __init__(self, cluster: Slurm) -> None:
        self._cluster = cluster

    def bare(self, folder: Path) -> float:
        output = ["--output=/dev/null", f"--chdir={folder}"]
        before = time.time()
        self._cluster.command("sbatch", *output, "--wrap", FIRST_LINE)
        return time.time() - before

    def head(self, folder: Path) -> Head:
        return Head(folder, "profiles/slurm", self._cluster.client)

    def times(self, folder: Path) -> list[tuple[float, float, float]]:
        moments = ("SubmitTime", "StartTime", "EndTime")
        return [
            tuple(datetime.fromisoformat(job[moment]).timestamp() for moment in moments)
            for job in self._cluster.jobs(folder)
        ]


class OnCondor:
    """A pool of one machine."""

    name = "htcondor"
    ways: ClassVar[dict[str, tuple[str, ...]]] = {"one by one": ()}

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def bare(self, folder: Path) -> float:
        program, description = folder / "first-line", folder / "job"
        program.write_text(f"#!/bin/sh\ncd {folder}\n{FIRST_LINE}\n")
        program.chmod(0o755)
        description.write_text(
            f"executable = {program}\nlog = {folder}/log\nrequest_memory = 100\nqueue\n"
        )
        self._pool.own(folder)
        before = time.time()
        self._pool.command("condor_submit", str(description))
        return time.time() - before

    def head(self, folder: Path) -> Head:
        self._pool.own(folder)
        return self._pool.head(folder, "profiles/htcondor")

    def times(self, folder: Path) -> list[tuple[float, float, float]]:
        moments = ("QDate", "JobCurrentStartDate", "CompletionDate")
        return [
            tuple(float(job[moment]) for moment in moments) for job in self._pool.everything(folder)
        ]


def bare(system: System, folder: Path, repeats: int) -> None:
    """The submit command alone, and from its call to the first line of the job."""
    started = folder / "started"
    called, waited = [], []
    for _ in range(repeats):
        started.unlink(missing_ok=True)
        before = time.time()
        called.append(system.bare(folder))
        wait_until(lambda: started.exists() and started.read_text().endswith("\n"), SECONDS)
        waited.append(float(started.read_text()) - before)
    print(f"the submit command returns after  {spread(called)}")
    print(f"from it to the job's first line   {spread(waited)}")


def through_the_engine(
    system: System, folder: Path, jobs: int, way: str, arguments: Sequence[str]
) -> None:
    """The same number of jobs that do nothing through the profile as it is shipped."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "Snakefile").write_text(WORKFLOW)
    head = system.head(folder)
    head.fast = ("--seconds-between-status-checks", "1")
    before = time.monotonic()
    head.run("--config", f"jobs={jobs}", *arguments)
    wall = time.monotonic() - before
    ticks = os.sysconf("SC_CLK_TCK")
    engine = [sum(map(int, p.read_text().split())) / ticks for p in (folder / "out").iterdir()]
    times = system.times(folder)
    print(f"{jobs} jobs, {way}: {wall:.0f} s from start to end")
    print(f"  engine's CPU time in a job      {spread(engine)}")
    print(f"  submitted until started         {spread([b - a for a, b, _ in times])}")
    print(f"  started until ended             {spread([c - b for _, b, c in times])}")


def spread(seconds: Sequence[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return f"{middle:.2f} s ({low:.2f} to {high:.2f}, n = {len(seconds)})"


def measure(system: System, folder: Path, jobs: int) -> None:
    """All there is to measure of a system, below a folder that it sees."""
    alone = folder / "bare"
    alone.mkdir()
    bare(system, alone, jobs)
    for number, (way, arguments) in enumerate(system.ways.items()):
        work = folder / f"engine-{number}"
        work.mkdir()
        through_the_engine(system, work, jobs, way, arguments)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("system", choices=["slurm", "htcondor"])
    parser.add_argument("--jobs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.system == "slurm":
            with slurm() as cluster:
                measure(OnSlurm(cluster), folder, options.jobs)
        else:
            with condor(folder) as pool:
                measure(OnCondor(pool), folder, options.jobs)


if __name__ == "__main__":
    main()
