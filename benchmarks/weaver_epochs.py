"""Whole training epochs of weaver-core, timed on request by `set_epochs.py`, which starts it.

    <python with weaver-core> weaver_epochs.py FOLDER

FOLDER has ROOT files and weaver.yaml. Reads "<network> <batch>" lines, trains one epoch from the
files, and answers with seconds per jet by the wall clock. Its loader reads by files in one worker
process, its default, beside the training.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from weaver.nn.model.ParticleNet import ParticleNet
from weaver.nn.model.ParticleTransformer import ParticleTransformer
from weaver.utils.dataset import SimpleIterDataset

FEATURES, CLASSES = 8, 4
BLOCKS = [(16, (64, 64, 64)), (16, (128, 128, 128)), (16, (256, 256, 256))]


class ParticleFlow(nn.Module):
    """Deep sets of arXiv:1810.05165, as weaver-core's users write them."""

    def __init__(self) -> None:
        super().__init__()
        objects, row = (FEATURES, 100, 100, 128), (128, 100, 100, 100)
        self.objects = nn.Sequential(
            *(layer for a, b in pairwise(objects) for layer in (nn.Conv1d(a, b, 1), nn.ReLU()))
        )
        self.row = nn.Sequential(
            *(layer for a, b in pairwise(row) for layer in (nn.Linear(a, b), nn.ReLU())),
            nn.Linear(100, CLASSES),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.row((self.objects(x) * mask).sum(dim=-1))


def network(name: str) -> nn.Module:
    """As published, in weaver-core's own words where it has them."""
    if name == "particle_net":
        return ParticleNet(FEATURES, CLASSES, BLOCKS, [(256, 0.1)], use_fusion=False)
    if name == "deep_sets":
        return ParticleFlow()
    return ParticleTransformer(input_dim=FEATURES, num_classes=CLASSES, pair_input_dim=4)


def epoch(folder: Path, name: str, size: int) -> Callable[[], float]:
    """A call that trains an epoch and gives its seconds for each jet."""
    torch.manual_seed(0)
    model = network(name).train()
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def call() -> float:
        files = {"_": sorted(map(str, folder.glob("jets*.root")))}
        data = SimpleIterDataset(
            files, str(folder / "weaver.yaml"), for_training=True, name="train",
            fetch_by_files=True, fetch_step=1,
        )  # fmt: skip
        start, seen = time.perf_counter(), 0
        for found, labels, _ in DataLoader(data, num_workers=1, batch_size=size):
            x, mask = found["features"].float(), found["mask"].float()
            inputs = {
                "deep_sets": (x, mask),
                "particle_net": (found["points"].float(), x, mask),
                "particle_transformer": (x, found["vectors"].float(), mask),
            }[name]
            optimizer.zero_grad(set_to_none=True)
            loss(model(*inputs), labels["_label_"].long()).backward()
            optimizer.step()
            seen += len(x)
        return (time.perf_counter() - start) / seen

    return call


def main() -> None:
    calls: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        name, size = line.split()
        if line not in calls:
            calls[line] = epoch(Path(sys.argv[1]), name, int(size))
        print(calls[line](), flush=True)


main()
