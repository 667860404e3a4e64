"""Trimming: drop the soft subjets (Krohn, Thaler, Wang 0912.1342)."""

from __future__ import annotations

import numpy as np

from rootloom.physics.jets.clustering import inclusive_jets
from rootloom.physics.jets.observables import jet_momentum


def trim(
    p4: np.ndarray, offsets: np.ndarray, radius: float = 0.3, fraction: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the constituents in kT subjets of `radius` with at least `fraction` of the jet's pT.

    p4: (V, 4) px, py, pz, E in GeV; offsets: (R + 1,). The jet's pT is that of its summed
    constituents. Returns the kept-constituent mask (V,) bool and the trimmed momenta (R, 4); an
    empty jet, or one whose every subjet is too soft, has momentum zero.
    """
    subjets, labels = inclusive_jets(p4, offsets, "kt", radius)
    jet_pt2 = _pt2(jet_momentum(p4, offsets))
    passing = _pt2(subjets.values) >= fraction**2 * np.repeat(jet_pt2, subjets.counts())
    kept = passing[np.repeat(subjets.offsets[:-1], np.diff(offsets)) + labels]
    return kept, jet_momentum(subjets.values * passing[:, None], subjets.offsets)


def _pt2(p: np.ndarray) -> np.ndarray:
    return p[:, 0] ** 2 + p[:, 1] ** 2
