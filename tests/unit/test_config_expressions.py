"""What the plan says of expressions, definitions and numbers; what the pages show."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from tests.contents import rounded

from rootloom.config.documents import read_yaml
from rootloom.errors import ConfigError
from rootloom.planning.plan import Plan
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.expressions import Expression, choose
from rootloom.rootio.functions.reference import LANGUAGE
from rootloom.rootio.functions.registry import EXAMPLE
from rootloom.rootio.syntax import inlined
from rootloom.stages import make_plan

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "files": ["tests/data/nano_tt_v12.root"],
    "classes": {"few": {"where": "nJet < 7"}, "many": {"where": "nJet >= 7"}},
    "variables": {"met": "MET_pt"},
}


def plan(folder: Path, **keys: Any) -> Plan:
    if not (folder / "config").exists():
        shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config" / "datasets" / "mine.yaml").write_text(yaml.safe_dump({**BASE, **keys}))
    return make_plan({"experiment": "mine"}, folder)


@pytest.mark.parametrize(
    ("keys", "place", "message"),
    [
        ({"select": "nJet >= 4 & nMuon >= 2"}, "select", r"\(nJet >= 4\) & \(nMuon >= 2\)"),
        ({"weight": "sqr(genWeight)"}, "weight", "'sqrt'"),
        ({"training_weight": "1 +"}, "training_weight", "an expression"),
        ({"variables": {"x": "Jet_pt[:, ::0]"}}, "variables.x", "step other than 0"),
        ({"variables": {"x": "sort(Jet_pt, down=True)"}}, "variables.x", "an option of 'sort'"),
        ({"targets": {"x": "Jet_pt[0]"}}, "targets.x", r"Jet_pt\[:, 0\]"),
        ({"objects": {"j": {"x": "a && b"}}}, "objects.j.x", "write and"),
        (
            {"splits": {"train": 0.9, "validation": 0.1, "test": "run ="}},
            "splits.test",
            "an expression",
        ),
        ({"identity": ["run | 'x'"]}, "identity.0", "words"),
        (
            {"classes": {"a": {"where": "x > 1 | y"}, "b": {"where": "x"}}},
            "classes.a.where",
            "parentheses",
        ),
        ({"define": {"a": "b", "b": "2 * a"}}, "define", "b → a → b"),
        ({"define": {"a": "nJet > 4 & run"}}, "define.a", "parentheses"),
        ({"define": {"a-b": "1"}}, "define.a-b", "letters"),
        ({"select": "x > 1 & cut", "define": {"cut": "y > 1"}}, "select", "parentheses"),
    ],
)
def test_mistakes_are_refused_in_the_plan(
    tmp_path: Path, keys: dict, place: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        plan(tmp_path, **keys)
    assert place in refusal.value.where


def test_definitions_may_be_those_of_a_sample(tmp_path: Path) -> None:
    files = BASE["files"]
    samples = {
        "a": {"files": files, "class": "few"},
        "b": {"files": ["tests/data/nano_dy.root"], "class": "many", "define": {"scale": "2"}},
    }
    keys: dict[str, Any] = {
        "files": [], "samples": samples, "define": {"scale": "1", "met": "scale * MET_pt"},
        "variables": {"met": "met + 1"}, "weight": "scale", "classes": {},
    }  # fmt: skip
    made = plan(tmp_path, **keys)
    readers = made.data("mine").readers()
    assert readers["a"]["variables"] == {"met": "((1) * MET_pt) + 1"}
    assert readers["b"]["variables"] == {"met": "((2) * MET_pt) + 1"}
    assert readers["b"]["weight"] == "(2)"
    assert made.data("mine").readers_to_check()["a"]["defined"] == ["met", "scale"]
    samples["b"]["define"] = {"scael": "2"}
    with pytest.raises(ConfigError, match="did you mean 'scale'"):
        plan(tmp_path, **keys)


def test_a_definition_decides_only_over_what_uses_it(tmp_path: Path) -> None:
    def jobs(**define: str) -> list[str]:
        defined = {"a": "MET_pt", "b": "MET_phi", **define}
        files = [str(ROOT / path) for path in BASE["files"]]
        made = plan(tmp_path, files=files, define=defined, variables={"x": "a"})
        (pack,) = made.files("mine").packs
        return [
            made.job("index", dataset="mine", pack=pack)["fingerprint"],
            made.job("preprocess", dataset="mine", representation="features", pack=pack)[
                "fingerprint"
            ],
        ]

    before = jobs()
    assert jobs(b="2 * MET_phi") == before
    changed = jobs(a="2 * MET_pt")
    assert changed[0] == before[0]
    assert changed[1] != before[1]


@pytest.mark.parametrize(
    ("written", "number"),
    [("1.0e9", 1e9), ("1e-3", 1e-3), ("1E5", 1e5), ("-2.5e+3", -2500.0), ("+1e3", 1e3),
     ("3e0", 3.0), ("1.e4", 1e4), ("0.001", 0.001), ("12", 12)],
)  # fmt: skip
def test_numbers_are_numbers(tmp_path: Path, written: str, number: float) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"learning_rate: {written}\nlist: [{written}]\n")
    found = read_yaml(path)
    assert found == {"learning_rate": number, "list": [number]}
    assert type(found["learning_rate"]) is type(number)


@pytest.mark.parametrize("written", ["e9", "1e", "1e9x", "0x1e9g", "run1e5", "'1e5'", "1e5.5"])
def test_words_stay_words(tmp_path: Path, written: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"name: {written}\n")
    assert read_yaml(path) == {"name": written.strip("'")}


def test_a_number_in_quotes_is_refused_with_its_spelling(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "experiments" / "nano-btag.yaml"
    experiment = yaml.safe_load(file.read_text())
    experiment["training"] = {**experiment.get("training", {}), "learning_rate": "1.0e-3"}
    file.write_text(yaml.dump(experiment).replace("'1.0e-3'", '"1.0e-3"'))
    with pytest.raises(ConfigError, match=r"learning_rate(.|\n)*0.001, without quotes"):
        make_plan({"experiment": "nano-btag"}, tmp_path)
    file.write_text(file.read_text().replace('"1.0e-3"', "1.0e-3"))
    made = make_plan({"experiment": "nano-btag"}, tmp_path)
    assert made.request.experiment.training["learning_rate"] == 1e-3


@pytest.mark.parametrize(("text", "gives"), [(text, gives) for text, gives, _ in LANGUAGE])
def test_the_language_is_as_the_page_shows(text: str, gives: list) -> None:
    arrays = {name: ak.Array(values) for name, values in EXAMPLE.items()}
    found = Expression(choose(text, arrays, "here")).evaluate(arrays)
    np.testing.assert_equal(rounded(ak.to_list(found)), gives)


def test_the_dataset_on_the_page_works() -> None:
    page = (ROOT / "docs" / "expressions.md").read_text()
    shown = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    # Light muons, of which the file has few pairs: what is shown asks for more.
    select = inlined(shown["select"], {**shown["define"], "tight": "Muon_pt > 3"})
    texts = {
        n: inlined(t, {**shown["define"], "tight": "Muon_pt > 3"})
        for n, t in shown["variables"].items()
    }
    reader = RowReader("Events", texts, select=select, classes=(ClassRule("all"),))
    path = ROOT / "tests" / "data" / "nano_tt_v12.root"
    found = list(reader.read(str(path), 0, 200))
    mass = np.concatenate([block.columns["dimuon_mass"] for block in found])
    with uproot.open(path) as file:
        names = [f"Muon_{n}" for n in ("pt", "eta", "phi", "mass")]
        muons = file["Events"].arrays(names, how=dict)
    expected = []
    for pt, eta, phi, m in zip(*(ak.to_list(muons[n]) for n in names), strict=True):
        kept = np.array([p > 3 for p in pt], bool)
        p, e, f, m0 = (np.array(v, float)[kept][:2] for v in (pt, eta, phi, m))
        if len(p) == 2:
            px, py, pz = p * np.cos(f), p * np.sin(f), p * np.sinh(e)
            energy = np.sqrt(px**2 + py**2 + pz**2 + m0**2)
            expected.append(np.sqrt(energy.sum() ** 2 - sum(c.sum() ** 2 for c in (px, py, pz))))
    assert len(expected) > 5
    np.testing.assert_allclose(mass, expected, rtol=1e-6)
