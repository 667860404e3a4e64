"""Significances against a numerically maximised likelihood (SciPy) and closed formulas."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm, poisson

from rootloom.evaluation.classification.significance import (
    Counts,
    Sampled,
    asimov_significance,
    measure,
    scan,
)
from rootloom.evaluation.roc import roc


def by_likelihood(s: float, b: float, sigma: float) -> float:
    """√q0 of the Asimov data n = s + b, with b from a control region of τ b = b²/σ² events."""
    n = s + b
    if sigma == 0:
        return float(np.sqrt(2 * (n * np.log(n / b) - (n - b))))
    tau = b / sigma**2

    def log_likelihood(mu: float, background: float) -> float:
        # Poisson terms without their constants: n and τ b need not be whole numbers.
        expected, control = mu * s + background, tau * background
        return n * np.log(expected) - expected + tau * b * np.log(control) - control

    constrained = minimize_scalar(
        lambda x: -log_likelihood(0.0, x), bounds=(1e-9, 2 * n), method="bounded",
        options={"xatol": 1e-11},
    )  # fmt: skip
    return float(np.sqrt(2 * (log_likelihood(1.0, b) + constrained.fun)))


@pytest.mark.parametrize("b", [0.5, 20.0, 1000.0])
@pytest.mark.parametrize("share", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("relative", [0.0, 0.05, 0.5])
def test_the_likelihood_maximised_numerically(b: float, share: float, relative: float) -> None:
    s = share * b
    expected = by_likelihood(s, b, relative * b)
    assert asimov_significance(s, b, relative * b) == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_ams_by_its_formula() -> None:
    rng = np.random.default_rng(1)
    s, b = rng.uniform(1, 300, 50), rng.uniform(0, 5000, 50)
    expected = np.sqrt(2 * ((s + b + 10) * np.log(1 + s / (b + 10)) - s))
    counts = Counts(signal=200.0, background=3000.0, regularisation=10.0)
    np.testing.assert_allclose(counts.at(s / 200, b / 3000), expected, rtol=1e-9)


def test_the_uncertainty_is_one_of_the_background_without_the_regularisation() -> None:
    counts = Counts(signal=200.0, background=3000.0, uncertainty=0.2, regularisation=10.0)
    # 80 and 30 events survive; 20 % of the 30, not of the 40, are uncertain.
    expected = by_likelihood(80.0, 30.0 + 10.0, 0.2 * 30.0)
    assert counts.at(0.4, 0.01) == pytest.approx(expected, rel=1e-5)


def test_limits() -> None:
    assert asimov_significance(0.0, 10.0, 1.0) == 0
    assert asimov_significance(0.0, 0.0) == 0
    assert asimov_significance(1.0, 0.0) == np.inf
    # Small signals: s/√b, and s/√(b + σ²) with an uncertain background.
    assert asimov_significance(1.0, 1e6) == pytest.approx(1e-3, rel=1e-4)
    assert asimov_significance(1.0, 1e4, 100.0) == pytest.approx(1 / np.sqrt(2e4), rel=1e-3)


def test_the_median_experiment_has_that_significance() -> None:
    """What the formula is for: p-values of toy experiments, without any likelihood."""
    b, s = 1000.0, 120.0
    observed = poisson.median(s + b)
    toys = norm.isf(poisson.sf(observed - 1, b))
    assert asimov_significance(s, b) == pytest.approx(toys, abs=0.05)


def gaussians(rows: int, seed: int, weighted: bool = False) -> Sampled:
    """Scores N(1, 1) of signal and N(−1, 1) of background; no two rows share an identity."""
    rng = np.random.default_rng(seed)
    signal = rng.random(rows) < 0.5
    score = rng.normal(np.where(signal, 1.0, -1.0))
    weight = rng.exponential(1.0, rows) if weighted else np.ones(rows)
    return Sampled(score, signal, weight, rng.permutation(rows).astype(np.uint64))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_cut_on_gaussian_scores(weighted: bool) -> None:
    counts = Counts(signal=100.0, background=1000.0, uncertainty=0.05)
    members = [gaussians(60_000, seed, weighted) for seed in (1, 1)]
    curves = [roc(m.score, m.signal, m.weight) for m in members]
    found = measure("discovery", members, curves, counts, 200)
    cuts = np.linspace(-3, 5, 4001)
    exact = counts.at(norm.sf(cuts, loc=1), norm.sf(cuts, loc=-1))
    assert found.value.value is not None
    assert found.value.statistical is not None
    # A cut chosen by finite rows is never the best one; how far it may be off is a matter of taste.
    error = found.value.statistical
    assert 0.93 * exact.max() - 3 * error < found.value.value < exact.max() + 3 * error
    assert 0 < found.value.statistical < 0.1 * exact.max()
    assert found.value.spread == pytest.approx(0.0, abs=1e-12)
    curve = np.array(found.curve)
    np.testing.assert_allclose(curve[:, 0], np.arange(201 - len(curve), 201) / 200)
    np.testing.assert_allclose(
        np.interp(norm.sf(1.0, loc=1), *curve.T),
        counts.at(norm.sf(1.0, loc=1), norm.sf(1.0, loc=-1)),
        rtol=0.05,
    )


def two_scores(ones: int) -> Sampled:
    """Rows that score 1 or 0: 80 % of the signal and 10 % of the background score 1.

    The weights 1 and `ones` are as frequent among the rows of one score as among the others.
    """
    number = np.arange(8000)
    signal, place = number % 2 == 0, number // 4 % 10
    weight = np.where(number // 2 % 2 == 0, 1.0, ones)
    score = np.where(signal, place < 8, place < 1).astype(float)
    return Sampled(score, signal, weight, np.random.default_rng(2).permutation(8000).astype("u8"))


@pytest.mark.parametrize("heavy", [1, 7])
def test_its_error_is_propagated_from_binomial_errors(heavy: int) -> None:
    """Z² = 2 [(s + b) ln(1 + s/b) − s]: Z ∂Z/∂s = ln(1 + s/b), Z ∂Z/∂b = ln(1 + s/b) − s/b."""
    sample = two_scores(heavy)
    curve = roc(sample.score, sample.signal, sample.weight)
    found = measure("z", [sample], [curve], Counts(signal=100.0, background=1000.0), 10).value
    s, b = 100 * 0.8, 1000 * 0.1
    z = np.sqrt(2 * ((s + b) * np.log(1 + s / b) - s))
    assert found.value == pytest.approx(z, rel=1e-9)
    rows = 4000 * (1 + heavy) ** 2 / (2 * (1 + heavy**2))  # (Σw)² / Σw²
    ds, db = 100 * np.sqrt(0.8 * 0.2 / rows), 1000 * np.sqrt(0.1 * 0.9 / rows)
    slopes = np.log(1 + s / b) / z, (np.log(1 + s / b) - s / b) / z
    assert found.statistical == pytest.approx(np.hypot(ds * slopes[0], db * slopes[1]), rel=1e-3)


def test_its_error_is_the_spread_over_samples() -> None:
    counts = Counts(signal=100.0, background=1000.0)
    found = []
    for seed in range(60):
        sample = gaussians(4000, seed)
        curve = roc(sample.score, sample.signal, sample.weight)
        found.append(measure("z", [sample], [curve], counts, 50).value)
    spread = np.std([f.value for f in found], ddof=1)
    assert np.mean([f.statistical for f in found]) == pytest.approx(spread, rel=0.5)


def test_a_choice_of_cut_on_noise_finds_nothing() -> None:
    """The same scan on the rows that chose the cut would promise more than the counts alone."""
    counts = Counts(signal=10.0, background=100.0)
    alone = float(asimov_significance(10.0, 100.0))
    unseen, seen = [], []
    for seed in range(40):
        sample = gaussians(600, seed)
        noise = sample._replace(score=np.random.default_rng(seed + 100).normal(size=600))
        curve = roc(noise.score, noise.signal, noise.weight)
        unseen.append(measure("z", [noise], [curve], counts, 50).value.value)
        seen.append(np.nanmax(scan(curve, counts)))
    assert np.mean(unseen) < alone
    assert np.mean(seen) > alone


@pytest.mark.parametrize("weighted", [False, True])
def test_cuts_that_leave_too_little_background_are_not_considered(weighted: bool) -> None:
    """Twenty rows of equal weights, or more rows that fluctuate as twenty do."""
    sample = gaussians(2000, 5, weighted)
    curve = roc(sample.score, sample.signal, sample.weight)
    found = scan(curve, Counts(10.0, 1e5))
    left = [sample.weight[~sample.signal & (sample.score >= cut)] for cut in curve.threshold[1:]]
    effective = np.array([w.sum() ** 2 / (w**2).sum() if len(w) else 0.0 for w in left])
    np.testing.assert_array_equal(np.isnan(found), np.append(True, effective < 20 - 1e-9))


def test_without_a_cut_that_leaves_enough_everything_passes() -> None:
    few = Sampled(np.arange(6.0), np.arange(6) % 2 == 1, np.ones(6), np.arange(6, dtype=np.uint64))
    curve = roc(few.score, few.signal, few.weight)
    value = measure("z", [few], [curve], Counts(10.0, 100.0), 10).value
    assert value.value == pytest.approx(float(asimov_significance(10.0, 100.0)))  # no cut at all


@pytest.mark.parametrize("s", [10.0, 1000.0])
@pytest.mark.parametrize("b", [1e7, 1e9])
def test_little_signal_above_much_background_keeps_its_digits(s: float, b: float) -> None:
    """With the formula as it is written, in 50 decimal digits."""
    with localcontext(prec=50):
        n, many, sigma = Decimal(s + b), Decimal(b), Decimal("1e-4") * Decimal(b)
        first = n * (n * (many + sigma**2) / (many**2 + n * sigma**2)).ln()
        second = many**2 / sigma**2 * (1 + sigma**2 * (n - many) / (many * (many + sigma**2))).ln()
        expected = float((2 * (first - second)).sqrt())
    assert asimov_significance(s, b, 1e-4 * b) == pytest.approx(expected, rel=1e-3)


def test_the_scan_of_signed_weights_is_read_where_an_efficiency_is_reached() -> None:
    rng = np.random.default_rng(0)
    signal = np.arange(8000) < 4000
    score = rng.normal(size=8000) + 1.5 * signal
    weight = np.where(rng.random(8000) < 0.25, -1.0, 1.0)
    curve, counts = roc(score, signal, weight), Counts(signal=100.0, background=1000.0)
    sample = Sampled(score, signal, weight, np.arange(8000, dtype=np.uint64))
    found = measure("z", [sample], [curve], counts, 40).curve
    assert len(found) > 20
    order = np.argsort(-score)
    reached = np.cumsum(np.where(signal, weight, 0.0)[order]) / weight[signal].sum()
    passed = np.cumsum(np.where(signal, 0.0, weight)[order]) / weight[~signal].sum()
    for efficiency, value in found:
        first = np.argmax(reached >= efficiency - 1e-9)
        before = reached[:first].max()
        share = (efficiency - before) / (reached[first] - before)
        points = [first - 1, first]
        low, high = asimov_significance(100 * reached[points], 1000 * passed[points])
        assert value == pytest.approx(low + share * (high - low), rel=1e-6)
