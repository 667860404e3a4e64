"""Baselines against the optimal test of known densities, scikit-learn and slow references."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from rootloom.baselines.base import Sample, collect
from rootloom.baselines.boosted_trees import BoostedTrees
from rootloom.baselines.cut import Cut
from rootloom.baselines.likelihood import BinnedLikelihood
from rootloom.config import registry
from rootloom.errors import ConfigError, DataError

MEANS, SPREAD = np.array([1.0, -0.5]), 0.8


def gaussians(rows=40_000, seed=0, weighted=True):
    """Two variables whose likelihood ratio is known; signal rows come with unequal weights."""
    random = np.random.default_rng(seed)
    target = (random.random(rows) < 0.5).astype(int)
    x = random.normal(size=(rows, 2)) * np.where(target, SPREAD, 1.0)[:, None]
    x += target[:, None] * MEANS
    weight = random.lognormal(0, 0.5, rows) if weighted else np.ones(rows)
    return Sample(x, target, weight, ("mass", "tau"))


def log_ratio(x, columns=(0, 1)):
    return sum(
        stats.norm.logpdf(x[:, c], MEANS[c], SPREAD) - stats.norm.logpdf(x[:, c]) for c in columns
    )


def auc(sample, score):
    return roc_auc_score(sample.target, score, sample_weight=sample.weight)


TRAIN, VALIDATION, TEST = gaussians(seed=1), gaussians(8000, seed=2), gaussians(seed=3)


@pytest.mark.parametrize(("variables", "columns"), [(("mass",), (0,)), (("mass", "tau"), (0, 1))])
def test_likelihood_is_nearly_the_optimal_test(variables, columns):
    fitted = BinnedLikelihood(variables).fit(TRAIN, VALIDATION)
    score, best = fitted.score(TEST.x), log_ratio(TEST.x, columns)
    assert 0 <= auc(TEST, best) - auc(TEST, score) < 0.004
    # It is the posterior probability, not any monotone function of it.
    posterior = 1 / (1 + np.exp(-best))
    assert np.average(np.abs(score - posterior), weights=TEST.weight) < 0.04
    assert fitted.parameters in [(b + 1) ** len(variables) for b in (4, 6, 8, 12, 16, 24, 32, 48)]


def test_a_window_of_no_training_rows_says_nothing():
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(0, 1, 500), random.uniform(2, 3, 500)])
    y = np.concatenate([random.uniform(0, 1, 500), random.uniform(2, 3, 500)])
    sample = Sample(np.stack([x, y], 1), (x > 1).astype(int), np.ones(1000), ("a", "b"))
    score = BinnedLikelihood(("a", "b"), bins=(4,)).fit(sample, sample).score
    found = score(np.array([[0.5, 2.5], [2.5, 2.5], [0.5, 0.5]]))
    assert found[0] == 0.5
    assert found[1] > 0.9
    assert found[2] < 0.1


def test_smoothing_is_the_documented_formula():
    x = np.array([0.0, 0, 0, 1, 1, 1, 1, 0])[:, None]
    target = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    sample = Sample(x, target, np.full(8, 3.0), ("a",))
    found = BinnedLikelihood(("a",), bins=(2,), smoothing=1.0).fit(sample, sample).score(x)
    # Both classes have 4 effective rows; at x = 1 the signal has 3/4 and the background 1/4.
    # There are three cells (one for absent values), hence three rows to add.
    signal, background = (4 * 0.75 + 3 * 0.5) / 7, (4 * 0.25 + 3 * 0.5) / 7
    assert found[3] == pytest.approx(signal / (signal + background))
    assert found[0] == pytest.approx(background / (signal + background))


def test_bins_hold_equal_sums_of_absolute_weights():
    x = np.tile(np.arange(100.0), 2)
    target = np.repeat([0, 1], 100)
    sample = Sample(x[:, None], target, np.where(x < 20, -1.0, 1.0), ("a",))
    fitted = BinnedLikelihood(("a",), bins=(4,)).fit(sample, sample)
    # An edge belongs to the bin below: 25 values in each.
    np.testing.assert_array_equal(fitted.edges[0], [24, 49, 74])


def test_few_rows_want_wide_bins():
    few = BinnedLikelihood(("mass", "tau")).fit(gaussians(600, seed=5), gaussians(600, seed=6))
    many = BinnedLikelihood(("mass", "tau")).fit(TRAIN, VALIDATION)
    assert few.parameters < many.parameters


@pytest.mark.parametrize("factors", [(1e-3, 1e-3), (1e-3, 2.0)])
def test_the_weights_of_the_classes_are_those_of_the_mixture(factors):
    scale = np.where(TRAIN.target, *factors)
    scaled = dataclasses.replace(TRAIN, weight=TRAIN.weight * scale)
    one = BinnedLikelihood(("mass", "tau")).fit(TRAIN, VALIDATION).score(TEST.x)
    two = BinnedLikelihood(("mass", "tau")).fit(scaled, VALIDATION).score(TEST.x)
    odds = one / (1 - one) * factors[0] / factors[1]
    np.testing.assert_allclose(two, odds / (1 + odds), atol=1e-9)


def test_scores_of_three_classes_are_their_probabilities():
    """Against normal distributions whose densities are known; each class against the rest."""
    random = np.random.default_rng(3)
    places, widths, shares = np.array([0.0, 1.0, 2.2]), np.array([1.0, 0.7, 1.2]), [0.5, 0.3, 0.2]
    label = random.choice(3, 40_000, p=shares)
    x = random.normal(places[label], widths[label])
    scores = []
    for positive in range(3):
        of_class = (label == positive).astype(np.int8)
        sample = Sample(x[:, None], of_class, np.ones(len(x)), ("x",))
        scores.append(BinnedLikelihood(("x",), bins=(48,)).fit(sample, sample).score(sample.x))
    density = shares * stats.norm.pdf(x[:, None], places, widths)
    expected = density / density.sum(axis=1, keepdims=True)
    assert np.abs(np.sum(scores, axis=0) - 1.0).mean() < 0.02
    assert np.abs(np.transpose(scores) - expected).mean() < 0.02


def test_boosted_trees_are_nearly_optimal_and_deterministic():
    fitted = BoostedTrees().fit(TRAIN, VALIDATION)
    score = fitted.score(TEST.x)
    assert 0 <= auc(TEST, log_ratio(TEST.x)) - auc(TEST, score) < 0.005
    np.testing.assert_array_equal(score, BoostedTrees().fit(TRAIN, VALIDATION).score(TEST.x))
    assert 0 <= score.min() < score.max() <= 1
    trees = fitted.model.n_iter_
    assert 1 < trees < 500, "early stopping on the validation sample"
    # A binary tree of L leaves has L values and L − 1 thresholds.
    assert trees * 3 <= fitted.parameters <= trees * (2 * 31 - 1)


def test_boosted_trees_stop_on_the_validation_sample():
    noise = dataclasses.replace(VALIDATION, target=np.random.default_rng(0).integers(2, size=8000))
    assert BoostedTrees().fit(TRAIN, noise).model.n_iter_ <= 25


@pytest.mark.parametrize(("variable", "direction", "sign"), [
    ("mass", "auto", 1), ("tau", "auto", -1), ("tau", "above", 1), ("mass", "below", -1),
])  # fmt: skip
def test_one_sided_cut(variable, direction, sign):
    fitted = Cut(variable, direction=direction).fit(TRAIN, VALIDATION)
    column = TRAIN.names.index(variable)
    np.testing.assert_array_equal(fitted.score(TEST.x), sign * TEST.x[:, column])
    assert fitted.parameters == (direction == "auto")


def test_window_cut():
    given = Cut("mass", window=True, centre=0.8).fit(TRAIN, VALIDATION)
    np.testing.assert_array_equal(given.score(TEST.x), -np.abs(TEST.x[:, 0] - 0.8))
    assert given.parameters == 0
    learned = Cut("mass", window=True).fit(TRAIN, VALIDATION)
    assert learned.centre == pytest.approx(MEANS[0], abs=0.03)
    assert learned.parameters == 1


def test_the_centre_of_signed_weights_is_where_half_is_reached():
    # Sums 2, 4, 1, 2, 4 of 4: half is reached at 0, and again at 3.
    x = np.array([0.0, 1, 2, 3, 4, 5])[:, None]
    weight = np.array([2.0, 2.0, -3.0, 1.0, 2.0, 1.0])
    sample = Sample(x, np.array([1, 1, 1, 1, 1, 0]), weight, ("mass",))
    assert Cut("mass", window=True).fit(sample, sample).centre == 0.0


def test_the_order_of_columns_follows_the_names():
    swapped = Sample(TRAIN.x[:, ::-1], TRAIN.target, TRAIN.weight, ("tau", "mass"))
    check = Sample(VALIDATION.x[:, ::-1], VALIDATION.target, VALIDATION.weight, ("tau", "mass"))
    for baseline in (
        Cut("mass"), BinnedLikelihood(("mass", "tau")), BoostedTrees(("mass", "tau"), max_iter=5)
    ):  # fmt: skip
        one = baseline.fit(TRAIN, VALIDATION).score(TEST.x)
        two = baseline.fit(swapped, check).score(TEST.x[:, ::-1])
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("baseline", [
    Cut("mass"), Cut("mass", window=True), BinnedLikelihood(("mass", "tau")),
    BoostedTrees(max_iter=20),
])  # fmt: skip
def test_absent_values_get_finite_scores(baseline):
    x = TRAIN.x.copy()
    x[::7, 0] = np.nan
    x[::11, 1] = np.inf
    holes = dataclasses.replace(TRAIN, x=x)
    score = baseline.fit(holes, VALIDATION).score(x)
    assert score.shape == (len(x),)
    assert np.isfinite(score).all()
    assert auc(holes, score) > 0.6


@pytest.mark.parametrize("baseline", [
    Cut("mass"), BinnedLikelihood(("mass",)), BoostedTrees(),
])  # fmt: skip
def test_refusals(baseline):
    for value in (0, 1):
        one_class = dataclasses.replace(TRAIN, target=np.full(len(TRAIN), value))
        with pytest.raises(DataError, match="0 rows"):
            baseline.fit(one_class, VALIDATION)
    if not isinstance(baseline, BoostedTrees):
        with pytest.raises(ConfigError, match="nothing is declared"):
            baseline.needs(())
        with pytest.raises(ConfigError, match="did you mean 'mass'"):
            dataclasses.replace(
                baseline,
                **{"variable": "mas"} if isinstance(baseline, Cut) else {"variables": ("mas",)},
            ).fit(TRAIN, VALIDATION)


def test_other_refusals():
    negative = dataclasses.replace(TRAIN, weight=np.where(np.arange(len(TRAIN)) == 5, -1.0, 1.0))
    with pytest.raises(DataError, match="1 negative"):
        BoostedTrees().fit(negative, VALIDATION)
    with pytest.raises(ConfigError, match="at most 1000000 cells"):
        BinnedLikelihood(("a", "b", "c", "d", "e"))
    with pytest.raises(ConfigError, match="bins ≥ 2"):
        BinnedLikelihood(("a",), bins=(1,))
    constant = dataclasses.replace(TRAIN, x=np.ones_like(TRAIN.x))
    with pytest.raises(DataError, match="1 in all"):
        Cut("mass").fit(constant, VALIDATION)


def blocks(sample, sizes):
    cuts = np.cumsum(sizes)[:-1]
    return [sample.take(rows) for rows in np.split(np.arange(len(sample)), cuts)]


def test_collect_is_a_bounded_uniform_sample():
    rows = 10_000
    sample = Sample(
        np.arange(rows, dtype=float)[:, None], np.arange(rows) % 2, np.ones(rows), ("n",)
    )
    one = collect([sample], 500, seed=3)
    many = collect(iter(blocks(sample, [37] * 270 + [10])), 500, seed=3)
    np.testing.assert_array_equal(one.x, many.x)
    assert len(one) == 500
    assert np.all(np.diff(one.x[:, 0]) > 0)
    assert stats.kstest(one.x[:, 0] / rows, "uniform").pvalue > 0.001
    assert not np.array_equal(one.x, collect([sample], 500, seed=4).x)
    assert len(collect([sample], 20_000)) == rows
    with pytest.raises(DataError, match="none at all"):
        collect([], 500)


def test_rows_without_weight_do_not_exist():
    padded = Sample(
        np.concatenate([TRAIN.x, np.full((50, 2), 1e9)]),
        np.append(TRAIN.target, np.ones(50, int)),
        np.append(TRAIN.weight, np.zeros(50)),
        TRAIN.names,
    )
    one = BinnedLikelihood(("mass",)).fit(TRAIN, VALIDATION)
    two = BinnedLikelihood(("mass",)).fit(padded, VALIDATION)
    np.testing.assert_array_equal(one.ratio, two.ratio)


def test_the_cap_bounds_what_is_fitted():
    small = BinnedLikelihood(("mass",), max_rows=2000).fit(TRAIN, VALIDATION)
    same = BinnedLikelihood(("mass",)).fit(collect([TRAIN], 2000), VALIDATION)
    np.testing.assert_array_equal(small.ratio, same.ratio)


CLASSIFIERS = [n for n in registry.names("baselines")
               if registry.resolve("baselines", n).learns == "classes"]  # fmt: skip


class Stored:
    """`Data` of two classes in memory."""

    classes, signal, targets = ("qcd", "w"), "w", ()

    def variables(self):
        return TRAIN.names

    def samples(self, split, variables, positive):
        sample = {"train": TRAIN, "validation": VALIDATION}[split].columns(variables)
        return blocks(sample, [1000] * (len(sample) // 1000))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_seed_decides_which_rows_of_a_larger_sample_are_learnt(name):
    # The centre of a window is the median of the signal, another one for other rows.
    fields = {"cut": {"variable": "mass", "window": True}, "likelihood": {"variables": ("mass",)}}

    def scores(seed):
        options = {**fields.get(name, {}), "max_rows": 3000, "seed": seed}
        learned = registry.build("baselines", {"kind": name, **options}).learn(Stored())
        assert learned.probability is (name != "cut")
        columns = {f"x.{n}": values for n, values in zip(TEST.names, TEST.x.T, strict=True)}
        return learned.predict(columns, len(TEST))

    np.testing.assert_array_equal(scores(1), scores(1))
    assert not np.array_equal(scores(1), scores(2))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_registered_baseline_can_be_built(name):
    fields = {"cut": {"variable": "mass"}, "likelihood": {"variables": ("mass",)}}.get(name, {})
    baseline = registry.build("baselines", {"kind": name, **fields})
    fitted = baseline.fit(TRAIN, VALIDATION)
    assert isinstance(fitted.parameters, int)
    assert fitted.score(TEST.x).shape == (len(TEST),)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_cut_finds_its_direction_with_negative_weights(sign: float) -> None:
    random = np.random.default_rng(3)
    target = np.arange(2000) % 2
    x = sign * (random.normal(size=2000) + target)
    weight = np.where(random.random(2000) < 0.2, -1.0, 1.0)  # an NLO generator's
    sample = Sample(x[:, None], target, weight, ("x",))
    assert Cut("x").fit(sample, sample).sign == sign
