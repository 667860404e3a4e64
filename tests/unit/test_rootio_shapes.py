"""Expressions of the wrong shape are refused from the types of branches, before rows are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import awkward as ak
import pytest

from rootloom.errors import ConfigError, InputError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.expressions import Expression
from rootloom.rootio.header import inspect
from rootloom.rootio.rows import Layout
from rootloom.rootio.shapes import Shapes
from rootloom.system import scratch
from rootloom.system.filelist import File

DATA = Path(__file__).resolve().parents[1] / "data"
ANY = (ClassRule(name="any", where="MET_pt > 0"),)


def ask(name: str, **fields: Any) -> None:
    url = str(DATA / name)
    reader = RowReader("Events", fields.pop("variables", {}), classes=ANY, **fields)
    Shapes().require(File("key", url, None, "", ""), reader, inspect(url, "Events"))


@pytest.mark.parametrize("name", ["nano_dy.root", "nano_dy_rntuple.root"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variables": {"x": "Jet_pt"}}, r"column 'x': 'Jet_pt'\n.*one value a row"),
        ({"objects": {"jets": {"pt": "MET_pt"}}}, r"column 'jets.pt'.*\n.*a list of values a row"),
        ({"select": "Jet_pt > 30"}, r"select(.|\n)*one value a row"),
        ({"weight": "Jet_pt"}, r"weight(.|\n)*one value a row"),
        ({"rows": "MET"}, r"rows: MET\n(.|\n)*jagged"),
        ({"select": 'branch("a", "b") > 1'}, r"branch\('a', 'b'\)\n(.|\n)*without any of them"),
        ({"select": "mett > 1", "defined": ("met",)}, r"a definition(.|\n)*'met'"),
    ],
)
def test_what_does_not_fit_names_the_file(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message) as refused:
        ask(name, **fields)
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "kind", "expression", "message"),
    [
        ("Jet", "variables", "Jet_hit", r"whole numbers, a list for each object of each event\n"),
        ("Jet", "variables", "Jet_hit", r"x\[:, :, 0\].*one value for each Jet\Z"),
        ("Jet", "objects", "Jet_pt", r"under `variables`\Z"),
        ("event", "variables", "Jet_hit", r"`sum\(sum\(x\)\)` or `first\(max\(x\)\)`"),
        ("event", "variables", "Jet_pt", r"numbers, a list for each event\n.*`x\[:, 0\]`"),
        ("event", "objects", "Jet_hit", r"`x\[:, :, 0\]`.*a list of values for each event\Z"),
    ],
)
def test_what_is_offered_is_taken(rows: str, kind: str, expression: str, message: str) -> None:
    arrays = {"Jet_hit": ak.Array([[[1, 2], [3]], []]), "Jet_pt": ak.Array([[1.5, 2.5], []])}
    layout = Layout.of(0, 2, None if rows == "event" else arrays["Jet_pt"], rows)
    read = layout.scalar if kind == "variables" else layout.ragged
    with pytest.raises(ConfigError, match=message) as refused:
        read(Expression(expression), arrays)
    for offered in re.findall(r"`([^`]*\bx\b[^`]*)`", refused.value.fix):
        read(Expression(re.sub(r"\bx\b", expression, offered)), arrays)


@pytest.mark.parametrize("name", ["nano_dy.root", "nano_dy_rntuple.root"])
def test_the_right_shape_is_not(name: str) -> None:
    ask(name, variables={"n": "count(Jet_pt)", "x": "MET_pt"}, objects={"jets": {"pt": "Jet_pt"}})
    ask(name, variables={"pt": "Jet_pt", "met": "MET_pt"}, rows="Jet")


def test_each_set_of_types_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[str] = []
    monkeypatch.setattr(RowReader, "read", lambda self, url, *_, **__: iter(read.append(url) or ()))
    url = str(DATA / "nano_dy.root")
    shapes, header = Shapes(), inspect(url, "Events")
    reader = RowReader("Events", {"x": "MET_pt"}, classes=ANY)
    for name in ("a", "b"):
        shapes.require(File("key", name, None, "", ""), reader, header)
    assert read == ["a"]
    shapes.require(File("key", "c", None, "", "other"), reader, header)
    assert read == ["a", "c"]
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))  # a copy of the file would be made for it
    Shapes().require(File("key", "d", None, "", ""), reader, header)
    assert read == ["a", "c"]
