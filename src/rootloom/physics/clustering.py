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

from rootloom.physics.scalars import azimuth, distance2, longest, pt2_of, rapidity
from rootloom.types import Ragged

Algorithm = Literal["kt", "cambridge_aachen", "anti_kt"]
POWERS: dict[str, int] = {"kt": 1, "cambridge_aachen": 0, "anti_kt": -1}

Scheme = Literal["E", "winner_takes_all"]

# A radius at which any pair, even along opposite beams, is nearer than the beam; a power of two,
# so that taking it out of the distances again is exact.
WHOLE = 2.0**300


class History(NamedTuple):
    """The recombination steps of many jets; a jet of n constituents has exactly n.

    parents:  (V, 2) int32. Step s of a jet joins nodes (a, b); b = −1: node a is a finished jet.
              Nodes 0 … n − 1 are the constituents, node n + i is made by the i-th joining step.
    distance: (V,) float64, d_ij or d_iB of the step, GeV^2p.
    Row r's steps lie at `offsets[r]:offsets[r + 1]` of the constituents' own offsets.
    """

    parents: np.ndarray
    distance: np.ndarray


class Slots(NamedTuple):
    """Working memory of one clustering: the momenta not joined yet, and each one's neighbour."""

    factor: np.ndarray  # pT^2p
    y: np.ndarray
    phi: np.ndarray
    near2: np.ndarray  # ΔR² to the nearest neighbour, R² when there is none nearer
    near: np.ndarray  # slot of the nearest neighbour, −1 for the beam
    measure: np.ndarray  # R² times the smallest d of the slot
    node: np.ndarray


@njit(cache=True, nogil=True)
def _slots_for(size: int) -> Slots:
    return Slots(
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size, np.int64),
        np.empty(size),
        np.empty(size, np.int64),
    )


@njit(cache=True, nogil=True)
def _factor(pt2: float, power: int) -> float:
    if power == 0:
        return 1.0
    if power == 1:
        return pt2
    return 1.0 / pt2 if pt2 > 1e-300 else 1e300


@njit(cache=True, nogil=True)
def _fill(slots: Slots, i: int, nodes: np.ndarray, node: int, power: int, radius2: float) -> None:
    px, py, pz, energy = nodes[node]
    slots.factor[i] = _factor(pt2_of(px, py), power)
    slots.y[i] = rapidity(px, py, pz, energy)
    slots.phi[i] = azimuth(px, py)
    slots.near2[i] = radius2
    slots.near[i] = -1
    slots.node[i] = node


@njit(cache=True, nogil=True)
def _measure(slots: Slots, i: int) -> float:
    factor = slots.factor[i]
    near = slots.near[i]
    if near >= 0 and slots.factor[near] < factor:
        factor = slots.factor[near]
    return slots.near2[i] * factor


@njit(cache=True, nogil=True)
def _start(slots: Slots, nodes: np.ndarray, n: int, power: int, radius2: float) -> None:
    for i in range(n):
        _fill(slots, i, nodes, i, power, radius2)
    for i in range(n):
        for j in range(i):
            d2 = distance2(slots.y[i], slots.phi[i], slots.y[j], slots.phi[j])
            if d2 < slots.near2[i]:
                slots.near2[i] = d2
                slots.near[i] = j
            if d2 < slots.near2[j]:
                slots.near2[j] = d2
                slots.near[j] = i
    for i in range(n):
        slots.measure[i] = _measure(slots, i)


@njit(cache=True, nogil=True)
def _search(slots: Slots, i: int, n: int, radius2: float) -> None:
    near2, near, y, phi = radius2, -1, slots.y[i], slots.phi[i]
    for j in range(n):
        d2 = distance2(y, phi, slots.y[j], slots.phi[j])
        if d2 < near2 and j != i:
            near2 = d2
            near = j
    slots.near2[i] = near2
    slots.near[i] = near


@njit(cache=True, nogil=True)
def _move(slots: Slots, source: int, target: int) -> None:
    slots.factor[target] = slots.factor[source]
    slots.y[target] = slots.y[source]
    slots.phi[target] = slots.phi[source]
    slots.near2[target] = slots.near2[source]
    slots.near[target] = slots.near[source]
    slots.measure[target] = slots.measure[source]
    slots.node[target] = slots.node[source]


@njit(cache=True, nogil=True)
def _join(
    slots: Slots, a: int, b: int, nodes: np.ndarray, node: int, scheme: int, power: int, r2: float
) -> None:
    """Put the sum of slots a and b into slot b, as node `node`."""
    first, second = nodes[slots.node[a]], nodes[slots.node[b]]
    if scheme == 0:
        for k in range(4):
            nodes[node, k] = first[k] + second[k]
        _fill(slots, b, nodes, node, power, r2)
        return
    # Winner takes all (Larkoski, Neill, Thaler 1401.2158): scalar pT sum along the harder one.
    pt_a, pt_b = np.sqrt(pt2_of(first[0], first[1])), np.sqrt(pt2_of(second[0], second[1]))
    winner = a if pt_a >= pt_b else b
    pt, y, phi = pt_a + pt_b, slots.y[winner], slots.phi[winner]
    nodes[node, 0] = pt * np.cos(phi)
    nodes[node, 1] = pt * np.sin(phi)
    nodes[node, 2] = pt * np.sinh(y)
    nodes[node, 3] = pt * np.cosh(y)
    slots.factor[b] = _factor(pt * pt, power)
    slots.y[b], slots.phi[b] = y, phi
    slots.near2[b], slots.near[b], slots.node[b] = r2, -1, node


@njit(cache=True, nogil=True)
def _update(slots: Slots, a: int, b: int, n: int, r2: float) -> None:
    """Repair neighbours after slot a took over slot n and slot b (if any) got a new momentum."""
    for i in range(n):
        if slots.near[i] == a or (b >= 0 and slots.near[i] == b):
            _search(slots, i, n, r2)
            slots.measure[i] = _measure(slots, i)
        if b >= 0 and i != b:
            d2 = distance2(slots.y[i], slots.phi[i], slots.y[b], slots.phi[b])
            if d2 < slots.near2[i]:
                slots.near2[i] = d2
                slots.near[i] = b
                slots.measure[i] = _measure(slots, i)
            if d2 < slots.near2[b]:
                slots.near2[b] = d2
                slots.near[b] = i
        if slots.near[i] == n:
            slots.near[i] = a
    if b >= 0:
        slots.measure[b] = _measure(slots, b)


@njit(cache=True, nogil=True)
def _cluster_jet(
    nodes: np.ndarray,
    n: int,
    power: int,
    radius: float,
    scheme: int,
    slots: Slots,
    parents: np.ndarray,
    distance: np.ndarray,
) -> None:
    """Cluster the n momenta that lead `nodes` (2n, 4); fills the rest of it, parents, distance."""
    radius2, node = radius * radius, n
    _start(slots, nodes, n, power, radius2)
    for step in range(len(parents)):
        a = 0
        smallest = slots.measure[0]
        for i in range(1, n):
            if slots.measure[i] < smallest:
                smallest = slots.measure[i]
                a = i
        b = slots.near[a]
        distance[step] = smallest / radius2
        if b >= 0:
            if a < b:
                a, b = b, a
            parents[step, 0], parents[step, 1] = slots.node[a], slots.node[b]
            _join(slots, a, b, nodes, node, scheme, power, radius2)
            node += 1
        else:
            parents[step, 0], parents[step, 1] = slots.node[a], -1
        n -= 1
        _move(slots, n, a)
        _update(slots, a, b, n, radius2)


@njit(cache=True, nogil=True)
def _cluster(p4: np.ndarray, offsets: np.ndarray, power: int, radius: float, scheme: int) -> tuple:
    parents = np.empty((len(p4), 2), np.int32)
    distance = np.empty(len(p4))
    size = longest(offsets)
    slots, nodes = _slots_for(size), np.empty((2 * size, 4))
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        n = stop - start
        nodes[:n] = p4[start:stop]
        _cluster_jet(
            nodes, n, power, radius, scheme, slots, parents[start:stop], distance[start:stop]
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
    power, winner = POWERS[algorithm], int(scheme == "winner_takes_all")
    if radius is not None:
        return History(*_cluster(p4, offsets, power, radius, winner))
    parents, distance = _cluster(p4, offsets, power, WHOLE, winner)
    beam = parents[:, 1] < 0
    return History(parents, np.where(beam, distance, distance * WHOLE**2))


@njit(cache=True, nogil=True)
def _finish(p4: np.ndarray, parents: np.ndarray, labels: np.ndarray, momenta: np.ndarray) -> int:
    """Read one jet's inclusive jets off its history, hardest first; returns their number."""
    n, node = len(p4), len(p4)
    nodes, finished, pt2 = np.empty((2 * n, 4)), np.empty(n, np.int64), np.empty(n)
    nodes[:n] = p4
    count = 0
    for step in range(n):
        a, b = parents[step]
        if b >= 0:
            for k in range(4):
                nodes[node, k] = nodes[a, k] + nodes[b, k]
            node += 1
        else:
            finished[count] = a
            # negative, so that an ascending stable sort puts the hardest first
            pt2[count] = -pt2_of(nodes[a, 0], nodes[a, 1])
            count += 1
    order = np.argsort(pt2[:count], kind="mergesort")
    owner = np.empty(node, np.int64)
    for jet in range(count):
        owner[finished[order[jet]]] = jet
        momenta[jet] = nodes[finished[order[jet]]]
    for step in range(n - 1, -1, -1):
        a, b = parents[step]
        if b >= 0:
            node -= 1
            owner[a] = owner[b] = owner[node]
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
