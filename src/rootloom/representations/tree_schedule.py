"""Trees of a batch, laid out so that a recursive network runs over all of them at once.

A merge can be computed when both its children are. Merges of all trees are therefore taken in
*waves* of a fixed width, those farthest from their root first: with one unit of time a merge this
is the shortest possible schedule of a forest (Hu 1961, Oper. Res. 9, 841). Slots are numbered in
the order of computation, so that a wave writes one contiguous block. Wide waves come first and
narrow ones at the end, when only the deepest trees are left: a few per cent of the slots are
empty, for bushy (kT) and deep (anti-kT, chains) trees alike.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

import numpy as np
from numba import njit

from rootloom.errors import DataError
from rootloom.types import A

# Slots a wave. Wide ones keep matrix products efficient, narrow ones leave few slots empty.
WIDTHS = (256, 64, 16)

# A width is given up once fewer than this share of its slots can be filled.
FILL = 0.75


class Tree(NamedTuple, Generic[A]):
    """B trees: L leaves, S slots of one merge each, F features a node. NumPy or JAX arrays.

    leaves:   (L, F) float32, the leaves' features, tree after tree.
    merges:   (S, F) float32, the merges' features, in order of computation.
    children: (S, 2) int32, left and right: 1 + s for slot s, −1 − l for leaf l.
    root:     (B,) int32, numbered likewise.
    leaf_use: (L,) int32, where a node's state is used: 1 + b as root of tree b;
              1 + B + 3 s + side as left (side 0) or right (1) child of slot s.
    slot_use: (S,) int32, likewise.
    waves:    (len(WIDTHS),) int32, waves of each width.

    0 is "nothing" everywhere (a leaf or slot holds a node where its use is not 0), so that batches
    of different L and S may be padded with zeros to a common shape.
    """

    leaves: A
    merges: A
    children: A
    root: A
    leaf_use: A
    slot_use: A
    waves: A


class _Links(NamedTuple):
    """What the schedule knows of every merge, all (M,) int32."""

    depth: np.ndarray  # distance to the root
    parent: np.ndarray  # −1: a root
    wait: np.ndarray  # children that are merges not computed yet
    after: np.ndarray  # the next in the list of ready merges of the same depth


def pack(leaf_counts: np.ndarray, merges: np.ndarray, node_features: np.ndarray, size: int) -> Tree:
    """Lay out R ≤ `size` trees; the other `size` − R are absent.

    leaf_counts:   (R,) integers, leaves n of each tree; 0 makes an absent tree.
    merges:        (Σ(n − 1), 2) uint16, (left, right) in the order of joining; nodes below n are
                   leaves, node n + i is made by merge i, the last one is the root.
    node_features: (Σ(2n − 1), F) float32, tree after tree, leaves before merges.

    The shapes are S = `capacity(slots)` and L = S + size, so that few distinct ones occur.
    Raises DataError for merges that do not join each node of a tree exactly once.
    """
    counts = np.ascontiguousarray(leaf_counts, np.int64)
    merges = np.ascontiguousarray(merges, np.uint16).reshape(-1, 2)
    features = np.ascontiguousarray(node_features, np.float32)
    _check_lengths(counts, merges, features, size)
    slot, waves, slots, bad = _schedule(counts, merges, np.array(WIDTHS), FILL)
    if bad >= 0:
        raise DataError(
            f"tree {bad} of a batch",
            expected="merges that join every node but the last exactly once",
            found=f"{merges[_first(counts, bad) :][: counts[bad] - 1].tolist()}",
        )
    room = capacity(int(slots))
    tree = Tree(
        leaves=np.zeros((room + size, features.shape[1]), np.float32),
        merges=np.zeros((room, features.shape[1]), np.float32),
        children=np.zeros((room, 2), np.int32),
        root=np.zeros(size, np.int32),
        leaf_use=np.zeros(room + size, np.int32),
        slot_use=np.zeros(room, np.int32),
        waves=waves,
    )
    _place(counts, merges, features, slot, *tree[:-1])
    return tree


def capacity(slots: int) -> int:
    """The next of 16, 20, 24, 28, 32, 40, 48, …: at most a quarter more than asked for."""
    step = 4
    while 7 * step < slots:
        step *= 2
    return step * max(4, -(-slots // step))


def _first(counts: np.ndarray, tree: int) -> int:
    return int(np.maximum(counts[:tree] - 1, 0).sum())


def _check_lengths(counts: np.ndarray, merges: np.ndarray, features: np.ndarray, size: int) -> None:
    present = counts[counts > 0]
    leaves = int(present.sum())
    expected = (leaves - len(present), 2 * leaves - len(present))
    if (len(merges), len(features)) != expected or len(counts) > size:
        raise DataError(
            "trees of a batch",
            expected=f"{expected[0]} merges and {expected[1]} nodes for {leaves} leaves, "
            f"at most {size} trees",
            found=f"{len(merges)} merges, {len(features)} nodes, {len(counts)} trees",
        )


@njit(cache=True, nogil=True)
def _link(counts: np.ndarray, merges: np.ndarray, links: _Links) -> int:
    """Fill `links`; returns the first tree whose merges are no tree's, −1 if there is none."""
    first = 0
    joined = np.zeros(2 * counts.max() if len(counts) else 0, np.bool_)
    for tree in range(len(counts)):
        n = counts[tree]
        joined[: 2 * n] = False
        for i in range(n - 2, -1, -1):
            k = first + i
            for side in range(2):
                node = np.int64(merges[k, side])
                if node >= n + i or joined[node]:
                    return tree
                joined[node] = True
                if node >= n:
                    child = first + node - n
                    links.parent[child] = k
                    links.depth[child] = links.depth[k] + 1
                    links.wait[k] += 1
        first += max(n - 1, 0)
    return -1


@njit(cache=True, nogil=True)
def _push(links: _Links, head: np.ndarray, k: int) -> None:
    links.after[k] = head[links.depth[k]]
    head[links.depth[k]] = k


@njit(cache=True, nogil=True)
def _release(links: _Links, head: np.ndarray, k: int) -> int:
    """Tell k's parent that k is done; its depth if it has become ready by that, else −1."""
    parent = links.parent[k]
    if parent < 0:
        return -1
    links.wait[parent] -= 1
    if links.wait[parent] > 0:
        return -1
    _push(links, head, parent)
    return links.depth[parent]


@njit(cache=True, nogil=True)
def _schedule(
    counts: np.ndarray, merges: np.ndarray, widths: np.ndarray, fill: float
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Slot of every merge (M,), waves of each width, slots taken, the first bad tree or −1."""
    total = len(merges)
    links = _Links(
        np.zeros(total, np.int32),
        np.full(total, -1, np.int32),
        np.zeros(total, np.int32),
        np.empty(total, np.int32),
    )
    slot = np.zeros(total, np.int32)
    waves = np.zeros(len(widths), np.int32)
    bad = _link(counts, merges, links)
    if bad >= 0 or total == 0:
        return slot, waves, 0, bad
    deepest = links.depth.max()
    head = np.full(deepest + 1, -1, np.int32)
    ready = 0
    for k in range(total - 1, -1, -1):
        if links.wait[k] == 0:
            _push(links, head, k)
            ready += 1
    wave = np.empty(widths.max(), np.int32)
    phase, slots = 0, 0
    while ready > 0:
        while phase < len(widths) - 1 and ready < fill * widths[phase]:
            phase += 1
        taken = min(ready, widths[phase])
        for i in range(taken):
            while head[deepest] < 0:
                deepest -= 1
            k = head[deepest]
            head[deepest] = links.after[k]
            slot[k] = slots + i
            wave[i] = k
        ready -= taken
        for i in range(taken):
            depth = _release(links, head, wave[i])
            deepest = max(deepest, depth)
            ready += depth >= 0
        waves[phase] += 1
        slots += widths[phase]
    return slot, waves, slots, -1


@njit(cache=True, nogil=True)
def _place(
    counts: np.ndarray,
    merges: np.ndarray,
    features: np.ndarray,
    slot: np.ndarray,
    leaf_x: np.ndarray,
    merge_x: np.ndarray,
    children: np.ndarray,
    root: np.ndarray,
    leaf_use: np.ndarray,
    slot_use: np.ndarray,
) -> None:
    merge, leaf, node = 0, 0, 0
    below = 1 + len(root)
    for tree in range(len(counts)):
        n = counts[tree]
        if n == 0:
            continue
        leaf_x[leaf : leaf + n] = features[node : node + n]
        for i in range(n - 1):
            s = slot[merge + i]
            merge_x[s] = features[node + n + i]
            for side in range(2):
                child = np.int64(merges[merge + i, side])
                if child < n:
                    children[s, side] = -1 - leaf - child
                    leaf_use[leaf + child] = below + 3 * s + side
                else:
                    at = slot[merge + child - n]
                    children[s, side] = 1 + at
                    slot_use[at] = below + 3 * s + side
        if n == 1:
            root[tree] = -1 - leaf
            leaf_use[leaf] = 1 + tree
        else:
            last = slot[merge + n - 2]
            root[tree] = 1 + last
            slot_use[last] = 1 + tree
        merge += n - 1
        leaf += n
        node += 2 * n - 1
