"""ROC, AUC, working points and their errors against scikit-learn, SciPy and closed formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from rootloom.errors import DataError
from rootloom.evaluation.classification.bootstrap import poisson_bootstrap
from rootloom.evaluation.classification.distributions import efficiency_in_bins
from rootloom.evaluation.members import summarise
from rootloom.evaluation.roc import (
    background_efficiency,
    effective_count,
    passing,
    roc,
    significance_improvement,
)
from rootloom.evaluation.uncertainties import (
    auc_error,
    background_at,
    paired_areas,
    rejection_limit,
    wilson,
)


def gaussian(rows, separation=1.5, seed=0, share=0.5, weighted=False, decimals=None):
    random = np.random.default_rng(seed)
    signal = random.random(rows) < share
    score = random.normal(size=rows) + separation * signal
    if decimals is not None:
        score = np.round(score, decimals)
    weight = random.lognormal(0, 0.8, rows) if weighted else np.ones(rows)
    return score, signal, weight


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_roc_and_auc_agree_with_scikit_learn(weighted, decimals):
    score, signal, weight = gaussian(5000, weighted=weighted, decimals=decimals)
    curve = roc(score, signal, weight)
    fpr, tpr, threshold = reference.roc_curve(
        signal, score, sample_weight=weight, drop_intermediate=False
    )
    np.testing.assert_allclose(curve.signal.efficiency, tpr, atol=1e-12)
    np.testing.assert_allclose(curve.background.efficiency, fpr, atol=1e-12)
    np.testing.assert_array_equal(curve.threshold, threshold)
    expected = reference.roc_auc_score(signal, score, sample_weight=weight)
    assert curve.auc == pytest.approx(expected, abs=1e-12)


def test_auc_of_two_gaussians_is_the_closed_formula():
    score, signal, weight = gaussian(400_000, separation=1.2)
    curve = roc(score, signal, weight)
    assert curve.auc == pytest.approx(stats.norm.cdf(1.2 / np.sqrt(2)), abs=4 * auc_error(curve))


def test_rejection_of_two_gaussians_is_the_closed_formula():
    score, signal, weight = gaussian(400_000, separation=2.0)
    targets = np.array([0.3, 0.5, 0.8])
    at = background_at(roc(score, signal, weight), targets)
    expected = stats.norm.sf(stats.norm.isf(targets) + 2.0)
    assert np.all(np.abs(at.efficiency - expected) < 3.5 * at.error)
    np.testing.assert_allclose(at.threshold, stats.norm.isf(targets) + 2.0, atol=0.02)


def test_a_vertical_step_counts_from_its_lower_end():
    # Half the signal, then the background, then the other half.
    score = np.array([5, 4, 3, 2, 1, 0])
    signal = np.array([1, 1, 0, 0, 1, 1], bool)
    curve = roc(score, signal, np.ones(6))
    found = background_efficiency(curve, np.array([0.25, 0.5, 0.5001, 1.0]))
    np.testing.assert_allclose(found, [0, 0, 1, 1])


def test_an_efficiency_was_reached_before_negative_weights_took_it_back():
    # Signal efficiency 0, ½, ¼, ¼, ¼, 1, 1; background 0, 0, 0, ⅓, ⅔, ⅔, 1.
    score = np.array([6, 5, 4, 3, 2, 1])
    signal = np.array([1, 1, 0, 0, 1, 0], bool)
    curve = roc(score, signal, np.array([2.0, -1, 1, 1, 3, 1]))
    found = background_efficiency(curve, np.array([0.25, 0.4, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(found, [0, 0, 0, 2 / 3, 2 / 3])


def test_tied_scores_are_interpolated():
    curve = roc(np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 0, 0, 0, 0], bool), np.ones(6))
    at = background_at(curve, np.array([0.5]))
    np.testing.assert_allclose(at.efficiency, [0.25])
    np.testing.assert_allclose(at.count, [1.0])


def test_counts_are_raw_and_effective():
    score, signal, weight = gaussian(20_000, weighted=True, seed=3)
    at = background_at(roc(score, signal, weight), np.array([0.5]))
    above = ~signal & (score >= at.threshold[0])
    assert at.count[0] == above.sum()
    expected = weight[above].sum() ** 2 / (weight[above] ** 2).sum()
    assert at.effective[0] == pytest.approx(expected)
    assert at.effective[0] < 0.8 * at.count[0]
    assert effective_count(np.zeros(1), np.zeros(1))[0] == 0


def delong(positive, negative):
    """The estimator as the paper writes it, O(mn): DeLong et al. 1988, eqs. 4–6."""
    kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    return np.sqrt(v10.var(ddof=1) / len(positive) + v01.var(ddof=1) / len(negative))


@pytest.mark.parametrize("decimals", [None, 0])
def test_auc_error_with_unit_weights_is_delong(decimals):
    score, signal, weight = gaussian(1500, decimals=decimals, share=0.3)
    expected = delong(score[signal], score[~signal])
    assert auc_error(roc(score, signal, weight)) == pytest.approx(expected, rel=1e-10)


def two_scores(rows, decimals=None, weighted=False):
    score, signal, weight = gaussian(rows, share=0.3, weighted=weighted, seed=3)
    other = 0.7 * score + np.random.default_rng(4).normal(0, 0.6, rows) + 0.2 * signal
    scores = np.stack([score, other])
    return scores if decimals is None else np.round(scores, decimals), signal, weight


@pytest.mark.parametrize("decimals", [None, 0])
def test_covariance_of_areas_with_unit_weights_is_delong(decimals):
    scores, signal, weight = two_scores(700, decimals)
    areas, covariance = paired_areas(scores, signal, weight)
    # The kernel of every pair of rows, and the covariance of its means over either class.
    pairs = scores[:, signal, None] - scores[:, None, ~signal]
    kernel = np.where(pairs > 0, 1.0, np.where(pairs == 0, 0.5, 0.0))
    expected = np.cov(kernel.mean(axis=2)) / signal.sum()
    expected += np.cov(kernel.mean(axis=1)) / (~signal).sum()
    np.testing.assert_allclose(areas, kernel.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)


def test_the_error_of_a_difference_of_areas_is_that_of_resampling():
    scores, signal, weight = two_scores(1500, weighted=True)
    areas, covariance = paired_areas(scores, signal, weight)
    for number, score in enumerate(scores):
        expected = reference.roc_auc_score(signal, score, sample_weight=weight)
        assert areas[number] == pytest.approx(expected, abs=1e-12)
        error = auc_error(roc(score, signal, weight))
        assert covariance[number, number] == pytest.approx(error**2, rel=1e-9)
    random = np.random.default_rng(6)
    differences = []
    for _ in range(400):
        drawn = weight * random.poisson(1.0, len(weight))
        one, other = (reference.roc_auc_score(signal, s, sample_weight=drawn) for s in scores)
        differences.append(other - one)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # 400 replicas know their spread to 3.5 %.
    assert np.std(differences) == pytest.approx(error, rel=0.15)
    assert error < 0.8 * np.sqrt(covariance[0, 0] + covariance[1, 1])


def test_auc_error_is_near_hanley_and_mcneil():
    # Their formula assumes exponential scores, so draw exponential scores.
    random = np.random.default_rng(5)
    signal = np.arange(40_000) < 15_000
    score = random.exponential(np.where(signal, 3.0, 1.0))
    curve = roc(score, signal, np.ones(len(score)))
    a, n, m = curve.auc, signal.sum(), (~signal).sum()
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    expected = np.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m))
    assert auc_error(curve) == pytest.approx(expected, rel=0.03)


def test_background_error_contains_the_binomial_one():
    score, signal, weight = gaussian(50_000, separation=2.5, seed=7)
    at = background_at(roc(score, signal, weight), np.array([0.5]))
    total = (~signal).sum()
    binomial = stats.binom(total, at.efficiency[0]).std() / total
    assert binomial < at.error[0] < 1.6 * binomial
    # A perfectly known threshold leaves the binomial error alone.
    many = np.concatenate([score, np.repeat(score[signal], 200)])
    truth = np.concatenate([signal, np.ones(200 * signal.sum(), bool)])
    known = background_at(roc(many, truth, np.ones(len(many))), np.array([0.5]))
    assert known.error[0] == pytest.approx(binomial, rel=0.02)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [None, 0])
def test_quoted_errors_cover_the_truth(weighted, decimals):
    """In 68 % of many test samples the truth lies within one quoted error (3σ binomial band)."""
    targets = np.array([0.3, 0.5, 0.8])
    score, signal, weight = gaussian(300_000, weighted=weighted, decimals=decimals, seed=99)
    truth = roc(score, signal, weight)
    true_background, toys, inside = background_efficiency(truth, targets), 250, []
    for seed in range(toys):
        curve = roc(*gaussian(1500, weighted=weighted, decimals=decimals, seed=1000 + seed))
        at = background_at(curve, targets)
        pulls = np.append(
            (at.efficiency - true_background) / at.error,
            (curve.auc - truth.auc) / auc_error(curve),
        )
        inside.append(np.abs(pulls) < 1)
    coverage = np.mean(inside, axis=0)
    tolerance = 3 * np.sqrt(0.6827 * 0.3173 / toys)
    assert np.all(np.abs(coverage - 0.6827) < tolerance), coverage


def test_few_signal_rows_do_not_spoil_the_slope():
    """With 50 signal rows a narrow window holds one or two, and the slope is of these alone."""
    targets, found = np.array([0.3, 0.5, 0.8]), []
    signal = np.arange(2050) < 50
    for seed in range(150):
        score = np.random.default_rng(seed).normal(1.5 * signal)
        at = background_at(roc(score, signal, np.ones(2050)), targets)
        found.append((at.efficiency, at.error))
    efficiency, error = np.transpose(found, (1, 0, 2))
    ratio = np.sqrt((error**2).mean(axis=0)) / efficiency.std(axis=0, ddof=1)
    assert np.all((ratio > 0.85) & (ratio < 1.35)), ratio


def test_bootstrap_agrees_with_the_formulas_and_with_itself():
    score, signal, weight = gaussian(4000, weighted=True, seed=11)
    targets = np.array([0.5, 0.8])
    found = poisson_bootstrap(score, signal, weight, targets, replicas=300, seed=4)
    again = poisson_bootstrap(score, signal, weight, targets, replicas=300, seed=4)
    other = poisson_bootstrap(score, signal, weight, targets, replicas=300, seed=5)
    curve = roc(score, signal, weight)
    assert found[0] == again[0] != other[0]
    np.testing.assert_array_equal(found[1], again[1])
    assert found[0] == pytest.approx(auc_error(curve), rel=0.15)
    np.testing.assert_allclose(found[1], background_at(curve, targets).error, rtol=0.2)


@pytest.mark.parametrize(("passed", "total"), [(0, 20), (3, 20), (20, 20), (500, 1000)])
def test_wilson_interval_is_scipys(passed, total):
    expected = stats.binomtest(passed, total).proportion_ci(
        confidence_level=stats.chi2.cdf(1, 1), method="wilson"
    )
    np.testing.assert_allclose(wilson(passed, total), [expected.low, expected.high], atol=1e-12)


def test_an_efficiency_of_no_rows_may_be_any():
    assert wilson(0.0, 0.0) == (0.0, 1.0)


def test_efficiency_in_bins_counts():
    random = np.random.default_rng(2)
    values, passed = random.uniform(0, 4, 3000), random.random(3000) < 0.3
    edges = np.array([0.0, 1, 2, 4, 9])
    found = efficiency_in_bins(values, passed, np.ones(3000), edges)
    total, _ = np.histogram(values, edges)
    above, _ = np.histogram(values[passed], edges)
    for (share, low, high), n, k in zip(found[:3], total, above, strict=False):
        assert share == pytest.approx(k / n)
        interval = stats.binomtest(int(k), int(n)).proportion_ci(stats.chi2.cdf(1, 1), "wilson")
        assert (low, high) == pytest.approx((interval.low, interval.high))
    assert found[3] == (None, 0.0, 1.0)


def test_efficiencies_of_weighted_rows_are_known_as_well_as_the_effective_ones():
    """Ten rows of weight 4 and sixty of weight 1: 100 in sum, worth 10000 / 220 rows."""
    weight, passed = np.repeat([4.0, 1.0], [10, 60]), np.arange(70) % 2 == 0
    ((share, low, high),) = efficiency_in_bins(np.zeros(70), passed, weight, np.array([0.0, 1]))
    rows = 10000 / 220
    assert share == pytest.approx(0.5)
    # The ends of Wilson's interval are where the observed share is one standard deviation away.
    for end in (low, high):
        assert abs(share - end) == pytest.approx(np.sqrt(end * (1 - end) / rows))


def test_rejection_limit_is_the_poisson_one():
    curve = roc(np.array([2.0] * 10 + [1.0] * 500), np.arange(510) < 10, np.ones(510))
    mean = 500 / rejection_limit(curve)
    assert stats.poisson.pmf(0, mean) == pytest.approx(1 - stats.chi2.cdf(1, 1), rel=1e-3)


def test_significance_improvement():
    found = significance_improvement(np.array([0.5, 0.5]), np.array([0.01, 0.0]))
    assert found[0] == pytest.approx(5.0)
    assert np.isnan(found[1])


def test_members_are_summarised():
    found = summarise([0.9, 0.92, 0.97], [0.01, 0.02, 0.03])
    assert found.value == pytest.approx(0.93)
    assert found.median == 0.92
    assert found.statistical == pytest.approx(0.02)
    assert found.spread == pytest.approx(stats.tstd([0.9, 0.92, 0.97]))
    assert summarise([0.9], [0.01]).spread is None
    unknown = summarise([10.0, None], [1.0, None])
    assert (unknown.value, unknown.statistical, unknown.median) == (None, None, None)
    assert unknown.members == (10.0, None)
    assert summarise([10.0, 12.0], [None, None]).statistical is None


def test_negative_weights_and_zero_weights():
    score, signal, weight = gaussian(5000, seed=8)
    weight = np.where(np.arange(5000) % 10 == 0, -1.0, weight)
    with_padding = roc(np.append(score, 99), np.append(signal, False), np.append(weight, 0))
    curve = roc(score, signal, weight)
    assert with_padding.auc == curve.auc
    assert 0.7 < curve.auc < 0.95
    at = background_at(curve, np.array([0.3, 0.5, 0.8]))
    assert np.all(np.isfinite(at.error))


@pytest.mark.parametrize("signal", [np.zeros(4, bool), np.ones(4, bool)])
def test_one_class_is_refused(signal):
    with pytest.raises(DataError, match="0 rows with weights summing to 0"):
        roc(np.arange(4.0), signal, np.ones(4))


@pytest.mark.parametrize("unit", [0.1, 1 / 3, 0.0123])
def test_the_unit_of_the_weights_decides_no_figure(unit):
    """Sums of equal weights are rounded, and must reach what sums of ones reach."""
    targets = np.arange(1, 10) / 10
    for rows in (10, 30, 90):
        score, signal, weight = gaussian(4 * rows, seed=rows, share=0.25)
        signal = np.arange(4 * rows) < rows
        expected = background_at(roc(score, signal, weight), targets)
        found = background_at(roc(score, signal, unit * weight), targets)
        np.testing.assert_allclose(found.efficiency, expected.efficiency, atol=1e-12)
        np.testing.assert_array_equal(found.threshold, expected.threshold)
        np.testing.assert_array_equal(found.count, expected.count)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_what_passes_adds_up_to_the_efficiencies_of_the_curve(decimals):
    score, signal, weight = gaussian(900, weighted=True, decimals=decimals)
    curve = roc(score, signal, weight)
    for target in (0.3, 0.5, 1.0):
        passed = passing(score, curve, target)
        assert np.average(passed[signal], weights=weight[signal]) == pytest.approx(target)
        left = np.average(passed[~signal], weights=weight[~signal])
        assert left == pytest.approx(background_efficiency(curve, np.array([target]))[0])
