"""Compiled kernels of clustering trees: orient a jet, join its constituents, describe the nodes."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numba import njit

from rootloom.physics.jets.clustering import cluster, inclusive_jets
from rootloom.physics.jets.scalars import azimuth, longest, pt2_of, rapidity
from rootloom.types import Ragged

Topology = Literal["kt", "cambridge_aachen", "anti_kt", "ascending_pt", "descending_pt", "random"]
# Positions in this tuple are the integers that the kernels take.
TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)

FEATURES = 7

# η of a node along the beam, where it is infinite; after `orient` jets lie within |η| < 3.
_MAX_ETA = 10.0


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
def _orient(p: np.ndarray, sub: np.ndarray) -> None:
    n, count = len(p), len(sub)
    if count == 0 or pt2_of(sub[0, 0], sub[0, 1]) == 0.0:
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
def _orient_all(
    p4: np.ndarray, offsets: np.ndarray, subjets: np.ndarray, subjet_offsets: np.ndarray
) -> None:
    for row in range(len(offsets) - 1):
        _orient(
            p4[offsets[row] : offsets[row + 1]],
            subjets[subjet_offsets[row] : subjet_offsets[row + 1]],
        )


def orient(p4: np.ndarray, offsets: np.ndarray, radius: float) -> None:
    """Louppe et al. 1702.00748 §4: a common position and orientation of all jets, in place.

    By kT subjets: rotate about the beam until the leading one has φ = 0, boost along the beam
    until it has η = 0, rotate about x until the second has pz = 0 and py < 0, and mirror z if the
    third then has pz < 0. Steps for which there is no subjet, or one along the beam, are left out.
    """
    subjets, _ = inclusive_jets(p4, offsets, "kt", radius)
    _orient_all(p4, offsets, subjets.values, subjets.offsets)


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
def _join_all(
    p4: np.ndarray, offsets: np.ndarray, parents: np.ndarray, topology: int, seed: np.uint64
) -> tuple:
    """Merges (M, 2) of every jet, harder child left; `parents` are used by the first topologies."""
    rows = len(offsets) - 1
    starts = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        starts[row + 1] = starts[row] + max(offsets[row + 1] - offsets[row] - 1, 0)
    merges = np.empty((starts[rows], 2), np.int32)
    nodes = np.empty((2 * longest(offsets), 4))
    for row in range(rows):
        jet = p4[offsets[row] : offsets[row + 1]]
        n, joined = len(jet), merges[starts[row] : starts[row + 1]]
        if n < 2:
            continue
        if topology < 3:
            joined[:] = parents[offsets[row] : offsets[row] + n - 1]
        elif topology == 3:  # ascending list folded from its end: the hardest two first
            _join_in_sequence(n, 0, 1, joined)
        elif topology == 4:
            _join_in_sequence(n, n - 1, -1, joined)
        else:
            _join_randomly(jet, seed, joined)
        _harder_left(jet, joined, nodes)
    return merges, starts


@njit(cache=True, nogil=True)
def _sort_all(p4: np.ndarray, offsets: np.ndarray) -> None:
    for row in range(len(offsets) - 1):
        _sort(p4[offsets[row] : offsets[row + 1]])


def grow(
    constituents: Ragged, topology: Topology, radius: float | None, seed: int
) -> tuple[Ragged, Ragged]:
    """Trees of many jets: leaves (L, 4) float64, hardest first, and merges (M, 2) int32.

    constituents: values (V, 4) px, py, pz, E. radius: of the subjets that orient a jet; None
    leaves it as it is. An empty jet gets one leaf of zero momentum.
    """
    p4, offsets = constituents.values.copy(), constituents.offsets
    _sort_all(p4, offsets)
    if radius is not None:
        orient(p4, offsets, radius)
        _sort_all(p4, offsets)  # turning about x changed the transverse momenta
    parents = np.empty((0, 2), np.int32)
    if topology == "kt" or topology == "cambridge_aachen" or topology == "anti_kt":
        parents = cluster(p4, offsets, topology).parents
    merges, starts = _join_all(p4, offsets, parents, TOPOLOGIES.index(topology), np.uint64(seed))
    return _with_leaf(Ragged(p4, offsets)), Ragged(merges, starts)


def _with_leaf(leaves: Ragged) -> Ragged:
    """A zero momentum in every row that has none."""
    empty = leaves.counts() == 0
    offsets = leaves.offsets + np.concatenate([[0], np.cumsum(empty)])
    return Ragged(np.insert(leaves.values, leaves.offsets[:-1][empty], 0.0, axis=0), offsets)


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


@njit(cache=True, nogil=True)
def gather(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The pairs (V, 2) of the chosen rows, one row after another."""
    total = 0
    for row in rows:
        total += offsets[row + 1] - offsets[row]
    out = np.empty((total, 2), values.dtype)
    at = 0
    for row in rows:
        for i in range(offsets[row], offsets[row + 1]):
            out[at, 0], out[at, 1] = values[i, 0], values[i, 1]
            at += 1
    return out
