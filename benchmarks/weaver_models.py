"""Networks of weaver-core, timed on request by `sets.py`, which starts it in weaver's environment.

    <python with weaver-core> weaver_models.py DEVICE ROWS

Reads "<network> <batch> <train|infer> <eager|compile>" lines, goes through the next ROWS jets, and
answers with seconds per jet by the wall clock. Its trimmer and its sparse evaluation of pairs are
on, as in its defaults.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import torch
from torch import Tensor, nn
from weaver.nn.model.ParticleNet import ParticleNet
from weaver.nn.model.ParticleTransformer import ParticleTransformer

from toy_sets import CLASSES, FEATURES, MADE, Jets

BLOCKS = [(16, (64, 64, 64)), (16, (128, 128, 128)), (16, (256, 256, 256))]


def network(name: str, compiled: bool) -> nn.Module:
    """As published, in weaver-core's own words."""
    if name == "particle_net":
        return ParticleNet(
            FEATURES, CLASSES, BLOCKS, [(256, 0.1)], use_fusion=False, compile_model=compiled
        )
    return ParticleTransformer(
        input_dim=FEATURES, num_classes=CLASSES, pair_input_dim=4, compile_model=compiled
    )


def batches(name: str, size: int, device: str) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """Padded batches of random jets, on the device."""
    jets = Jets.made()
    order = np.random.default_rng(2).permutation(jets.size)
    for first in range(0, min(MADE, jets.size - size + 1), size):
        rows = order[first : first + size]
        x, points, momenta, mask = (
            torch.from_numpy(a).transpose(1, 2).contiguous().to(device) for a in jets.padded(rows)
        )
        label = torch.from_numpy(jets.label[rows]).to(device)
        yield ((points, x, mask) if name == "particle_net" else (x, momenta, mask)), label


def run(name: str, size: int, mode: str, variant: str, device: str) -> Callable[[int], float]:
    """A call that goes through so many jets and gives its seconds for each."""
    torch.manual_seed(0)
    compiled = variant == "compile"
    model = network(name, compiled).to(device).train(mode == "train")
    if compiled:
        model = torch.compile(model)
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()
    made = cycle([*batches(name, size, device)])
    amp = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def step() -> None:
        inputs, label = next(made)
        with amp, torch.set_grad_enabled(mode == "train"):
            scores = model(*inputs)
        if mode == "train":
            optimizer.zero_grad(set_to_none=True)
            loss(scores.float(), label).backward()
            optimizer.step()

    def call(jets: int) -> float:
        steps = max(1, jets // size)
        start = time.perf_counter()
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / (steps * size)

    return call


def main() -> None:
    device, jets = ("cuda" if sys.argv[1] == "gpu" else "cpu"), int(sys.argv[2])
    calls: dict[str, Callable[[int], float]] = {}
    for line in sys.stdin:
        name, size, mode, variant = line.split()
        try:
            if line not in calls:
                calls[line] = run(name, int(size), mode, variant, device)
            print(calls[line](jets), flush=True)
        except Exception as error:  # the peer's, whatever it is
            print(f"failed: {type(error).__name__}: {error}".replace("\n", " "), flush=True)


main()
