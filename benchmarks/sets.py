"""Training and inference of set networks beside weaver-core's, on jets of real multiplicities.

    python benchmarks/sets.py --weaver VENV/bin/python [--batch 64] [--device gpu] [--compile]

VENV: torch 2.13.0 and weaver-core 0.5.3, with its trimmer and sparse evaluation of pairs. Times are
of the wall clock, all cores, the candidates in turns; batches are made before. Ours are whole
steps of a training, in groups of like length, and predictions as a job makes them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

NETWORKS = ("particle_transformer", "particle_net")
GROUPS = 8
JETS = {"cpu": 512, "gpu": 32768}  # in a timed call


def columns() -> dict[str, Any]:
    """The jets as a shard's columns."""
    import numpy as np

    from rootloom.types import Ragged
    from toy_sets import Jets

    jets = Jets.made()
    names = [f"parts.x{k}" for k in range(jets.x.shape[1])]
    found = {
        name: Ragged(values, jets.offsets) for name, values in zip(names, jets.x.T, strict=True)
    }
    for name, values in zip(("px", "py", "pz", "e"), jets.momenta.T, strict=True):
        found[f"parts.{name}"] = Ragged(values, jets.offsets)
    rng = np.random.default_rng(3)
    return found | {
        "label": jets.label.astype(np.int32),
        "weight": np.ones(jets.size, np.float32),
        "id": rng.integers(0, 2**64, jets.size, dtype=np.uint64),
    }


def ours(network: str, size: int, mode: str, device: str) -> Callable[[], float]:
    """A call that gives seconds per jet."""
    import time

    import jax
    import numpy as np
    import optax

    from rootloom.batches import strata
    from rootloom.batches.assemble import assemble
    from rootloom.config import registry
    from rootloom.representations.particle_set import ParticleSet
    from rootloom.shards.moments import Moments
    from rootloom.tasks.classification import Classification
    from rootloom.training import parallel
    from rootloom.training.state import initial_params, initial_state
    from rootloom.training.step import train_step
    from toy_sets import CLASSES, FEATURES, MADE, MOST

    sets = ParticleSet(
        objects=tuple(f"parts.x{k}" for k in range(FEATURES)),
        points=("parts.x0", "parts.x1"),
        momenta=("parts",),
        max_objects=MOST,
        groups=GROUPS,
    )
    shard = columns()
    encoded = sets.encode(shard) | {name: shard[name] for name in ("label", "weight", "id")}
    moments = {name: Moments.of(values) for name, values in sets.sample(encoded).items()}
    order = np.random.default_rng(2).permutation(len(shard["label"]))
    lengths = sets.row_lengths(encoded, order)
    if mode == "train":
        highest = strata.of_shuffled([lengths], size)
        words = np.random.default_rng(4).integers(0, 2**64, len(order) + 1, dtype=np.uint64)
        order = strata.deal(order, lengths, words, size)
    else:
        highest = strata.of_ordered([lengths], size)
    stairs = strata.stairs(highest, 1, GROUPS)
    made = [
        assemble(
            encoded, order[k : k + size], representation=sets, weights=None, devices=1, size=size,
            stairs=stairs,
        )
        for k in range(0, min(MADE, len(order) - size + 1), size)
    ]  # fmt: skip
    precision = {"dtype": "bfloat16"} if device == "gpu" else {}
    model = registry.resolve("models", network)(**precision)
    task = Classification(model, sets, moments, tuple(f"c{k}" for k in range(CLASSES)))
    params, rule = initial_params(task, made[0], 0), optax.adam(1e-3)
    held: Any
    if mode == "train":
        held = parallel.replicate(initial_state(params, rule, 0), 1)
        run = parallel.updating(partial(train_step, task, rule, size))
    else:
        held = parallel.replicate(params, 1)
        key = jax.random.key(0)
        run = parallel.on_every_device(lambda p, batch: (p, task.predict(p, batch, key)))
    batches = cycle([jax.device_put(batch) for batch in made])

    def call() -> float:
        nonlocal held
        steps = max(1, JETS[device] // size)
        start = time.perf_counter()
        for _ in range(steps):
            held, found = run(held, next(batches))
        jax.block_until_ready((held, found))
        return (time.perf_counter() - start) / (steps * size)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weaver", required=True, help="a Python that has weaver-core")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=("train", "infer"))
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="weaver-core's compiled variant too")
    arguments = parser.parse_args()
    from common import compare
    from training import Worker

    device, size = arguments.device, arguments.batch
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    peer = Worker(arguments.weaver, "weaver_models.py", device, JETS[device])
    for network in arguments.networks:
        for mode in arguments.modes:
            candidates: dict[str, Callable[[], float]] = {}
            for variant in ("eager", *(["compile"] if arguments.compile else [])):
                candidates[f"weaver-core {variant}"] = partial(
                    peer.ask, network, size, mode, variant
                )
            candidates["rootloom"] = ours(network, size, mode, device)
            name = f"sets {mode} {network} batch {size} {device}"
            compare(name, candidates, arguments.repeats, items=1, unit="jets")


if __name__ == "__main__":
    main()
