"""Training the gated recursive network: rootloom beside the published way, on the same trees.

    python benchmarks/recnn.py --autograd VENV/bin/python                toy jets of 50 constituents
    python benchmarks/recnn.py --autograd VENV/bin/python w.root qcd.root     jets of our simulation

VENV: numpy and autograd. Each candidate is a process of its own on one core with one thread, and
updates (forward, backward, Adam) on the same batches of 64 trees in turns with the others. "from
shard" includes what every step does on the host: gathering rows, features of the nodes, schedule.
The published code looks for the levels of a batch in every step; "levels prepared" does not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from common import compare
from rootloom.representations.tree import ClusteringTree
from rootloom.types import Ragged
from toy_jets import as_columns, toy_jets

ALGORITHMS = ("kt", "cambridge_aachen", "anti_kt")
SIZE, BATCHES = 64, 8
CORE = "0"
ONE_THREAD = {
    "PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"
}  # fmt: skip


def jets_of(paths: list[str]) -> dict[str, Ragged]:
    """Constituents of SIZE × BATCHES jets, an equal share of each file."""
    count = SIZE * BATCHES
    if not paths:
        return as_columns(toy_jets(count))
    import awkward as ak
    import uproot

    names = [f"cons_{k}" for k in ("px", "py", "pz", "e")]
    share = -(-count // len(paths))
    parts = [uproot.open(path)["jets"].arrays(names, entry_stop=share) for path in paths]
    jets = ak.concatenate(parts)[np.random.default_rng(0).permutation(share * len(paths))[:count]]
    offsets = np.concatenate([[0], np.cumsum(ak.num(jets[names[0]]).to_numpy())])
    flat = [ak.flatten(jets[name]).to_numpy().astype(np.float32) for name in names]
    return as_columns(Ragged(np.stack(flat, axis=-1), offsets))


def write_batches(path: Path, algorithm: str, columns: dict[str, Ragged]) -> int:
    """Trees with scaled features, for all candidates; returns their number."""
    tree = ClusteringTree(algorithm=algorithm)
    shard = tree.encode(columns)
    leaves, merges = shard["tree.leaves"], shard["tree.merges"]
    features = tree.features(shard, np.arange(len(leaves))).astype(np.float64)
    mean, std = features.mean(axis=0), features.std(axis=0)
    np.savez(
        path,
        counts=leaves.counts(), merges=merges.values, features=(features - mean) / std,
        leaves=leaves.values, leaf_offsets=leaves.offsets, merge_offsets=merges.offsets,
        mean=mean, std=std, size=SIZE, algorithm=algorithm,
        signal=np.random.default_rng(1).integers(0, 2, len(leaves)),
    )  # fmt: skip
    return len(leaves)


def serve(path: str, *, from_shard: bool) -> None:
    """rootloom's candidate: a line on stdin for every timed round."""
    import optax

    from rootloom.batches.assemble import assemble
    from rootloom.models.recnn import RecNN
    from rootloom.tasks.classification import Classification
    from rootloom.training import parallel
    from rootloom.training.state import initial_params, initial_state
    from rootloom.training.step import train_step

    data = np.load(path)
    columns = {
        "tree.leaves": Ragged(data["leaves"], data["leaf_offsets"]),
        "tree.merges": Ragged(data["merges"], data["merge_offsets"]),
        "label": data["signal"].astype(np.int32),
        "weight": np.ones(len(data["signal"]), np.float32),
        "id": np.arange(len(data["signal"]), dtype=np.uint64),
    }
    tree = ClusteringTree(algorithm=str(data["algorithm"]))
    moments = {"nodes": SimpleNamespace(mean=data["mean"], std=data["std"])}
    task = Classification(RecNN(), tree, moments, ("background", "signal"))
    rule = optax.adam(5e-4)

    def batch(k: int) -> Any:
        rows = np.arange(k * SIZE, (k + 1) * SIZE)
        settings: dict[str, Any] = {"weights": None, "devices": 1, "size": SIZE}
        return assemble(columns, rows, representation=tree, **settings)

    count = len(data["signal"]) // SIZE
    ready = [batch(k) for k in range(count)]
    step = parallel.updating(partial(train_step, task, rule, SIZE))
    params = initial_params(task, ready[0], seed=0)
    state = parallel.replicate(initial_state(params, rule, seed=0), 1)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for k in range(count):
            state, sums = step(state, batch(k) if from_shard else ready[k])
        parallel.first(sums)
        print(time.perf_counter() - start, flush=True)


def candidate(command: list[str]) -> Callable[[], float]:
    """A process that answers a line with the seconds its round took."""
    pinned = ["taskset", "-c", CORE, *command]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        pinned, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **ONE_THREAD}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asking, answers = process.stdin, process.stdout
    assert answers.readline().strip() == "ready"

    def ask() -> float:
        asking.write("\n")
        asking.flush()
        return float(answers.readline())

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--autograd", help="a Python with numpy and autograd")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--serve", nargs=2, metavar=("BATCHES", "FROM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], from_shard=options.serve[1] == "shard")
        return
    peer = str(Path(__file__).with_name("recnn_autograd.py"))
    columns = jets_of(options.files)
    with tempfile.TemporaryDirectory() as folder:
        for algorithm in options.algorithms:
            path = str(Path(folder) / f"{algorithm}.npz")
            jets = write_batches(Path(path), algorithm, columns)
            own = [sys.executable, __file__, "--serve", path]
            candidates = {}
            if options.autograd:
                theirs = [options.autograd, peer, path]
                candidates["published style, float64"] = candidate([*theirs, "float64", "each"])
                best = candidate([*theirs, "float32", "prepared"])
                candidates["  float32, levels prepared"] = best
            candidates["rootloom, from shard"] = candidate([*own, "shard"])
            candidates["rootloom, update only"] = candidate([*own, "batch"])
            compare(f"recnn {algorithm}", candidates, options.repeats, items=jets, unit="jets")


if __name__ == "__main__":
    main()
