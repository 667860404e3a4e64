"""What it costs that HTCondor carries the files of jobs, beside a shared file system.

    python -m benchmarks.htcondor_transfer --epochs 200

Starts an HTCondor pool on this machine (needs root) and runs the tests' small project in it twice,
in both ways: bytes, processor seconds and seconds by the clock of each job. All figures are
HTCondor's own, from its history; those of the clock are as good as the machine is idle: its load is
printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.cluster import heads
from tests.cluster.condor import Pool, condor

ATTRIBUTES = "Iwd,Out,BytesRecvd,BytesSent,CpusUsage,RemoteUserCpu,RemoteSysCpu,RemoteWallClockTime"
WAYS = {"shared": (), "carried": ("--shared-fs-usage", "software-deployment")}


def jobs_of(pool: Pool, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What HTCondor kept of a folder's jobs, by rule."""
    text = pool.command("condor_history", "-json", "-attributes", ATTRIBUTES)
    found: dict[str, list[dict[str, Any]]] = {}
    for job in json.loads(text):
        if Path(job["Iwd"]) == folder:
            found.setdefault(Path(job["Out"]).parts[-3], []).append(job)
    return found


def processor(jobs: list[dict[str, Any]]) -> float:
    """Processor seconds of a job, on average."""
    return statistics.fmean(job["RemoteUserCpu"] + job["RemoteSysCpu"] for job in jobs)


def clock(jobs: list[dict[str, Any]]) -> float:
    """Seconds for which a job held its slot, on average."""
    return statistics.fmean(job["RemoteWallClockTime"] for job in jobs)


def main() -> None:
    """Run both, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    options = parser.parse_args()
    heads.TRAINING_OPTIONS["epochs"] = options.epochs
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="htcondor-transfer-") as place,
        condor(Path(place)) as pool,
    ):
        for way, arguments in WAYS.items():
            project = heads.small_project(Path(place) / way)
            pool.own(project.path)
            pool.head(project.path, "profiles/htcondor").run(*arguments)
            found[way] = jobs_of(pool, project.path)
        archives = (Path(place) / "carried/.snakemake/htcondor/sandboxes").glob("code-*.tar.gz")
        print(f"code archive: {sum(path.stat().st_size for path in archives)} bytes")
    print("              bytes             processor s      s by the clock")
    print("rule          to node    back   shared carried  shared carried")
    for rule, jobs in found["carried"].items():
        sent = (statistics.fmean(job[name] for job in jobs) for name in ("BytesRecvd", "BytesSent"))
        both = (found["shared"][rule], jobs)
        print(
            f"{rule:12}", *(f"{number:8.0f}" for number in sent),
            *(f"{processor(jobs):7.1f}" for jobs in both),
            *(f"{clock(jobs):7.1f}" for jobs in both),
        )  # fmt: skip
    alone = {
        way: [job for jobs in of_rule.values() for job in jobs] for way, of_rule in found.items()
    }
    for way, jobs in alone.items():
        print(f"{way}: {processor(jobs):.2f} processor s, {clock(jobs):.2f} s a job of {len(jobs)}")
    print(f"load: {os.getloadavg()}")


if __name__ == "__main__":
    main()
