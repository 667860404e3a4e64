"""Simulated showers a second, of each particle and readout.

    taskset -c 0 python benchmarks/showers.py

Processor seconds, one thread. "all" counts what is deposited, with the number of spots of a
homogeneous calorimeter; "gap" what the argon samples, with that of a sampling one. "file" writes
the showers to a ROOT file as well.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import clocked, compare
from rootloom.simulate.calo import Calo


def showers(source: Calo, process: str, count: int) -> Callable[[], object]:
    """The arrays alone."""
    return clocked(lambda: [rows.size for rows in source.blocks(process, count, 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--showers", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    candidates: dict[str, Callable[[], object]] = {}
    for readout in ("all", "gap"):
        for process in Calo.processes:
            source = Calo(readout=readout)
            candidates[f"{process}, {readout}"] = showers(source, process, options.showers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "eplus.root"
        candidates["eplus, all, file"] = clocked(
            lambda: Calo().generate("eplus", options.showers, 1, path)
        )
        compare("showers", candidates, options.repeats, items=options.showers, unit="showers")


if __name__ == "__main__":
    main()
