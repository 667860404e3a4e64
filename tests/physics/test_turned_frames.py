"""Events turned to one frame by a dataset's expressions: symmetries fall out, distances stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import vector

from rootloom.config.sections import Library
from rootloom.rootio.expressions import Expression

LIBRARY = Library(Path(__file__).resolve().parents[2] / "config")
EVENTS = 400
Columns = Mapping[str, np.ndarray]

# Of each object: its branches η and φ, and the variables that they become. The axis has φ = 0.
HIGGS = {
    "axis": ("lepton_eta", "lepton_phi", "lepton_side", None),
    "second": (None, "missing_energy_phi", None, "missing_energy_angle"),
    "others": [
        (f"jet{j}_eta", f"jet{j}_phi", f"jet{j}_side", f"jet{j}_angle") for j in (1, 2, 3, 4)
    ],
}
HIGGS_ML = {
    "axis": ("PRI_tau_eta", "PRI_tau_phi", "tau_eta", None),
    "second": ("PRI_lep_eta", "PRI_lep_phi", "lep_eta", "lep_phi"),
    "others": [
        (None, "PRI_met_phi", None, "met_phi"),
        ("PRI_jet_leading_eta", "PRI_jet_leading_phi", "jet1_eta", "jet1_phi"),
        ("PRI_jet_subleading_eta", "PRI_jet_subleading_phi", "jet2_eta", "jet2_phi"),
    ],
}
# Name, radians in one unit of its azimuths, objects.
DATASETS = [("higgs", 1.0, HIGGS), ("uci-higgs", 1.802, HIGGS), ("higgs-ml", 1.0, HIGGS_ML)]


def turned(dataset: str, events: Columns) -> dict[str, np.ndarray]:
    """The dataset's variables that need nothing but the events' directions."""
    found = {}
    for name, text in LIBRARY.dataset(dataset).variables.items():
        expression = Expression(text)
        if set(expression.names) <= set(events) and text not in events:
            found[name] = expression.evaluate(events)
    return found


@pytest.mark.parametrize(("dataset", "unit", "frame"), DATASETS)
def test_symmetries_fall_out_and_distances_stay(dataset, unit, frame):
    random = np.random.default_rng(5)
    objects = [frame["axis"], frame["second"], *frame["others"]]
    events = {o[0]: random.normal(0, 1.2, EVENTS) for o in objects if o[0]}
    events |= {o[1]: random.uniform(-np.pi, np.pi, EVENTS) / unit for o in objects}
    found = turned(dataset, events)
    angles = {name for o in objects for name in o[2:] if name}
    assert angles <= set(found)

    turn, side, up = (random.uniform(-np.pi, np.pi, EVENTS), *random.choice([-1, 1], (2, EVENTS)))
    other = {o[0]: side * events[o[0]] for o in objects if o[0]}
    for _, phi, *_ in objects:
        rotated = up * unit * events[phi] + turn
        other[phi] = np.arctan2(np.sin(rotated), np.cos(rotated)) / unit
    again = turned(dataset, other)
    for name in angles:
        np.testing.assert_allclose(again[name], found[name], atol=1e-9)

    def direction(o: tuple, columns: Columns, place: int, scale: float) -> vector.VectorNumpy4D:
        eta = columns[o[place]] if o[place] else np.zeros(EVENTS)
        phi = columns[o[place + 1]] * scale if o[place + 1] else np.zeros(EVENTS)
        return vector.array({"pt": np.ones(EVENTS), "eta": eta, "phi": phi, "mass": 0 * eta})

    for number, one in enumerate(objects):
        for two in objects[:number]:
            before = direction(one, events, 0, unit).deltaR(direction(two, events, 0, unit))
            after = direction(one, found, 2, 1.0).deltaR(direction(two, found, 2, 1.0))
            np.testing.assert_allclose(after, before, atol=1e-9)
