"""Reading the branches a dataset names: rootloom's row reader beside bare uproot.

Both read the same branches of the same generated file (jets of about 48 constituents, 12 branches,
of which 5 are read). "uproot" is `tree.iterate` with the same step and, where it helps, the same
two decompression threads; "uproot, one thread" is `tree.iterate` as it comes. rootloom's time
includes classes, the check for non-finite values and flat columns; the number of entries is known
to it from the index, which opens a file once.

    python benchmarks/reading.py [--jets 120000] [--rounds 7]

The target is a ratio to "uproot" of at least 0.77 (1.3 times its time).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from common import compare
from rootloom.rootio.dataset import ClassRule, RowReader

QUANTITIES = ("px", "py", "pz", "e", "deta", "dphi", "d0", "dz")
READ = ("px", "py", "pz", "e")
STEP, BASKET = 20_000, 10_000
COMPRESSIONS = {"none": None, "lz4": uproot.LZ4(4), "zstd": uproot.ZSTD(5), "zlib": uproot.ZLIB(1)}


def write(path: Path, jets: int, container: str, compression: object) -> None:
    rng = np.random.default_rng(1)
    with uproot.recreate(path, compression=compression) as file:
        make = file.mktree if container == "ttree" else file.mkrntuple
        tree = None
        for _ in range(0, jets, BASKET):
            counts = np.maximum(1, rng.poisson(48, BASKET))
            flat = {q: rng.normal(size=counts.sum()).astype(np.float32) for q in QUANTITIES}
            # As many significant bits as detector data has, so that compression does its work.
            flat = {q: (v.view(np.int32) & ~0xFFF).view(np.float32) for q, v in flat.items()}
            block = {"cons": ak.unflatten(ak.zip(flat), counts)}
            block |= {n: rng.normal(size=BASKET).astype(np.float32) for n in ("pt", "eta", "mass")}
            tree = tree or make("jets", {n: ak.type(v).content for n, v in block.items()})
            tree.extend(block)


def rootloom(path: Path, entries: int) -> int:
    reader = RowReader(
        tree="jets",
        variables={"pt": "pt"},
        objects={"constituents": {q: f"cons_{q}" for q in READ}},
        classes=(ClassRule("all"),),
    )
    return sum(len(block) for block in reader.read(str(path), 0, entries, step=STEP))


def bare(path: Path, container: str, threads: int) -> int:
    dot = "_" if container == "ttree" else "."
    names = ["pt", *(f"cons{dot}{q}" for q in READ)]
    executor = uproot.ThreadPoolExecutor(threads) if threads else None
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        steps = file["jets"].iterate(
            filter_name=names, step_size=STEP, decompression_executor=executor
        )
        return sum(len(block) for block in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jets", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jets.root"
        for container, name in product(("ttree", "rntuple"), COMPRESSIONS):
            if (container, name) == ("rntuple", "zlib"):
                continue
            write(path, options.jets, container, COMPRESSIONS[name])
            threads = 2 if container == "ttree" and name in ("zstd", "zlib") else 0
            candidates: dict[str, Callable[[], int]] = {
                "uproot": partial(bare, path, container, threads),
                "rootloom": partial(rootloom, path, options.jets),
            }
            if threads:
                candidates["uproot, one thread"] = partial(bare, path, container, 0)
            label = f"reading {container} {name}"
            compare(label, candidates, options.rounds, items=options.jets, unit="jets")


if __name__ == "__main__":
    main()
