"""The same networks in PyTorch, timed on request by `training.py` or `tables.py`, which start it.

    <python with torch> torch_training.py cpu|gpu STEPS

Reads "<network> <batch> <variant>" lines, does STEPS training steps each time, and answers with
seconds per step: of the processor, or with a GPU of the wall clock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from common import clock


class Conv(nn.Module):
    """de Oliveira et al., arXiv:1511.05190, with its output unit."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 64, 11, padding=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        )
        self.dense = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.convolutions(x).flatten(1))[:, 0]


class MaxOut(nn.Module):
    """The maxout network of the same paper."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(625, 256 * 5), nn.Linear(256, 128 * 5)
        self.drops = nn.ModuleList([nn.Dropout(0.3), nn.Dropout(0.2)])
        self.dense = nn.Sequential(
            nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 25), nn.ReLU(),
            nn.Dropout(0.3), nn.Linear(25, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer, drop in zip((self.first, self.second), self.drops, strict=True):
            h = drop(layer(h).unflatten(1, (5, -1)).amax(dim=1))
        return self.dense(h)[:, 0]


class Tanh(nn.Module):
    """Baldi, Sadowski, Whiteson, arXiv:1402.4735: layers of 300 units on 28 features."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        pairs = pairwise([28, *[300] * layers])
        hidden = [part for a, b in pairs for part in (nn.Linear(a, b), nn.Tanh())]
        self.dense = nn.Sequential(*hidden, nn.Linear(300, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)[:, 0]


class Block(nn.Module):
    """A residual block of `TableResNet`."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(256), nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(512, 256), nn.Dropout(0.1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class TableResNet(nn.Module):
    """Blocks of width 256 on 28 numbers, each embedded by 16 frequencies in 8 features."""

    def __init__(self) -> None:
        super().__init__()
        self.frequency = nn.Parameter(0.1 * torch.randn(28, 16))
        self.kernel = nn.Parameter(0.25 * torch.randn(28, 32, 8))
        self.bias = nn.Parameter(torch.zeros(28, 8))
        self.first, self.head = nn.Linear(28 * 9, 256), nn.Linear(256, 1)
        self.blocks = nn.Sequential(*(Block() for _ in range(4)), nn.LayerNorm(256), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        phase = 2 * torch.pi * x[:, :, None] * self.frequency
        waves = torch.cat([phase.sin(), phase.cos()], dim=-1)
        embedded = (torch.einsum("bfk,fkw->bfw", waves, self.kernel) + self.bias).relu()
        return self.head(self.blocks(self.first(torch.cat([x, embedded.flatten(1)], dim=1))))[:, 0]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": Conv,
    "maxout": MaxOut,
    "shallow-tanh": lambda: Tanh(1),
    "deep-tanh": lambda: Tanh(5),
    "table-resnet": TableResNet,
}
# Rows of a table in memory; every step takes others of them.
ROWS = 8192


def training_step(network: str, batch: int, variant: str, device: str) -> Callable[[], None]:
    """A step of Adam on random inputs. variant: a comma list.

    plain, channels_last: how images lie in memory. compile: the network is compiled. graph: the
    whole step is one CUDA graph.
    """
    torch.manual_seed(0)
    model, options = NETWORKS[network](), variant.split(",")
    image, graph = network in ("cnn", "maxout"), "graph" in options
    rows, shape = (batch, (1, 25, 25)) if image else (ROWS, (28,))
    x, y = torch.randn(rows, *shape), (torch.rand(rows) > 0.5).float()
    layout = torch.channels_last if "channels_last" in options else torch.preserve_format
    model, x, y = model.to(device, memory_format=layout), x.to(device), y.to(device)
    x = x.to(memory_format=layout)
    forward = torch.compile(model) if "compile" in options else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=graph)
    loss = nn.BCEWithLogitsLoss()

    def step() -> None:
        some = slice(None) if image else torch.randint(ROWS, (batch,), device=device)
        optimizer.zero_grad(set_to_none=True)
        loss(forward(x[some]), y[some]).backward()
        optimizer.step()

    return _captured(step) if graph else step


def _captured(step: Callable[[], None]) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # before a capture, as PyTorch's notes on graphs ask
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(of: Callable[[], None] = step) -> None:  # the network lives as long as its graph
        graph.replay()

    return replay


def main() -> None:
    device, count = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    # As JAX multiplies matrices on such GPUs: with the 10 bits of TF32.
    torch.set_float32_matmul_precision("high")
    now, where = clock(device), {"cpu": "cpu", "gpu": "cuda"}[device]
    done = torch.cuda.synchronize if device == "gpu" else lambda: None
    steps: dict[str, Callable[[], None]] = {}
    for line in sys.stdin:
        network, batch, variant = line.split()
        try:
            if line not in steps:
                steps[line] = training_step(network, int(batch), variant, where)
                steps[line]()
            done()
            start = now()
            for _ in range(count):
                steps[line]()
            done()
            print((now() - start) / count, flush=True)
        except Exception as error:
            print(f"failed: {error}".replace("\n", " ")[:200], flush=True)


if __name__ == "__main__":
    main()
