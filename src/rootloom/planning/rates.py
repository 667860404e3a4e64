"""How long the work on a file takes, from the manifests that finished packs left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rootloom.config.sections import Rates
from rootloom.errors import DataError
from rootloom.shards.manifest import Manifest

ENTRIES = 3  # of one dataset and representation: with fewer, start-up effects decide


def measure(results: Path, known: Rates) -> Rates:
    """Rates of the slowest representation found under `results`; sizes stay as `known`.

    For each, seconds = a + b · megabytes is fitted to the files' durations with a, b ≥ 0. Raises
    DataError when too little has run to tell.
    """
    fits = list(_fits(results))
    if not fits:
        raise DataError(
            f"manifests under {results}",
            expected=f"at least {ENTRIES} files of one representation that were made",
            found="fewer",
            fix="run snakemake first",
        )
    slowest = max(fits, key=lambda fit: fit[0] + fit[1] * known.remote_megabytes)
    found = {"seconds_per_file": slowest[0], "seconds_per_megabyte": slowest[1]}
    # Two digits: the size of jobs should not change with the weather.
    rounded = {name: float(f"{max(value, 1e-3):.2g}") for name, value in found.items()}
    return known.model_copy(update=rounded)


def _fits(results: Path) -> Iterator[tuple[float, float]]:
    from scipy.optimize import nnls

    for folder in sorted(results.glob("datasets/*/*/packs")):
        files = {
            key: (entry.bytes / 1e6, entry.seconds)
            for path in sorted(folder.rglob("*.json"))
            for key, entry in Manifest.read(path).files.items()
            if entry.seconds and not entry.quarantined
        }
        if len(files) >= ENTRIES:
            size, seconds = np.array(list(files.values())).T
            solution, _ = nnls(np.stack([np.ones_like(size), size], axis=1), seconds)
            yield float(solution[0]), float(solution[1])


def write(path: Path, rates: Rates) -> None:
    """Put the values into the YAML file, comments kept."""
    lines = []
    for line in path.read_text().splitlines():
        name, colon, rest = line.partition(":")
        value = rates.model_dump().get(name)
        if colon and value is not None:
            remark = rest.partition("#")[2]
            line = f"{name}: {value:g}" + (f"  #{remark}" if remark else "")
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")
