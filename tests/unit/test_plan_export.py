"""Formats of exported networks: refused in the plan, before any job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rootloom.errors import ConfigError, PackageError
from rootloom.planning import checks
from rootloom.planning.plan import Plan
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]


def planned(root: Path, export: Any, experiment: str = "w-tagging") -> Plan:
    """A shipped experiment whose first method is exported so."""
    shutil.copytree(ROOT / "config", root / "config")
    file = root / "config/experiments" / f"{experiment}.yaml"
    section = yaml.safe_load(file.read_text())
    next(iter(section["methods"].values()))["export"] = export
    file.write_text(yaml.safe_dump(section, sort_keys=False))
    return make_plan({"experiment": experiment}, root)


def test_each_member_of_an_exported_method_has_a_file(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["onnx", "cmssw"])
    method = next(iter(plan.request.experiment.methods))
    members = plan.request.members(method)
    wanted = [f"results/w-tagging/exported/{method}/{member}.json" for member in members]
    assert plan.all_exported() == wanted
    assert set(wanted) <= set(plan.targets())


@pytest.mark.parametrize(
    ("export", "refused"),
    [
        (["onix"], "onix"),
        ({"onnx": {"opset": 9}}, r"export.onnx.opset(.|\n)*greater than or equal to 10(.|\n)*9"),
        ({"onnx": {"opzet": 12}}, r"export.onnx(.|\n)*'opzet'(.|\n)*did you mean 'opset'"),
        ({"athena": {"model": "My_Net"}}, "letters and digits"),
        ({"triton": {"batch": 8}}, "at most 8"),
        ({"cmssw": {"preprocessing": "none"}}, "preprocessing"),
    ],
)
def test_what_no_format_knows_is_refused(tmp_path: Path, export: Any, refused: str) -> None:
    with pytest.raises(ConfigError, match=refused):
        planned(tmp_path, export)


def test_generators_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="predicts something of rows"):
        planned(tmp_path, ["onnx"], "calogan")


def test_packages_that_are_not_installed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(PackageError, match=r"no onnx\n(.|\n)*rootloom\[export\]"):
        planned(tmp_path, ["onnx"])
