"""Training on a table of HIGGS's shape: rows a second beside PyTorch's, seconds beside trees'.

    python -m venv VENV
    VENV/bin/pip install torch==2.13.0 lightgbm==4.7.0 xgboost==3.2.0 scikit-learn==1.9.1
    python benchmarks/tables.py --torch VENV/bin/python --trees VENV/bin/python

28 Gaussian features a row, a class that follows some of them: the values do not matter for the
speed. Networks: an epoch, with batches sent one by one and with rows
that stay on the device, from the shard on, the meter included. PyTorch has the rows as tensors and
indexes them, which is its fastest way. One core and one thread a candidate, processor seconds, the
candidates in turns; with --device gpu the networks are there, and seconds of the wall clock count.
--rows: of an epoch; --tree-rows: for the trees, 100 of 255 leaves.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from training import STEPS, Worker

FEATURES, ALL_ROWS = 28, 11_000_000
# As the peer has them, whatever dropout the shipped configurations add.
NETWORKS: dict[str, dict[str, Any]] = {
    "shallow-tanh": {"kind": "dnn", "hidden": [300], "activation": "tanh"},
    "deep-tanh": {"kind": "dnn", "hidden": [300] * 5, "activation": "tanh"},
    "table-resnet": {"kind": "table_resnet", "dropout": 0.1},
}
BATCHES = (128, 1024)
VARIANTS = {"cpu": ("plain", "compile"), "gpu": ("plain", "graph", "compile,graph")}
PEERS = ("histgradientboosting", "lightgbm", "xgboost")


def write_shard(path: Path, rows: int) -> None:
    """All of them in the training split."""
    import numpy as np

    from rootloom.shards.writer import ShardWriter
    from rootloom.types import RowBlock

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=rows) > 0).astype(np.int32)
    ones, entry = np.ones(rows, np.float32), np.arange(rows)
    block = RowBlock(entry, np.zeros(rows, np.int32), label, ones, {})
    with ShardWriter(path, file_key="table", splits={"train": 1}) as writer:
        writer.append(block, {f"x.v{k:02d}": x[:, k].copy() for k in range(FEATURES)})


def our_epochs(
    shard: Path, network: str, batch_size: int, device: str
) -> dict[str, Callable[[], float]]:
    """Seconds of an epoch, sent and resident."""
    import optax

    from rootloom.batches.loader import Loader
    from rootloom.config import registry
    from rootloom.representations.features import FeatureVector
    from rootloom.shards.statistics import shard_statistics
    from rootloom.tasks.classification import Classification
    from rootloom.training import parallel, resident
    from rootloom.training.feed import Resident, Streamed
    from rootloom.training.state import initial_params, initial_state
    from rootloom.training.step import train_step

    representation = FeatureVector()
    classes = ("background", "signal")
    moments = shard_statistics(shard, representation, classes=classes).moments
    model = registry.build("models", NETWORKS[network])
    task = Classification(model, representation, moments, classes)
    rule = optax.adam(1e-3)
    loader = Loader([shard], representation, "train", batch_size)
    state = initial_state(initial_params(task, next(loader.epoch(0)), 0), rule, 0)
    placed = resident.place_on_devices(loader, 1, 1 << 31, lambda: None)
    assert not isinstance(placed, str), placed
    step = partial(train_step, task, rule, loader.scale)
    ways = {
        "sent": Streamed(loader, step, updates=True),
        "resident": Resident(loader, placed[0], step, updates=True),
    }
    return {name: _epochs(way, parallel.replicate(state, 1), device) for name, way in ways.items()}


def _epochs(way: Any, state: Any, device: str) -> Callable[[], float]:
    from common import clock
    from rootloom.training.meter import Meter

    number, now = 0, clock(device)

    def epoch() -> float:
        nonlocal state, number
        meter, step, start = Meter("step"), 0, now()
        for chunk in way.epoch(number, 0, lambda: sys.maxsize):
            state, sums = chunk.run(state)
            meter.add(step, chunk.steps, chunk.rows, sums)
            step += chunk.steps
        meter.collect()
        number += 1
        return now() - start

    epoch()  # the first one compiles, and finds out how many steps a call has
    return epoch


def compare_networks(options: argparse.Namespace, shard: Path) -> None:
    from common import compare

    device = options.device
    peer = ("torch_training.py", device, STEPS[device])
    torch = Worker(options.torch, *peer) if options.torch else None
    for network in options.networks:
        for batch_size in BATCHES:
            candidates: dict[str, Callable[[], float]] = {}
            ours = our_epochs(shard, network, batch_size, device)
            for variant in VARIANTS[device] if torch else ():
                steps = -(-options.rows // batch_size)
                ask = partial(torch.ask, network, batch_size, variant)
                candidates[f"torch {variant}"] = lambda ask=ask, n=steps: n * ask()
            candidates |= {f"rootloom {name}": epoch for name, epoch in ours.items()}
            name = f"table {network} batch {batch_size}"
            result = compare(name, candidates, options.repeats, items=options.rows, unit="rows")
            for label, row in result["rows"].items():
                print(f"  {label}: {ALL_ROWS / row['rate']:,.0f} s for {ALL_ROWS:,} rows")


def compare_trees(options: argparse.Namespace) -> None:
    from common import compare

    worker = Worker(options.trees, "tree_training.py")
    candidates = {name: partial(worker.ask, name, options.tree_rows, FEATURES) for name in PEERS}
    name = f"trees {options.tree_rows} rows"
    compare(name, candidates, options.tree_repeats, items=options.tree_rows, unit="rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", help="a Python that can import torch")
    parser.add_argument("--trees", help="a Python that can import lightgbm, xgboost and sklearn")
    parser.add_argument("--networks", nargs="*", default=tuple(NETWORKS))
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tree-rows", type=int, default=100_000)
    parser.add_argument("--tree-repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args()
    os.environ["PJRT_NPROC"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "table.h5"
        write_shard(shard, options.rows)
        compare_networks(options, shard)
    if options.trees:
        compare_trees(options)


if __name__ == "__main__":
    main()
