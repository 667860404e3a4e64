"""Cuts on scores against a search through all thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from rootloom.config.sections import WorkingPoints
from rootloom.errors import DataError
from rootloom.evaluation.classification.cuts import Asked, cuts
from rootloom.evaluation.members import by_member

ROWS = 4000
EFFICIENCIES, REJECTIONS = (0.1, 0.5, 0.99, 1.0), (1.0, 3.0, 30.0, 200.0)


def rows(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    signal = rng.random(ROWS) < 0.4
    score = rng.normal(1.5 * signal).astype(np.float32)
    return np.round(score, 1) if ties else score, signal, rng.uniform(0.2, 2, ROWS)


@pytest.mark.parametrize("ties", [False, True])
def test_thresholds_are_those_of_a_search(ties: bool) -> None:
    score, signal, weight = rows(3, ties)
    thresholds = np.unique(score)[::-1]  # tightest first
    passed = score >= thresholds[:, None]
    share = {s: (passed & (signal == s)) @ weight / weight[signal == s].sum() for s in (0, 1)}
    asked = Asked(EFFICIENCIES, REJECTIONS, input_rate=4e7, rate=(2e6,))
    found = {(one.by, one.target): one for one in cuts(score, signal, weight, asked)}
    wanted = {
        ("signal_efficiency", target): np.argmax(share[1] >= target - 1e-9)
        for target in EFFICIENCIES
    }
    loosest = {("background_rejection", r): 1 / r for r in REJECTIONS} | {("rate", 2e6): 0.05}
    for name, background in loosest.items():
        wanted[name] = np.flatnonzero(share[0] <= background + 1e-9)[-1]
    assert set(found) == set(wanted)
    for name, place in wanted.items():
        assert found[name].threshold == thresholds[place], name
        assert found[name].signal_efficiency == pytest.approx(share[1][place])
        assert found[name].background_efficiency == pytest.approx(share[0][place])
    one = found["background_rejection", 30.0]
    effective = weight[~signal].sum() ** 2 / (weight[~signal] ** 2).sum()
    binomial = np.sqrt(one.background_efficiency * (1 - one.background_efficiency) / effective)
    assert 0.8 * binomial < one.error < 2 * binomial  # and that of the threshold


def test_what_a_few_rows_cannot_show_is_left_out() -> None:
    score, signal, weight = rows(4, ties=False)
    few = cuts(score, signal, np.ones(ROWS), Asked((), (2000.0, 3000.0)))
    assert [one.target for one in few] == [2000.0]
    score[signal] = 10  # every signal row above
    (apart,) = cuts(score, signal, weight, Asked((), (100.0,)))
    assert apart.signal_efficiency == 1
    with pytest.raises(DataError, match="signal"):
        cuts(score, np.zeros(ROWS, bool), weight, Asked((0.5,)))


@pytest.mark.parametrize(("given", "words"), [
    ({"rate": [10]}, "input_rate"),
    ({"rate": [10], "input_rate": 5}, "input_rate"),
    ({"signal_efficiency": [1.2]}, "less than or equal to 1"),
    ({"background_rejection": [0.5]}, "greater than or equal to 1"),
])  # fmt: skip
def test_cuts_that_cannot_be(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WorkingPoints.model_validate(given)


def test_members_beside_each_other() -> None:
    scores = {2: np.array([[0.1], [0.5]], np.float32), 5: np.array([[0.3], [0.6]], np.float32)}
    found = by_member(["s"], scores)
    assert list(found) == ["s__2", "s__5", "s__mean", "s__spread"]
    np.testing.assert_allclose(found["s__mean"], [0.2, 0.55], rtol=1e-6)
    np.testing.assert_allclose(found["s__spread"], [np.sqrt(0.02), np.sqrt(0.005)], rtol=1e-5)
    folded = {0: scores[2], 1: scores[5]}
    chosen = by_member(["s"], folded, np.array([1, 0]))["s__left_out"]
    np.testing.assert_array_equal(chosen, np.array([0.3, 0.5], np.float32))
    assert list(by_member(["s"], {4: scores[2]})) == ["s"]
