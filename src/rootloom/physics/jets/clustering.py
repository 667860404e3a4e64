"""Generalised-kT sequential recombination with full histories (Cacciari, Salam, Soyez 2008).

d_ij = min(pT_i^2p, pT_j^2p) ΔR²_ij / R², d_iB = pT_i^2p, ΔR in rapidity and azimuth; p = 1 (kT),
0 (Cambridge/Aachen), −1 (anti-kT). The plain N² algorithm with remembered nearest neighbours
(Cacciari, Salam hep-ph/0512210), the fastest there is for the tens of constituents of a jet.
Many jets are given as flat momenta `p4` (V, 4) of (px, py, pz, E) in GeV and `offsets` (R + 1,).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.jets.scalars import azimuth, distance2, longest, pt2_of, rapidity
from rootloom.types import Ragged

Algorithm = Literal["kt", "cambridge_aachen", "anti_kt"]
POWERS: dict[str, int] = {"kt": 1, "cambridge_aachen": 0, "anti_kt": -1}

Scheme = Literal["E", "winner_takes_all"]

# A radius so large that any pair is closer than the beam; a power of two, so that dividing the
# distances by it is exact.
RADIUS_OF_ALL = 2.0**300


class History(NamedTuple):
    """The recombination steps of many jets; a jet of n constituents has exactly n.

    parents:  (V, 2) int32. Step s of a jet joins nodes (a, b); b = −1: node a is a finished jet.
              Nodes 0 … n − 1 are the constituents, node n + i is made by the i-th joining step.
    distance: (V,) float64, d_ij or d_iB of the step, GeV^2p.
    Row r's steps lie at `offsets[r]:offsets[r + 1]` of the constituents' own offsets.
    """

    parents: np.ndarray
    distance: np.ndarray


# Rows of the working memory of one clustering, a column for each momentum not joined yet. Plain
# arrays, because Numba counts references at every access to an array inside a tuple (+ 25 %).
# real (5, N): pT^2p, y, φ, ΔR² to the nearest neighbour (R² if none is nearer), R² · smallest d.
_FACTOR, _Y, _PHI, _NEAR2, _MEASURE = range(5)
# whole (2, N): column of the nearest neighbour (−1: the beam), number of the node.
_NEAR, _NODE = range(2)


@njit(cache=True, nogil=True)
def _factor(pt2: float, power: int) -> float:
    if power == 0:
        return 1.0
    if power == 1:
        return pt2
    return 1.0 / pt2 if pt2 > 1e-300 else 1e300


@njit(cache=True, nogil=True)
def _fill(
    real: np.ndarray, whole: np.ndarray, i: int, p: np.ndarray, node: int, power: int, r2: float
) -> None:
    """Put momentum p (4,), which is node `node`, into column i, without a neighbour."""
    real[_FACTOR, i] = _factor(pt2_of(p[0], p[1]), power)
    real[_Y, i] = rapidity(p[0], p[1], p[2], p[3])
    real[_PHI, i] = azimuth(p[0], p[1])
    real[_NEAR2, i] = r2
    whole[_NEAR, i] = -1
    whole[_NODE, i] = node


@njit(cache=True, nogil=True)
def _measure(real: np.ndarray, whole: np.ndarray, i: int) -> None:
    factor = real[_FACTOR, i]
    near = whole[_NEAR, i]
    if near >= 0:
        factor = min(factor, real[_FACTOR, near])
    real[_MEASURE, i] = real[_NEAR2, i] * factor


@njit(cache=True, nogil=True)
def _start(
    real: np.ndarray, whole: np.ndarray, nodes: np.ndarray, n: int, power: int, r2: float
) -> None:
    for i in range(n):
        _fill(real, whole, i, nodes[i], i, power, r2)
    for i in range(n):
        for j in range(i):
            d2 = distance2(real[_Y, i], real[_PHI, i], real[_Y, j], real[_PHI, j])
            if d2 < real[_NEAR2, i]:
                real[_NEAR2, i] = d2
                whole[_NEAR, i] = j
            if d2 < real[_NEAR2, j]:
                real[_NEAR2, j] = d2
                whole[_NEAR, j] = i
    for i in range(n):
        _measure(real, whole, i)


@njit(cache=True, nogil=True)
def _search(real: np.ndarray, whole: np.ndarray, i: int, n: int, r2: float) -> None:
    near2, near, y, phi = r2, -1, real[_Y, i], real[_PHI, i]
    for j in range(n):
        d2 = distance2(y, phi, real[_Y, j], real[_PHI, j])
        if d2 < near2 and j != i:
            near2 = d2
            near = j
    real[_NEAR2, i] = near2
    whole[_NEAR, i] = near
    _measure(real, whole, i)


@njit(cache=True, nogil=True)
def _join(
    real: np.ndarray,
    whole: np.ndarray,
    a: int,
    b: int,
    nodes: np.ndarray,
    node: int,
    winner: bool,
    power: int,
    r2: float,
) -> None:
    """Put the sum of columns a and b into column b, as node `node`."""
    first, second, joined = nodes[whole[_NODE, a]], nodes[whole[_NODE, b]], nodes[node]
    if not winner:
        for k in range(4):
            joined[k] = first[k] + second[k]
        _fill(real, whole, b, joined, node, power, r2)
        return
    pt_a, pt_b = np.sqrt(pt2_of(first[0], first[1])), np.sqrt(pt2_of(second[0], second[1]))
    harder = a if pt_a >= pt_b else b
    pt, y, phi = pt_a + pt_b, real[_Y, harder], real[_PHI, harder]
    joined[0], joined[1] = pt * np.cos(phi), pt * np.sin(phi)
    joined[2], joined[3] = pt * np.sinh(y), pt * np.cosh(y)
    _fill(real, whole, b, joined, node, power, r2)
    real[_Y, b], real[_PHI, b] = y, phi  # without the rounding of going through components


@njit(cache=True, nogil=True)
def _remove(real: np.ndarray, whole: np.ndarray, a: int, last: int) -> None:
    """Move the last column to column a."""
    for k in range(5):
        real[k, a] = real[k, last]
    for k in range(2):
        whole[k, a] = whole[k, last]


@njit(cache=True, nogil=True)
def _repair(
    real: np.ndarray, whole: np.ndarray, a: int, b: int, n: int, r2: float, d2: np.ndarray
) -> None:
    """Update the neighbours after column n moved to a, and column b (if any) got a new momentum."""
    d2[:n] = np.inf
    if b >= 0:
        y, phi = real[_Y, b], real[_PHI, b]
        for i in range(n):
            d2[i] = distance2(real[_Y, i], real[_PHI, i], y, phi)
        d2[b] = np.inf
    near2, near = r2, -1
    for i in range(n):
        if whole[_NEAR, i] == a or (whole[_NEAR, i] == b and b >= 0):
            _search(real, whole, i, n, r2)
        elif d2[i] < real[_NEAR2, i]:
            real[_NEAR2, i] = d2[i]
            whole[_NEAR, i] = b
            _measure(real, whole, i)
        if d2[i] < near2:
            near2 = d2[i]
            near = i
        if whole[_NEAR, i] == n:
            whole[_NEAR, i] = a
    if b >= 0:
        real[_NEAR2, b], whole[_NEAR, b] = near2, near
        _measure(real, whole, b)


@njit(cache=True, nogil=True)
def _smallest(measure: np.ndarray, n: int) -> int:
    best, where = measure[0], 0
    for i in range(1, n):
        if measure[i] < best:
            best = measure[i]
            where = i
    return where


@njit(cache=True, nogil=True)
def _cluster_jet(
    nodes: np.ndarray,
    n: int,
    power: int,
    radius: float,
    winner: bool,
    real: np.ndarray,
    whole: np.ndarray,
    parents: np.ndarray,
    distance: np.ndarray,
) -> None:
    """Cluster the n momenta that lead `nodes` (2n, 4); fills the rest of it, parents, distance."""
    r2, node = radius * radius, n
    d2 = np.empty(n)
    _start(real, whole, nodes, n, power, r2)
    for step in range(len(parents)):
        a = _smallest(real[_MEASURE], n)
        b = whole[_NEAR, a]
        distance[step] = real[_MEASURE, a] / r2
        if b > a:
            a, b = b, a
        parents[step, 0] = whole[_NODE, a]
        parents[step, 1] = whole[_NODE, b] if b >= 0 else -1
        if b >= 0:
            _join(real, whole, a, b, nodes, node, winner, power, r2)
            node += 1
        n -= 1
        _remove(real, whole, a, n)
        _repair(real, whole, a, b, n, r2, d2)


@njit(cache=True, nogil=True)
def _cluster(p4: np.ndarray, offsets: np.ndarray, power: int, radius: float, winner: bool) -> tuple:
    parents = np.empty((len(p4), 2), np.int32)
    distance = np.empty(len(p4))
    size = longest(offsets)
    real, whole = np.empty((5, size)), np.empty((2, size), np.int64)
    nodes = np.empty((2 * size, 4))
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        n = stop - start
        nodes[:n] = p4[start:stop]
        _cluster_jet(
            nodes, n, power, radius, winner, real, whole, parents[start:stop], distance[start:stop]
        )
    return parents, distance


def cluster(
    p4: np.ndarray,
    offsets: np.ndarray,
    algorithm: Algorithm,
    radius: float | None = None,
    *,
    scheme: Scheme = "E",
) -> History:
    """Full recombination histories of many jets.

    radius: R of the algorithm; None joins each jet's constituents into one, whatever their
    distance, so that every step but a jet's last has two parents; distances are then for R = 1.
    scheme: "E" adds four-momenta; "winner_takes_all" gives the sum of the transverse momenta the
    direction of the harder (Larkoski, Neill, Thaler 1401.2158).
    Components beyond 1e38 GeV are not supported.
    """
    p4 = np.ascontiguousarray(p4, np.float64)
    power, winner = POWERS[algorithm], scheme == "winner_takes_all"
    if radius is not None:
        return History(*_cluster(p4, offsets, power, radius, winner))
    parents, distance = _cluster(p4, offsets, power, RADIUS_OF_ALL, winner)
    beam = parents[:, 1] < 0
    return History(parents, np.where(beam, distance, distance * RADIUS_OF_ALL**2))


@njit(cache=True, nogil=True)
def _insert(finished: np.ndarray, count: int, node: int, nodes: np.ndarray) -> None:
    """Add a node to the `count` sorted ones, hardest first, after those as hard as itself."""
    pt2, at = pt2_of(nodes[node, 0], nodes[node, 1]), count
    while at > 0 and pt2_of(nodes[finished[at - 1], 0], nodes[finished[at - 1], 1]) < pt2:
        finished[at] = finished[at - 1]
        at -= 1
    finished[at] = node


@njit(cache=True, nogil=True)
def _finish(p4: np.ndarray, parents: np.ndarray, labels: np.ndarray, momenta: np.ndarray) -> int:
    """Find the inclusive jets in one row's history, hardest first; returns their number."""
    n, node, count = len(p4), len(p4), 0
    nodes, finished, owner = np.empty((2 * n, 4)), np.empty(n, np.int64), np.empty(2 * n, np.int64)
    nodes[:n] = p4
    for step in range(n):
        a, b = parents[step, 0], parents[step, 1]
        if b >= 0:
            for k in range(4):
                nodes[node, k] = nodes[a, k] + nodes[b, k]
            node += 1
        else:
            _insert(finished, count, a, nodes)
            count += 1
    for jet in range(count):
        owner[finished[jet]] = jet
        momenta[jet] = nodes[finished[jet]]
    for step in range(n - 1, -1, -1):
        if parents[step, 1] >= 0:
            node -= 1
            owner[parents[step, 0]] = owner[parents[step, 1]] = owner[node]
    labels[:] = owner[:n]
    return count


@njit(cache=True, nogil=True)
def _finish_all(p4: np.ndarray, offsets: np.ndarray, parents: np.ndarray) -> tuple:
    labels, momenta = np.empty(len(p4), np.int32), np.empty((len(p4), 4))
    found = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        part = slice(offsets[row], offsets[row + 1])
        count = _finish(p4[part], parents[part], labels[part], momenta[found[row] :])
        found[row + 1] = found[row] + count
    return labels, momenta[: found[-1]].copy(), found


def inclusive_jets(
    p4: np.ndarray, offsets: np.ndarray, algorithm: Algorithm, radius: float
) -> tuple[Ragged, np.ndarray]:
    """Inclusive jets of each row, hardest first.

    Returns their momenta, Ragged (J, 4), and each constituent's jet within its row, (V,) int32.
    """
    p4 = np.ascontiguousarray(p4, np.float64)
    history = cluster(p4, offsets, algorithm, radius)
    labels, momenta, found = _finish_all(p4, offsets, history.parents)
    return Ragged(momenta, found), labels
