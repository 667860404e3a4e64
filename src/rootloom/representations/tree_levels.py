"""Trees level by level, for networks that are exported: each row of arrays is a tree."""

from __future__ import annotations

from typing import Generic, NamedTuple

import numpy as np
from numba import njit

from rootloom.types import A


class Levels(NamedTuple, Generic[A]):
    """B trees in L levels of W places: the root in place 0 of level 0, children one level below.

    nodes:    (B, L, W, F) float32, features of each node; 0 in places without one.
    children: (B, L, W, 2) int32, places of left and right child in the level below; −1 of leaves
              and in places without a node.

    Nothing but the levels below a node decides its state, so that a loop over levels, the deepest
    first, needs neither a schedule nor writing at computed places.
    """

    nodes: A
    children: A


def in_levels(counts: np.ndarray, merges: np.ndarray, features: np.ndarray) -> Levels[np.ndarray]:
    """Trees one after the other as `Levels`, with as many levels and places as the largest needs.

    counts: (R,) leaves n of each tree, 1 or more. merges: (Σ(n − 1), 2), nodes that are joined;
    those below n are leaves, n + i is made by merge i. features: (Σ(2n − 1), F), leaves first.
    """
    depth, place = _places(counts, merges)
    shape = (len(counts), 1 + int(depth.max(initial=0)), 1 + int(place.max(initial=0)))
    nodes = np.zeros((*shape, features.shape[1]), np.float32)
    children = np.full((*shape, 2), -1, np.int32)
    _fill(counts, merges, features, depth, place, nodes, children)
    return Levels(nodes, children)


@njit(cache=True, nogil=True)
def _places(counts: np.ndarray, merges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and place of every node."""
    total = 2 * counts.sum() - len(counts)
    depth, place = np.zeros(total, np.int64), np.zeros(total, np.int64)
    taken = np.zeros(counts.max() if len(counts) else 0, np.int64)
    first, merge = 0, 0
    for n in counts:
        taken[:] = 0
        taken[0] = 1  # the root, which is the last node
        for i in range(n - 2, -1, -1):
            below = depth[first + n + i] + 1
            for side in range(2):
                child = first + np.int64(merges[merge + i, side])
                depth[child], place[child] = below, taken[below]
                taken[below] += 1
        first += 2 * n - 1
        merge += n - 1
    return depth, place


@njit(cache=True, nogil=True)
def _fill(
    counts: np.ndarray,
    merges: np.ndarray,
    features: np.ndarray,
    depth: np.ndarray,
    place: np.ndarray,
    nodes: np.ndarray,
    children: np.ndarray,
) -> None:
    first, merge = 0, 0
    for row in range(len(counts)):
        n = counts[row]
        for k in range(first, first + 2 * n - 1):
            nodes[row, depth[k], place[k]] = features[k]
        for i in range(n - 1):
            at = first + n + i
            for side in range(2):
                child = first + np.int64(merges[merge + i, side])
                children[row, depth[at], place[at], side] = place[child]
        first += 2 * n - 1
        merge += n - 1
