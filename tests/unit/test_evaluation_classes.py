"""Three classes or more: rejections of pairs, discriminants and the confusion matrix.

Expected numbers come from sorting, from formulas written out here and from scikit-learn.
"""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn import metrics

from rootloom.errors import ConfigError, DataError
from rootloom.evaluation.classification.discriminants import Discriminant
from rootloom.evaluation.classification.evaluator import Classification
from rootloom.evaluation.classification.pairs import MAX_LOG_RATIO, log_ratio, mixture
from rootloom.evaluation.evaluate import evaluate
from rootloom.evaluation.predictions import Header, Predictions, Rows, write_predictions
from rootloom.evaluation.results import Evaluation

CLASSES = ("light", "c", "b")
SIZES = (4000, 1500, 700)
D_B = Discriminant("b", {"c": 0.1, "light": 0.9})

SHORT = Classification(working_points=(0.5,), curve_points=1, histogram_bins=1)


def rows(sizes=SIZES, seed=0, weights="spread", separation=1.6):
    """Classes that resemble their neighbours: no two pairs are equally hard, nor i, j and j, i."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    number = len(truth)
    spread = 1 + 0.5 * truth[:, None]
    logits = (
        spread * random.normal(size=(number, len(sizes))) + separation * np.eye(len(sizes))[truth]
    )
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    fixed = np.random.default_rng(77)
    weight = {
        "unit": np.ones(number),
        "spread": fixed.lognormal(0, 0.8, number),
        "signed": np.where(fixed.random(number) < 0.2, -1.0, 1.0),
    }[weights]
    return Rows(
        id=np.arange(number, dtype=np.uint64),
        weight=weight.astype(np.float32),
        truth=truth,
        scores=scores.astype(np.float32),
        file=np.zeros(number),
        entry=np.arange(number),
        object=np.zeros(number),
        aux={"pt": 20 + 200 * fixed.random(number).astype(np.float32)},
    )


@pytest.fixture
def judged(tmp_path):
    """Evaluates rows, one set a member, with classes in the columns in another order."""

    def judge(*members, options=None, classes=CLASSES, columns=None, probability=True):
        paths = []
        for number, content in enumerate(members):
            wanted = columns or tuple(reversed(classes))
            order = [classes.index(name) for name in wanted]
            header = Header(
                method="tagger",
                classes=classes,
                signal=classes[-1],
                columns=tuple(f"score_{name}" for name in wanted),
                member=number,
                probability=probability,
            )
            stored = dataclasses.replace(content, scores=content.scores[:, order])
            paths.append(tmp_path / f"{number}.h5")
            write_predictions(paths[-1], Predictions(header, stored))
        return evaluate(paths, options or Classification())

    return judge


def survivors(score, truth, weight, signal, background, efficiency):
    """(share of weight, number) of the background left where the signal's efficiency is reached.

    By sorting; the share between two thresholds is interpolated, as a random choice would.
    """
    chosen = (truth == signal) | (truth == background)
    score, truth, weight = score[chosen], truth[chosen], weight[chosen].astype(float)
    total = {one: weight[truth == one].sum() for one in (signal, background)}
    before = {signal: 0.0, background: 0.0}
    count = 0
    for threshold in sorted(set(score), reverse=True):
        tied = score == threshold
        step = {one: weight[tied & (truth == one)].sum() for one in (signal, background)}
        rest = efficiency * total[signal] - before[signal]
        number = int((tied & (truth == background)).sum())
        if step[signal] >= rest:
            share = rest / step[signal]
            left = (before[background] + share * step[background]) / total[background]
            return left, count + share * number
        before = {one: before[one] + step[one] for one in before}
        count += number
    raise AssertionError


def pair(found, signal, background):
    return next(p for p in found if (p.signal, p.background) == (signal, background))


@pytest.mark.parametrize("weights", ["unit", "spread"])
def test_each_class_is_rejected_at_fixed_efficiency_of_each_other(judged, weights):
    ours = rows(weights=weights)
    found = judged(ours).result.many.pairs
    assert len(found) == 6
    for one in found:
        i, j = CLASSES.index(one.signal), CLASSES.index(one.background)
        p = ours.scores.astype(float)
        ratio = p[:, i] / (p[:, i] + p[:, j])
        for point in one.working_points:
            left, number = survivors(ratio, ours.truth, ours.weight, i, j, point.signal_efficiency)
            assert point.background_efficiency.value == pytest.approx(left, rel=1e-9)
            assert point.rejection.value == pytest.approx(1 / left, rel=1e-9)
            assert point.background_count == pytest.approx(number, abs=1e-6)
            assert point.background_total == SIZES[j]


def test_the_error_of_a_pair_is_the_scatter_of_other_samples(judged):
    """Weighted rows drawn again 60 times; b efficiency 50 %, c as background."""
    efficiencies, errors = [], []
    for seed in range(60):
        ours = rows((300, 900, 500), seed=seed)
        weight = np.random.default_rng([5, seed]).lognormal(0, 0.8, len(ours)).astype(np.float32)
        found = judged(dataclasses.replace(ours, weight=weight), options=SHORT).result.many
        (point,) = pair(found.pairs, "b", "c").working_points
        efficiencies.append(point.background_efficiency.value)
        errors.append(point.background_efficiency.statistical)
    assert np.mean(errors) == pytest.approx(np.std(efficiencies, ddof=1), rel=0.25)


def test_rejection_of_i_from_j_is_not_that_of_j_from_i(judged):
    found = judged(rows()).result.many.pairs
    one, other = pair(found, "b", "light"), pair(found, "light", "b")
    for point, swapped in zip(one.working_points, other.working_points, strict=True):
        assert point.background_total == SIZES[0]
        assert swapped.background_total == SIZES[2]
        assert point.rejection.value != pytest.approx(swapped.rejection.value, rel=0.05)


def by_hand(p, signal, fractions):
    """log(p_signal / Σ f p), with the order of classes of this file."""
    mixed = sum(share * p[:, CLASSES.index(name)] for name, share in fractions.items())
    return np.log(p[:, CLASSES.index(signal)] / mixed)


@pytest.mark.parametrize("weights", ["unit", "spread"])
def test_a_discriminant_rejects_each_other_class_by_one_score(judged, weights):
    ours = rows(weights=weights)
    options = Classification(discriminants={"D_b": D_B}, working_points=(0.5, 0.77))
    (found,) = judged(ours, options=options).result.many.discriminants
    assert (found.name, found.signal) == ("D_b", "b")
    assert found.fractions == {"c": 0.1, "light": 0.9}
    assert [p.background for p in found.against] == ["light", "c"]
    p = ours.scores.astype(float)
    score = by_hand(p, "b", {"c": 0.1, "light": 0.9})
    other_way = by_hand(p, "b", {"c": 0.9, "light": 0.1})
    for one in found.against:
        background = CLASSES.index(one.background)
        for point in one.working_points:
            at = point.signal_efficiency
            left, number = survivors(score, ours.truth, ours.weight, 2, background, at)
            assert point.rejection.value == pytest.approx(1 / left, rel=1e-9)
            assert point.background_count == pytest.approx(number, abs=1e-6)
            assert point.rejection.statistical > 0
            swapped, _ = survivors(other_way, ours.truth, ours.weight, 2, background, at)
            assert swapped != pytest.approx(left, rel=0.02)  # or this test would not see a swap
        # One threshold for all classes, on D_b itself.
        first, *_ = (q.working_points[0].threshold for q in found.against)
        assert one.working_points[0].threshold == first
        assert first[0] in score


def test_the_curve_of_a_discriminant(judged):
    ours = rows(weights="spread")
    (found,) = judged(
        ours, options=Classification(discriminants={"D_b": D_B})
    ).result.many.discriminants
    curve = pair(found.against, "b", "c").curve
    score = by_hand(ours.scores.astype(float), "b", D_B.fractions)
    for number in (19, 99, 179):
        left, _ = survivors(score, ours.truth, ours.weight, 2, 1, curve.signal_efficiency[number])
        assert curve.background_efficiency[number] == pytest.approx(left, rel=1e-9)
    assert curve.signal_efficiency[-1] == 1.0


def test_a_class_without_a_fraction_is_judged_all_the_same(judged):
    ours = rows()
    options = Classification(discriminants={"CvsL": Discriminant("c", {"light": 1.0})})
    result = judged(ours, options=options).result.many
    against = {one.background: one for one in result.discriminants[0].against}
    assert set(against) == {"light", "b"}
    # CMS's CvsL: the same ranking as the likelihood ratio of the pair.
    ratio = pair(result.pairs, "c", "light")
    assert against["light"].working_points == ratio.working_points
    score = by_hand(ours.scores.astype(float), "c", {"light": 1.0})
    left, _ = survivors(score, ours.truth, ours.weight, 1, 2, 0.3)
    assert against["b"].working_points[0].rejection.value == pytest.approx(1 / left)
    assert against["b"].working_points[0] != pair(result.pairs, "c", "b").working_points[0]


def test_zero_probabilities_are_finite_and_tied_rows_stay_tied():
    above = np.array([0.0, 0.0, 0.3, 0.9, 0.0, 0.2, 0.4, 1e-45, 0.5])
    below = np.array([0.1, 0.9, 0.0, 0.0, 0.0, 0.1, 0.2, 1.0, 0.5])
    found = log_ratio(above, below)
    assert found[:5].tolist() == [-MAX_LOG_RATIO, -MAX_LOG_RATIO, MAX_LOG_RATIO, MAX_LOG_RATIO, 0.0]
    assert found[5] == found[6] == pytest.approx(math.log(2))
    assert found[7] == pytest.approx(math.log(1e-45))
    assert found[0] < found[7] < found[8] == 0.0
    # Near certainty p/(p + q) is 1 to the last digit of float64; the logarithm still ranks.
    sure = log_ratio(np.array([1.0, 1.0]), np.array([1e-20, 1e-30]))
    assert sure[0] < sure[1]


def test_the_same_row_has_the_same_score_wherever_it_stands():
    row = np.random.default_rng(3).dirichlet(np.ones(10)).astype(np.float32).astype(float)
    probability = np.tile(row, (1003, 1))
    fractions = [0.0, *np.random.default_rng(4).dirichlet(np.ones(9))]
    assert len(set(mixture(probability, fractions))) == 1
    assert len(set(log_ratio(probability[:, 0], mixture(probability, fractions)))) == 1


def test_tied_scores_are_one_step(judged):
    """Three values of each probability: a quarter of the rows is tied at each threshold."""
    random = np.random.default_rng(11)
    ours = rows((300, 300, 300))
    table = np.array([[0, 0, 1], [0.25, 0.25, 0.5], [0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5]])
    likely = {0: [1, 1, 3, 4, 1], 1: [1, 2, 4, 1, 2], 2: [4, 3, 1, 1, 2]}
    which = [random.choice(5, p=np.array(likely[t]) / sum(likely[t])) for t in ours.truth]
    ours = dataclasses.replace(ours, scores=table[which].astype(np.float32))
    options = Classification(discriminants={"D_b": D_B})
    result = judged(ours, options=options).result.many
    p = ours.scores.astype(float)
    # The same ranking with infinities in place of the logarithm's finite ends; 0/0 between.
    with np.errstate(divide="ignore", invalid="ignore"):
        hand = np.nan_to_num(by_hand(p, "b", D_B.fractions), nan=0.0, posinf=9, neginf=-9)
        ratio = np.nan_to_num(np.log(p[:, 2] / p[:, 1]), nan=0.0, posinf=9, neginf=-9)
    for one, score in (
        (result.discriminants[0].against[1], hand),
        (pair(result.pairs, "b", "c"), ratio),
    ):
        assert one.background == "c"
        for point in one.working_points:
            left, number = survivors(score, ours.truth, ours.weight, 2, 1, point.signal_efficiency)
            assert point.background_efficiency.value == pytest.approx(left, rel=1e-6)
            assert point.background_count == pytest.approx(number, rel=1e-6)


def test_nothing_left_is_a_limit_from_the_rows_of_that_class(judged):
    ours = rows(weights="unit")
    perfect = dataclasses.replace(ours, scores=np.eye(3, dtype=np.float32)[ours.truth])
    options = Classification(discriminants={"D_b": D_B})
    result = judged(perfect, options=options).result.many
    for one in (*result.pairs, *result.discriminants[0].against):
        for point in one.working_points:
            assert point.rejection.value is None
            rows_of_class = SIZES[CLASSES.index(one.background)]
            # −ln(1 − 0.6827) events could have been missed.
            assert point.at_least == pytest.approx(rows_of_class / -math.log(1 - 0.6827), rel=1e-3)
    (zero,) = {
        s.value for i, r in enumerate(result.confusion.shares) for j, s in enumerate(r) if i != j
    }
    assert zero == 0.0


@pytest.mark.parametrize("weights", ["unit", "spread", "signed"])
def test_the_confusion_matrix_is_scikit_learns(judged, weights):
    ours = rows(weights=weights)
    found = judged(ours).result.many.confusion
    predicted = ours.scores.argmax(axis=1)
    expected = metrics.confusion_matrix(
        ours.truth, predicted, sample_weight=ours.weight.astype(float), normalize="true"
    )
    shares = np.array([[s.value for s in row] for row in found.shares])
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(ours.truth, predicted))
    errors = np.array([[s.statistical for s in row] for row in found.shares])
    assert np.isfinite(errors).all()
    total = np.bincount(ours.truth, ours.weight)[:, None]
    effective = total**2 / np.bincount(ours.truth, ours.weight.astype(float) ** 2)[:, None]
    # Weights know nothing of the predicted class here: the binomial error of so many rows.
    tolerance = {"unit": 1e-9, "spread": 0.15, "signed": 0.15}[weights]
    np.testing.assert_allclose(
        errors, np.sqrt(expected * (1 - expected) / effective), rtol=tolerance
    )


def test_the_error_of_a_share_is_the_scatter_of_other_samples(judged):
    """Rows that are called light have weights 3 and −1, all others 1."""
    shares, errors, binomial = [], [], []
    for seed in range(80):
        ours = rows((200, 400, 200), seed=seed, weights="unit")
        random = np.random.default_rng([9, seed])
        light = ours.scores.argmax(axis=1) == 0
        weight = np.where(light, random.choice([3, -1], len(ours)), 1).astype(np.float32)
        judgement = judged(dataclasses.replace(ours, weight=weight), options=SHORT)
        found = judgement.result.many.confusion
        share = found.shares[1][0]
        shares.append(share.value)
        errors.append(share.statistical)
        of_c = weight[ours.truth == 1].astype(float)
        effective = of_c.sum() ** 2 / (of_c**2).sum()
        binomial.append(math.sqrt(max(share.value * (1 - share.value), 0) / effective))
    scatter = np.std(shares, ddof=1)
    assert np.mean(errors) == pytest.approx(scatter, rel=0.2)
    assert np.mean(binomial) < 0.8 * scatter  # or weights would not matter here


def test_negative_weights_may_push_a_share_out_of_the_unit_interval(judged):
    ours = rows((10, 4, 4), weights="unit")
    weight = np.ones(18, np.float32)
    weight[:2] = -1  # two of the ten light rows, both called c
    predicted = np.array([1, 1, *[0] * 8, *[0] * 4, *[2] * 4])
    scores = np.eye(3, dtype=np.float32)[predicted]
    ours = dataclasses.replace(ours, weight=weight, scores=scores)
    found = judged(ours).result.many.confusion
    assert [s.value for s in found.shares[0]] == pytest.approx([8 / 6, -2 / 6, 0.0])
    # Σw²(p − s)²/(Σw)² by hand: eight rows at (1 − 4/3)² and two at (0 − 4/3)², over 6².
    error = math.sqrt((8 / 9 + 2 * 16 / 9) / 36)
    assert found.shares[0][0].statistical == pytest.approx(error)
    assert found.shares[0][1].statistical == pytest.approx(error)  # 8/9 and 2 · 16/9 again
    assert found.shares[0][2].statistical is None  # none of ten rows: nothing says how sure
    assert found.counts[0] == (8, 2, 0)


def test_rows_of_weight_zero_do_not_count(judged):
    ours = rows((50, 40, 30), weights="unit")
    weight = ours.weight.copy()
    weight[::3] = 0
    found = judged(dataclasses.replace(ours, weight=weight)).result.many
    counts = np.array(found.confusion.counts)
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(ours.truth[weight != 0]))


def test_all_of_it_is_by_training_weights_where_they_are_asked_for(judged):
    ours = rows(weights="unit")
    training = np.random.default_rng(13).lognormal(0, 0.8, len(ours)).astype(np.float32)
    ours = dataclasses.replace(ours, training_weight=training)
    options = Classification(weights="training", discriminants={"D_b": D_B})
    many = judged(ours, options=options).result.many
    expected = metrics.confusion_matrix(
        ours.truth, ours.scores.argmax(axis=1), sample_weight=training, normalize="true"
    )
    shares = [[s.value for s in row] for row in many.confusion.shares]
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    score = by_hand(ours.scores.astype(float), "b", D_B.fractions)
    left, _ = survivors(score, ours.truth, training, 2, 1, 0.5)
    rejection = many.discriminants[0].against[1].working_points[1].rejection
    assert rejection.value == pytest.approx(1 / left, rel=1e-6)
    by_events, _ = survivors(score, ours.truth, ours.weight, 2, 1, 0.5)
    assert left != pytest.approx(by_events, rel=0.01)


def test_equal_scores_go_to_the_first_class(judged):
    ours = rows((3, 3, 3), weights="unit")
    level = dataclasses.replace(ours, scores=np.full((9, 3), 1 / 3, np.float32))
    assert judged(level).result.many.confusion.counts == ((3, 0, 0), (3, 0, 0), (3, 0, 0))


@pytest.mark.filterwarnings("error")
def test_a_class_of_one_row(judged):
    ours = rows((300, 1, 200))
    options = Classification(discriminants={"D_b": D_B}, profiles=("pt",))
    found = judged(ours, options=options)
    many = found.result.many
    assert pair(many.pairs, "b", "c").working_points[0].background_total == 1
    (row,) = np.flatnonzero(ours.truth == 1)
    p = ours.scores.astype(float)
    beaten = (p[:, 1] / p[:, 0])[ours.truth == 0] > p[row, 1] / p[row, 0]
    points = pair(many.pairs, "c", "light").working_points
    # The curve is vertical at the row's score: every efficiency leaves the rows above it.
    left = ours.weight[ours.truth == 0][beaten].sum() / ours.weight[ours.truth == 0].sum()
    assert points[-1].background_efficiency.value == pytest.approx(left, rel=1e-5)
    assert sum(many.confusion.counts[1]) == 1
    assert [s.statistical for s in many.confusion.shares[1]] == [None] * 3
    json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_members_give_means_and_a_spread(judged):
    members = [rows(seed=seed) for seed in range(3)]
    shuffled = np.random.default_rng(5).permutation(len(members[2]))
    disordered = members[2].take(shuffled)
    options = Classification(discriminants={"D_b": D_B})
    many = judged(*members[:2], disordered, options=options).result.many
    single = [judged(one, options=options).result.many for one in members]
    for place in range(2):
        rejection = many.discriminants[0].against[place].working_points[1].rejection
        alone = [s.discriminants[0].against[place].working_points[1].rejection for s in single]
        assert rejection.members == pytest.approx([a.value for a in alone])
        assert rejection.value == pytest.approx(np.mean([a.value for a in alone]))
        assert rejection.spread == pytest.approx(np.std([a.value for a in alone], ddof=1))
        assert rejection.statistical == pytest.approx(np.mean([a.statistical for a in alone]))
    share = many.confusion.shares[2][0]
    alone = [s.confusion.shares[2][0].value for s in single]
    assert share.members == pytest.approx(alone)
    assert share.spread == pytest.approx(np.std(alone, ddof=1))
    counts = [s.confusion.counts[2][0] for s in single]
    assert many.confusion.counts[2][0] == pytest.approx(np.mean(counts))


def test_profiles_of_a_discriminant_are_of_every_class(judged):
    ours = rows()
    options = Classification(discriminants={"D_b": D_B}, profiles=("pt",), profile_at=0.5)
    (found,) = judged(ours, options=options).result.many.discriminants
    (profile,) = found.profiles
    assert (profile.variable, profile.signal_efficiency) == ("pt", 0.5)
    score = by_hand(ours.scores.astype(float), "b", D_B.fractions)
    b = ours.truth == 2
    order = np.argsort(-score[b])
    reached = np.cumsum(ours.weight[b][order].astype(float)) / ours.weight[b].sum(dtype=float)
    threshold = score[b][order][np.searchsorted(reached, 0.5)]
    # The row at the threshold passes by the share that makes it half of the weight.
    above, at = (
        ours.weight[b & m].sum(dtype=float) for m in (score > threshold, score == threshold)
    )
    share = (0.5 * ours.weight[b].sum(dtype=float) - above) / at
    passed = np.where(score == threshold, share, score > threshold)
    edges = np.quantile(ours.aux["pt"], np.linspace(0, 1, 9))
    np.testing.assert_allclose(profile.edges, edges, rtol=1e-6)
    for number, name in enumerate(CLASSES):
        of_class = ours.truth == number
        for place, (share, low, high) in enumerate(profile.efficiency[name]):
            inside = (
                of_class & (ours.aux["pt"] >= edges[place]) & (ours.aux["pt"] <= edges[place + 1])
            )
            expected = np.average(passed[inside], weights=ours.weight[inside])
            assert share == pytest.approx(expected, abs=1e-6)
            assert low <= share <= high


def test_one_against_the_rest_stays_what_it_was(judged):
    ours = rows()
    plain = judged(ours).result
    more = judged(ours, options=Classification(discriminants={"D_b": D_B})).result
    assert plain.discriminations == more.discriminations
    assert [d.positive for d in plain.discriminations] == list(CLASSES)
    figures = plain.metrics()
    main = plain.discriminations[2]
    assert (figures["auc"], figures["r50"]) == (main.auc, main.working_points[1].rejection)


def test_figures_have_names_and_survive_json(judged):
    options = Classification(
        discriminants={"D_b": D_B}, working_points=(0.5, 0.775), profiles=("pt",)
    )
    found = judged(rows(), options=options)
    assert Evaluation.from_json(found.to_json()) == found
    many = found.result.many
    light = many.discriminants[0].against[0].working_points
    assert found.metric("D_b.light.r50") == light[0].rejection
    assert found.metric("d_B.LIGHT.r77.5") == light[1].rejection
    one = pair(many.pairs, "c", "b").working_points[0].rejection
    assert found.metric("c/b.r50") == one != found.metric("b/c.r50")
    assert found.metric("confusion.b.c") == many.confusion.shares[2][1]
    assert found.metric("confusion.c.b") == many.confusion.shares[1][2]
    assert found.metric("D_b.b.r50") is None
    text = "\n".join(found.result.lines())
    assert "D_b = log( p(b) / (0.9 p(light) + 0.1 p(c)) )" in text
    assert f"rejection of light {light[0].rejection.value}" in text


def test_names_that_differ_in_case_alone_are_told_apart(judged):
    found = judged(rows(), classes=("B", "c", "b"))
    shares = found.result.many.confusion.shares
    assert found.metric("confusion.B.B") == shares[0][0] != found.metric("confusion.b.b")
    assert found.metric("confusion.b.b") == shares[2][2]


def test_ten_classes(judged):
    names = tuple(f"k{number}" for number in range(10))
    ours = rows(tuple(range(60, 160, 10)))
    found = judged(ours, classes=names).result.many
    assert len(found.pairs) == 90
    expected = metrics.confusion_matrix(
        ours.truth, ours.scores.argmax(axis=1), sample_weight=ours.weight, normalize="true"
    )
    shares = [[s.value for s in row] for row in found.confusion.shares]
    np.testing.assert_allclose(shares, expected, atol=1e-9)


def test_scores_that_are_no_probabilities_have_a_confusion_matrix_alone(judged):
    ours = rows()
    options = Classification(discriminants={"D_b": D_B})
    many = judged(ours, options=options, probability=False).result.many
    assert many.pairs == many.discriminants == ()
    assert many.confusion == judged(ours).result.many.confusion


def test_two_classes_have_none_of_it(tmp_path):
    ours = rows((300, 200))
    two = dataclasses.replace(ours, scores=ours.scores[:, 1:])
    header = Header(method="m", classes=("light", "b"), signal="b", columns=("score",))
    write_predictions(tmp_path / "p.h5", Predictions(header, two))
    assert evaluate([tmp_path / "p.h5"]).result.many is None
    options = Classification(discriminants={"D_b": Discriminant("b", {"light": 1.0})})
    with pytest.raises(ConfigError, match=r"(?s)'m': discriminants.D_b.*three classes or more"):
        evaluate([tmp_path / "p.h5"], options)


@pytest.mark.parametrize(
    ("signal", "fractions", "message"),
    [
        ("bb", {"c": 0.1, "light": 0.9}, r"D_b.signal(?s:.*)'bb'(?s:.*)choose one of|did you mean"),
        ("b", {"c": 0.1, "ligth": 0.9}, r"D_b.fractions(?s:.*)did you mean 'light'"),
        ("b", {"c": 0.1, "light": 0.8, "b": 0.1}, "other than the signal 'b'"),
        ("b", {"c": 0.1, "light": 0.8}, r"whose sum is 1(?s:.*)sum 0\.9\)"),
        ("b", {"c": 0.1, "light": 0.900002}, "whose sum is 1"),
        ("b", {"c": -0.1, "light": 1.1}, "at least 0"),
        ("b", {"c": math.nan, "light": 1.0}, "at least 0"),
        ("b", {}, "whose sum is 1"),
    ],
)
def test_discriminants_that_cannot_be_are_refused(judged, signal, fractions, message):
    options = Classification(discriminants={"D_b": Discriminant(signal, fractions)})
    with pytest.raises(ConfigError, match=message):
        judged(rows((30, 20, 10)), options=options)


def test_fractions_with_six_digits_are_whole(judged):
    thirds = Discriminant("b", {"c": 0.333333, "light": 0.666667})
    assert judged(rows((30, 20, 10)), options=Classification(discriminants={"D": thirds}))


def test_a_class_without_rows_is_refused_as_before(judged):
    with pytest.raises(DataError, match="class 'c'"):
        judged(rows((30, 0, 10)))
