"""The scalar columns of a simulated jet."""

from __future__ import annotations

import numpy as np

from rootloom.physics.jets import kinematics
from rootloom.physics.jets.observables import (
    c2,
    d2,
    energy_correlations,
    jet_momentum,
    multiplicity,
    ratio,
    width_and_dispersion,
)
from rootloom.physics.jets.subjettiness import subjettiness


def substructure(
    p4: np.ndarray, offsets: np.ndarray, trimmed: np.ndarray, radius: float
) -> dict[str, np.ndarray]:
    """Columns of J jets, float32 or int32.

    p4: (V, 4) constituents px, py, pz, E in GeV; offsets: (J + 1,); trimmed: (V,) whether a
    constituent survives trimming; radius: of the jets, normalises τ_N. Momentum columns "jet_…" and
    "trimmed_…" (pt, eta, phi, mass) in GeV and rad; the rest is made from all constituents.
    """
    kept = np.concatenate([[0], np.cumsum(trimmed)])[offsets].astype(np.int64)
    columns = _momentum("jet", jet_momentum(p4, offsets))
    columns |= _momentum("trimmed", jet_momentum(p4[trimmed], kept))
    tau = subjettiness(p4, offsets, 3, radius=radius)
    width, dispersion = width_and_dispersion(p4, offsets)
    e2, e3 = energy_correlations(p4, offsets).T
    columns |= {
        "tau1": tau[:, 0],
        "tau2": tau[:, 1],
        "tau3": tau[:, 2],
        "tau21": ratio(tau[:, 1], tau[:, 0]),
        "tau32": ratio(tau[:, 2], tau[:, 1]),
        "width": width,
        "ptd": dispersion,
        "c2": c2(e2, e3),
        "d2": d2(e2, e3),
    }
    single = {name: values.astype(np.float32) for name, values in columns.items()}
    return {**single, "multiplicity": multiplicity(offsets).astype(np.int32)}


def _momentum(name: str, p4: np.ndarray) -> dict[str, np.ndarray]:
    return {
        f"{name}_pt": kinematics.pt(p4),
        f"{name}_eta": kinematics.eta(p4),
        f"{name}_phi": kinematics.phi(p4),
        f"{name}_mass": kinematics.mass(p4),
    }
