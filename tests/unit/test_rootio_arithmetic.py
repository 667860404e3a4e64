"""Expressions give the values of real arithmetic, whatever type a branch has."""

from __future__ import annotations

import contextlib
import operator
from fractions import Fraction
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from rootloom.errors import ConfigError, InputError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.definitions import check, check_definitions, written_out
from rootloom.rootio.expressions import Expression, choose
from rootloom.rootio.functions.registry import signatures
from rootloom.rootio.gathering import GatherRule
from rootloom.rootio.syntax import inlined
from rootloom.types import Ragged

WHOLE = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
OPERATORS: dict[str, Any] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def value(text: str, **arrays: Any) -> Any:
    return Expression(text).evaluate(arrays)


def ends(dtype: str) -> list[int]:
    info = np.iinfo(dtype)
    return [int(info.min), 0, 1, int(info.max) // 3, int(info.max)]


@pytest.mark.parametrize("left", WHOLE)
@pytest.mark.parametrize("right", WHOLE)
@pytest.mark.parametrize("sign", list(OPERATORS))
def test_nothing_wraps_around(left: str, right: str, sign: str) -> None:
    pairs = [(a, b) for a in ends(left) for b in ends(right)]
    a, b = (np.array([p[k] for p in pairs], d) for k, d in enumerate((left, right)))
    exact = [OPERATORS[sign](*pair) for pair in pairs]
    for arrays in ({"a": a, "b": b}, {"a": ak.Array(a), "b": ak.Array(b)}):
        found = value(f"a {sign} b", **arrays)
        np.testing.assert_allclose(np.asarray(found, float), np.array(exact, float), rtol=1e-15)
    # Lists in lists go the same way.
    jagged = {k: ak.unflatten(x, [5, len(x) - 5]) for k, x in (("a", a), ("b", b))}
    flat = ak.to_numpy(ak.flatten(value(f"a {sign} b", **jagged)))
    np.testing.assert_allclose(flat.astype(float), np.array(exact, float), rtol=1e-15)


@pytest.mark.parametrize("dtype", WHOLE)
def test_signs_powers_and_comparisons(dtype: str) -> None:
    numbers = ends(dtype)
    n = np.array(numbers, dtype)
    np.testing.assert_array_equal(np.asarray(value("-n", n=n), float), [-float(k) for k in numbers])
    np.testing.assert_allclose(value("n ** 2", n=n), [float(k) ** 2 for k in numbers], rtol=1e-15)
    assert value("n - 4 > 0", n=n).tolist() == [k > 4 for k in numbers]
    limits = [-(2**80), -(2**63), -1, numbers[-1], 2**63 - 1, 2**63, 2**64 - 1, 2**80]
    for array in (n, ak.Array(n), ak.unflatten(n, [2, 3])):
        for limit in limits:
            for sign, of in (("<", operator.lt), (">=", operator.ge), ("==", operator.eq)):
                found = np.ravel(ak.flatten(value(f"n {sign} {limit}", n=array), axis=None))
                assert found.tolist() == [of(k, limit) for k in numbers]
                found = np.ravel(ak.flatten(value(f"{limit} {sign} n", n=array), axis=None))
                assert found.tolist() == [of(limit, k) for k in numbers]
        found = ak.flatten(value(f"n in (0, {numbers[-1]})", n=array), axis=None)
        assert found.tolist() == [k in (0, numbers[-1]) for k in numbers]
    exact = [k % 7 for k in numbers]
    assert value("n % 7", n=n).tolist() == exact
    assert value("n // 7", n=n).tolist() == [k // 7 for k in numbers]
    np.testing.assert_allclose(value("n / 7", n=n), [k / 7 for k in numbers], rtol=1e-15)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]))
def test_chains_agree_with_exact_numbers(data: st.DataObject, dtype: str) -> None:
    info = np.iinfo(dtype)
    draw = st.integers(int(info.min), int(info.max))
    a, b, c = (data.draw(draw) for _ in range(3))
    arrays = {k: np.array([v], dtype) for k, v in (("a", a), ("b", b), ("c", c))}
    text = "(a - b) * c - a * 2 + -c"
    exact = (a - b) * c - a * 2 + -c
    assert float(value(text, **arrays)[0]) == pytest.approx(exact, rel=1e-15)
    ratio = Fraction(a - b, 3) + Fraction(c, 8)
    found = float(value("(a - b) / 3 + c / 8", **arrays)[0])
    assert found == pytest.approx(float(ratio), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", "?"])
def test_functions_are_calculated_in_double_precision(dtype: str) -> None:
    n = np.array([1, 0, 1] if dtype == "?" else [3, 126, 77], dtype)
    exact = np.sqrt(n.astype(np.float64))
    np.testing.assert_array_equal(value("sqrt(n)", n=n), exact)
    assert np.asarray(value("sqrt(n)", n=n)).dtype == np.float64
    np.testing.assert_array_equal(value("maximum(n, 2) * 1.5", n=n), np.maximum(n, 2.0) * 1.5)


def test_single_precision_cancels_nothing() -> None:
    # E² − p² of a muon of 1 TeV: in float32 nothing is left of its mass.
    p = np.array([1000.0], np.float32)
    energy = np.sqrt(p.astype(np.float64) ** 2 + 0.10566**2)
    found = value("sqrt(e * e - p * p)", e=energy, p=p)
    np.testing.assert_allclose(found, 0.10566, rtol=1e-6)
    x = np.array([0.1], np.float32)
    assert value("x > 0.1", x=x).tolist() == [bool(np.float64(np.float32(0.1)) > 0.1)] == [True]
    big = np.array([1e30], np.float32)
    assert value("big * big", big=big).tolist() == pytest.approx([1e60], rel=1e-6)


def test_truths_count() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert value("(x > 1) + (x > 2)", x=x).tolist() == [0, 1, 2]
    assert value("(x > 1) - (x > 2)", x=x).tolist() == [0, 1, 0]
    assert value("(x > 1) * 2.5", x=x).tolist() == [0, 2.5, 2.5]
    flag = np.array([True, False, True])
    assert value("flag == 1", flag=flag).tolist() == [True, False, True]
    assert value("-flag + 1", flag=flag).tolist() == [0, 1, 0]
    jagged = ak.Array([[True, True], [], [False]])
    assert value("sum(f)", f=jagged).tolist() == [2, 0, 0]
    # What is not a number holds nothing, nor does its absence.
    y = np.array([np.nan, 0.0, 2.0])
    assert value("y and 1", y=y).tolist() == [False, False, True]
    assert value("where(y, 1, 0)", y=y).tolist() == [0, 0, 1]


def test_division_by_zero_is_infinite_and_can_be_guarded() -> None:
    n, m = np.array([7, 7], "i4"), np.array([2, 0], "i4")
    assert value("n // m", n=n, m=m).tolist() == [3, np.inf]
    assert np.isnan(value("n % m", n=n, m=m)[1])
    assert value("where(m > 0, n // m, -1)", n=n, m=m).tolist() == [3, -1]


def test_the_negative_of_zero_keeps_its_sign() -> None:
    for x in (np.zeros(1), np.zeros(1, "f4"), ak.Array([0.0]), ak.Array([[0.0]])):
        assert np.asarray(value("1 / -x", x=x)).ravel().tolist() == [-np.inf]


def test_shifts_and_bits() -> None:
    n = np.array([1, 5, 200], "u1")
    assert value("n << 4", n=n).tolist() == [16, 80, 3200]
    assert value("n >> 2", n=n).tolist() == [0, 1, 50]
    assert value("((n >> 2) & 1) == 1", n=n).tolist() == [
        False, True, False,
    ]  # fmt: skip
    assert value("n << 60", n=n).tolist() == [2.0**60, 5 * 2.0**60, 200 * 2.0**60]
    assert value("n >> 70", n=n).tolist() == [0, 0, 0]
    assert value("n >> m", n=n, m=np.array([0, 1, 2], "i8")).tolist() == [1, 2, 50]
    jagged = ak.Array(np.array([[1, 2]], "u4"))
    assert value("x << 31", x=ak.from_regular(jagged)).tolist() == [[2**31, 2**32]]
    high = np.array([2**63 + 5], "u8")
    assert value("high & 7", high=high).tolist() == [5]


def test_an_axis_of_fixed_length_meets_one_value_an_entry() -> None:
    # As many entries as components: NumPy alone would pair them up the other way.
    fixed, scale = ak.Array(np.arange(9.0).reshape(3, 3)), np.array([1.0, 10.0, 100.0])
    expected = (np.arange(9.0).reshape(3, 3) * scale[:, None]).tolist()
    assert value("fixed * scale", fixed=fixed, scale=scale).tolist() == expected
    raw = np.arange(9.0).reshape(3, 3)
    assert value("fixed * scale", fixed=raw, scale=scale).tolist() == expected


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("njet >= 4 & nb >= 2", "(njet >= 4) & (nb >= 2)"),
        ("njet >= 4 | nb >= 2", "(njet >= 4) | (nb >= 2)"),
        ("a > 1 & b < 2 & c == 3", "(a > 1) & (b < 2) & (c == 3)"),
        ("(a > 1) & b < 2", "(a > 1) & (b < 2)"),
        ("sum(x[y > 2 & z > 1])", "(y > 2) & (z > 1)"),
        ("where(a > 1 & b > 2, 1, 0)", "(a > 1) & (b > 2)"),
        ("a > 1 ^ b > 2", "(a > 1) ^ (b > 2)"),
        ("a + 1 > 2 & sum(b, axis=1) > 3", "(a + 1 > 2) & (sum(b, axis=1) > 3)"),
        ("flags & 4 == 4", "(flags & 4) in parentheses"),
        ('sample == "a" | sample == "b"', '(sample == "a") | (sample == "b")'),
        ("a in (1, 2) & b > 1", "(a in (1, 2)) & (b > 1)"),
        ("(a > 1 &\n b > 2)", "(a > 1) & (b > 2)"),
        ("μ > 1 & η > 2", "(μ > 1) & (η > 2)"),
    ],
)
def test_bits_beside_comparisons_need_parentheses(text: str, fix: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Expression(text)
    assert fix in refusal.value.fix
    assert "reads as" in refusal.value.found


@pytest.mark.parametrize(
    "text",
    [
        "(njet >= 4) & (nb >= 2)",
        "(flags & 4) > 0",
        "( flags & 4 ) == 4",
        "0 < (flags & 4)",
        "((a > 1) & (b > 2)) == (c > 3)",
        "a & b",
        "a > 1 and b > 2",
        "a << 2 > b",
        "~(a > 1) & (b > 2)",
        "sum(x & 1) > 2",
    ],
)
def test_what_is_in_parentheses_is_meant(text: str) -> None:
    Expression(text)


@pytest.mark.parametrize(
    ("text", "fix"),
    [("a > 1 && b > 2", "and"), ("a || b", "or"), ("!a", "not"), ("a > 1 ? b : c", "where")],
)
def test_operators_of_other_languages_are_translated(text: str, fix: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Expression(text)
    assert fix in refusal.value.fix


def test_words() -> None:
    arrays = {"s": ak.Array(["wjets", "ttbar", "zjets"]), "n": np.arange(3)}
    assert value('s == "wjets"', **arrays).tolist() == [True, False, False]
    assert value("'wjets' == s", **arrays).tolist() == [True, False, False]
    assert value('s != "wjets"', **arrays).tolist() == [False, True, True]
    assert value('s in ("wjets", "zjets")', **arrays).tolist() == [True, False, True]
    assert value('s not in ["wjets", "zjets"]', **arrays).tolist() == [False, True, False]
    assert value('(s == "ttbar") & (n > 0)', **arrays).tolist() == [False, True, False]
    assert value("s == t", s=arrays["s"], t=arrays["s"][::-1]).tolist() == [False, True, False]
    lists = ak.Array([["mu", "e"], [], ["mu"]])
    assert value('x == "mu"', x=lists).tolist() == [[True, False], [], [True]]
    assert value('n[x == "mu"]', x=lists, n=ak.Array([[1, 2], [], [3]])).tolist() == [[1], [], [3]]
    assert value('first(x) == "mu"', x=lists).tolist() == [True, False, True]
    assert value('s == "wj"', s=ak.Array(["wj", "wjets"])).tolist() == [True, False]


@pytest.mark.parametrize(
    "text", ['s > "a"', '"a" == "b"', 's == "a" == "b"', 's in "abc"', 's in ("a", 1)', "s in ()",
             's in (t, "a")', 's + "a"', '"a"', 'where(s == "a", "b", "c")', "(1, 2) == s"],
)  # fmt: skip
def test_words_where_they_have_no_place(text: str) -> None:
    with pytest.raises(ConfigError):
        Expression(text)


def test_a_branch_alone_keeps_its_type() -> None:
    for dtype in ("u1", "f4", "u8"):
        assert value("n", n=np.ones(3, dtype)).dtype == dtype
    assert value("branch('n')", n=np.ones(3, "u2")).dtype == np.uint16


def test_alternatives_keep_the_rest_as_written() -> None:
    found = choose('(branch("a", "b") & 4) > 0', {"b"}, "x")
    assert found.replace("'", '"') == '(branch("b") & 4) > 0'
    # Parentheses must not come from nowhere.
    with pytest.raises(ConfigError, match="parentheses"):
        Expression(choose('branch("a", "b") & 4 > 0', {"b"}, "x"))


_WRITTEN = """x y.z 1 2.5 -1 'w' ( ) [ ] : , + - * ** / // % & | ^ ~ << >> < >= == != in not and or
sum sort where branch axis= = . { } lambda if else * := ... f'' @ True None 1j é"""
_TOKENS = st.sampled_from(_WRITTEN.split())


@settings(max_examples=300, deadline=None)
@given(st.lists(_TOKENS, max_size=12))
def test_any_text_is_an_expression_or_refused(tokens: list[str]) -> None:
    text = " ".join(tokens)
    arrays = {"x": np.arange(3), "y.z": ak.Array([[1.0, 2.0], [], [3.0]])}
    for attempt in (lambda: Expression(choose(text, arrays, "x")).evaluate(arrays),
                    lambda: Expression(inlined(text, {"x": "y.z + 1"}))):  # fmt: skip
        with contextlib.suppress(ConfigError, InputError):
            attempt()


@pytest.mark.parametrize(
    "text", ["x[()]", "x[" + "-" * 2000 + "1]", "-" * 5000 + "x", "x in (" + "-" * 1500 + "1,)"]
)
def test_odd_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Expression(choose(text, {"x"}, "x"))


DEFINE = {"boost": "pt / mass", "heavy": "boost > 2", "twice": "boost + boost"}


def test_definitions_are_written_out() -> None:
    assert inlined("heavy & (x > 1)", DEFINE) == "((pt / mass) > 2) & (x > 1)"
    assert inlined("2 * twice", {"twice": "a"}) == "2 * a"
    # Neither functions, branches in quotes nor parts of dotted names are definitions.
    kept = 'boost.x + branch("boost") + boost(a)'
    assert inlined(kept, DEFINE) == kept
    arrays = {"pt": np.array([10.0, 1.0]), "mass": np.array([2.0, 1.0])}
    assert value(inlined("twice - 1", DEFINE), **arrays).tolist() == [9.0, 1.0]


def test_a_reader_is_written_out_everywhere() -> None:
    reader = {
        "select": "heavy", "weight": "boost", "training_weight": None,
        "variables": {"v": "twice"}, "targets": {"t": "boost"}, "splits": {"test": "heavy"},
        "objects": {"o": {"x": "boost"}}, "identity": ["boost"],
        "classes": [{"name": "c", "where": "heavy", "by_file": False}], "rows": "event",
        "gather": {"o": {**GatherRule("p", row="twice", select="heavy", most=3)._asdict()}},
    }  # fmt: skip
    found = written_out(reader, DEFINE)
    assert not {"heavy", "boost", "twice"} & set(str(found).replace("(", " ").split())
    assert written_out(reader, {}) == reader


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"a": "b + 1", "b": "a + 1"}, "b → a → b"),
        ({"a": "a * 2"}, "a → a"),
        ({"a b": "1"}, "letters"),
        ({"in": "1"}, "letters"),
        ({"a": "sqr(x)"}, "sqrt"),
        ({"a": "x >"}, "an expression"),
        ({"a": "x > 1 & y > 2"}, "parentheses"),
        ({f"a{n + 1}": f"a{n} + a{n}" for n in range(1, 40)}, "characters"),
    ],
)
def test_definitions_that_cannot_be(definitions: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_definitions(definitions, signatures(), "dataset 'x'")


def test_expressions_are_checked_as_written() -> None:
    # Written out it would be in parentheses, which nobody wrote.
    with pytest.raises(ConfigError, match="parentheses"):
        check("x > 1 & cut", {"cut": "y > 2"}, signatures(), "dataset 'x': select")


def test_unknown_names_beside_definitions() -> None:
    reader = RowReader("t", {"v": "dijet_mas + x"}, defined=("dijet_mass",))
    with pytest.raises(Exception, match="did you mean 'dijet_mass'"):
        reader.fitted({"x", "y"})
    with pytest.raises(ConfigError, match="a name that no branch has"):
        RowReader("t", {"v": "x"}, defined=("x",)).fitted({"x", "y"})
    assert RowReader("t", {"v": "x"}, defined=("z",)).fitted({"x", "y"}).variables == {"v": "x"}


def test_rows_of_a_file_with_every_narrow_type(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n = 500
    whole = {
        "njet": rng.integers(0, 8, n).astype(np.uint32),
        "nconst": rng.integers(1, 200, n).astype(np.uint8),
        "ieta": rng.integers(-85, 86, n).astype(np.int8),
        "ids": rng.integers(-300, 300, n).astype(np.int16),
    }
    hits = ak.unflatten(rng.integers(0, 255, 2 * n).astype(np.uint8), np.full(n, 2))
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        types = {**{k: v.dtype for k, v in whole.items()}, "hits": "var * uint8"}
        file.mktree("t", types).extend({**whole, "hits": hits})
    reader = RowReader(
        "t",
        {
            "extra": "njet - 4", "double": "nconst * 2", "square": "ieta * ieta",
            "minus": "-nconst", "product": "ids * ids", "root": "sqrt(nconst)",
            "hit_sum": "sum(hits * 2)", "alone": "nconst",
        },
        {"hits": {"shifted": "hits - 255"}},
        select="njet - 4 > -2",
        classes=(ClassRule("all"),),
    )  # fmt: skip
    (block,) = reader.read(path, 0, n)
    exact = {name: values.astype(np.int64) for name, values in whole.items()}
    kept = exact["njet"] - 4 > -2
    assert 0 < kept.sum() < n
    exact = {name: values[kept] for name, values in exact.items()}
    expected = {
        "extra": exact["njet"] - 4, "double": 2 * exact["nconst"], "square": exact["ieta"] ** 2,
        "minus": -exact["nconst"], "product": exact["ids"] ** 2, "alone": exact["nconst"],
        "hit_sum": 2 * ak.to_numpy(hits).astype(np.int64).sum(axis=1)[kept],
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_array_equal(block.columns[name], values)
    np.testing.assert_allclose(block.columns["root"], np.sqrt(exact["nconst"]), rtol=1e-15)
    column = block.columns["hits.shifted"]
    assert isinstance(column, Ragged)
    flat = ak.to_numpy(hits)[kept].astype(np.int64).ravel() - 255
    np.testing.assert_array_equal(column.values, flat)
    # A branch alone is stored as it is.
    assert block.columns["alone"].dtype == np.uint8
