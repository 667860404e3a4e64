"""Functions of expressions against computations of NumPy, Awkward and vector written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contents import rounded

from rootloom.errors import ConfigError
from rootloom.rootio.expressions import Expression
from rootloom.rootio.functions import FUNCTIONS
from rootloom.rootio.functions.registry import EXAMPLE

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SAMPLE = {name: ak.Array(values) for name, values in EXAMPLE.items()}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_example_gives_what_the_page_says(name: str) -> None:
    known = FUNCTIONS[name]
    assert known.doc.endswith(".")
    assert f"{name}(" in known.example or name in ("ptetaphim", "pxpypze", "ptetaphie")
    found = rounded(ak.to_list(Expression(known.example).evaluate(SAMPLE)))
    np.testing.assert_equal(found, rounded(list(known.gives)))


@pytest.fixture(scope="module")
def nano() -> dict[str, ak.Array]:
    names = [f"Jet_{n}" for n in ("pt", "eta", "phi", "mass", "btagDeepFlavB", "hadronFlavour")]
    names += ["Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_jetIdx", "Muon_looseId"]
    names += ["MET_pt", "MET_phi", "nJet", "event"]
    with uproot.open(DATA / "nano_tt_v12.root") as file:
        return file["Events"].arrays(names, how=dict)


def value(text: str, arrays: dict[str, Any]) -> list:
    return ak.to_list(Expression(text).evaluate(arrays))


def lists(arrays: dict[str, ak.Array], name: str) -> list[np.ndarray]:
    """A jagged branch as one float64 array an entry."""
    return [np.asarray(entry, np.float64) for entry in ak.to_list(arrays[name])]


def momenta(arrays: dict[str, ak.Array], collection: str) -> list[list[Any]]:
    """Objects of `vector`, one by one."""
    parts = [lists(arrays, f"{collection}_{n}") for n in ("pt", "eta", "phi", "mass")]
    return [
        [vector.obj(pt=p, eta=e, phi=f, mass=m) for p, e, f, m in zip(*entry, strict=True)]
        for entry in zip(*parts, strict=True)
    ]


JETS = "ptetaphim(Jet_pt, Jet_eta, Jet_phi, Jet_mass)"
MUONS = "ptetaphim(Muon_pt, Muon_eta, Muon_phi, Muon_mass)"


def test_masks_choose_objects(nano: dict) -> None:
    found = value("Jet_pt[(Jet_pt > 30) & (abs(Jet_eta) < 2.4)]", nano)
    pairs = zip(lists(nano, "Jet_pt"), lists(nano, "Jet_eta"), strict=True)
    assert found == [pt[(pt > 30) & (abs(eta) < 2.4)].tolist() for pt, eta in pairs]
    count = value("count(Jet_pt > 30)", nano)
    assert count == [int((pt > 30).sum()) for pt in lists(nano, "Jet_pt")]
    # A branch of truths is a mask as it is, and can be combined with others.
    loose = value("count(Muon_pt[Muon_looseId & (Muon_pt > 10)])", nano)
    pairs = zip(lists(nano, "Muon_pt"), lists(nano, "Muon_looseId"), strict=True)
    assert loose == [int(((pt > 10) & (ok != 0)).sum()) for pt, ok in pairs]


def test_sorted_by_a_key(nano: dict) -> None:
    found = value("sort(Jet_pt, Jet_btagDeepFlavB, descending=True)", nano)
    pairs = list(zip(lists(nano, "Jet_pt"), lists(nano, "Jet_btagDeepFlavB"), strict=True))
    assert found == [pt[np.argsort(-tag, kind="stable")].tolist() for pt, tag in pairs]
    best = value("max_by(Jet_pt, Jet_btagDeepFlavB)", nano)
    expected = [pt[np.argmax(tag)] if len(pt) else np.nan for pt, tag in pairs]
    np.testing.assert_array_equal(best, expected)
    index = value("argmin(Jet_btagDeepFlavB)", nano)
    assert index == [int(np.argmin(tag)) if len(tag) else -1 for _, tag in pairs]
    assert value("take(Jet_pt, argsort(Jet_pt))", nano) == value("sort(Jet_pt)", nano)


def test_objects_at_an_index(nano: dict) -> None:
    found = value("take(Jet_pt, Muon_jetIdx)", nano)
    index = ak.to_list(nano["Muon_jetIdx"])
    for got, pt, places in zip(found, lists(nano, "Jet_pt"), index, strict=True):
        np.testing.assert_array_equal(got, [pt[i] if i >= 0 else np.nan for i in places])
    assert any(i < 0 for places in index for i in places)


def test_means_and_spreads(nano: dict) -> None:
    for text, of in (("mean", np.mean), ("std", np.std), ("max", np.max), ("min", np.min)):
        expected = [of(pt) if len(pt) else np.nan for pt in lists(nano, "Muon_pt")]
        np.testing.assert_allclose(value(f"{text}(Muon_pt)", nano), expected, rtol=1e-12)


def test_a_spread_far_from_zero() -> None:
    # Mean of squares minus square of the mean would be 0 or negative.
    entries = [[1e9, 1e9 + 1, 1e9 + 2], [1e9]]
    found = value("std(x)", {"x": ak.Array(entries)})
    np.testing.assert_allclose(found, [np.sqrt(2 / 3), 0.0], rtol=1e-12)


def test_masses_of_sums(nano: dict) -> None:
    sums = [sum(jets, vector.obj(px=0.0, py=0.0, pz=0.0, E=0.0)) for jets in momenta(nano, "Jet")]
    np.testing.assert_allclose(value(f"mass(sum({JETS}))", nano), [s.mass for s in sums], rtol=1e-9)
    np.testing.assert_allclose(value(f"pt(sum({JETS}))", nano), [s.pt for s in sums], rtol=1e-9)
    lead = value(f"mass({JETS}[:, 0] + {JETS}[:, 1])", nano)
    expected = [(j[0] + j[1]).mass if len(j) > 1 else np.nan for j in momenta(nano, "Jet")]
    np.testing.assert_allclose(lead, expected, rtol=1e-9)
    central = value(f"mass(sum({JETS}[abs(Jet_eta) < 2]))", nano)
    inside = [[j for j in jets if abs(j.eta) < 2] for jets in momenta(nano, "Jet")]
    sums = [sum(jets, vector.obj(px=0.0, py=0.0, pz=0.0, E=0.0)) for jets in inside]
    np.testing.assert_allclose(central, [s.mass for s in sums], rtol=1e-7, atol=1e-5)


def test_cartesian_parts_and_boosts(nano: dict) -> None:
    assert any(len(jets) for jets in momenta(nano, "Jet"))
    cartesian = f"pxpypze(px({JETS}), py({JETS}), pz({JETS}), energy({JETS}))"
    for text in ("pt", "eta", "phi", "energy", "rapidity", "momentum"):
        one, other = (ak.flatten(value(f"{text}({v})", nano)) for v in (JETS, cartesian))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    boosted = value(f"momentum(boost({JETS}, sum({JETS})))", nano)
    for found, jets in zip(boosted, momenta(nano, "Jet"), strict=True):
        if not jets:
            continue
        frame = sum(jets[1:], jets[0])
        beta = np.array([frame.px, frame.py, frame.pz]) / frame.E
        gamma = 1 / np.sqrt(1 - beta @ beta)
        energies = [gamma * (j.E - beta @ np.array([j.px, j.py, j.pz])) for j in jets]
        masses = [j.mass for j in jets]
        expected = np.sqrt(np.maximum(np.square(energies) - np.square(masses), 0))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)


def test_neighbours(nano: dict) -> None:
    index, distance = (value(f"{n}({MUONS}, {JETS})", nano) for n in ("nearest", "nearest_delta_r"))
    close = value("nearest(Muon_eta, Muon_phi, Jet_eta, Jet_phi, within=0.4)", nano)
    entries = zip(momenta(nano, "Muon"), momenta(nano, "Jet"), strict=True)
    for number, (muons, jets) in enumerate(entries):
        for k, muon in enumerate(muons):
            all_of_them = [muon.deltaR(jet) for jet in jets]
            best = int(np.argmin(all_of_them)) if jets else -1
            assert index[number][k] == best
            assert close[number][k] == (best if jets and min(all_of_them) < 0.4 else -1)
            np.testing.assert_allclose(distance[number][k], min(all_of_them, default=np.nan))
    assert any(index)
    no_jets = {**nano, **{n: a[:, :0] for n, a in nano.items() if n.startswith("Jet_")}}
    nothing = value("nearest(Muon_eta, Muon_phi, Jet_eta, Jet_phi)", no_jets)
    assert set(ak.flatten(nothing).tolist()) == {-1}


def test_angles(nano: dict) -> None:
    found = value("delta_r(Jet_eta, Jet_phi, 0, MET_phi)", nano)
    met = np.asarray(nano["MET_phi"], np.float64)
    for k, jets in enumerate(momenta(nano, "Jet")):
        other = vector.obj(pt=1.0, eta=0.0, phi=met[k], mass=0.0)
        np.testing.assert_allclose(found[k], [jet.deltaR(other) for jet in jets], rtol=1e-9)
    one = value(f"delta_phi({JETS}[:, 0], {JETS}[:, 1])", nano)
    expected = [j[0].deltaphi(j[1]) if len(j) > 1 else np.nan for j in momenta(nano, "Jet")]
    np.testing.assert_allclose(np.cos(one), np.cos(expected), rtol=1e-9)
    np.testing.assert_allclose(np.sin(one), np.sin(expected), atol=1e-9)


_NUMBERS = st.floats(-1e3, 1e3, allow_subnormal=False)
_JAGGED = st.lists(st.lists(_NUMBERS, max_size=4), min_size=1, max_size=5)
_DEEP = st.lists(st.lists(st.lists(_NUMBERS, max_size=3), max_size=3), min_size=1, max_size=4)


def deep(entries: list) -> ak.Array:
    return ak.values_astype(ak.Array([[[0.0]], *entries])[1:], np.float64)


@settings(max_examples=40, deadline=None)
@given(_DEEP, st.integers(-3, 3), st.integers(-3, 3))
def test_elements_of_any_axis(entries: list, i: int, j: int) -> None:
    def at(values: list, k: int, nothing: Any) -> Any:
        return values[k] if -len(values) <= k < len(values) else nothing

    arrays = {"x": deep(entries)}
    innermost = [[at(inner, j, np.nan) for inner in entry] for entry in entries]
    np.testing.assert_equal(value(f"x[:, :, {j}]", arrays), innermost)
    assert value(f"x[:, {i}]", arrays) == [at(entry, i, []) for entry in entries]
    both = [at(at(entry, i, []), j, np.nan) for entry in entries]
    np.testing.assert_equal(value(f"x[:, {i}, {j}]", arrays), both)
    assert value(f"x[:, ::-1, :{j}]", arrays) == [
        [inner[:j] for inner in entry[::-1]] for entry in entries
    ]


@settings(max_examples=40, deadline=None)
@given(_DEEP)
def test_reductions_by_axis(entries: list) -> None:
    arrays = {"x": deep(entries)}
    inner = [[sum(objects) for objects in entry] for entry in entries]
    for text in ("sum(x)", "sum(x, axis=2)", "sum(x, axis=-1)"):
        for got, expected in zip(value(text, arrays), inner, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-9)
    assert value("count(x, axis=1)", arrays) == [len(entry) for entry in entries]
    total = [sum(map(sum, entry)) for entry in entries]
    np.testing.assert_allclose(value("sum(sum(x))", arrays), total, atol=1e-9)
    # Along axis 1 the k-th values of all objects meet.
    for got, entry in zip(value("max(x, axis=1)", arrays), entries, strict=True):
        longest = max(map(len, entry), default=0)
        assert got == [max(o[k] for o in entry if len(o) > k) for k in range(longest)]


@settings(max_examples=40, deadline=None)
@given(_JAGGED, st.lists(st.integers(-2, 5), min_size=1, max_size=4))
def test_taken_in_any_shape(entries: list, places: list[int]) -> None:
    def at(values: list, k: int) -> float:
        return values[k] if 0 <= k < len(values) else np.nan

    x = ak.values_astype(ak.Array([[0.0], *entries])[1:], np.float64)
    index = [places for _ in entries]
    np.testing.assert_equal(
        value("take(x, i)", {"x": x, "i": ak.Array(index)}),
        [[at(entry, k) for k in places] for entry in entries],
    )
    nested = ak.Array([[places, []] for _ in entries])
    np.testing.assert_equal(
        value("take(x, i)", {"x": x, "i": nested}),
        [[[at(entry, k) for k in places], []] for entry in entries],
    )
    first = np.full(len(entries), places[0])
    np.testing.assert_equal(
        value("take(x, i)", {"x": x, "i": first}), [at(entry, places[0]) for entry in entries]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Across entries nothing is summed, ordered or left out: a file's pieces must not show.
        ("sum(MET_pt)", "several objects"),
        ("sort(MET_pt)", "several objects"),
        ("sum(Jet_pt, axis=0)", "entries"),
        ("sum(Jet_pt, axis=2)", "1 to 1"),
        ("count(Jet_hits, axis=-3)", "entries"),
        ("Jet_pt[MET_pt > 20]", "truth of every object"),
        ("MET_pt[MET_pt > 20]", "truth of every object"),
        ("Jet_pt[Muon_jetIdx]", "truth of every object"),
        ("MET_pt[:, 0]", "several objects"),
        ("Jet_pt[:, :, 0]", "axes"),
        ("Jet_pt[:, :, 1:]", "axes"),
        ("take(Jet_pt, Jet_btag)", "whole numbers"),
        ("mass(Jet_pt)", "four-vectors"),
        ("ptetaphim(1, 2, 3, 4)", "branch"),
        (f"{JETS} * 2", r"v \+ w"),
        (f"max({JETS})", "numbers"),
        (f"sqrt({JETS})", "numbers"),
        ("nearest(MET_pt, MET_phi, Jet_eta, Jet_phi)", "two collections"),
        ("sample + 1", "words"),
        ("sqrt(sample)", "words"),
        ("run == 'wjets'", "branch of words"),
        ("Jet_pt & 1", "whole numbers"),
        ("run << Jet_pt", "whole numbers"),
        ("run << (run - 3)", "0 bits"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Expression(text).evaluate(SAMPLE)


def test_the_plan_knows_the_functions() -> None:
    known = json.loads((ROOT / "config" / "schema.json").read_text())["$defs"]["functions"]
    assert sorted(known) == sorted(FUNCTIONS)
    assert known["sort"]["options"] == {"descending": "True or False"}
