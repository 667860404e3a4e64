"""What planning costs: `snakemake --dry-run` for 100 to 50,000 input files, and for a million.

    python benchmarks/planning.py [--files 100 1000 10000 50000] [--megabytes 1 1000] [--repeats 3]
        [--states new done job]

For every number of files and size of a file: wall time and peak memory of a dry run before anything
is done ("new"), again when everything is ("done"), and of what each job does before its work: to
parse the workflow and to plan itself ("job"). On a busy machine processor seconds are what to read;
imports of the engine are two of them. The files are sparse (their size is what a plan looks
at); `planning_done.py` beside this writes the finished state.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from common import machine, write

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config", "envs", "profiles", "rules", "scripts", "workflow")
DATASET = {
    "files": ["data/*/*.root"],
    "tree": "jets",
    "classes": {"qcd": {"where": "label == 0"}, "w": {"where": "label == 1"}},
    "variables": {"mass": "mass", "tau21": "tau21"},
}
EXPERIMENT = {
    "dataset": "many",
    "task": {"kind": "classification", "signal": "w"},
    "methods": {"dnn": {"model": "dnn", "representation": "features"}},
    "baselines": {"mass": {"kind": "cut", "variable": "mass"}},
}


STATES = ("new", "done", "job")
# What executors start for a job, but that it stops before the work.
JOB = ["--mode", "remote", "--allowed-rules", "preprocess", "--force", "--nolock", "--target-jobs"]
COMMANDS = {
    "new": ["--dry-run", "--quiet", "rules"],
    "done": ["--dry-run", "--quiet"],
    "job": ["--dry-run", *JOB, "preprocess:dataset=many,representation=features,pack={pack}"],
}
SAID = {"new": "Job stats", "done": "Nothing to be done", "job": "forced"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10_000, 50_000])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    parser.add_argument("--profile", action="store_true", help="what the plan itself spends")
    options = parser.parse_args()
    rows = []
    for megabytes in options.megabytes:
        for files in options.files:
            row = measure(files, megabytes, options)
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write("planning", {"machine": machine(), "rows": rows})


def measure(files: int, megabytes: float, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        jobs = make_project(project, files, megabytes)
        row: dict[str, Any] = {"files": files, "megabytes": megabytes, **jobs}
        if options.profile:
            profile_plan(project)
        for state in options.states:
            if state != "new" and not (project / "results").exists():
                timed([sys.executable, str(ROOT / "benchmarks" / "planning_done.py")], project)
            found = repeated(project, options.repeats, COMMANDS[state], SAID[state])
            row |= {f"{state}_{name}": value for name, value in found.items()}
        return row


def make_project(project: Path, files: int, megabytes: float) -> dict[str, int]:
    """The project with sparse input files; how many packs and jobs it has."""
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, project / part)
    (project / "src").symlink_to(ROOT / "src")
    for name, content in (("datasets", DATASET), ("experiments", EXPERIMENT)):
        (project / "config" / name / "many.yaml").write_text(yaml.safe_dump(content))
    (project / "config" / "config.yaml").write_text("experiment: many\n")
    for number in range(files):
        path = project / "data" / f"{number // 1000:04d}" / f"{number:07d}.root"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(int(1e6 * megabytes))
    packs = len(files_of(the_plan(project)).packs)
    return {"packs": packs, "jobs": 5 * packs + 9}  # index, preprocess, moments, spectra, friends


def the_plan(project: Path) -> Any:
    sys.path.insert(0, str(ROOT / "src"))
    from rootloom.stages import make_plan

    os.chdir(project)
    return make_plan({"experiment": "many"}, project)


def files_of(plan: Any) -> Any:
    """Those of its only dataset."""
    return plan.files(plan.datasets.nominal.name)


def repeated(project: Path, repeats: int, command: list[str], said: str) -> dict[str, Any]:
    """Medians of wall and processor seconds, and of peak MB. `said`: what the engine must say."""
    plan = the_plan(project)
    command = [word.format(pack=files_of(plan).packs[0]) for word in command]
    taken: dict[str, list[float]] = {"s": [], "cpu_s": [], "MB": []}
    for _ in range(repeats):
        text, wall, usage = timed([sys.executable, "-m", "snakemake", *command], project)
        assert said in text, text[-2000:]
        taken["s"].append(wall)
        taken["cpu_s"].append(usage.ru_utime + usage.ru_stime)
        taken["MB"].append(usage.ru_maxrss / 1024)
    return {name: round(statistics.median(values), 1) for name, values in taken.items()}


def timed(command: list[str], project: Path) -> tuple[str, float, Any]:
    """Output, wall seconds and resource usage of a command that must succeed."""
    log = project / "log"
    started = time.perf_counter()
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=project, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    assert child.returncode == 0, log.read_text()[-2000:]
    return log.read_text(), wall, usage


def profile_plan(project: Path) -> None:
    """What the plan, without the engine, takes longest for."""
    profiler = cProfile.Profile()
    with profiler:
        plan = the_plan(project)
        plan.targets(), plan.all_lost()
        for pack in files_of(plan).packs:
            plan.job("preprocess", dataset="many", representation="features", pack=pack)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(15)


if __name__ == "__main__":
    main()
