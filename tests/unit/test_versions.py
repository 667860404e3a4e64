"""Versions of packages: recorded, named where they differ, and decisive where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootloom.report.gather import _other_versions
from rootloom.stages import make_plan
from rootloom.system import provenance

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another optax than the one that is installed."""
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda n: "99.9" if n == "optax" else real(n))


def fingerprints(**settings: object) -> dict[str, str]:
    plan = make_plan({"experiment": "w-tagging", **settings}, ROOT)
    return {
        "statistics": plan.fingerprint("statistics", dataset="w-jets", representation="features"),
        "train": plan.fingerprint("train", method="dnn", member="0"),
        "predict": plan.fingerprint("predict", dataset="w-jets", method="dnn", member="0"),
    }


def test_a_record_has_the_versions_that_its_code_imports() -> None:
    plan = make_plan({"experiment": "w-tagging"}, ROOT)
    made = provenance.record("train", dict(plan.job("train", method="dnn", member="0")))
    assert {"python", "jax", "jaxlib", "optax", "numpy"} <= made["packages"].keys()
    assert not {"pythia8mc", "scikit-learn", "uproot"} & made["packages"].keys()


def test_code_without_packages_records_python_alone() -> None:
    made = provenance.record("branches", {"packages": []})
    assert made["packages"].keys() == {"python"}


@pytest.mark.usefixtures("newer")
def test_a_newer_package_is_named() -> None:
    then = provenance.version("numpy")
    record = {"packages": {"optax": "0.1", "numpy": then, "nowhere": "1"}}
    assert provenance.other_versions(record) == {"optax": ("0.1", "99.9")}


@pytest.mark.usefixtures("newer")
def test_a_report_names_results_of_other_versions(tmp_path: Path) -> None:
    for name, optax in (("a", "0.1"), ("b", "0.1"), ("c", "99.9")):
        record = {"fingerprint": "f", "inputs": {}, "packages": {"optax": optax}}
        (tmp_path / f"{name}.json").write_text(json.dumps({"provenance": record}))
    found = _other_versions([str(tmp_path / f"{name}.json") for name in "abc"])
    assert found == [f"optax 0.1 (now 99.9): {tmp_path}/a.json, {tmp_path}/b.json"]


def test_versions_decide_only_where_that_is_asked_for(request: pytest.FixtureRequest) -> None:
    before, strictly = fingerprints(), fingerprints(strict_versions=True)
    request.getfixturevalue("newer")
    assert fingerprints() == before
    after = fingerprints(strict_versions=True)
    assert {name for name in after if after[name] != strictly[name]} == {"train", "predict"}
