"""Interleaved timing shared by all benchmarks.

Shared machines drift by tens of per cent within minutes, so candidates are timed in turns and
compared by the ratio inside each round; a ratio of two separate runs means little.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def compare(
    name: str,
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int = 5,
    *,
    items: int | Mapping[str, int] | None = None,
    unit: str = "items",
) -> dict[str, Any]:
    """Time the candidates in turns, print a table, write `results/<name>.json`, return its content.

    The first candidate is the reference of every ratio (reference seconds / candidate seconds:
    above 1 is faster). Each is called once untimed first. A callable that returns a float has
    timed itself (a subprocess, say) and that number counts; otherwise its wall clock does.
    `items`: what one call processes, one number or one a candidate, to print rates.
    """
    seconds: dict[str, list[float]] = {label: [] for label in candidates}
    for call in candidates.values():
        call()
    labels = list(candidates)
    for round_ in range(repeats):
        for label in labels if round_ % 2 == 0 else labels[::-1]:
            seconds[label].append(_timed(candidates[label]))
    counts = items if isinstance(items, Mapping) else dict.fromkeys(labels, items)
    rows = {
        label: _summary(
            seconds[label], seconds[labels[0]], counts.get(label), counts.get(labels[0])
        )
        for label in labels
    }
    result = {"name": name, "unit": unit, "repeats": repeats, "machine": machine(), "rows": rows}
    print_table(result)
    write(name, result)
    return result


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    own = call()
    return own if isinstance(own, float) else time.perf_counter() - start


def _summary(
    seconds: list[float], reference: list[float], items: int | None, reference_items: int | None
) -> dict[str, Any]:
    own, base = np.asarray(seconds), np.asarray(reference)
    scale = items / reference_items if items and reference_items else 1.0
    ratios = base / own * scale
    low, median, high = np.quantile(own, [0.25, 0.5, 0.75])
    return {
        "median_s": float(median),
        "quartiles_s": [float(low), float(high)],
        "min_s": float(own.min()),
        "rate": items / float(median) if items else None,
        "ratio": float(np.median(base) / median * scale),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "seconds": [float(s) for s in own],
    }


def clock(device: str) -> Callable[[], float]:
    """Seconds of a candidate that works on the "cpu" or the "gpu".

    Processor seconds on a CPU, where a thread of a shared machine waits for its turn; a GPU's work
    takes none of them.
    """
    return time.perf_counter if device == "gpu" else time.process_time


def clocked(
    call: Callable[[], object], now: Callable[[], float] = time.process_time
) -> Callable[[], float]:
    """The call, telling its seconds on this clock, see `clock`."""

    def seconds() -> float:
        start = now()
        call()
        return now() - start

    return seconds


def print_table(result: Mapping[str, Any]) -> None:
    """The comparison as text: median, quartiles, minimum, rate, ratio and its range over rounds."""
    unit = result["unit"]
    print(f"\n{result['name']}  ({result['repeats']} rounds, interleaved; {result['machine']})")
    print(f"  {'':32s} {'median':>9s} {'quartiles':>17s} {'min':>9s} {unit + '/s':>12s}   ratio")
    for label, row in result["rows"].items():
        low, high = row["quartiles_s"]
        rate = f"{row['rate']:12,.0f}" if row["rate"] else " " * 12
        least, most = row["ratio_range"]
        print(
            f"  {label:32s} {row['median_s']:8.4f}s {low:8.4f}–{high:.4f}s {row['min_s']:8.4f}s "
            f"{rate}   {row['ratio']:.2f} ({least:.2f}–{most:.2f})"
        )


def write(name: str, result: Mapping[str, Any]) -> Path:
    """Write `results/<name>.json`; the folder ignores itself: measurements are not committed."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ".gitignore").write_text("*\n")
    path = RESULTS / f"{name.replace(' ', '_').replace('/', '-')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def machine() -> str:
    """Processor kind, usable cores and Python, to print beside every figure."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}"
