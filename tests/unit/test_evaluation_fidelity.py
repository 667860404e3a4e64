"""Figures of generated samples against SciPy, scikit-learn and closed formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import integrate, linalg, stats
from sklearn.metrics.pairwise import polynomial_kernel

from rootloom.errors import DataError
from rootloom.evaluation.generation import physics_distance, two_sample
from rootloom.evaluation.generation.compare import FidelityOptions, compare
from rootloom.evaluation.generation.marginals import compare_marginals, count, edges_of
from rootloom.evaluation.generation.physics_distance import (
    frechet_distance,
    frechet_physics_distance,
    kernel_physics_distance,
)
from rootloom.evaluation.generation.relations import (
    compare_correlations,
    compare_responses,
    condition_edges,
    response_in_bins,
)
from rootloom.evaluation.generation.samples import Samples
from rootloom.evaluation.generation.two_sample import classifier_auc
from rootloom.evaluation.uncertainties import auc_error

OPTIONS = FidelityOptions(bins=20, response_bins=4, bootstrap=30, trainings=2)


def normal(rows: int, seed: int, shift: float = 0.0, features: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (rows, features))


def showers(rows: int, seed: int, *, scale: float = 1.0, shuffled: bool = False) -> Samples:
    """Nine cells in three layers whose shares fluctuate; `scale`: of the middle layer.

    shuffled: the features no longer belong together.
    """
    rng = np.random.default_rng(seed)
    energy = rng.uniform(1, 100, rows)
    share = rng.dirichlet([8, 20, 3], rows) * np.array([1.0, scale, 1.0])
    cells = np.repeat(share / 3, 3, axis=1) * energy[:, None]
    cells = cells * rng.gamma(20, 1 / 20, cells.shape)
    layers = cells.reshape(rows, 3, 3).sum(axis=2)
    features = np.column_stack([layers / layers.sum(axis=1, keepdims=True), cells.max(axis=1)])
    if shuffled:
        features = rng.permuted(features, axis=0)
    return Samples(
        ("fraction0", "fraction1", "fraction2", "hottest"),
        features,
        cells,
        energy[:, None],
        cells.sum(axis=1),
        noun="shower",
    )


def test_separation_of_two_normal_distributions_is_the_integral() -> None:
    def integrand(x: float) -> float:
        p, q = stats.norm.pdf(x), stats.norm.pdf(x, 0.8)
        return 0.5 * (p - q) ** 2 / (p + q)

    expected, _ = integrate.quad(integrand, -9, 10)
    first, second = normal(40_000, 0)[:, 0], normal(40_000, 1, 0.8)[:, 0]
    found = compare_marginals(first, second, 60, 20, 1).separation
    # Bins of a tenth of a standard deviation hide less than 1 % of it.
    assert abs(found.value - expected) < 4 * found.error + 0.01 * expected
    assert 0 < found.error < 0.05 * expected


def test_the_error_of_a_separation_is_its_spread_over_samples() -> None:
    found = [
        compare_marginals(normal(1000, k)[:, 0], normal(1000, 100 + k, 0.8)[:, 0], 20, 100, k)
        for k in range(40)
    ]
    for metric in ("separation", "wasserstein"):
        values, errors = np.array([getattr(m, metric) for m in found]).T
        spread = values.std(ddof=1)
        # Known to 1 / √(2 · 39) = 11 %; bins that follow each sample add some.
        assert errors.mean() == pytest.approx(spread, rel=0.4)


def test_wasserstein_distance_of_a_shift_is_the_shift_in_standard_deviations() -> None:
    first, second = 5 * normal(20_000, 2)[:, 0], 5 * normal(20_000, 3)[:, 0] + 2
    found = compare_marginals(first, second, 10, 20, 1).wasserstein
    assert found.value == pytest.approx(2 / 5, abs=4 * found.error)


def test_bins_follow_the_real_sample_and_hold_every_value() -> None:
    real, far = normal(1000, 4)[:, 0], np.array([-1e6, 1e6, 0.0])
    edges = edges_of(real, 30)
    np.testing.assert_allclose([edges[0], edges[-1]], np.quantile(real, [0.001, 0.999]))
    assert count(far, edges).tolist()[:: len(edges) - 2] == [1, 1]
    assert count(far, edges).sum() == 3
    for constant in (np.zeros(9), np.full(9, 1e-3)):
        found = compare_marginals(constant, constant + 2, 4, 5, 1)
        assert (found.separation.value, found.real.sum()) == (1, 9)


def test_frechet_distance_is_that_of_the_matrix_square_root() -> None:
    rng = np.random.default_rng(5)
    roots = rng.normal(size=(2, 6, 6))
    first, second = (a @ a.T for a in roots)
    means = rng.normal(size=(2, 6))
    cross = linalg.sqrtm(first @ second)
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(first + second - 2 * cross.real)
    assert frechet_distance(means[0], first, means[1], second) == pytest.approx(expected, rel=1e-9)
    # One dimension: (μ₁ - μ₂)² + (σ₁ - σ₂)².
    one = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert one == pytest.approx(4 + 1)


def test_fpd_is_the_distance_of_infinite_samples() -> None:
    """Where the distance of the samples themselves is off by many of its spreads."""
    pairs = [(normal(400, k, features=8), normal(400, 99 + k, features=8)) for k in range(20)]
    scale = np.mean([np.abs(real).max(axis=0) ** -2 for real, _ in pairs])
    found = np.array([frechet_physics_distance(*pair, 20, 1) for pair in pairs])
    plain = [
        frechet_distance(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T)) for a, b in pairs
    ]
    values, errors = found.T
    of_mean = values.std(ddof=1) / np.sqrt(20)
    assert abs(values.mean()) < 4 * of_mean
    assert np.mean(plain) * scale > 10 * of_mean
    assert 0.7 < errors.mean() / values.std(ddof=1) < 2.5

    real, shifted = normal(2000, 6), normal(2000, 7, 0.5)
    expected = np.sum((0.5 / np.abs(real).max(axis=0)) ** 2)
    found_shift = frechet_physics_distance(real, shifted, 30, 1)
    assert found_shift.value == pytest.approx(expected, abs=4 * found_shift.error)
    assert found_shift.value > 5 * found_shift.error


def test_kpd_is_the_unbiased_discrepancy_of_the_polynomial_kernel(monkeypatch) -> None:
    real, other = normal(53, 8), normal(41, 9, 0.4)
    scaled = [sample / np.abs(real).max(axis=0) for sample in (real, other)]

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return polynomial_kernel(a, b, degree=4, gamma=1 / 3, coef0=1)

    expected = -2 * kernel(*scaled).mean()
    for sample in scaled:
        pairs = kernel(sample, sample)[~np.eye(len(sample), dtype=bool)]
        expected += pairs.mean()
    assert kernel_physics_distance(real, other, 1).value == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(physics_distance, "_BLOCK", 2)
    assert kernel_physics_distance(real, other, 1).value == pytest.approx(expected, rel=1e-9)


def test_kpd_of_equal_distributions_is_zero_within_its_error() -> None:
    found = [kernel_physics_distance(normal(300, k), normal(300, 50 + k), k) for k in range(30)]
    values, errors = np.array(found).T
    assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(30)
    assert 0.5 < errors.mean() / values.std(ddof=1) < 2
    shifted = kernel_physics_distance(normal(300, 1), normal(300, 2, 0.5), 1)
    assert shifted.value > 5 * shifted.error
    in_order = [np.sort(normal(300, k), axis=0) for k in (1, 2)]
    assert kernel_physics_distance(*in_order, 1).error < 3 * shifted.error


def test_auc_of_two_normal_distributions_is_the_closed_formula() -> None:
    energy = np.random.default_rng(0).uniform(1, 100, (2, 2000, 1))
    found = classifier_auc(normal(2000, 10), normal(2000, 11, 0.7), tuple(energy), 1)
    best = stats.norm.cdf(0.7 * np.sqrt(3) / np.sqrt(2))
    assert best - 0.04 < found.value < best + 4 * found.error
    same = classifier_auc(normal(2000, 12), normal(2000, 13), tuple(energy), 1)
    assert abs(same.value - 0.5) < 4 * same.error
    # Of ranks alone, and at most as much again from the trainings.
    of_ranks = np.sqrt(1 / (12 * 2000) * 2)
    assert of_ranks < same.error < 2.5 * of_ranks


def test_showers_of_one_energy_are_judged_together() -> None:
    """Copies of the same rows score alike; split apart, each would be taken for the other."""
    rng = np.random.default_rng(1)
    energy = rng.uniform(1, 100, (600, 1))
    order = rng.permutation(600)
    x = normal(600, 14)
    assert classifier_auc(x, x[order], (energy, energy[order]), 1).value == 0.5


def test_correlations_are_spearmans() -> None:
    real = normal(500, 15)
    real[:, 1] += np.exp(real[:, 0])
    other = np.column_stack([normal(400, 16)[:, :2], np.zeros(400)])
    found = compare_correlations(real, other, 20, 1)
    np.testing.assert_allclose(found.real, stats.spearmanr(real).statistic, atol=1e-12)
    between = stats.spearmanr(other[:, 0], other[:, 1]).statistic
    expected = [[1, between, 0], [between, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(found.other, expected, atol=1e-12)
    assert found.difference.value == np.abs(found.real - found.other).max()
    assert 0 < found.difference.error < 0.1


def test_response_in_bins_of_requested_energy() -> None:
    rng = np.random.default_rng(17)
    energy = rng.uniform(1, 100, 8000)
    seen = energy * rng.normal(0.9, 0.05, 8000)
    edges = condition_edges(energy, 5)
    np.testing.assert_allclose(np.histogram(energy, edges)[0], 1600)
    found = response_in_bins(energy, seen, edges)
    for name, statistic in (("mean", np.mean), ("width", lambda v: np.std(v, ddof=1))):
        expected = stats.binned_statistic(energy, seen / energy, statistic, edges).statistic
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12)
    # Of normal distributions: σ/√n and σ/√(2n).
    np.testing.assert_allclose(found.mean_error, 0.05 / 40, rtol=0.1)
    np.testing.assert_allclose(found.width_error, 0.05 / np.sqrt(3200), rtol=0.15)

    wider = response_in_bins(energy, energy * rng.normal(0.99, 0.06, 8000), edges)
    response, resolution = compare_responses(found, wider)
    assert response.value == pytest.approx(0.09, abs=4 * response.error)
    assert resolution.value == pytest.approx(0.01, abs=4 * resolution.error)
    # Of differences of means of 8,000 rows, and of widths.
    assert response.error == pytest.approx(np.hypot(0.05, 0.06) / np.sqrt(8000), rel=0.1)
    assert resolution.error == pytest.approx(np.hypot(0.05, 0.06) / np.sqrt(16000), rel=0.1)


def test_energies_beyond_the_edges_count_in_the_outer_bins() -> None:
    """The edges are those of the real sample; a generated one may reach further."""
    energy = np.array([1.0, 12.0, 14.0, 25.0, 28.0, 30.0, 90.0])
    ratio = np.array([0.7, 0.8, 1.0, 0.6, 0.9, 1.1, 1.3])
    found = response_in_bins(energy, energy * ratio, np.array([10.0, 20.0, 30.0]))
    bins = ratio[:3], ratio[3:]
    np.testing.assert_allclose(found.mean, [np.mean(one) for one in bins])
    np.testing.assert_allclose(found.width, [np.std(one, ddof=1) for one in bins])
    np.testing.assert_allclose(found.mean_error, [stats.sem(one) for one in bins])


def test_energies_that_are_all_the_same_are_one_bin() -> None:
    energy = np.full(200, 50.0)
    found = response_in_bins(energy, energy * 0.9, condition_edges(energy, 8))
    assert (found.mean.tolist(), found.width.tolist()) == ([pytest.approx(0.9)], [pytest.approx(0)])


def test_equal_samples_are_alike_and_a_layer_that_is_off_is_seen() -> None:
    real = showers(1500, 1)
    floor = compare(real, showers(1500, 2), OPTIONS).metrics
    assert abs(floor["auc_high"].value - 0.5) < 4 * floor["auc_high"].error
    assert abs(floor["auc_low"].value - 0.5) < 4 * floor["auc_low"].error
    for name in ("fpd", "kpd"):
        assert abs(floor[name].value) < 4 * floor[name].error
    off = compare(real, showers(1500, 3, scale=1.3), OPTIONS).metrics
    for name in ("auc_high", "auc_low", "fpd", "kpd", "response", "separation.fraction1"):
        assert off[name].value - floor[name].value > 5 * off[name].error, name
    assert set(off) == set(floor)
    assert off["separation"].value == pytest.approx(
        np.mean([off[f"separation.{name}"].value for name in real.names])
    )


def test_features_that_do_not_belong_together_are_seen() -> None:
    real = showers(1500, 1)
    floor = compare(real, showers(1500, 2), OPTIONS).metrics
    off = compare(real, showers(1500, 4, shuffled=True), OPTIONS).metrics
    for name in ("auc_high", "correlation"):
        assert off[name].value - floor[name].value > 5 * off[name].error, name
    assert off["separation"].value < 2 * floor["separation"].value


def test_too_few_showers_and_missing_quantities_are_refused() -> None:
    real = showers(150, 1)
    with pytest.raises(DataError, match="at least 50"):
        compare(real, showers(49, 2), OPTIONS)
    broken = showers(150, 2)
    broken.features[3, 1] = np.nan
    with pytest.raises(DataError, match="generated showers: fraction1"):
        compare(real, broken, OPTIONS)


def weighted(sample: Samples, weight: np.ndarray) -> Samples:
    return dataclasses.replace(sample, event_weight=weight)


def test_distances_of_weighted_rows_are_scipys_and_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(20)
    real, other = normal(300, 20), normal(200, 21, 0.4)
    times = rng.integers(0, 4, 300), rng.integers(0, 4, 200)
    weights = tuple(t.astype(float) for t in times)
    repeated = [
        np.repeat(sample, t, axis=0) for sample, t in zip((real, other), times, strict=True)
    ]
    found = compare_marginals(real[:, 0], other[:, 0], 10, 5, 1, weights)
    expected, _ = np.histogram(
        np.clip(repeated[1][:, 0], found.edges[0], found.edges[-1]), found.edges
    )
    np.testing.assert_allclose(found.other, expected)
    scale = repeated[0][:, 0].std()
    distance = stats.wasserstein_distance(real[:, 0], other[:, 0], *weights) / scale
    assert found.wasserstein.value == pytest.approx(distance)
    correlations = compare_correlations(real, other, 5, 1, weights)
    np.testing.assert_allclose(
        correlations.real, stats.spearmanr(repeated[0]).statistic, atol=1e-12
    )
    edges = np.array([-1e9, 1e9])
    one = np.ones(300)
    response = response_in_bins(one, real[:, 0], edges, weights[0])
    assert response.mean[0] == pytest.approx(repeated[0][:, 0].mean())
    assert response.width[0] == pytest.approx(repeated[0][:, 0].std(), rel=0.01)
    # The kernel distance by its definition: all pairs of different rows, by both weights.
    scaled = [sample / np.abs(real).max(axis=0) for sample in (real, other)]

    def mean_kernel(a: np.ndarray, b: np.ndarray, pairs: np.ndarray) -> float:
        kernel = polynomial_kernel(a, b, degree=4, gamma=1 / 3, coef0=1)
        return float((kernel * pairs).sum() / pairs.sum())

    kernel = -2 * mean_kernel(*scaled, np.outer(*weights))
    for sample, weight in zip(scaled, weights, strict=True):
        pairs = np.outer(weight, weight) * ~np.eye(len(weight), dtype=bool)
        kernel += mean_kernel(sample, sample, pairs)
    assert kernel_physics_distance(real, other, 1, weights).value == pytest.approx(kernel, rel=1e-9)


def reweighted(rows: int, seed: int) -> Samples:
    """Showers of a falling spectrum, each as often as of an even one but by weight."""
    sample = showers(2 * rows, seed)
    weight = 1 + sample.condition[:, 0] / 50
    kept = np.random.default_rng([seed, 99]).random(2 * rows) < 1 / weight
    parts = (sample.features, sample.inputs, sample.condition, sample.response)
    return Samples(sample.names, *(part[kept] for part in parts), event_weight=weight[kept])


def test_weights_make_one_sample_of_another() -> None:
    real, made = showers(1000, 1), reweighted(900, 2)
    found = compare(real, made, OPTIONS)
    seen = found.metrics
    blind = compare(real, dataclasses.replace(made, event_weight=None), OPTIONS).metrics
    name = "wasserstein.hottest"
    assert blind[name].value > seen[name].value + 3 * blind[name].error
    assert blind["auc_high"].value > seen["auc_high"].value
    assert blind["fpd"].value > 2 * blind["fpd"].error
    for name in ("auc_high", "auc_low"):
        assert abs(seen[name].value - 0.5) < 4 * seen[name].error, name
    for name in ("fpd", "kpd"):
        assert abs(seen[name].value) < 4 * seen[name].error, name
    np.testing.assert_allclose(found.average[1], np.average(made.inputs, 0, weights=made.weight))


def test_negative_weights_give_figures() -> None:
    """Of rows in ten one counts −1: figures are finite and say that the samples are alike."""
    samples = [showers(800, seed) for seed in (1, 2)]
    signs = [np.where(np.arange(800) % 10 == k, -1.0, 1.0) for k in (3, 4)]
    pair = [weighted(s, w) for s, w in zip(samples, signs, strict=True)]
    found = compare(*pair, OPTIONS)
    for name, figure in found.metrics.items():
        assert np.isfinite(figure.value), name
        assert figure.error > 0, name
    assert found.metrics["separation"].value < 0.2
    assert abs(found.metrics["auc_high"].value - 0.5) < 4 * found.metrics["auc_high"].error
    with pytest.raises(DataError, match="positive sum of weights"):
        compare(pair[0], weighted(samples[1], -signs[1]), OPTIONS)


def test_the_error_of_the_area_contains_the_spread_over_trainings() -> None:
    real, other = normal(300, 30), normal(300, 31, 0.4)
    energy = np.random.default_rng(0).uniform(1, 100, (2, 300, 1))
    found = classifier_auc(real, other, tuple(energy), 1, trainings=4)
    single = [
        classifier_auc(real, other, tuple(energy), seed, trainings=2) for seed in (10, 20, 30, 40)
    ]
    # Trainings alone move a mean of two of them by that much.
    assert found.error > np.std([s.value for s in single], ddof=1)
    x = np.concatenate([np.column_stack([energy[k], s]) for k, s in enumerate((real, other))])
    target = np.repeat([1, 0], 300)
    halves = [np.concatenate([two_sample._halves(c, 1, t) for c in energy]) for t in range(4)]
    curves = [
        [two_sample._held_out(x, target, np.ones(600), half == k, 1 + t) for k in range(2)]
        for t, half in enumerate(halves)
    ]
    areas = [np.mean([c.auc for c in pair]) for pair in curves]
    by_rows = np.mean([np.hypot(*(auc_error(c) for c in pair)) / 2 for pair in curves])
    assert found.value == pytest.approx(np.mean(areas))
    assert found.error == pytest.approx(np.hypot(by_rows, np.std(areas, ddof=1)))
    assert found.error > 1.05 * by_rows


def test_samples_without_a_condition_or_a_response() -> None:
    """Of examples to which nothing was asked, classifiers see what they are alone."""
    real, other, off = (
        dataclasses.replace(sample, condition=np.empty((600, 0)), response=None)
        for sample in (showers(600, 1), showers(600, 2), showers(600, 3, scale=1.4))
    )
    found = compare(real, other, OPTIONS)
    assert found.response is None
    assert not {"response", "resolution"} & set(found.metrics)
    assert abs(found.metrics["auc_high"].value - 0.5) < 4 * found.metrics["auc_high"].error
    seen = compare(real, off, OPTIONS).metrics["auc_high"]
    assert seen.value - 0.5 > 5 * seen.error


def test_neighbours_in_several_conditions_are_judged_apart() -> None:
    """The first number decides who they are, then the second; equal rows of samples meet."""
    condition = np.array([[2.0, 1.0], [1.0, 5.0], [2.0, 0.0], [1.0, 4.0]])
    half = two_sample._halves(condition, 1, 0)
    assert half[1] != half[3]
    assert half[0] != half[2]
    shuffled = [3, 0, 2, 1]
    np.testing.assert_array_equal(two_sample._halves(condition[shuffled], 1, 0), half[shuffled])
