"""Functions of expressions count in the code of the jobs whose expressions call them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.test_fingerprint import LIBRARY, Edited, of_code

from rootloom.config.registry import load
from rootloom.planning import fingerprint
from rootloom.planning.jobs import Jobs
from rootloom.planning.plan import Plan
from rootloom.rootio.functions import FUNCTIONS
from rootloom.stages import STAGES, make_plan

ROOT = Path(__file__).resolve().parents[2]
FILES = ["tests/data/nano_tt_v12.root"]
FOLDER = "rootio/functions"
# A function in each place where an expression may stand.
DATASET: dict[str, Any] = {
    "tree": "Events",
    "define": {
        "met": "log1p(MET_pt)",
        "twice": "2 * met",
        "nobody": "log10(MET_pt)",
    },
    "select": "any(Jet_pt > 20)",
    "samples": {
        "a": {"files": FILES, "class": "few", "variables": {"near": "cbrt(MET_pt)"}},
        "b": {"files": ["tests/data/nano_dy.root"], "weight": "round(genWeight)"},
    },
    "classes": {"few": {"where": "count(Jet_pt) < 4"}, "many": {"where": "count(Jet_pt) >= 4"}},
    "weight": "abs(genWeight)",
    "training_weight": "where(genWeight > 0, 1, 2)",
    "variables": {
        "twice": "twice",
        "near": "min(nearest_delta_r(Jet_eta, Jet_phi, Muon_eta, Muon_phi))",
        "sum": "arctan2(sqrt(MET_pt), run)",
    },
    "objects": {
        "constituents": {
            "px": "Jet_pt * cos(Jet_phi)",
            "py": "Jet_pt * sin(Jet_phi)",
            "pz": "Jet_pt * sinh(Jet_eta)",
            "e": "Jet_pt * cosh(Jet_eta)",
        }
    },
    "targets": {"energy": "sum(Jet_pt)"},
    "splits": {"train": 0.7, "validation": 0.3, "test": "isfinite(MET_pt)"},
    "identity": ["run", "maximum(luminosityBlock, 0)", "event"],
}
EXPERIMENT: dict[str, Any] = {
    "dataset": "mine",
    "task": {"kind": "classification"},
    "methods": {
        "dense": {"model": "dnn", "representation": "features"},
        "tree": {"model": "recnn-simple", "representation": "tree-kt"},
    },
}
FEATURES, TREE = "mine features", "mine tree-kt"
BOTH = {FEATURES, TREE}
# The shards that are made with a function.
PLACES = {
    "any": BOTH,  # select
    "count": BOTH,  # classes
    "abs": BOTH,  # weight
    "round": BOTH,  # weight of a sample
    "where": BOTH,  # training_weight
    "sum": BOTH,  # targets
    "isfinite": BOTH,  # splits
    "maximum": BOTH,  # identity
    "min": {FEATURES},  # variables
    "nearest_delta_r": {FEATURES},  # inside another call
    "sqrt": {FEATURES},
    "cbrt": {FEATURES},  # variables of a sample
    "log1p": {FEATURES},  # define, of which another one is made
    "sinh": {TREE},  # objects
    "log10": set(),  # define, which no expression needs
    "argsort": set(),  # nowhere
}
NEW = {
    f"{FOLDER}/elementwise.py": """
cosec = _of_numpy(np.sin, "Another.", "cosec(MET_pt)", [0.7451, -0.1324, -0.3048])


@function(GROUP, "half(MET_pt)", [20.0, 12.5, 30.0])
def half(x: Value) -> Value:
    return x / 2
""",
    f"{FOLDER}/four_vectors.py": '\nphi_ = _part("phi_", "phi", "Again.", [0.0, np.nan, 2.0])\n',
    f"{FOLDER}/__init__.py": "\nfrom rootloom.rootio.functions import more\n",
}
MORE = '''"""A new file of functions."""

from rootloom.rootio.functions.registry import function


@function("More", "same(MET_pt)", [40.0, 25.0, 60.0])
def same(x):
    """The same."""
    return x
'''
CALOGAN = {"calogan calorimeter-cells", "calogan gan"}
# File, what is replaced by what, and the shards and evaluations that follow.
EDITS = [
    ("elementwise.py", "return np.maximum(", "return np.fmax(",
     {"w-tagging features", *CALOGAN, *BOTH}),
    ("elementwise.py", "sqrt = _of_numpy(np.sqrt", "sqrt = _of_numpy(np.cbrt",
     {*CALOGAN, FEATURES}),
    ("objects.py", "+ np.pi) % (2", "+ 3.14) % (2",
     {"higgs higgs-every", "higgs higgs-low-turned", FEATURES}),
    ("reductions.py", "filled(of(whole_or_real(x)", "filled(of(real(x)", {*CALOGAN, FEATURES}),
    # Two calls below the function that is named.
    ("objects.py", "return value.eta, value.phi", "return value.phi, value.eta", {FEATURES}),
    ("four_vectors.py", "boostCM_of_p4", "boost_p4", set()),
]  # fmt: skip


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """Plans of shipped experiments, and of one with a function in each place."""
    root = tmp_path_factory.mktemp("plans")
    shutil.copytree(ROOT / "config", root / "config")
    (root / "tests").symlink_to(ROOT / "tests")
    for folder, section in (("datasets", DATASET), ("experiments", EXPERIMENT)):
        (root / "config" / folder / "mine.yaml").write_text(yaml.safe_dump(section))
    names = ("mine", "w-tagging", "higgs", "calogan")
    return {name: make_plan({"experiment": name}, root) for name in names}


def codes(plans: dict[str, Plan]) -> dict[str, str]:
    """By experiment: fingerprints of index and statistics, and of the code of evaluations."""
    of_code("rootloom.types")  # forgets what was read before
    found = {}
    for name, plan in plans.items():
        plan.jobs = Jobs(STAGES, plan)
        dataset = plan.datasets.nominal.name
        pack = next(iter(plan.files(dataset).listing.parts))
        found[f"{name} index"] = plan.fingerprint("index", dataset=dataset, pack=pack)
        for one in plan.request.representations:
            named = {"dataset": dataset, "representation": one}
            shards = plan.fingerprint("preprocess", **named, pack=pack)
            found[f"{name} {one}"] = shards + plan.fingerprint("statistics", **named)
        for method in list(plan.request.all_methods)[:1]:
            job = plan.job("evaluate", dataset=dataset, method=method)
            found[f"{name} {method}"] = job["code"]
    return found


@pytest.fixture(scope="module")
def unchanged(plans: dict[str, Plan]) -> dict[str, str]:
    return codes(plans)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    return Edited(tmp_path, monkeypatch)


def changed(plans: dict[str, Plan], before: dict[str, str]) -> set[str]:
    after = codes(plans)
    return {name for name in before if after[name] != before[name]}


def test_places_are_those_of_functions() -> None:
    """What is registered counts by its place alone: there must be its definition."""
    for name, known in FUNCTIONS.items():
        assert load(known.signature.place) is known.call, name
        assert fingerprint.of_code(known.signature.place)


def test_new_functions_rerun_nothing(
    edited: Edited, plans: dict[str, Plan], unchanged: dict[str, str]
) -> None:
    for name, text in NEW.items():
        edited.edit(name, "", text)
    more = edited.folder / "more.py"
    more.write_text(MORE)
    edited.files[LIBRARY / FOLDER / "more.py"] = more
    assert changed(plans, unchanged) == set()


@pytest.mark.parametrize(("name", "old", "new", "follow"), EDITS, ids=[row[1] for row in EDITS])
def test_an_edit_reruns_what_evaluates_it(
    edited: Edited,
    plans: dict[str, Plan],
    unchanged: dict[str, str],
    name: str,
    old: str,
    new: str,
    follow: set[str],
) -> None:
    edited.edit(f"{FOLDER}/{name}", old, new)
    assert changed(plans, unchanged) == follow


@pytest.mark.parametrize("rule", ["preprocess", "shard"])
def test_functions_count_wherever_an_expression_stands(plans: dict[str, Plan], rule: str) -> None:
    plan = plans["mine"]
    (pack,) = plan.files("mine").listing.parts
    file = next(iter(plan.files("mine").of_pack(pack)))
    job = {"pack": pack} if rule == "preprocess" else {"file": file, "part": "0"}
    found: dict[str, set[str]] = {name: set() for name in PLACES}
    for one in plan.request.representations:
        described = STAGES[rule].describe(plan, dataset="mine", representation=one, **job)
        for name in PLACES:
            if FUNCTIONS[name].signature.place in described.functions:
                found[name].add(f"mine {one}")
    assert found == PLACES
