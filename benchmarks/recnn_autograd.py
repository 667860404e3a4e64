"""The published way to train the gated recursive network: NumPy, Autograd, one level at a time.

Written from Louppe, Cho, Becot, Cranmer (arXiv:1702.00748), whose code is no longer installable:
nodes of equal depth of all trees of a batch are computed together, float64, Adam. It is the peer of
benchmarks/recnn.py, which starts it under a Python that has `autograd` and nothing else.

    python recnn_autograd.py BATCHES.npz      then a line on stdin for every timed round
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

HIDDEN, FEATURES = 40, 7


class Level(NamedTuple):
    """Nodes of one depth, merges before leaves. left, right: places in the next level."""

    x: np.ndarray
    left: np.ndarray
    right: np.ndarray


def levels_of(trees: list[tuple[np.ndarray, np.ndarray]]) -> list[Level]:
    """The levels of a batch, roots first. A tree: merges (n − 1, 2), features (2n − 1, 7)."""
    current = [(tree, len(x) - 1) for tree, (_, x) in enumerate(trees)]
    levels = []
    while current:
        merges, leaves, below = [], [], []
        for tree, node in current:
            is_leaf = node <= len(trees[tree][0])
            (leaves if is_leaf else merges).append((tree, node))
        for tree, node in merges:
            own = trees[tree][0]
            below.extend((tree, int(child)) for child in own[node - len(own) - 1])
        order = [n > len(trees[t][0]) for t, n in below]
        place = np.empty(len(below), int)
        place[np.argsort(np.logical_not(order), kind="stable")] = np.arange(len(below))
        x = np.stack([trees[t][1][n] for t, n in merges + leaves])
        levels.append(Level(x, place[0::2], place[1::2]))
        current = sorted(below, key=lambda at: at[1] <= len(trees[at[0]][0]))
    return levels


def initial(rng: np.random.Generator, dtype: type) -> dict[str, np.ndarray]:
    shapes = {
        "u": (FEATURES, HIDDEN), "r": (3 * HIDDEN, 3 * HIDDEN), "h": (3 * HIDDEN, HIDDEN),
        "z": (4 * HIDDEN, 4 * HIDDEN), "c0": (HIDDEN, HIDDEN), "c1": (HIDDEN, HIDDEN),
        "c2": (HIDDEN, 1),
    }  # fmt: skip
    params = {}
    for name, (rows, columns) in shapes.items():
        bound = np.sqrt(6 / (rows + columns))
        params[name] = rng.uniform(-bound, bound, (rows, columns)).astype(dtype)
        params[name + "_b"] = np.zeros(columns, dtype)
    return params


def relu(x: Any) -> Any:
    return 0.5 * (x + anp.abs(x))


def sigmoid(x: Any) -> Any:
    return 0.5 * (anp.tanh(x) + 1.0)


def logits(p: dict[str, Any], levels: list[Level]) -> Any:
    """(B,): the gated recursion from the lowest level up, then the classifier."""
    h = None
    for x, left, right in reversed(levels):
        u = relu(anp.dot(x, p["u"]) + p["u_b"])
        inner = len(left)
        if inner == 0:
            h = u
            continue
        h_left, h_right, own = h[left], h[right], u[:inner]
        below = anp.concatenate([h_left, h_right, own], axis=1)
        r = sigmoid(anp.dot(below, p["r"]) + p["r_b"])
        new = relu(anp.dot(r * below, p["h"]) + p["h_b"])
        z = anp.dot(anp.concatenate([new, below], axis=1), p["z"]) + p["z_b"]
        z = anp.reshape(z, (inner, 4, HIDDEN))
        e = anp.exp(z - anp.max(z, axis=1, keepdims=True))
        z = e / anp.sum(e, axis=1, keepdims=True)
        merged = z[:, 0] * new + z[:, 1] * h_left + z[:, 2] * h_right + z[:, 3] * own
        h = anp.concatenate([merged, u[inner:]], axis=0)
    h = relu(anp.dot(h, p["c0"]) + p["c0_b"])
    h = relu(anp.dot(h, p["c1"]) + p["c1_b"])
    return (anp.dot(h, p["c2"]) + p["c2_b"])[:, 0]


def loss(p: dict[str, Any], levels: list[Level], signal: np.ndarray) -> Any:
    logit = logits(p, levels)
    return anp.mean(anp.logaddexp(0.0, logit) - signal * logit)


class Adam:
    def __init__(self, params: dict[str, np.ndarray]) -> None:
        self.m = {name: np.zeros_like(value) for name, value in params.items()}
        self.v = {name: np.zeros_like(value) for name, value in params.items()}
        self.steps = 0

    def update(self, params: dict[str, np.ndarray], gradient: dict[str, np.ndarray]) -> None:
        self.steps += 1
        for name, g in gradient.items():
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g**2
            m, v = self.m[name] / (1 - 0.9**self.steps), self.v[name] / (1 - 0.999**self.steps)
            params[name] = params[name] - 5e-4 * m / (np.sqrt(v) + 1e-8)


def batches(path: str, dtype: type) -> list[tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]]:
    """Batches of trees and their targets, as benchmarks/recnn.py writes them."""
    data = np.load(path)
    merges = np.split(data["merges"].astype(int), np.cumsum(data["counts"] - 1)[:-1])
    nodes = np.split(data["features"].astype(dtype), np.cumsum(2 * data["counts"] - 1)[:-1])
    trees, size = list(zip(merges, nodes, strict=True)), int(data["size"])
    signal = data["signal"].astype(dtype)
    return [(trees[k : k + size], signal[k : k + size]) for k in range(0, len(trees), size)]


def main() -> None:
    path, precision, prepared = sys.argv[1], sys.argv[2], sys.argv[3] == "prepared"
    dtype = np.dtype(precision).type
    data = batches(path, dtype)
    params = initial(np.random.default_rng(0), dtype)
    adam, step = Adam(params), value_and_grad(loss)
    ready = [levels_of(trees) for trees, _ in data]
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for (trees, signal), levels in zip(data, ready, strict=True):
            _, gradient = step(params, levels if prepared else levels_of(trees), signal)
            adam.update(params, gradient)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
