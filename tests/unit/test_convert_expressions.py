"""Translated expressions against weaver-core's own values of the originals.

The values were made once by weaver-core 0.5.3, see tests/data/README.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from rootloom.convert.weaver.terms import Unsupported
from rootloom.convert.weaver.translation import Translator
from rootloom.rootio.expressions import Expression
from rootloom.rootio.syntax import inlined

ORACLE = Path(__file__).parents[1] / "data/oracles/weaver_expressions.json"
STORED = json.loads(ORACLE.read_text())
TABLE = {name: ak.Array(values) for name, values in STORED["table"].items()}


def translator(**more: str) -> Translator:
    return Translator({**STORED["new_variables"], **more})


def numbers(values: Any) -> list[list[float]]:
    """Lists of numbers of each entry."""
    return [np.ravel(np.asarray(one, np.float64)).tolist() for one in ak.to_list(values)]


@pytest.mark.parametrize("text", STORED["values"])
def test_values_are_those_of_weaver(text: str) -> None:
    of = translator()
    definitions = {name: of.variable(name).text for name in of.variables}
    term = of.translated(text)
    assert not of.failed
    found = numbers(Expression(inlined(term.text, definitions)).evaluate(TABLE))
    expected = numbers(STORED["values"][text])
    assert [len(entry) for entry in found] == [len(entry) for entry in expected]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), 1e-6, 1e-6)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("np.sum(x)", "axis=None combines entries"),
        ("ak.max(x, axis=0)", "axis=0 combines entries"),
        ("ak.cartesian([x, y])", "no counterpart of the function 'ak.cartesian'"),
        ("np.hipot(x, y)", "did you mean 'np.hypot'"),
        ("len(x)", "no counterpart of the function 'len'"),
        ("_hash(x)", "no counterpart of the function '_hash'"),
        ("x[0]", "one entry of the file"),
        ("x if flag else y", "no counterpart of 'x if flag else y'"),
        ("2 * p4", "four-vectors have only + and -"),
        ("p4.colour", "no counterpart of '.colour'"),
        ("x.astype('int')", "cuts numbers"),
        ("ak.sum(x, axis=1, keepdims=True)", "keepdims"),
        ("np.log(x, y)", "1 argument(s)"),
        ("x +", "no expression (invalid syntax)"),
        ("__import__('os').system('ls')", "no counterpart"),
        ("np.inf", "no counterpart of 'np.inf'"),
        ("~(n + 1)", "turns their bits"),
        ("~np.where(flag, 1, 0)", "turns their bits"),
        ("np.multiply(2, p4)", "four-vectors have only + and -"),
        ("p4 | p4", "four-vectors have only + and -"),
        ("np.nan_to_num(x, nan=np.hipot(x, y))", "did you mean 'np.hypot'"),
    ],
)
def test_what_has_no_counterpart_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        translator().translated(text)
    assert problem in str(refusal.value)
    assert text in str(refusal.value)


def test_variables_that_fail_are_noted_where_they_are_defined() -> None:
    of = translator(first="np.hipot(x, y)", second="first + 1", third="third * 2")
    assert of.translated("second").text == "second"
    assert of.translated("third").text == "third"
    assert set(of.failed) == {"first", "third"}
    assert "needs itself" in of.failed["third"]


X = np.array([np.nan, np.inf, -np.inf, -1.5, 2.0])
FLAG = np.array([True, True, True, False, False])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("np.add(x > 1, flag == 1)", np.add(X > 1, FLAG)),
        ("np.add(np.multiply(x > 1, flag == 1), x > 1)", np.add(np.multiply(X > 1, FLAG), X > 1)),
        ("np.add(flag == 1, 1)", np.add(FLAG, 1)),
        ("~((x > 1) & flag)", ~((X > 1) & FLAG)),
        ("~(flag | (x > 1))", ~(FLAG | (X > 1))),
        (
            "np.nan_to_num(x, nan=-np.pi, posinf=2 + 3, neginf=np.log(2))",
            np.nan_to_num(X, nan=-np.pi, posinf=5, neginf=np.log(2)),
        ),
        (
            "np.nan_to_num(x, nan=np.e, posinf=0) > 1",
            np.nan_to_num(X.astype("f4"), nan=np.e, posinf=0) > 1,
        ),
        ("np.nan_to_num(x, nan=np.pi)", np.nan_to_num(X.astype("f4"), nan=np.pi)),
    ],
)
def test_truths_and_options_are_those_of_numpy(text: str, expected: Any) -> None:
    found = Expression(Translator({}).translated(text).text).evaluate({"x": X, "flag": FLAG})
    np.testing.assert_allclose(found, expected, 1e-6)
