"""Trimming: drop the soft subjets (Krohn, Thaler, Wang 0912.1342)."""

from __future__ import annotations

import numpy as np
from numba import njit

from rootloom.physics.clustering import POWERS, slots_for, steps_for, subjets_of
from rootloom.physics.scalars import longest, pt2_of


@njit(cache=True, nogil=True)
def _trim(p4: np.ndarray, offsets: np.ndarray, power: int, radius: float, fraction: float) -> tuple:
    size, rows = longest(offsets), len(offsets) - 1
    slots, steps = slots_for(size), steps_for(size)
    labels, subjets = np.empty(size, np.int32), np.empty((size, 4))
    kept = np.zeros(len(p4), np.bool_)
    trimmed = np.zeros((rows, 4))
    for row in range(rows):
        jet = p4[offsets[row] : offsets[row + 1]]
        px = py = 0.0
        for i in range(len(jet)):
            px += jet[i, 0]
            py += jet[i, 1]
        threshold = fraction * fraction * pt2_of(px, py)
        count = subjets_of(jet, power, radius, slots, steps, labels, subjets)
        passing = 0
        while passing < count and pt2_of(subjets[passing, 0], subjets[passing, 1]) >= threshold:
            for k in range(4):
                trimmed[row, k] += subjets[passing, k]
            passing += 1
        for i in range(len(jet)):
            kept[offsets[row] + i] = labels[i] < passing
    return kept, trimmed


def trim(
    p4: np.ndarray, offsets: np.ndarray, radius: float = 0.3, fraction: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the constituents in kT subjets of `radius` with at least `fraction` of the jet's pT.

    p4: (V, 4) px, py, pz, E in GeV; offsets: (R + 1,). The jet's pT is that of its summed
    constituents. Returns the kept-constituent mask (V,) bool and the trimmed momenta (R, 4); an
    empty jet, or one whose every subjet is too soft, has momentum zero.
    """
    p4 = np.ascontiguousarray(p4, np.float64)
    return _trim(p4, offsets, POWERS["kt"], radius, fraction)
