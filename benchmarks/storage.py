"""Remote files read directly, and by way of scratch: what latency costs.

    PYTHONPATH=src:. python benchmarks/storage.py

An XRootD and an HTTPS server on loopback, behind a relay that holds every byte back for half the
round trip. One file of many branches (zlib); read are a few of them, or all. Median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import uproot
from tests.cluster.servers import make_certificate, relay, web, xrootd

from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.system import scratch

BRANCHES, EVENTS, CLUSTER = 60, 100_000, 10_000


def write_file(path: Path) -> None:
    rng = np.random.default_rng(0)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree("events", {f"b{i}": "f4" for i in range(BRANCHES)})
        for _ in range(EVENTS // CLUSTER):
            tree.extend({f"b{i}": rng.normal(size=CLUSTER).astype("f4") for i in range(BRANCHES)})


def seconds(url: str, branches: int) -> float:
    variables = {f"b{i}": f"b{i}" for i in range(branches)}
    reader = RowReader(tree="events", variables=variables, classes=(ClassRule("all"),))
    started = time.perf_counter()
    rows = sum(len(block) for block in reader.read(url, 0, EVENTS, step=CLUSTER))
    assert rows == EVENTS
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-trip", type=float, default=0.02, help="seconds")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rootloom-storage-"))
    certificate = make_certificate(folder)
    os.environ["SSL_CERT_FILE"] = str(certificate)
    write_file(folder / "file.root")
    print(f"{(folder / 'file.root').stat().st_size / 1e6:.0f} MB, {BRANCHES} branches")
    (folder / "scratch").mkdir()
    with xrootd() as root, web(folder / "served", certificate) as https:
        for server in (root, https):
            server.add(folder / "file.root")
            for delay in (0.0, options.round_trip / 2):
                with relay(server.port) as line:
                    line.delay = delay
                    url = server.url("file.root", line.port)
                    report(url.partition(":")[0], delay, url, folder, options.rounds)


def report(protocol: str, delay: float, url: str, folder: Path, rounds: int) -> None:
    for branches in (5, BRANCHES):
        found: dict[str, list[float]] = {"direct": [], "staged": []}
        for _ in range(rounds):
            for name, times in found.items():
                if name == "staged":
                    os.environ[scratch.VARIABLE] = str(folder / "scratch")
                else:
                    os.environ.pop(scratch.VARIABLE, None)
                times.append(seconds(url, branches))
        text = ", ".join(f"{name} {statistics.median(t):.2f} s" for name, t in found.items())
        print(f"{protocol}, round trip {2000 * delay:.0f} ms, {branches} branches: {text}")


if __name__ == "__main__":
    main()
