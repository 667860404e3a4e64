"""Stages: a file a rule, light to import, called by scripts as they are declared."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rootloom.config.registry import load
from rootloom.stages import STAGES, make_plan

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"awkward", "fastjet", "flax", "h5py", "jax", "numba", "scipy", "sklearn", "uproot"}
ANSWER = f"import sys, rootloom.stages; print(*sorted({HEAVY!r} & set(sys.modules)))"


def test_every_rule_has_a_stage_and_every_stage_a_rule() -> None:
    rules = list((ROOT / "rules").glob("*.smk"))
    found = [name for file in rules for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)]
    assert sorted(found) == sorted(STAGES)
    included = re.findall(r'^include: "rules/(.+)"$', (ROOT / "Snakefile").read_text(), re.M)
    assert sorted(included) == sorted(file.name for file in rules)


def test_stages_read_what_stages_write() -> None:
    for stage in STAGES.values():
        assert set(stage.reads) <= set(STAGES), stage.name


def test_stages_load_nothing_heavy() -> None:
    """Each job parses the Snakefile, which describes jobs."""
    asked = [sys.executable, "-c", ANSWER]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize(
    "module", sorted({stage.run.partition(":")[0] for stage in STAGES.values()})
)
def test_arrays_are_imported_where_stages_run(module: str) -> None:
    tree = ast.parse(Path(sys.modules[module].__file__ or "").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in imports]
    assert not {name.partition(".")[0] for name in names} & {"numpy", *HEAVY}


def test_stages_ask_the_plan_for_hashes_of_code() -> None:
    """It adds the versions of packages where the configuration asks for that."""
    for file in (ROOT / "src/rootloom/stages").glob("*.py"):
        assert "planning.fingerprint" not in file.read_text(), file


@pytest.mark.parametrize("rule", sorted(STAGES))
def test_scripts_call_their_stages_as_they_are_declared(rule: str) -> None:
    script = ast.parse((ROOT / "scripts" / f"{rule}.py").read_text())
    calls = [node for node in ast.walk(script) if isinstance(node, ast.Call)]
    (call,) = (one for one in calls if ast.unparse(one.func).partition(".")[2].startswith("run"))
    module, _, function = ast.unparse(call.func).partition(".")
    target = f"rootloom.stages.{module}:{function}"
    asked = {"job"} | {str(keyword.arg) for keyword in call.keywords}
    declared = inspect.signature(load(target)).parameters
    if "paths" in declared:  # fields of a TypedDict
        declared = {"job": None, **load(f"rootloom.stages.{module}:Paths").__annotations__}
    assert asked == set(declared)
    # One that makes a single file again goes by the code that makes a pack's.
    assert STAGES[rule].run == target.removesuffix(f"_{rule}")


def test_a_section_has_the_fields_that_are_declared_and_no_other() -> None:
    section = make_plan({"experiment": "w-tagging"}, ROOT).job(
        "simulate", dataset="w-jets", file="w-00000"
    )["section"]
    declared = load("rootloom.stages.simulate:Section")
    assert declared(**section).rows == section["rows"]
    with pytest.raises(TypeError, match="more"):
        declared(**section, more=1)
