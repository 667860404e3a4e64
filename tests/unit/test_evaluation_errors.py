"""Quoted errors against toys; where a sample does not know its error, none is given."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats
from tests.unit.test_evaluation_evaluate import HEADER, rows

from rootloom.cli import main
from rootloom.errors import DataError, InputError
from rootloom.evaluation.classification.bootstrap import poisson_bootstrap
from rootloom.evaluation.classification.evaluator import ALL_RIGHT, NONE_RIGHT, Classification
from rootloom.evaluation.classification.significance import NO_CUT, Counts, Sampled, measure, scan
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.measurement import Estimate, Measurement
from rootloom.evaluation.members import over_members, summarise
from rootloom.evaluation.predictions import Predictions, Rows, write_predictions
from rootloom.evaluation.regression import resolution
from rootloom.evaluation.results import Evaluation
from rootloom.evaluation.roc import roc
from rootloom.evaluation.uncertainties import (
    ALL_EQUAL,
    ALL_LEFT,
    CANCELS,
    NONE_LEFT,
    REVERSED,
    SEPARATED,
    all_passed_limit,
    auc_error,
    auc_limit,
    background_at,
    no_auc_error,
    no_background_error,
    rejection_limit,
    rows_behind_rejection,
    rows_behind_share,
    weighted_share,
)
from rootloom.report.inputs import ReportInputs
from rootloom.report.page import write_report
from rootloom.report.rounding import measurement
from rootloom.report.tables import with_errors, with_reason

WITHIN = stats.chi2.cdf(1, 1)  # one standard deviation of a normal distribution
PAGE = Path(__file__).parents[2] / "docs" / "evaluate-predictions.md"


def weights(kind: str, number: int, random: np.random.Generator) -> np.ndarray:
    if kind == "signed":
        return np.where(random.random(number) < 0.15, -1.0, 1.0)
    return random.exponential(1.0, number) if kind == "exponential" else np.ones(number)


def evaluated(
    folder: Path, score: np.ndarray, truth: np.ndarray, weight: np.ndarray, **options: object
) -> Evaluation:
    """The evaluation of scores (R,) in a file of two classes, "qcd" and "w"."""
    number = len(score)
    whole = Rows(
        id=np.arange(number, dtype=np.uint64),
        weight=weight,
        truth=truth,
        scores=score[:, None],
        file=truth,
        entry=np.arange(number),
        object=np.zeros(number),
    )
    probability = bool(score.min() >= 0 and score.max() <= 1)
    header = dataclasses.replace(HEADER, probability=probability)
    write_predictions(folder / "p.h5", Predictions(header, whole))
    found = evaluate([folder / "p.h5"], Classification(**options))
    assert Evaluation.from_json(found.to_json()) == found
    return found


def toy(kind: str, seed: int) -> dict[str, tuple[float, float]]:
    """(pull's numerator, quoted error) of every figure of one toy sample of 1,500 rows."""
    random = np.random.default_rng([seed, 5])
    signal = np.arange(1500) % 2 == 0
    score = random.normal(size=1500) + 1.5 * signal
    weight = weights(kind, 1500, random)
    curve = roc(score, signal, weight)
    at = background_at(curve, np.array([0.5]))
    assert no_background_error(curve, at, 0) is None
    found = {
        "auc": (curve.auc - stats.norm.cdf(1.5 / np.sqrt(2)), auc_error(curve)),
        "background": (at.efficiency[0] - stats.norm.sf(1.5), at.error[0]),
    }
    passed = random.random(1500) < 0.7
    share = weighted_share(passed, weight)
    found["share"] = (share.value - 0.7, share.error)
    values = np.abs(random.normal(size=1500))
    half_normal = stats.halfnorm
    for name, one, true in (
        ("mean", resolution.mean(values, weight), half_normal.mean()),
        ("rms", resolution.root_mean_square(values, weight), 1.0),
        ("median", resolution.quantile(values, weight, 0.5), half_normal.median()),
        ("68 %", resolution.quantile(values, weight, 0.6827), half_normal.ppf(0.6827)),
    ):
        found[name] = (one.value - true, one.error)
    return found


@pytest.mark.parametrize("kind", ["unit", "exponential", "signed"])
def test_two_hundred_toys_cover(kind: str) -> None:
    """In 68.27 % of the toys the truth lies within the quoted error, by a binomial test."""
    toys = [toy(kind, seed) for seed in range(200)]
    for figure in toys[0]:
        inside = sum(abs(t[figure][0]) < t[figure][1] for t in toys)
        # Of 21 such tests the smallest p-value is below 0.002 once in 24 runs; the seeds are fixed.
        assert stats.binomtest(inside, 200, WITHIN).pvalue > 0.002, (figure, inside)


def test_two_hundred_toys_cover_the_significance() -> None:
    counts, found = Counts(100.0, 1000.0, uncertainty=0.05, regularisation=10.0), []
    for seed in range(200):
        random = np.random.default_rng([seed, 6])
        signal = np.arange(2000) % 2 == 0
        sample = Sampled(
            random.normal(size=2000) + 2.0 * signal,
            signal,
            random.exponential(1.0, 2000),
            random.permutation(2000).astype(np.uint64),
        )
        curve = roc(sample.score, signal, sample.weight)
        value = measure("z", [sample], [curve], counts, 5).value
        found.append((value.value, value.statistical))
    values, errors = np.array(found).T
    # The spread of 200 is known to 5 %.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.15)
    inside = int((np.abs(values - values.mean()) < errors).sum())
    assert stats.binomtest(inside, 200, WITHIN).pvalue > 0.01, inside


def test_the_limit_on_a_separated_auc_covers() -> None:
    """A sample whose true AUC is below the limit is separated in at most 31.73 % of the cases.

    In the worst one, misplaced rows of the smaller class lie beyond all of the other, with a
    probability of 1 − AUC each.
    """
    random = np.random.default_rng(3)
    limit = auc_limit(roc(np.arange(30.0), np.arange(30) >= 20, np.ones(30)))
    assert limit == pytest.approx((1 - 0.6827) ** (1 / 10))
    placed = random.random((20_000, 10)) < limit - 1e-6
    assert np.mean(placed.all(axis=1)) == pytest.approx(1 - 0.6827, abs=0.013)  # 4 errors
    # Two normal distributions of the AUC of the limit: separated less often than allowed.
    apart = stats.norm.ppf(limit) * np.sqrt(2)
    signal, background = random.normal(apart, 1, (4000, 10)), random.normal(0, 1, (4000, 10))
    assert np.mean(signal.min(axis=1) > background.max(axis=1)) < 1 - 0.6827


def test_separated_classes_have_a_limit_and_no_error(tmp_path: Path) -> None:
    truth = np.arange(400) % 2
    found = evaluated(tmp_path, 0.2 + 0.6 * truth, truth, np.ones(400), bootstrap=20)
    result = found.result.discriminations[0]
    assert (result.auc.value, result.auc.statistical, result.auc.why) == (1.0, None, SEPARATED)
    assert result.auc.at_least == pytest.approx(0.3173 ** (1 / 200))
    assert with_errors(result.auc) == ">\u20090.994"
    accuracy = found.result.accuracy
    assert (accuracy.value, accuracy.statistical, accuracy.why) == (1.0, None, ALL_RIGHT)
    one_sided = stats.binomtest(400, 400, alternative="greater").proportion_ci(0.6827)
    assert accuracy.at_least == pytest.approx(one_sided.low)
    point = result.working_points[0]
    assert (point.rejection.value, point.rejection.why) == (None, NONE_LEFT)
    assert point.at_least == pytest.approx(200 / 1.1479)
    # Every occupied bin of the probability holds one class: none has a symmetric error.
    assert set(result.calibration.error) == {None}
    turned = evaluated(tmp_path, 0.8 - 0.6 * truth, truth, np.ones(400))
    auc = turned.result.discriminations[0].auc
    assert (auc.value, auc.statistical, auc.at_least, auc.why) == (0.0, None, None, REVERSED)
    all_left = turned.result.discriminations[0].working_points[1].rejection
    assert (all_left.value, all_left.statistical, all_left.why) == (1.0, None, ALL_LEFT)
    assert turned.result.accuracy.why == NONE_RIGHT
    equal = evaluated(tmp_path, np.full(400, 0.3), truth, np.ones(400))
    auc = equal.result.discriminations[0].auc
    assert (auc.value, auc.statistical, auc.why) == (0.5, None, ALL_EQUAL)
    # Half of the ties at random: a variance of zero, which is no error.
    tied = equal.result.discriminations[0].working_points[1].rejection
    assert (tied.value, tied.statistical, tied.why) == (pytest.approx(2.0), None, ALL_EQUAL)


@pytest.mark.parametrize("signals", [1, 39])
def test_one_row_of_a_class_has_no_error(tmp_path: Path, signals: int) -> None:
    """Nor do its bootstrap's replicas without a class end the evaluation."""
    random = np.random.default_rng(0)
    truth = (np.arange(40) < signals).astype(int)
    score = random.random(40)
    counts = {"z": Counts(10.0, 100.0)}
    for bootstrap in (0, 30):
        found = evaluated(
            tmp_path, score, truth, np.ones(40), bootstrap=bootstrap, significances=counts
        )
        result = found.result.discriminations[0]
        rare = "signal" if signals == 1 else "background"
        assert result.auc.statistical is None
        assert result.auc.at_least is None
        assert result.auc.why == f"effective number of {rare} rows 1, not above 1"
        assert all(
            p.rejection.statistical is None and p.rejection.why for p in result.working_points
        )
        assert result.significances[0].value.statistical is None
        assert f"effective number of {rare} rows" in result.significances[0].value.why


def test_one_effective_row_of_many_has_no_error() -> None:
    """A weight of a million beside ones is a class of one row."""
    random = np.random.default_rng(0)
    signal = np.arange(100) < 50
    weight = np.where(np.arange(100) == 7, 1e12, 1.0)
    curve = roc(random.random(100), signal, weight)
    assert np.isnan(auc_error(curve))
    assert no_auc_error(curve) == "effective number of signal rows 1, not above 1"


def test_a_bootstrap_of_one_row_ends() -> None:
    score, signal = np.arange(9.0), np.arange(9) == 4
    error, background = poisson_bootstrap(
        score, signal, np.ones(9), np.array([0.5]), replicas=40, seed=1
    )
    assert np.isfinite(error)
    assert np.isfinite(background).all()


def cancelling(above: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, truth, weights: background rows of the weights `above` beat all but half the signal.

    100 rows of signal, and of background as many of weight 1 as the rest of 400.
    """
    truth = np.repeat([1, 0, 0], [100, len(above), 400])
    score = np.concatenate([np.linspace(0.5, 0.99, 100), np.full(len(above), 0.98)])
    score = np.concatenate([score, np.linspace(0.01, 0.45, 400)])
    return score, truth, np.concatenate([np.ones(100), above, np.ones(400)])


def test_negative_weights_above_the_cut_are_neither_value_nor_limit(tmp_path: Path) -> None:
    """Six rows of weights −1, −1, −1, −1, +1, +1: ε_B = −0.005, of 0.67 effective rows."""
    sample = cancelling([-1.0, -1, -1, -1, 1, 1])
    counts = {"z": Counts(100.0, 1000.0)}
    result = evaluated(tmp_path, *sample, significances=counts).result.discriminations[0]
    point = result.working_points[1]
    assert point.background_efficiency.value == pytest.approx(-2 / 398)
    assert point.background_count == 6
    assert point.background_effective == pytest.approx(2 / 3)
    for figure in (point.rejection, point.significance_improvement):
        assert (figure.value, figure.statistical, figure.at_least) == (None, None, None)
        assert figure.why == CANCELS
    assert point.at_least is None
    assert point.background_efficiency.statistical is None
    assert with_reason(point.rejection) == f"– ({CANCELS})"


def test_weights_that_cancel_to_rounding_are_not_a_rejection(tmp_path: Path) -> None:
    """0.1 + 0.2 − 0.3 is 5.6e-17, not a background."""
    result = evaluated(tmp_path, *cancelling([0.1, 0.2, -0.3])).result.discriminations[0]
    rejection = result.working_points[1].rejection
    # 32-bit weights in the file: their sum is rounding of another size, or nothing.
    assert rejection.statistical is None
    assert rejection.value is None or rejection.why == CANCELS


def test_one_effective_surviving_row_has_a_value_but_no_error(tmp_path: Path) -> None:
    result = evaluated(tmp_path, *cancelling([1.0])).result.discriminations[0]
    rejection = result.working_points[1].rejection
    assert rejection.value == pytest.approx(401)
    assert rejection.statistical is None
    assert rejection.why == "effective number of surviving background rows 1, not above 1"
    two = evaluated(tmp_path, *cancelling([1.0, 1.0])).result.discriminations[0]
    assert two.working_points[1].rejection.statistical > 100


def test_no_row_above_the_cut_is_a_limit_of_every_member_or_of_none() -> None:
    limits = summarise([None, None], [None, None], limits=[90.0, 80.0], why=[NONE_LEFT] * 2)
    assert (limits.value, limits.at_least, limits.why) == (None, 80.0, NONE_LEFT)
    mixed = summarise([50.0, None], [9.0, None], limits=[None, 80.0], why=[None, NONE_LEFT])
    assert (mixed.value, mixed.statistical, mixed.at_least) == (None, None, None)
    assert mixed.why == f"1 of 2 members: {NONE_LEFT}"
    one = over_members([Estimate(1.0, 0.1), Estimate(2.0, np.nan)], [None, "few"])
    assert (one.value, one.statistical) == (1.5, None)  # 0.1 would be the error of the other one


def test_a_background_that_cancels_is_no_discovery() -> None:
    """As many rows of −1 as of +1, and one more: 41 rows count −1, which is no background."""
    random = np.random.default_rng(1)
    signal = np.repeat([True, False, False], [400, 400, 1000])
    score = np.concatenate([np.linspace(2, 3, 400), np.linspace(2, 3, 400), random.random(1000)])
    weight = np.where(~signal & (score > 1), -1.0, 1.0)
    curve = roc(score, signal, weight)
    found = scan(curve, Counts(100.0, 1000.0, regularisation=10.0))
    assert np.isfinite(found).any()
    assert np.isnan(found[curve.background.weight <= 0]).all()
    sample = Sampled(score, signal, weight, random.permutation(1800).astype(np.uint64))
    value = measure("z", [sample], [curve], Counts(100.0, 1000.0), 10).value
    assert value.value is not None
    assert value.value < 10


def test_a_significance_without_a_cut_has_no_error() -> None:
    few = Sampled(np.arange(6.0), np.arange(6) % 2 == 1, np.ones(6), np.arange(6, dtype=np.uint64))
    curve = roc(few.score, few.signal, few.weight)
    value = measure("z", [few], [curve], Counts(10.0, 100.0), 10).value
    assert (value.statistical, value.why) == (None, NO_CUT)


def test_limits_cover_where_the_heavy_rows_are_missed(tmp_path: Path) -> None:
    """Ten rows of weight 100 beside 1,000 of weight 1, of a process and of another.

    With a probability `missed`, each of the heavy ones is on the other side; in 31.73 % of the
    samples none is. What is true then must not be excluded, and is nearly so.
    """
    weight, missed = np.repeat([100.0, 1.0], [10, 1000]), 1 - (1 - 0.6827) ** (1 / 10)
    share = 10 * 100 * missed / 2000  # of the weight
    signal = np.arange(2020) < 1010
    curve = roc(1.0 * signal, signal, np.concatenate([weight, np.ones(1010)]))
    assert 1 - 1.1 * share < auc_limit(curve) <= 1 - share
    curve = roc(1.0 * signal, signal, np.concatenate([np.ones(1010), weight]))
    assert 1 - 1.1 * share < auc_limit(curve) <= 1 - share
    assert 0.9 / share < rejection_limit(curve) <= 1 / share
    whole = np.concatenate([weight, weight])
    accuracy = evaluated(tmp_path, 0.2 + 0.6 * signal, signal.astype(int), whole).result.accuracy
    # The twenty heavy rows of both classes are half of the weight as well.
    twenty = 1 - (1 - 0.6827) ** (1 / 20)
    assert 1 - 1.1 * twenty / 2 < accuracy.at_least <= 1 - twenty / 2


def test_negative_weights_among_ties_have_no_limit() -> None:
    signal = np.arange(20) >= 10
    weight = np.where(np.arange(20) == 3, -1.0, 1.0)
    assert auc_limit(roc(1.0 * signal, signal, weight)) is None


def test_separated_classes_of_signed_weights_have_no_limit() -> None:
    """The limit counts independent rows in the right order; a negative row is none."""
    score, signal = np.arange(20.0), np.arange(20) >= 10
    for negative in (3, 15):
        weight = np.where(np.arange(20) == negative, -1.0, 1.0)
        curve = roc(score, signal, weight)
        assert no_auc_error(curve) == f"{SEPARATED}, and negative weights allow no limit"
        assert auc_limit(curve) is None


def test_a_share_of_rows_that_all_pass_has_no_error_for_one_without_weight() -> None:
    passed, weight = np.arange(10) < 9, np.where(np.arange(10) < 9, 1.0, 0.0)
    found = weighted_share(passed, weight)
    assert found.value == 1.0
    assert np.isnan(found.error)


def test_the_error_of_a_weighted_share_is_that_of_its_spread() -> None:
    """Where heavy rows pass more often, √(share (1 − share) / n) is not the error."""
    random, found = np.random.default_rng(4), []
    for _ in range(2000):
        passed = random.random(400) < 0.5
        found.append((*weighted_share(passed, np.where(passed, 4.0, 1.0)), 0.0))
    values, errors, _ = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.06)
    naive = np.sqrt(0.8 * 0.2 / (400 * 2.5**2 / 8.5))
    assert abs(naive / values.std() - 1) > 0.1


def test_calibration_errors_are_of_the_rows_once() -> None:
    one = rows(4000)
    score, truth = one.scores[:, 0], one.truth == 1
    from rootloom.evaluation.classification.distributions import calibrate
    from rootloom.evaluation.classification.sample import Sample

    weight = np.where(truth, 3.0, 1.0)
    sample = Sample(score, truth, weight, one.id, {}, ("w", "qcd"), weight)
    found, twice = calibrate([sample], 10), calibrate([sample, sample], 10)
    np.testing.assert_allclose(found.error, twice.error)
    number = 4
    inside = np.minimum((score * 10).astype(int), 9) == number
    assert found.error[number] == pytest.approx(weighted_share(truth[inside], weight[inside]).error)


@pytest.mark.parametrize(
    ("values", "reason"),
    [([2.0], "not above 1"), ([2.0, 2.0, 2.0], "same value"), ([], "no rows")],
)
def test_resolutions_of_one_row_or_one_value_have_no_error(
    values: list[float], reason: str
) -> None:
    sample, weight = np.array(values), np.ones(len(values))
    for found in (
        resolution.mean(sample, weight),
        resolution.root_mean_square(sample, weight),
        resolution.quantile(sample, weight, 0.5),
    ):
        assert np.isnan(found.error)
        assert found.value == 2.0 or not values
    assert reason in resolution.no_error(sample, weight)


def test_a_quantile_whose_interval_leaves_the_sample_has_no_error() -> None:
    assert np.isnan(resolution.quantile(np.arange(2.0), np.ones(2), 0.5).error)
    assert np.isnan(resolution.quantile(np.arange(4.0), np.ones(4), 0.6827).error)
    assert resolution.quantile(np.arange(9.0), np.ones(9), 0.5).error > 0


def test_a_quantile_of_signed_weights_lies_where_half_is_reached() -> None:
    random = np.random.default_rng(8)
    values = random.exponential(1.0, 20_000)
    weight = np.where(random.random(20_000) < 0.2, -1.0, 1.0)
    found = resolution.quantile(values, weight, 0.5)
    assert found.value == pytest.approx(np.log(2), abs=4 * found.error)
    assert np.isnan(
        resolution.root_mean_square(np.array([1.0, 9, 9]), np.array([4.0, -1, -1])).value
    )


def test_the_page_says_why(tmp_path: Path) -> None:
    found = evaluated(tmp_path, *cancelling([-1.0, -1, -1, -1, 1, 1]))
    page, _ = write_report(tmp_path / "report.html", ReportInputs("Signed", [found]))
    text = page.read_text()
    assert re.search(rf"cnn rejection at 50\u2009%[^:;]*: {CANCELS}", text)
    assert "334" not in text
    truth = np.arange(400) % 2
    found = evaluated(tmp_path, 0.2 + 0.6 * truth, truth, np.ones(400))
    page, _ = write_report(tmp_path / "report.html", ReportInputs("Separated", [found]))
    assert f"cnn AUC: {SEPARATED}" in page.read_text()
    assert ">\u20090.994" in page.read_text().replace("&gt;", ">")
    signed = np.where(np.arange(400) < 4, -1.0, 1.0)
    found = evaluated(tmp_path, 0.2 + 0.6 * truth, truth, signed)
    assert found.result.accuracy.why == f"{ALL_RIGHT}, and negative weights allow no limit"
    page, _ = write_report(tmp_path / "report.html", ReportInputs("Signed", [found]))
    headline = re.sub("<[^>]*>", "", page.read_text()).split()
    assert f"1.0 ({SEPARATED}, and negative weights allow no limit)" in " ".join(headline)


def test_a_spread_is_not_taken_for_a_statistical_error() -> None:
    found = Measurement(0.9312, None, 0.012, 0.93, (0.92, 0.94), why="few")
    assert with_errors(found) == "0.931\u2009±\u2009–\u2009±\u20090.012"


def test_the_command_rounds_as_the_report_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = np.arange(3000) % 2
    score = np.random.default_rng(1).random(3000) * (1 + truth) / 2
    found = evaluated(tmp_path, score, truth, np.ones(3000)).result.discriminations[0]
    assert main(["evaluate", str(tmp_path / "p.h5")]) == 0
    text = capsys.readouterr().out
    assert f"AUC {measurement(found.auc.value, found.auc.statistical)}\n" in text
    point = found.working_points[1].rejection
    assert f"rejection {measurement(point.value, point.statistical)}; " in text
    assert str(found.auc.value) not in text
    evaluated(tmp_path, *cancelling([-1.0, -1, -1, -1, 1, 1]))
    assert main(["evaluate", str(tmp_path / "p.h5")]) == 0
    text = capsys.readouterr().out
    assert f"50 %: rejection – ({CANCELS}); 6 (0.667 effective) of 406 background rows left" in text


def test_the_example_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)
    assert main(["evaluate", str(tmp_path / "theirs.h5")]) == 0
    told = re.search(r"```\n([a-z]+: .*?)```", PAGE.read_text(), re.DOTALL)
    assert told is not None
    printed = capsys.readouterr().out.replace("\u2009", " ")
    # NumPy's stream of random numbers may change; the form may not.
    for line, mine in zip(printed.splitlines(), told[1].splitlines(), strict=False):
        assert re.sub(r"[\d.,]+", "#", line) == re.sub(r"[\d.,]+", "#", mine)


def changed(path: Path, name: str, values: object) -> Path:
    with h5py.File(path, "a") as file:
        attributes = dict(file["scores"].attrs)
        del file[name]
        file[name] = values
        if name == "scores":
            file["scores"].attrs.update(attributes)
    return path


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)
    return tmp_path / "theirs.h5"


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("truth", np.array([b"qcd", b"w"] * 5000), "found: +.*S3|text"),
        ("truth", ["qcd", "w"] * 5000, "text"),
        ("truth", np.zeros(10_000), "float64"),
        ("scores", np.full((10_000, 1), b"x"), "S1|text"),
        ("scores", np.zeros(10_000), r"two-dimensional"),
        ("weight", np.zeros((10_000, 1)), r"shape \(R,\)"),
        ("weight", 1.0, r"shape \(\)"),
        ("id", np.arange(10_000.0), "float64"),
        ("id", np.arange(10_000) - 5, "from 0"),
        ("id", np.arange(10_000) // 2, "a number of its own"),
    ],
)
def test_unusual_data_sets_are_refused_by_name(
    minimal: Path, name: str, values: object, message: str
) -> None:
    with pytest.raises((InputError, DataError), match=rf"(?s)theirs\.h5: {name}.*({message})"):
        evaluate([changed(minimal, name, values)])


def test_other_widths_are_taken(minimal: Path) -> None:
    before = evaluate([minimal])
    with h5py.File(minimal, "a") as file:
        scores, truth = file["scores"][...], file["truth"][...]
        file.attrs["signal"] = np.bytes_("w")
    changed(minimal, "scores", scores.astype(np.float64))
    changed(minimal, "truth", truth.astype(bool))
    changed(minimal, "id", np.arange(10_000, dtype=np.int32))
    assert evaluate([minimal]).result == before.result
    assert dataclasses.replace(before, provenance={}) == before


def test_one_background_row_is_no_limit_of_a_rejection(tmp_path: Path) -> None:
    """1/1.1479 is below 1, which every rejection is at least."""
    for number, limited in ((1, False), (2, True)):
        truth = (np.arange(20 + number) >= number).astype(int)
        found = evaluated(tmp_path, 0.1 + 0.8 * truth, truth, np.ones(len(truth)))
        point = found.result.discriminations[0].working_points[0]
        assert (point.at_least is not None) == limited
        if limited:
            assert point.at_least == pytest.approx(number / 1.1479)
        else:
            assert with_errors(point.rejection) == "–"
            assert "too few for a limit" in point.rejection.why


def test_limits_tell_how_many_rows_they_are_of() -> None:
    for number in (2.0, 9.5, 300.0):
        assert rows_behind_share(all_passed_limit(number)) == pytest.approx(number)
        assert rows_behind_rejection(number / 1.1479) == pytest.approx(number)


def page_of(tmp_path: Path, methods: dict[str, np.ndarray], truth: np.ndarray) -> str:
    found = []
    for name, score in methods.items():
        (folder := tmp_path / name).mkdir()
        one = evaluated(folder, score, truth, np.ones(len(truth)))
        found.append(dataclasses.replace(one, method=name))
    page = write_report(tmp_path / "r.html", ReportInputs(title="t", evaluations=found))[0]
    bare = re.sub(r"<(svg|style).*?</\1>|<[^>]+>", " ", page.read_text(), flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", html.unescape(bare))


def test_methods_stand_in_the_order_of_what_is_printed(tmp_path: Path) -> None:
    """Five separated rows say less than an AUC of 0.9 with an error."""
    truth = np.arange(10) % 2
    good = 0.2 + 0.6 * truth + 0.01 * np.arange(10)
    good[0] = 0.85
    text = page_of(tmp_path, {"perfect": 0.1 + 0.8 * truth, "good": good}, truth)
    assert re.search(r"Of 2 methods, good has the highest measured AUC for \w+: 0\.\d+", text)
    assert re.search(r"only a lower limit of the AUC is known: perfect \(>\s0\.79\d?\)", text)
    rows = re.search(r"Method AUC.*?First error", text)[0]
    assert rows.index("good") < rows.index("perfect")
    assert "limit of 5 rows of the largest weight" in rows
    assert "0 of 5 left" in rows


def test_a_limit_above_all_measured_values_is_the_highest(tmp_path: Path) -> None:
    truth = np.arange(400) % 2
    poor = np.random.default_rng(1).uniform(0, 0.8, 400) + 0.1 * truth
    text = page_of(tmp_path, {"perfect": 0.1 + 0.8 * truth, "poor": poor}, truth)
    assert re.search(r"perfect has the highest lower limit of the AUC for \w+: >\s0\.9", text)


def test_methods_of_which_only_limits_are_known_have_no_best_value(tmp_path: Path) -> None:
    truth = np.arange(10) % 2
    text = page_of(tmp_path, {"a": 0.1 + 0.8 * truth, "b": 0.2 + 0.5 * truth}, truth)
    assert "has the highest lower limit of the AUC" in text
