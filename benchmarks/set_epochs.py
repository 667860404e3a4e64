"""Whole training epochs of set networks from ROOT files, beside weaver-core's on the same files.

    python benchmarks/set_epochs.py --weaver VENV/bin/python [--networks deep_sets --jets 40000]

VENV: torch 2.13.0 and weaver-core 0.5.3. The jets are those of `batches.py`, in TTrees compressed
by zlib, level 1, with weights in both programs. Seconds are of the wall clock, two cores: loading,
batches and whole steps with Adam. Ours read shards: "first" from disk, "later" from memory;
"shards" is what is paid once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rootloom.representations.particle_set import ParticleSet

NETWORKS = {"deep_sets": 512, "particle_net": 64, "particle_transformer": 64}
QUANTITIES = ("px", "py", "pz", "energy", "deta", "dphi", "d0", "charge")
FILES, CACHE = 2, 4 << 30


def inputs() -> ParticleSet:
    """What all three networks read."""
    from rootloom.representations.particle_set import ParticleSet

    return ParticleSet(
        objects=tuple(f"parts.{name}" for name in ("e", *QUANTITIES) if name != "energy"),
        points=("parts.deta", "parts.dphi"),
        momenta=("parts",),
        max_objects=128,
    )


def write_files(folder: Path, count: int) -> None:
    """The ROOT files of both programs, and weaver's description."""
    from batches import WEAVER, jets, write_root

    for k in range(FILES):
        write_root(folder / f"jets{k}.root", jets(count // FILES, k))
    groups = {
        "points": ("deta", "dphi"),
        "features": QUANTITIES,
        "vectors": ("px", "py", "pz", "energy"),
        "mask": ("mask",),
    }
    lines = [
        f"  {name}: {{length: 128, vars: [{', '.join(f'[part_{n}, null]' for n in names)}]}}"
        for name, names in groups.items()
    ]
    head, _, rest = WEAVER.partition("inputs:\n")
    tail = rest[rest.index("labels:") :]
    (folder / "weaver.yaml").write_text("\n".join([f"{head}inputs:", *lines, tail]))


def write_shards(folder: Path) -> float:
    """Shards of the ROOT files, and statistics; seconds for each jet."""
    from batches import CLASSES, SPLITS, reweight
    from rootloom.rootio.dataset import ClassRule, RowReader
    from rootloom.shards.merging import merge_all
    from rootloom.shards.statistics import shard_statistics
    from rootloom.shards.writer import ShardWriter

    names = {"e" if name == "energy" else name: f"part_{name}" for name in QUANTITIES}
    reader = RowReader(
        "tree",
        {"pt": "jet_pt"},
        objects={"parts": names},
        classes=tuple(ClassRule(name, f"label_{name} == 1") for name in CLASSES),
    )
    import uproot

    start, rows, parts = time.perf_counter(), 0, []
    for source in sorted(folder.glob("jets*.root")):
        with uproot.open(source) as file:
            entries = file["tree"].num_entries
        place = source.with_suffix(".h5")
        place.unlink(missing_ok=True)
        with ShardWriter(place, file_key=source.name, splits=SPLITS, auxiliary=("pt",)) as writer:
            for block in reader.read(str(source), 0, entries):
                writer.append(block, inputs().encode(block.columns))
                rows += len(block)
        parts.append(shard_statistics(place, inputs(), classes=CLASSES, reweights=(reweight(),)))
    (folder / "statistics.json").write_text(merge_all(parts).to_json())
    return (time.perf_counter() - start) / rows


def ours(folder: Path, network: str, size: int, *, fresh: bool) -> Callable[[], float]:
    """A call that trains an epoch and gives its seconds for each jet; fresh: from disk."""
    import jax
    import optax

    from batches import CLASSES, reweight
    from rootloom.batches.loader import Loader
    from rootloom.config import registry
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.weights import Weighting, WeightTable
    from rootloom.tasks.classification import Classification
    from rootloom.training import parallel
    from rootloom.training.state import initial_params, initial_state
    from rootloom.training.step import train_step

    statistics = Statistics.from_json((folder / "statistics.json").read_text())
    weights = WeightTable.from_statistics(
        statistics, dataset="jets", weighting=Weighting(reweight=reweight())
    )

    def loader() -> Loader:
        return Loader(
            sorted(folder.glob("jets*.h5")), inputs(), "train", size, weights=weights,
            cache_bytes=CACHE,
        )  # fmt: skip

    kept = loader()
    task = Classification(
        registry.resolve("models", network)(), inputs(), statistics.moments, CLASSES
    )
    state, rule, number = None, optax.adam(1e-3), 0
    step = parallel.updating(partial(train_step, task, rule, size))

    def call() -> float:
        nonlocal state, number
        start, found = time.perf_counter(), None
        for batch in (loader() if fresh else kept).epoch(number):
            if state is None:
                state = parallel.replicate(
                    initial_state(initial_params(task, batch, 0), rule, 0), 1
                )
            state, found = step(state, batch)
        jax.block_until_ready((state, found))
        number += 1
        return (time.perf_counter() - start) / kept.rows

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weaver", required=True, help="a Python that has weaver-core")
    parser.add_argument("--jets", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS], choices=NETWORKS)
    arguments = parser.parse_args()
    from common import compare
    from training import Worker

    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_files(folder, arguments.jets)
        write_shards(folder)
        peer = Worker(arguments.weaver, "weaver_epochs.py", place)
        for network in arguments.networks:
            size = NETWORKS[network]
            candidates = {
                "weaver-core, by files": partial(peer.ask, network, size),
                "rootloom, first": ours(folder, network, size, fresh=True),
                "rootloom, later": ours(folder, network, size, fresh=False),
                "shards, once": partial(write_shards, folder),
            }
            name = f"epochs {network} batch {size}"
            compare(name, candidates, arguments.repeats, items=1, unit="jets")
        peer.process.terminate()


if __name__ == "__main__":
    main()
