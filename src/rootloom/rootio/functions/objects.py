"""Functions of directions, and of objects of two collections."""

from __future__ import annotations

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import function
from rootloom.rootio.functions.values import Value, depth, is_vector, real, refuse

GROUP = "Angles and neighbours"


@function(GROUP, "delta_phi(MET_phi, 3)", [0.0, 0.2832, -2.5])
def delta_phi(a: Value, b: Value) -> Value:
    """a - b of two azimuths, or of the azimuths of two four-vectors, in [-π, π), rad."""
    a, b = (value.phi if is_vector(value) else value for value in (a, b))
    return (real(a) - real(b) + np.pi) % (2 * np.pi) - np.pi


@function(
    GROUP,
    "delta_r(Jet_eta, Jet_phi, 0, MET_phi)",
    [[3.0, 1.0, 3.0353], [], [1.5811]],
    counts=(2, 4),
)
def delta_r(
    eta1: Value, phi1: Value, eta2: Value | None = None, phi2: Value | None = None
) -> Value:
    """sqrt(Δη² + Δφ²) of two directions, or `delta_r(v, w)` of two four-vectors."""
    if eta2 is None:
        (eta1, phi1), (eta2, phi2) = _direction("delta_r", eta1), _direction("delta_r", phi1)
    return np.hypot(real(eta1) - real(eta2), delta_phi(phi1, phi2))


@function(GROUP, "nearest(Muon_eta, Muon_phi, Jet_eta, Jet_phi)", [[1, 2], [], [0]], counts=(2, 4))
def nearest(
    eta: Value,
    phi: Value,
    other_eta: Value | None = None,
    other_phi: Value | None = None,
    *,
    within: float | None = None,
) -> Value:
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
def nearest_delta_r(
    eta: Value, phi: Value, other_eta: Value | None = None, other_phi: Value | None = None
) -> Value:
    """The ΔR of `nearest`; NaN where the other collection is empty."""
    distances = _distances("nearest_delta_r", eta, phi, other_eta, other_phi)
    return ak.fill_none(ak.min(distances, axis=2), np.nan, axis=None)


@function(
    GROUP, "neighbours(Muon_eta, Muon_phi, Jet_eta, Jet_phi, within=2)", [[[1], [2]], [], [[]]],
    counts=(2, 4),
)  # fmt: skip
def neighbours(
    eta: Value,
    phi: Value,
    other_eta: Value | None = None,
    other_phi: Value | None = None,
    *,
    within: float | None = None,
) -> Value:
    """For every object the indices, for `take`, of all objects of another collection, or those
    closer than `within` in ΔR; `neighbours(v, w)` of four-vectors.
    """
    distances = _distances("neighbours", eta, phi, other_eta, other_phi)
    near = distances < (np.inf if within is None else within)
    return ak.local_index(near, axis=2)[near]


def _direction(what: str, value: Value) -> tuple[Value, Value]:
    if not is_vector(value):
        raise refuse(what, "four-vectors, or eta, phi, eta, phi", value)
    return value.eta, value.phi


def _distances(
    what: str, eta: Value, phi: Value, other_eta: Value | None, other_phi: Value | None
) -> ak.Array:
    """ΔR of every object (E, var) to each of the others, (E, var, var)."""
    if other_eta is None:
        (eta, phi), (other_eta, other_phi) = _direction(what, eta), _direction(what, phi)
    given = [value for value in (eta, phi, other_eta, other_phi) if value is not None]
    for value in given:
        if depth(value) != 2:
            raise refuse(what, "two collections, several objects an entry", value, "delta_r")
    found: list[ak.Array] = [real(value) for value in given]
    rows, columns = (slice(None), slice(None), None), (slice(None), None, slice(None))
    return delta_r(found[0][rows], found[1][rows], found[2][columns], found[3][columns])
