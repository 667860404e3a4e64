from __future__ import annotations

import operator

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootloom.errors import ConfigError, DataError
from rootloom.rootio.expressions import Arrays, Expression

PT = [[50.0, 30.0], [], [20.0]]
ARRAYS = {
    "Jet_pt": ak.Array(PT),
    "Jet_eta": ak.Array([[0.5, -1.5], [], [2.0]]),
    "cons.px": ak.Array([[1.0], [2.0, 3.0], []]),
    "met": np.array([10.0, 20.0, 30.0]),
    "phi": np.array([3.0, -3.0, 0.1]),
    "n": np.array([2, 0, 1]),
    "odd name/x": np.array([7.0, 8.0, 9.0]),
}


def value(text: str) -> list:
    return ak.to_list(Expression(text).evaluate(ARRAYS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("met + 2 * n", [14.0, 20.0, 32.0]),
        ("-met / 10", [-1.0, -2.0, -3.0]),
        ("met % 7 // 2", [1.0, 3.0, 1.0]),
        ("n ** 2", [4.0, 0.0, 1.0]),
        ("met > 15", [False, True, True]),
        ("10 < met <= 20", [False, True, False]),
        ("(met > 15) & ~(n == 0)", [False, False, True]),
        ("met > 15 and not n == 0", [False, False, True]),
        ("met < 15 or n == 1", [True, False, True]),
        ("(n == 0) | (n == 2)", [True, True, False]),
        ("Jet_pt * 2", [[100.0, 60.0], [], [40.0]]),
        ("Jet_pt / met", [[5.0, 3.0], [], [20.0 / 30.0]]),
        ("Jet_pt[:, 1:]", [[30.0], [], []]),
        ("Jet_pt[:, :1]", [[50.0], [], [20.0]]),
        ("count(Jet_pt)", [2, 0, 1]),
        ("sum(Jet_pt)", [80.0, 0.0, 20.0]),
        ("any(Jet_pt > 40)", [True, False, False]),
        ("all(Jet_pt > 25)", [True, True, False]),
        ("count(cons.px)", [1, 2, 0]),
        ('branch("odd name/x") - 7', [0.0, 1.0, 2.0]),
        ("where(met > 15, met, -1)", [-1.0, 20.0, 30.0]),
        ("where(Jet_pt > 25, 1, 0)", [[1, 1], [], [0]]),
        ("maximum(met, 20)", [20.0, 20.0, 30.0]),
        ("sqrt(met * met)", [10.0, 20.0, 30.0]),
        ("3 + 4", 7),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", ["max(Jet_pt)", "first(Jet_pt)", "Jet_pt[:, 0]"])
def test_the_largest_of_nothing_is_nan(text: str) -> None:
    found = np.asarray(Expression(text).evaluate(ARRAYS))
    np.testing.assert_array_equal(found, [50.0, np.nan, 20.0])


def test_elements_from_the_end() -> None:
    found = np.asarray(Expression("Jet_pt[:, -1]").evaluate(ARRAYS))
    np.testing.assert_array_equal(found, [30.0, np.nan, 20.0])
    found = np.asarray(Expression("Jet_pt[:, -2]").evaluate(ARRAYS))
    np.testing.assert_array_equal(found, [50.0, np.nan, np.nan])


def test_delta_phi_wraps() -> None:
    found = np.asarray(Expression("delta_phi(phi, 3)").evaluate(ARRAYS))
    expected = np.angle(np.exp(1j * (ARRAYS["phi"] - 3)))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_names_in_order() -> None:
    text = 'sqrt(b.x**2 + a) + where(c > 0, a, branch("d/e"))[:, 0]'
    assert Expression(text).names == ("b.x", "a", "c", "d/e")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "met.__class__()",
        "[x for x in met]",
        "lambda: 1",
        "met if met else n",
        "'text'",
        "f'{met}'",
        "{1: 2}",
        "met := 3",
        "met @ n",
        "met @ 2",
        "Jet_pt[:, ::0]",
        "Jet_pt[:, 0.5]",
        "Jet_pt[0:1]",
        "Jet_pt[1:, 0]",
        "sum(Jet_pt, axis=met)",
        "sum(Jet_pt, axes=1)",
        "sum(Jet_pt, axis=True)",
        "sort(Jet_pt, descending=1)",
        "met is n",
        "met in n",
        "sqrt(x=met)",
        "sqrt(*met)",
        "sqrt(met, n)",
        "branch(met)",
        "Jet_pt[0]",
        "Jet_pt[:, met]",
        "Jet_pt[:, True]",
        "1j",
        "",
        "met +",
        "(" * 5000 + "met" + ")" * 5000,
        "met" + "+1" * 6000,
        "met\x00",
    ],
)
def test_outside_the_language(text: str) -> None:
    with pytest.raises(ConfigError):
        Expression(text)


def test_huge_powers_end() -> None:
    with pytest.raises(ConfigError):
        Expression("9**9**9**9").evaluate({})


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested"):
        Expression("-" * 2500 + "met")


def test_nearest_names() -> None:
    with pytest.raises(ConfigError, match="sqrt"):
        Expression("sqr(met)")
    with pytest.raises(ConfigError, match="'Jet_pt'"):
        Expression("Jet_ptt + 1").evaluate(ARRAYS)


def test_shapes_that_do_not_fit() -> None:
    arrays = {"a": ak.Array([[[1.0, 2.0]], [[3.0]]]), "b": ak.Array([[[1.0]], [[3.0]]])}
    with pytest.raises(ConfigError, match="fit"):
        Expression("a + b").evaluate(arrays)


@pytest.mark.parametrize(
    ("text", "one", "other", "numbers", "fix"),
    [
        ("sum(delta_r(a, a, b, b))", "a", "b", "0 and 2", "nearest_delta_r(a, a, b, b) is the ΔR"),
        ("a + 1 < b", "a + 1", "b", "0 and 2", "take(x, nearest("),
        ("where(a > 2, b, 0)", "a > 2", "b", "0 and 2", "sum(x)"),
        ("a[b > 1]", "a", "b > 1", "0 and 2", "mask of the same collection"),
        ("sort(b, a)", "b", "a", "2 and 0", "take"),
        # Two collections may differ, but not the quantities of either of them.
        ("nearest(a, a, b, a)", "b", "a", "2 and 0", "take"),
    ],
)
def test_collections_of_different_lengths_are_named_with_the_entry(
    text: str, one: str, other: str, numbers: str, fix: str
) -> None:
    raw = {"a": ak.Array([[1.0], [], [3.0]]), "b": ak.Array([[1.0], [2.0, 4.0], []])}
    with pytest.raises(DataError) as refusal:
        Expression(text, "column").evaluate(Arrays(raw, start=7))
    found = refusal.value
    assert found.where == "column: entry 8"
    assert found.expected == f"as many objects in '{one}' as in '{other}'"
    assert found.found == numbers
    assert fix in found.fix


A, B = 3.25, -1.75
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def _joined(left: tuple[str, float], sign: str, right: tuple[str, float]) -> tuple[str, float]:
    return f"({left[0]} {sign} {right[0]})", OPERATORS[sign](left[1], right[1])


# The text and, computed beside it, its value.
_ARITHMETIC = st.recursive(
    st.sampled_from([("a", A), ("b", B), ("1.5", 1.5), ("2", 2.0)]),
    lambda inner: (
        st.builds(_joined, inner, st.sampled_from("+-*"), inner)
        | inner.map(lambda pair: (f"(-{pair[0]})", -pair[1]))
    ),
    max_leaves=12,
)


@given(_ARITHMETIC)
def test_arithmetic_agrees_with_python(pair: tuple[str, float]) -> None:
    text, expected = pair
    found = Expression(text).evaluate({"a": np.array([A]), "b": np.array([B])})
    assert np.broadcast_to(np.asarray(found), 1)[0] == pytest.approx(expected, rel=1e-12)
