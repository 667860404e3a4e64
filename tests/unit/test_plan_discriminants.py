"""Discriminants of the configuration: refused in the plan, before any job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rootloom.config.registry import parse
from rootloom.errors import ConfigError
from rootloom.evaluation.classification.discriminants import Discriminant
from rootloom.planning.compatibility import check_compatibility
from rootloom.planning.data import DataOf
from rootloom.planning.request import Request

ROOT = Path(__file__).resolve().parents[2]
THREE = {
    "light": {"where": "Jet_hadronFlavour == 0"},
    "c": {"where": "Jet_hadronFlavour == 4"},
    "b": {"where": "Jet_hadronFlavour == 5"},
}
GOOD = {"signal": "b", "fractions": {"c": 0.018, "light": 0.982}}


def selected(root: Path, discriminants: Any, classes: dict[str, Any] = THREE) -> Request:
    """The shipped example on NanoAOD with these classes and discriminants."""
    shutil.copytree(ROOT / "config", root / "config")
    (root / "tests").symlink_to(ROOT / "tests")
    for folder, changes in (
        ("datasets", {"classes": classes}),
        ("experiments", {"evaluation": {"discriminants": discriminants}}),
    ):
        file = root / "config" / folder / "nano-btag.yaml"
        section = {**yaml.safe_load(file.read_text()), **changes}
        file.write_text(yaml.safe_dump(section, sort_keys=False))
    request = Request({"experiment": "nano-btag"}, root)
    check_compatibility(request, DataOf(request))
    return request


def test_three_classes_have_discriminants_and_no_file_more(tmp_path: Path) -> None:
    assert selected(tmp_path, {"D_b": GOOD}).plots() == ["roc.png"]


@pytest.mark.parametrize(
    ("discriminants", "message"),
    [
        ({"D_b": {**GOOD, "signal": "bb"}}, r"discriminants.D_b.signal\n.*a class.*\n.*'bb'\n.*b"),
        (
            {"D_b": {**GOOD, "fractions": {"c": 0.018, "ligth": 0.982}}},
            r"discriminants.D_b.fractions\n.*\n.*'ligth'\n.*did you mean 'light'",
        ),
        (
            {"D_b": GOOD, "D_c": {"signal": "c", "fractions": {"b": 0.3, "light": 0.6}}},
            r"discriminants.D_c.fractions\n.*sum is 1\n.*sum 0\.9",
        ),
        ({"D_b": {**GOOD, "fractions": {"b": 1}}}, r"other than the signal 'b'"),
        ({"D_b": {**GOOD, "fractions": {"c": -1, "light": 2}}}, r"D_b.fractions.c\n.*\n.*-1"),
        ({"D_b": {**GOOD, "fraction": {}}}, r"discriminants.D_b.fraction\n.*known field"),
        ({"D_b": {"signal": "b"}}, r"discriminants.D_b"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, discriminants: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        selected(tmp_path, discriminants)


def test_two_classes_have_no_discriminant(tmp_path: Path) -> None:
    two = {name: THREE[name] for name in ("light", "b")}
    with pytest.raises(ConfigError, match=r"D_b\n.*three classes or more\n.*light, b"):
        selected(tmp_path, {"D_b": {"signal": "b", "fractions": {"light": 1}}}, two)


def test_a_section_becomes_an_evaluator() -> None:
    found = parse("evaluations", {"kind": "classification", "discriminants": {"D_b": GOOD}})
    assert found.discriminants == {"D_b": Discriminant("b", {"c": 0.018, "light": 0.982})}
