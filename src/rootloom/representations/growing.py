"""Compiled kernels of clustering trees: orient a jet, join its constituents, describe the nodes."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rootloom.physics.clustering import (
    E_SCHEME,
    WHOLE,
    Slots,
    Steps,
    cluster_jet,
    slots_for,
    steps_for,
    subjets_of,
)
from rootloom.physics.scalars import azimuth, longest, pt2_of, rapidity

# Positions in this tuple are the integers that the kernels take; the first three are kT-like.
TOPOLOGIES = ("kt", "cambridge_aachen", "anti_kt", "ascending_pt", "descending_pt", "random")

FEATURES = 7

# η of a node along the beam, where it is infinite; after `orient` jets lie within |η| < 3.
_MAX_ETA = 10.0
_KT = 1


@njit(cache=True, nogil=True)
def _before(p: np.ndarray, i: int, q: np.ndarray) -> bool:
    """Whether row i of `p` comes before momentum `q`: harder in pT, then larger px, py, pz."""
    a, b = pt2_of(p[i, 0], p[i, 1]), pt2_of(q[0], q[1])
    if a != b:
        return a > b
    for k in range(3):
        if p[i, k] != q[k]:
            return p[i, k] > q[k]
    return True


@njit(cache=True, nogil=True)
def _sort(p: np.ndarray) -> None:
    """Hardest first, in place: makes everything after it independent of the input's order."""
    held = np.empty(4)
    for i in range(1, len(p)):
        held[:] = p[i]
        j = i
        while j > 0 and not _before(p, j - 1, held):
            p[j] = p[j - 1]
            j -= 1
        p[j] = held


@njit(cache=True, nogil=True)
def _turn(p: np.ndarray, count: int, i: int, j: int, c: float, s: float, sign: float) -> None:
    """(p_i, p_j) → (c p_i − sign·s p_j, s p_i + c p_j): a rotation (sign 1) or boost (−1)."""
    for row in range(count):
        a, b = p[row, i], p[row, j]
        p[row, i] = c * a - sign * s * b
        p[row, j] = s * a + c * b


@njit(cache=True, nogil=True)
def orient(
    p: np.ndarray, radius: float, slots: Slots, steps: Steps, labels: np.ndarray, sub: np.ndarray
) -> None:
    """Louppe et al. 1702.00748 §4: a common position and orientation of all jets, in place.

    By kT subjets: rotate about the beam until the leading one has φ = 0, boost along the beam
    until it has η = 0, rotate about x until the second has pz = 0 and py < 0, and mirror z if the
    third then has pz < 0. Steps for which there is no subjet, or one along the beam, are left out.
    """
    n = len(p)
    count = subjets_of(p, _KT, radius, slots, steps, labels, sub)
    if pt2_of(sub[0, 0], sub[0, 1]) == 0.0:
        return
    phi = azimuth(sub[0, 0], sub[0, 1])
    y = rapidity(sub[0, 0], sub[0, 1], sub[0, 2], sub[0, 3])
    for momenta, rows in ((sub, count), (p, n)):
        _turn(momenta, rows, 0, 1, math.cos(-phi), math.sin(-phi), 1.0)
        _turn(momenta, rows, 2, 3, math.cosh(-y), math.sinh(-y), -1.0)
    if count < 2 or (sub[1, 1] == 0.0 and sub[1, 2] == 0.0):
        return
    angle = math.pi - math.atan2(sub[1, 2], sub[1, 1])
    for momenta, rows in ((sub, count), (p, n)):
        _turn(momenta, rows, 1, 2, math.cos(angle), math.sin(angle), 1.0)
    if count > 2 and sub[2, 2] < 0.0:
        for row in range(n):
            p[row, 2] = -p[row, 2]


@njit(cache=True, nogil=True)
def _mix(state: np.uint64) -> np.uint64:
    """A well-mixed function of 64 bits (splitmix64, Steele, Lea, Flood 2014)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@njit(cache=True, nogil=True)
def _join_randomly(p: np.ndarray, seed: np.uint64, merges: np.ndarray) -> None:
    """Join two random nodes at a time; the draws follow from the seed and the momenta alone."""
    n = len(p)
    state = _mix(seed)
    for word in p.view(np.uint64).ravel():
        state = _mix(state ^ word)
    pool = np.arange(n)
    for step in range(n - 1):
        for k in range(2):
            left = n - step - k
            state = _mix(state)
            drawn = np.int64(state % np.uint64(left))
            merges[step, k] = pool[drawn]
            pool[drawn] = pool[left - 1]
        pool[n - step - 2] = n + step


@njit(cache=True, nogil=True)
def _join_in_sequence(n: int, first: int, towards: int, merges: np.ndarray) -> None:
    """Fold the constituents one by one into a chain, from `first` in steps of `towards`."""
    node = first
    for step in range(n - 1):
        merges[step, 0] = node
        merges[step, 1] = first + (step + 1) * towards
        node = n + step


@njit(cache=True, nogil=True)
def _join(
    p: np.ndarray, topology: int, seed: np.uint64, slots: Slots, steps: Steps, merges: np.ndarray
) -> None:
    n = len(p)
    if topology == 3:  # ascending list folded from its end: the hardest two first
        _join_in_sequence(n, 0, 1, merges)
    elif topology == 4:
        _join_in_sequence(n, n - 1, -1, merges)
    elif topology == 5:
        _join_randomly(p, seed, merges)
    else:
        cluster_jet(p, 1 - topology, WHOLE, E_SCHEME, 1, slots, steps)
        merges[: n - 1] = steps.parents[: n - 1]


@njit(cache=True, nogil=True)
def _harder_left(p: np.ndarray, merges: np.ndarray, nodes: np.ndarray) -> None:
    """Swap children so that the left one has more pT; a tie leaves the order as it is."""
    n = len(p)
    nodes[:n] = p
    for step in range(n - 1):
        a, b = merges[step]
        for k in range(4):
            nodes[n + step, k] = nodes[a, k] + nodes[b, k]
        if pt2_of(nodes[a, 0], nodes[a, 1]) < pt2_of(nodes[b, 0], nodes[b, 1]):
            merges[step, 0], merges[step, 1] = b, a


@njit(cache=True, nogil=True)
def grow(
    p4: np.ndarray,
    offsets: np.ndarray,
    topology: int,
    preprocess: bool,
    radius: float,
    seed: np.uint64,
) -> tuple:
    """Trees of many jets, from momenta (V, 4) and offsets (R + 1,).

    Returns leaves (L, 4), their offsets, merges (M, 2) int32 and theirs. An empty jet gets one
    leaf of zero momentum.
    """
    size, rows = longest(offsets), len(offsets) - 1
    slots, steps = slots_for(size), steps_for(size)
    labels, sub = np.empty(size, np.int32), np.empty((size, 4))
    leaf_offsets = np.zeros(rows + 1, np.int64)
    merge_offsets = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        n = offsets[row + 1] - offsets[row]
        leaf_offsets[row + 1] = leaf_offsets[row] + max(n, 1)
        merge_offsets[row + 1] = merge_offsets[row] + max(n - 1, 0)
    leaves = np.zeros((leaf_offsets[rows], 4))
    merges = np.empty((merge_offsets[rows], 2), np.int32)
    for row in range(rows):
        start, stop = offsets[row], offsets[row + 1]
        if stop == start:
            continue
        jet = leaves[leaf_offsets[row] : leaf_offsets[row + 1]]
        jet[:] = p4[start:stop]
        _sort(jet)
        if preprocess:
            orient(jet, radius, slots, steps, labels, sub)
            _sort(jet)  # turning about x changed the transverse momenta
        joined = merges[merge_offsets[row] : merge_offsets[row + 1]]
        _join(jet, topology, seed, slots, steps, joined)
        _harder_left(jet, joined, steps.nodes)
    return leaves, leaf_offsets, merges, merge_offsets


@njit(cache=True, nogil=True)
def _describe(p: np.ndarray, jet_energy: float, out: np.ndarray) -> None:
    pt = math.hypot(p[0], p[1])
    if pt > 0.0:
        eta = min(max(math.asinh(p[2] / pt), -_MAX_ETA), _MAX_ETA)
    else:
        eta = 0.0 if p[2] == 0.0 else math.copysign(_MAX_ETA, p[2])
    out[0] = math.hypot(pt, p[2])
    out[1] = eta
    out[2] = math.atan2(p[1], p[0])
    out[3] = p[3]
    out[4] = p[3] / jet_energy if jet_energy > 0.0 else 0.0
    out[5] = pt
    out[6] = math.atan2(pt, p[2])


@njit(cache=True, nogil=True)
def node_features(
    leaves: np.ndarray,
    leaf_offsets: np.ndarray,
    merges: np.ndarray,
    merge_offsets: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """(T, 7) float32: |p|, η, φ, E, E/E_jet, pT, θ of the nodes of `rows`, leaves before merges."""
    total = 0
    most = 0
    for row in rows:
        count = leaf_offsets[row + 1] - leaf_offsets[row]
        total += 2 * count - 1
        most = max(most, 2 * count - 1)
    out = np.empty((total, FEATURES), np.float32)
    nodes = np.empty((most, 4))
    at = 0
    for row in rows:
        first, second = leaf_offsets[row], merge_offsets[row]
        n = leaf_offsets[row + 1] - first
        nodes[:n] = leaves[first : first + n]
        for step in range(n - 1):
            a, b = merges[second + step]
            for k in range(4):
                nodes[n + step, k] = nodes[a, k] + nodes[b, k]
        energy = nodes[2 * n - 2, 3]
        for node in range(2 * n - 1):
            _describe(nodes[node], energy, out[at + node])
        at += 2 * n - 1
    return out
