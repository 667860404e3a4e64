"""Invariants of massless objects: against `vector`, and under what must not change them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import vector

from rootloom.config.registry import build
from rootloom.config.sections import Library
from rootloom.errors import ConfigError
from rootloom.models.lorentz import (
    Lorentz,
    Momenta,
    invariants,
    mass_squares,
    momenta_of,
    read_objects,
    tagged_first,
)
from rootloom.representations.features import FeatureVector
from rootloom.types import Features, Named, NamedFeatures

pytestmark = pytest.mark.usefixtures("strict")

LIBRARY = Library(Path(__file__).resolve().parents[2] / "config")
OBJECTS = tuple(map(tuple, LIBRARY.model("lorentz")["objects"]))
EVENTS = 60
Values = Mapping[str, np.ndarray]


def events(seed: int = 2) -> dict[str, np.ndarray]:
    """Columns of the shipped model's objects, float32; two tags among the jets of most events."""
    random = np.random.default_rng(seed)
    found = {}
    for names in OBJECTS:
        pt, *angles = names
        found[pt] = random.exponential(60.0, EVENTS) + 15.0
        for name in angles:
            found[name] = random.uniform(-np.pi, np.pi, EVENTS)
            if name.endswith("eta"):
                found[name] = random.normal(0.0, 1.3, EVENTS)
            if name.endswith("btag"):
                found[name] = random.integers(0, 3, EVENTS)
    return {name: values.astype(np.float32) for name, values in found.items()}


def named(columns: Values) -> dict[str, Named]:
    return {name: Named(jnp.asarray(v), jnp.asarray(v)) for name, v in columns.items()}


def seen(columns: Values) -> np.ndarray:
    """What the dense layers are given."""
    momenta = momenta_of(read_objects(OBJECTS), named(columns))
    return np.asarray(invariants(tagged_first(momenta), 100.0))


def test_masses_of_all_sets_against_vector() -> None:
    random = np.random.default_rng(1)
    pt, eta, phi = (random.uniform(*r, (EVENTS, 5)) for r in ((1, 300), (-3, 3), (-3.1, 3.1)))
    float32 = (jnp.asarray(a, jnp.float32) for a in (pt, eta, phi))
    found = mass_squares(Momenta(*float32, jnp.zeros((EVENTS, 0), jnp.float32)))
    sets = [s for size in range(2, 6) for s in combinations(range(5), size)]
    assert found.shape == (EVENTS, len(sets)) == (EVENTS, 26)
    objects = [
        vector.array({"pt": pt[:, k], "eta": eta[:, k], "phi": phi[:, k], "mass": 0 * pt[:, k]})
        for k in range(5)
    ]
    for k, members in enumerate(sets):
        total = objects[members[0]]
        for other in members[1:]:
            total = total + objects[other]
        np.testing.assert_allclose(found[:, k], total.mass2, rtol=2e-5)


def test_neighbours_have_their_mass_in_float32() -> None:
    apart = np.float32(2.0**-10)
    pt, eta, phi = (jnp.asarray([[a, b]], jnp.float32) for a, b in ((200, 100), (2, 2), (0, apart)))
    found = mass_squares(Momenta(pt, eta, phi, pt[:, :0]))
    # m² = pT pT' Δφ² to second order; E² − p² would leave float32 with nothing of its 0.02 GeV².
    assert float(found[0, 0]) == pytest.approx(200 * 100 * float(apart) ** 2, rel=1e-5)


def test_missing_momentum_and_the_lepton_have_their_transverse_mass() -> None:
    columns = events()
    found = mass_squares(momenta_of(read_objects(OBJECTS), named(columns)))[:, 0]
    a, b = columns["lepton_pt"], columns["missing_energy_magnitude"]
    dphi = columns["lepton_phi"] - columns["missing_energy_phi"]
    np.testing.assert_allclose(found, 2.0 * a * b * (1.0 - np.cos(dphi)), rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("change", ["turn", "boost", "mirror z", "mirror y", "swap jets"])
def test_what_must_not_change_an_event(change: str) -> None:
    columns = events()
    moved = dict(columns)
    for names in OBJECTS:
        eta, phi = (names[1] if len(names) > 2 else None), names[1 if len(names) == 2 else 2]
        if change == "turn":
            moved[phi] = columns[phi] + np.float32(1.234)
        elif change == "mirror y":
            moved[phi] = -columns[phi]
        elif eta is not None and change != "swap jets":
            moved[eta] = columns[eta] + np.float32(0.7) if change == "boost" else -columns[eta]
    if change == "swap jets":
        # Two jets of which one has a tag: the tag says which is which.
        one = (columns["jet1_btag"] > 0) != (columns["jet2_btag"] > 0)
        for a, b in zip(OBJECTS[2], OBJECTS[3], strict=True):
            moved[a], moved[b] = (
                np.where(one, columns[n], columns[m]) for n, m in ((b, a), (a, b))
            )
        assert one.sum() > EVENTS / 4
    assert any((moved[name] != columns[name]).any() for name in columns)
    np.testing.assert_allclose(seen(moved), seen(columns), rtol=0, atol=2e-4)


def test_jets_of_one_kind_keep_their_order_and_tagged_ones_come_first() -> None:
    columns = events()
    momenta = tagged_first(momenta_of(read_objects(OBJECTS), named(columns)))
    for row in range(EVENTS):
        tags = [columns[f"jet{j}_btag"][row] for j in (1, 2, 3, 4)]
        order = sorted(range(4), key=lambda j: tags[j] == 0)
        assert np.asarray(momenta.tag[row]).tolist() == [tags[j] for j in order]
        expected = [columns[f"jet{j + 1}_pt"][row] for j in order]
        assert np.asarray(momenta.pt[row, 2:]).tolist() == expected
        assert momenta.pt[row, 0] == columns["lepton_pt"][row]


def test_layout_and_scale_of_what_the_dense_layers_are_given() -> None:
    columns = events()
    found = seen(columns)
    assert found.shape == (EVENTS, 6 + 4 + 57)
    pt = columns["lepton_pt"].astype(np.float64)
    np.testing.assert_allclose(found[:, 0], np.log((pt / 100.0) ** 2 + 1e-4), rtol=1e-5, atol=1e-5)
    everything = vector.obj(px=0, py=0, pz=0, E=0)
    row = 7
    for names in OBJECTS:
        eta = columns[names[1] if len(names) > 2 else "lepton_eta"][row]
        phi = columns[names[1 if len(names) == 2 else 2]][row]
        everything = everything + vector.obj(pt=columns[names[0]][row], eta=eta, phi=phi, mass=0)
    # Fifteen pairs of six objects.
    expected = np.log(everything.mass2 / 15.0 / 100.0**2 + 1e-4)
    assert found[row, -1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("absent", [0.0, -999.0])
def test_absent_objects_leave_finite_values_and_gradients(absent: float) -> None:
    columns = events()
    for name in OBJECTS[-1]:
        columns[name] = np.full(EVENTS, absent, np.float32)
    for name in columns:
        columns[name][:3] = absent

    def total(values: dict[str, Any]) -> Any:
        momenta = momenta_of(read_objects(OBJECTS), {n: Named(v, v) for n, v in values.items()})
        return invariants(tagged_first(momenta), 100.0).sum()

    value, gradient = jax.value_and_grad(total)({n: jnp.asarray(v) for n, v in columns.items()})
    assert np.isfinite(value)
    for name, of in gradient.items():
        assert np.isfinite(of).all(), name
    assert np.abs(gradient["lepton_pt"][3:]).min() > 0


def test_columns_of_no_object_join_as_they_are_scaled() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    inputs = NamedFeatures(x, np.ones_like(x), {"mass": Named(x[:, 3], 7 * x[:, 3])})
    for k, name in enumerate(("pt", "eta", "phi")):
        inputs.columns.update({f"{at}{name}": Named(x[:, k], x[:, k]) for at in "ab"})
    objects = (("apt", "aeta", "aphi"), ("bpt", "beta", "bphi"))
    found, _ = Lorentz(objects, hidden=()).init_with_output(jax.random.key(0), inputs, train=False)
    assert found.shape == (5, 2 + 1 + 1)
    np.testing.assert_allclose(found[:, -1], 7 * x[:, 3])


def test_the_shipped_network_reads_the_shipped_columns() -> None:
    """Through the representation: its logarithm undone, its moments not in the way."""
    columns = events()
    section = LIBRARY.representation("higgs-low")
    representation = build("representations", section)
    inputs = representation.collate(representation.encode(columns), np.arange(EVENTS), EVENTS)
    odd = SimpleNamespace(mean=np.full(21, 0.3), std=np.full(21, 2.5))
    scaled = jax.tree.map(jnp.asarray, representation.normalise(inputs, {"x": odd}))
    for name in columns:
        np.testing.assert_allclose(scaled.columns[name].value, columns[name], rtol=1e-5)
    model = build("models", LIBRARY.model("lorentz"))
    seen_here, _ = model.clone(hidden=()).init_with_output(jax.random.key(0), scaled, train=False)
    np.testing.assert_allclose(seen_here, seen(columns), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ((OBJECTS[0],), "2 to 10"),
        ((OBJECTS[0], ("lepton_pt",)), "of each pT"),
        ((OBJECTS[1], OBJECTS[1]), "η of one"),
    ],
)
def test_objects_that_are_none_are_refused(objects: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_objects(objects)


def test_a_representation_without_names_is_refused() -> None:
    x = np.zeros((2, 3), np.float32)
    moments = SimpleNamespace(mean=np.zeros(3), std=np.ones(3))
    unnamed = FeatureVector().normalise(Features(x, np.ones_like(x)), {"x": moments})
    with pytest.raises(ConfigError, match="lepton_pt"):
        Lorentz(OBJECTS).init(jax.random.key(0), unnamed, train=False)
