"""Four-vectors, by the library `vector`; GeV and rad, or whatever unit the branches have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import awkward as ak
import numpy as np

from rootloom.rootio.functions.registry import Given, function
from rootloom.rootio.functions.values import Value, is_vector, real, refuse

GROUP = "Four-vectors"
_LEADING = "ptetaphim(Jet_pt, Jet_eta, Jet_phi, Jet_mass)"


@function(GROUP, "mass(sum(ptetaphim(Jet_pt, Jet_eta, Jet_phi, Jet_mass)))", [261.1864, 0.0, 10.0])
def ptetaphim(pt: Value, eta: Value, phi: Value, mass: Value) -> Value:
    """Four-vectors of transverse momentum, pseudorapidity, azimuth and mass. `+`, `-`, `sum`,
    masks, `[:, i]` and `take` work on them.
    """
    return _vectors(pt=pt, eta=eta, phi=phi, mass=mass)


@function(GROUP, "pt(pxpypze(3, 4, 0, MET_pt))", [5.0, 5.0, 5.0])
def pxpypze(px: Value, py: Value, pz: Value, energy: Value) -> Value:
    """Four-vectors of Cartesian momenta and energy."""
    return _vectors(px=px, py=py, pz=pz, E=energy)


@function(GROUP, "energy(ptetaphie(MET_pt, 0, MET_phi, 2 * MET_pt))", [80.0, 50.0, 120.0])
def ptetaphie(pt: Value, eta: Value, phi: Value, energy: Value) -> Value:
    """Four-vectors of transverse momentum, pseudorapidity, azimuth and energy."""
    return _vectors(pt=pt, eta=eta, phi=phi, E=energy)


def _part(name: str, of: str, doc: str, gives: Given) -> Callable[[Value], Value]:
    """Register a property of four-vectors; of: what `vector` calls it."""

    def part(v: Value) -> Value:
        return getattr(_vector(name, v), of)

    part.__doc__, part.__name__ = doc, name
    return function(GROUP, f"{name}({_LEADING})[:, 0]", gives)(part)


mass = _part(
    "mass", "mass", "Invariant mass; -sqrt(-m²) where m² is negative.", [8.0, np.nan, 10.0]
)
pt = _part("pt", "pt", "Transverse momentum.", [80.0, np.nan, 100.0])
eta = _part("eta", "eta", "Pseudorapidity.", [0.0, np.nan, 0.5])
phi = _part("phi", "phi", "Azimuth in (-π, π], rad.", [0.0, np.nan, 2.0])
energy = _part("energy", "E", "Energy.", [80.399, np.nan, 113.2051])
px = _part("px", "px", "Momentum along x.", [80.0, np.nan, -41.6147])
py = _part("py", "py", "Momentum along y.", [0.0, np.nan, 90.9297])
pz = _part("pz", "pz", "Momentum along z.", [0.0, np.nan, 52.1095])
momentum = _part("momentum", "p", "Absolute momentum.", [80.0, np.nan, 112.7626])
rapidity = _part("rapidity", "rapidity", "Rapidity along z.", [0.0, np.nan, 0.4977])


@function(GROUP, f"momentum(boost(sum({_LEADING}), sum({_LEADING})))", [0.0, np.nan, 0.0])
def boost(v: Value, frame: Value) -> Value:
    """Four-vectors in the rest frame of `frame`, a massive four-vector."""
    return _vector("boost", v).boostCM_of_p4(_vector("boost", frame))


def _vectors(**parts: Value) -> ak.Array:
    known = [real(part) for part in parts.values()]
    if not any(isinstance(part, ak.Array | np.ndarray) for part in known):
        raise refuse("a four-vector", "at least one branch among its parts", known[0])
    arrays = dict(zip(parts, ak.broadcast_arrays(*known), strict=True))
    return ak.zip(arrays, with_name="Momentum4D", behavior=_behavior())


def _vector(what: str, value: Value) -> ak.Array:
    if not is_vector(value):
        fix = "ptetaphim(pt, eta, phi, mass) or pxpypze(px, py, pz, energy) makes them"
        raise refuse(what, "four-vectors", value, fix)
    return value


@cache
def _behavior() -> Mapping[object, object]:
    import vector

    return vector.backends.awkward.behavior
