"""Functions of directions, and of objects of two collections."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import function
from rootloom.rootio.functions.values import depth, is_vector, real, refuse

GROUP = "Angles and neighbours"


@function(GROUP, "delta_phi(MET_phi, 3)", [0.0, 0.2832, -2.5])
def delta_phi(a: Any, b: Any) -> Any:
    """a - b of two azimuths, or of the azimuths of two four-vectors, in [-π, π), rad."""
    a, b = (value.phi if is_vector(value) else value for value in (a, b))
    return (real(a) - real(b) + np.pi) % (2 * np.pi) - np.pi


@function(
    GROUP,
    "delta_r(Jet_eta, Jet_phi, 0, MET_phi)",
    [[3.0, 1.0, 3.0353], [], [1.5811]],
    counts=(2, 4),
)
def delta_r(eta1: Any, phi1: Any, eta2: Any = None, phi2: Any = None) -> Any:
    """sqrt(Δη² + Δφ²) of two directions, or `delta_r(v, w)` of two four-vectors."""
    if eta2 is None:
        (eta1, phi1), (eta2, phi2) = _direction("delta_r", eta1), _direction("delta_r", phi1)
    return np.hypot(real(eta1) - real(eta2), delta_phi(phi1, phi2))


@function(GROUP, "nearest(Muon_eta, Muon_phi, Jet_eta, Jet_phi)", [[1, 2], [], [0]], counts=(2, 4))
def nearest(
    eta: Any, phi: Any, other_eta: Any = None, other_phi: Any = None, *, within: float | None = None
) -> Any:
    """For every object the index, for `take`, of the object of another collection with the smallest
    ΔR; -1 if there is none, or none closer than `within`; `nearest(v, w)` of four-vectors.
    """
    distances = _distances("nearest", eta, phi, other_eta, other_phi)
    place = ak.fill_none(ak.argmin(distances, axis=2), -1, axis=None)
    if within is None:
        return place
    smallest = ak.fill_none(ak.min(distances, axis=2), np.inf, axis=None)
    return ak.where(smallest < within, place, -1)


@function(
    GROUP, "nearest_delta_r(Muon_eta, Muon_phi, Jet_eta, Jet_phi)", [[0.1414, 0.1], [], [2.2361]],
    counts=(2, 4),
)  # fmt: skip
def nearest_delta_r(eta: Any, phi: Any, other_eta: Any = None, other_phi: Any = None) -> Any:
    """The ΔR of `nearest`; NaN where the other collection is empty."""
    distances = _distances("nearest_delta_r", eta, phi, other_eta, other_phi)
    return ak.fill_none(ak.min(distances, axis=2), np.nan, axis=None)


def _direction(what: str, value: Any) -> tuple[Any, Any]:
    if not is_vector(value):
        raise refuse(what, "four-vectors, or eta, phi, eta, phi", value)
    return value.eta, value.phi


def _distances(what: str, eta: Any, phi: Any, other_eta: Any, other_phi: Any) -> Any:
    """ΔR of every object (E, var) to each of the others, (E, var, var)."""
    if other_eta is None:
        (eta, phi), (other_eta, other_phi) = _direction(what, eta), _direction(what, phi)
    for value in (eta, phi, other_eta, other_phi):
        if depth(value) != 2:
            raise refuse(what, "two collections, several objects an entry", value, "delta_r")
    one, other = ((real(a), real(b)) for a, b in ((eta, phi), (other_eta, other_phi)))
    rows, columns = (slice(None), slice(None), None), (slice(None), None, slice(None))
    return delta_r(one[0][rows], one[1][rows], other[0][columns], other[1][columns])
