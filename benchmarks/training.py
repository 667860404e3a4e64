"""Training steps of the image networks on one core, against PyTorch's on the same shapes.

    python benchmarks/training.py --torch <python with torch>

Without --torch only our own are timed. All times are CPU seconds per step, the candidates in turns;
with --device gpu seconds of the wall clock, and a whole step of PyTorch's is also replayed as a
CUDA graph.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

CASES = (("cnn", 96), ("maxout", 32), ("maxout", 96))
VARIANTS = {
    "cpu": ("plain", "channels_last", "plain,compile", "channels_last,compile"),
    "gpu": ("plain", "plain,graph", "channels_last,graph", "plain,compile,graph"),
}
STEPS = {"cpu": 3, "gpu": 200}  # in a timed call


def our_step(network: str, batch_size: int, plain: bool, device: str) -> Callable[[], float]:
    """Our whole training step with Adam. plain: convolutions by XLA's own gradient."""
    import jax
    import numpy as np
    import optax

    from common import clock
    from rootloom.config import registry
    from rootloom.models import convolution
    from rootloom.representations.image import JetImage
    from rootloom.tasks.classification import Classification
    from rootloom.training import parallel
    from rootloom.training.state import initial_params, initial_state
    from rootloom.training.step import train_step
    from rootloom.types import Batch, Image

    rng = np.random.default_rng(0)
    batch = Batch(
        Image(rng.normal(size=(1, batch_size, 25, 25, 1)).astype(np.float32)),
        rng.integers(0, 2, (1, batch_size)).astype(np.int32),
        np.ones((1, batch_size), np.float32),
        rng.integers(0, 2**32, (1, batch_size, 2), dtype=np.uint32),
    )
    task = Classification(
        registry.resolve("models", network)(), JetImage(scale="none"), {}, ("b", "s")
    )
    rule = optax.adam(1e-3)
    state = parallel.replicate(initial_state(initial_params(task, batch, 0), rule, 0), 1)
    step = parallel.updating(partial(train_step, task, rule, batch_size))
    ours = convolution._patched
    if plain:
        convolution._patched = convolution.convolve_and_pool
    state, _ = step(state, batch)
    convolution._patched = ours
    now, steps = clock(device), STEPS[device]
    batch = jax.device_put(batch)

    def call() -> float:
        nonlocal state
        start = now()
        for _ in range(steps):
            state, sums = step(state, batch)
        jax.block_until_ready(sums)
        return (now() - start) / steps

    return call


class Worker:
    """A process with a peer's environment: a line of words is answered with seconds."""

    def __init__(self, python: str, script: str, *arguments: str | int) -> None:
        # Threads that wait by spinning would be charged for time they do not use.
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name(script)), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, *words: str | int) -> float:
        assert self.process.stdin
        assert self.process.stdout
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if answer.startswith("failed"):
            raise RuntimeError(answer.strip())
        return float(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", help="a Python that can import torch")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cpu":
        os.sched_setaffinity(0, {arguments.core})
    os.environ["PJRT_NPROC"] = "1"
    from common import compare

    peer = ("torch_training.py", device, STEPS[device])
    torch = Worker(arguments.torch, *peer) if arguments.torch else None
    for network, batch_size in CASES:
        candidates: dict[str, Callable[[], float]] = {}
        for variant in VARIANTS[device] if torch else ():
            ask = partial(torch.ask, network, batch_size, variant)
            try:
                ask()
            except RuntimeError as error:
                print(f"torch {variant}: {error}", file=sys.stderr)
                continue
            candidates[f"torch {variant}"] = ask
        # The reference of the ratios is the fastest of PyTorch's ways.
        candidates = dict(sorted(candidates.items(), key=lambda item: min(item[1](), item[1]())))
        candidates["rootloom"] = our_step(network, batch_size, False, device)
        if network == "cnn":
            plain = our_step(network, batch_size, True, device)
            candidates["rootloom, XLA's own gradients"] = plain
        name = f"training {network} batch {batch_size}"
        compare(name, candidates, arguments.repeats, items=batch_size, unit="images")


if __name__ == "__main__":
    main()
