"""What planning costs: `snakemake --dry-run` for 100 to 50,000 input files, and for a million.

    python benchmarks/planning.py [--files 100 1000 10000 50000] [--megabytes 1 1000] [--repeats 3]
        [--new-only]

For every number of files and size of a file: wall time and peak memory of a dry run before anything
is done, and again when everything is. The files are sparse (their size is what the plan looks at)
and the finished state is written without computing it: a manifest with the fingerprint of its job,
an empty file for each shard, and `snakemake --touch` for the engine's records.
"""

from __future__ import annotations

import argparse
import cProfile
import json
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10_000, 50_000])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--new-only", action="store_true", help="not the finished state")
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
        row |= {f"new_{k}": v for k, v in dry_runs(project, options.repeats, done=False).items()}
        if options.profile:
            profile_plan(project)
        if options.new_only:
            return row
        finish(project)
        row |= {f"done_{k}": v for k, v in dry_runs(project, options.repeats, done=True).items()}
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
    packs = len(the_plan(project).packs)
    return {"packs": packs, "jobs": 4 * packs + 7}  # index, preprocess, moments, friends a pack


def the_plan(project: Path) -> Any:
    sys.path.insert(0, str(ROOT / "src"))
    from rootloom.plan import Plan

    os.chdir(project)
    return Plan({"experiment": "many"}, project)


def dry_runs(project: Path, repeats: int, *, done: bool) -> dict[str, Any]:
    """Median and range of wall seconds; peak memory in MB."""
    seconds, peaks = [], []
    for _ in range(repeats):
        text, wall, peak = timed(
            [sys.executable, "-m", "snakemake", "--dry-run", "--quiet"], project
        )
        assert ("Nothing to be done" in text) == done, text[-2000:]
        seconds.append(wall)
        peaks.append(peak)
    spread = f"{min(seconds):.1f}–{max(seconds):.1f}"
    return {"s": round(statistics.median(seconds), 1), "range_s": spread, "MB": max(peaks)}


def timed(command: list[str], project: Path) -> tuple[str, float, int]:
    """Output, wall seconds and peak memory (MB) of a command that must succeed."""
    log = project / "log"
    started = time.perf_counter()
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=project, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    assert child.returncode == 0, log.read_text()[-2000:]
    return log.read_text(), wall, usage.ru_maxrss // 1024


def profile_plan(project: Path) -> None:
    """What the plan, without the engine, takes longest for."""
    profiler = cProfile.Profile()
    with profiler:
        plan = the_plan(project)
        plan.targets(), plan.lost()
        for pack in plan.packs:
            plan.job("preprocess", representation="features", pack=pack)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(15)


def finish(project: Path) -> None:
    """Every output as a finished run would leave it, as far as a plan looks at it."""
    plan = the_plan(project)
    for pack, keys in plan.packs.items():
        for rule, path, wildcards in (
            ("index", plan.paths.index("many", pack), {}),
            ("preprocess", plan.paths.manifest("many", "features", pack), {"features": True}),
            ("moments", plan.paths.moments("many", "features", pack), {"features": True}),
            ("friends", plan.paths.friends("many", pack), {}),
        ):
            names = {"representation": "features"} if wildcards else {}
            put(path, plan.job(rule, pack=pack, **names)["fingerprint"])
        for key in keys:
            for path in (*plan.shards("features", key), plan.friend(key)):
                put(path, None)
    job = plan.job("statistics", representation="features")
    put(plan.paths.statistics("many", "features"), job["fingerprint"])
    command = [sys.executable, "-m", "snakemake", "--cores", "9999", "--scheduler", "greedy"]
    command += ["--touch", "--quiet"]
    for name in ("models/dnn/0/model.safetensors", "models/dnn/0/history.jsonl"):
        put(f"results/many/{name}", None)
    for method in ("dnn", "mass"):
        put(plan.paths.evaluation("many", method), None)
        for split in ("train", "validation", "test"):
            put(plan.paths.predictions("many", method, 0, split), None)
    for name in ("report.html", "quarantined.json", *plan.figures()):
        put(plan.paths.report("many", name), None)
    timed(command, project)


def put(path: str, fingerprint: str | None) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    record = {"provenance": {"fingerprint": fingerprint}}
    Path(path).write_text(json.dumps(record) if fingerprint else "")


if __name__ == "__main__":
    main()
