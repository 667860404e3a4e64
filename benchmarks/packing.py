"""What packing gains: the same files as one job a file, and as packs of the default duration.

    python benchmarks/packing.py [--files 48] [--rounds 3]

Wall time of `snakemake --cores 1 --until preprocess` on small ROOT files, each time from an empty
folder of results, the two ways in turns. A job's price here is an interpreter and its imports; a
batch system adds its own (`batch_overhead.py`).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import compare

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.workflow.project import Project, environment, make_project  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=48, help="per class")
    parser.add_argument("--jets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", jets=options.jets, files=options.files)
        single = {"job_minutes": 1e-6, "results": "single"}
        packed = {"job_minutes": 2, "results": "packed"}
        compare(
            "packing",
            {
                "one job a file": lambda: run(project, **single),
                "packs": lambda: run(project, **packed),
            },
            options.rounds,
            items=2 * options.files,
            unit="files",
        )


def run(project: Project, **config: object) -> None:
    """Shards of the features of all files, from nothing."""
    shutil.rmtree(project.path / str(config["results"]), ignore_errors=True)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "--config"]
    command += [f"{key}={value}" for key, value in config.items()]
    command += ["--until", "preprocess"]
    subprocess.run(command, cwd=project.path, env=environment(), check=True, capture_output=True)


if __name__ == "__main__":
    main()
