"""What a job costs on SLURM beside its own work: waiting to start, and the engine around it.

    python -m benchmarks.slurm_overhead --jobs 20

Starts a SLURM of two nodes on this machine and runs jobs that do nothing, one by one and as an
array. The engine's CPU time is measured inside the job, so that a busy machine does not inflate it;
times by the clock are as good as the machine is idle: its load is printed with them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.cluster.slurm import Slurm, slurm

ROOT = Path(__file__).resolve().parents[1]
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


def bare(cluster: Slurm, folder: Path, repeats: int) -> None:
    """sbatch alone, and from its call to the first line of the job."""
    started = folder / "started"
    submit = ["sbatch", "--parsable", f"--output={folder}/%j.out"]
    called, waited = [], []
    for _ in range(repeats):
        before = time.time()
        job = cluster.command(*submit, "--wrap", f"date +%s.%N > {started}").strip()
        called.append(time.time() - before)
        while cluster.queue()[job] != "COMPLETED":
            time.sleep(0.1)
        waited.append(float(started.read_text()) - before)
    print(f"sbatch returns after              {spread(called)}")
    print(f"sbatch to the job's first line    {spread(waited)}")


def through_the_engine(cluster: Slurm, folder: Path, jobs: int, arrays: str) -> None:
    """The same number of jobs that do nothing through the profile as it is shipped."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "Snakefile").write_text(WORKFLOW)
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    before = time.monotonic()
    subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--profile", "profiles/slurm",
            "--seconds-between-status-checks", "1", "--config", f"jobs={jobs}",
            "--rootloom-slurm-array-jobs", arrays,
        ],
        cwd=folder, env={**cluster.environment, "PYTHONPATH": path}, check=True,
        capture_output=True,
    )  # fmt: skip
    wall = time.monotonic() - before
    ticks = os.sysconf("SC_CLK_TCK")
    engine = [sum(map(int, p.read_text().split())) / ticks for p in (folder / "out").iterdir()]
    seen = cluster.jobs(folder)
    times = [[moment(job[f"{what}Time"]) for what in ("Submit", "Start", "End")] for job in seen]
    calls = len({job.get("ArrayJobId", job["JobId"]) for job in seen})
    print(f"{jobs} jobs, arrays: {arrays}: {calls} sbatch calls, {wall:.0f} s from start to end")
    print(f"  engine's CPU time in a job      {spread(engine)}")
    print(f"  submitted until started         {spread([b - a for a, b, _ in times])}")
    print(f"  started until ended             {spread([c - b for _, b, c in times])}")


def moment(text: str) -> float:
    """SLURM's time stamp in seconds."""
    return datetime.fromisoformat(text).timestamp()


def spread(seconds: Sequence[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return f"{middle:.2f} s ({low:.2f} to {high:.2f}, n = {len(seconds)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20)
    jobs = parser.parse_args().jobs
    with slurm() as cluster, tempfile.TemporaryDirectory() as folder:
        bare(cluster, Path(folder), jobs)
        for arrays in ("none", "all"):
            work = Path(folder, arrays)
            work.mkdir()
            through_the_engine(cluster, work, jobs, arrays)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
