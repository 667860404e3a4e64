"""Statistics and weights against scikit-learn and NumPy on all rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from rootloom.errors import ConfigError, DataError, InputError
from rootloom.shards.ids import event_ids, event_split
from rootloom.shards.layout import SAMPLE
from rootloom.shards.merging import merge_all
from rootloom.shards.moments import Moments
from rootloom.shards.reweight import Reweight
from rootloom.shards.statistics import Statistics, shard_statistics
from rootloom.shards.sums import UNBINNED, SampleSums, code_of, training_sums
from rootloom.shards.weights import EventWeights, Normalisation, Weighting, WeightTable
from rootloom.shards.writer import ShardWriter
from rootloom.types import NO_CLASS, Column, Ragged, RowBlock

CLASSES = ("qcd", "w", "top")
SPLITS = {"train": 0.5, "validation": 0.3, "test": 0.2}
PT = Reweight("pt", bins=20, low=0.0, high=400.0)


class Sampler:
    """Rows as they are, and the objects of all rows as one long sample."""

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        return {
            "x": np.asarray(columns["x"], np.float64),
            "objects": np.asarray(columns["objects"].values, np.float64),
        }


def table(rows: int, seed: int) -> tuple[RowBlock, dict[str, Column]]:
    rng = np.random.default_rng(seed)
    label = rng.choice(3, rows, p=[0.7, 0.2, 0.1]).astype(np.int32)
    x = rng.normal([1e4, -3, 0, 7], [1, 5, 1e-3, 0], (rows, 4)).astype(np.float32)
    x[rng.random((rows, 4)) < [0, 0.3, 0, 0]] = np.nan
    counts = rng.integers(0, 5, rows)
    objects = Ragged(rng.normal(size=(counts.sum(), 2)), np.concatenate([[0], counts.cumsum()]))
    pt = rng.exponential(np.array([50, 150, 100])[label]).astype(np.float32)
    weight = rng.exponential(1, rows).astype(np.float32)
    block = RowBlock(np.arange(rows), np.zeros(rows, np.int32), label, weight, {"pt": pt})
    return block, {"x": x, "objects": objects}


def write(path: Path, rows: int, seed: int) -> Path:
    block, columns = table(rows, seed)
    with ShardWriter(path, file_key=path.name, splits=SPLITS, auxiliary=("pt",)) as writer:
        writer.append(block, columns)
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Statistics]:
    folder = tmp_path_factory.mktemp("shards")
    return [
        shard_statistics(
            write(folder / f"{k}.h5", rows, k), Sampler(), classes=CLASSES, reweights=(PT,)
        )
        for k, rows in enumerate((20_000, 1, 0, 3000))
    ]


def together(split: int = 0) -> dict[str, np.ndarray]:
    """The rows of a split of all shards, concatenated."""
    found = []
    for k, rows in enumerate((20_000, 1, 0, 3000)):
        block, columns = table(rows, k)
        keep = event_split(event_ids(f"{k}.h5", block.entry), SPLITS) == split
        objects = np.split(columns["objects"].values, columns["objects"].offsets[1:-1])
        chosen = [o for o, kept in zip(objects, keep, strict=False) if kept]
        found.append(
            {
                "x": columns["x"][keep].astype(np.float64),
                "objects": np.concatenate([np.zeros((0, 2)), *chosen]),
                "label": block.label[keep],
                "weight": block.weight[keep].astype(np.float64),
                "pt": block.columns["pt"][keep].astype(np.float64),
            }
        )
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def test_moments_equal_standard_scaler_on_all_training_rows(parts: list[Statistics]) -> None:
    total, rows = merge_all(parts), together()
    for name in ("x", "objects"):
        scaler = StandardScaler().fit(rows[name])  # ignores NaN, as we do
        assert np.allclose(total.moments[name].mean, scaler.mean_, rtol=1e-12, atol=1e-14)
        assert np.allclose(total.moments[name].m2, scaler.var_ * total.moments[name].count, 1e-9)
        assert np.array_equal(total.moments[name].count, (~np.isnan(rows[name])).sum(axis=0))
        assert np.array_equal(total.moments[name].low, np.nanmin(rows[name], axis=0))
        assert np.array_equal(total.moments[name].high, np.nanmax(rows[name], axis=0))
    assert total.moments["x"].std[3] == 0


def test_rows_of_no_class_are_counted_apart(tmp_path: Path) -> None:
    block, columns = table(300, 5)
    label = np.where(block.entry % 3 == 0, NO_CLASS, block.label).astype(np.int32)
    with ShardWriter(tmp_path / "s.h5", file_key="s", splits=SPLITS, auxiliary=("pt",)) as writer:
        writer.append(replace(block, label=label), columns)
    found = shard_statistics(tmp_path / "s.h5", Sampler(), classes=CLASSES)
    assert (found.rows.sum(), found.unclassified) == (200, 100)
    twice = Statistics.from_json(found.merge(found).to_json())
    assert (twice.rows.sum(), twice.unclassified) == (400, 200)


def test_class_sums_means_and_histograms_equal_numpy(parts: list[Statistics]) -> None:
    total, rows = merge_all(parts), together()
    for split in range(3):
        there = together(split)
        for k in range(3):
            mine = there["label"] == k
            assert total.rows[split, k] == mine.sum()
            assert np.isclose(
                total.weights({"": 1.0})[split, k], there["weight"][mine].sum(), rtol=1e-12
            )
    for k in range(3):
        mine = rows["label"] == k
        masked = np.ma.masked_invalid(rows["x"][mine])
        mean = np.ma.average(masked, axis=0, weights=np.repeat(rows["weight"][mine, None], 4, 1))
        assert np.allclose(total.means("x", {"": 1.0})[k], mean, rtol=1e-10)
        counts, _ = np.histogram(
            np.clip(rows["pt"][mine], 0, 399.999), 20, (0, 400), weights=rows["weight"][mine]
        )
        assert np.allclose(total.samples[""].training[PT.key][0][k], counts, rtol=1e-12)


def test_samples_that_are_not_one_a_row_have_no_class_means(parts: list[Statistics]) -> None:
    assert set(merge_all(parts).class_means) == {"x"}
    assert set(merge_all(parts[::-1]).class_means) == {"x"}


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 6))
def test_any_partition_in_any_order_agrees(order: list[int], pairs: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal([1e6, 0], [1, 1e-6], (700, 2))
    whole = Moments.of(x)
    pieces = [Moments.of(x[k * 100 : (k + 1) * 100]) for k in order]
    while len(pieces) > 1:  # a tree of merges whose shape follows `pairs`
        at = pairs % (len(pieces) - 1)
        pieces[at : at + 2] = [pieces[at].merge(pieces[at + 1])]
    assert np.array_equal(pieces[0].count, whole.count)
    assert np.allclose(pieces[0].mean, whole.mean, rtol=1e-12, atol=1e-18)
    assert np.allclose(pieces[0].m2, whole.m2, rtol=1e-9)


def test_the_same_order_gives_the_same_bits_also_through_json(parts: list[Statistics]) -> None:
    text = merge_all(parts).to_json()
    reread = [Statistics.from_json(part.to_json()) for part in parts]
    assert merge_all(reread).to_json() == text
    back = Statistics.from_json(text)
    assert back.to_json() == text
    assert np.array_equal(back.moments["x"].m2, merge_all(parts).moments["x"].m2)


def test_moments_of_large_offsets_keep_their_digits() -> None:
    x = np.random.default_rng(0).normal(1e9, 1.0, (10_000, 1))
    exact = np.var(x - 1e9)  # shifting by an exact number loses nothing
    merged = merge_moments([Moments.of(part) for part in np.split(x, 100)])
    assert np.isclose(merged.m2[0] / 10_000, exact, rtol=1e-9)


def test_the_range_of_a_feature_that_some_parts_lack() -> None:
    lacking, other = np.full((3, 2), np.nan), np.array([[2.0, -5.0], [4.0, np.nan]])
    lacking[1, 0] = 7.0
    for parts in ((lacking, other), (other, lacking)):
        merged = merge_moments([Moments.of(part) for part in parts])
        assert merged.low.tolist() == [2, -5]
        assert merged.high.tolist() == [7, -5]
    nothing = Moments.of(np.full((2, 1), np.nan))
    assert (nothing.low.tolist(), nothing.high.tolist()) == ([0], [0])


def merge_moments(pieces: list[Moments]) -> Moments:
    total = pieces[0]
    for piece in pieces[1:]:
        total = total.merge(piece)
    return total


def test_an_absent_feature_has_defined_moments() -> None:
    m = Moments.of(np.array([[np.nan, 1.0]])).merge(Moments.of(np.array([[np.nan, 3.0]])))
    assert m.count.tolist() == [0, 2]
    assert m.mean.tolist() == [0, 2]
    assert m.std.tolist() == [0, 1]


def test_balance_equals_scikit_learn_with_unit_weights() -> None:
    label = np.repeat([0, 1, 2], [700, 200, 100])
    statistics = of_rows(CLASSES, label, np.ones(1000))
    table_ = WeightTable.from_statistics(statistics, dataset="d")
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=label)
    assert np.allclose(table_.factor(np.arange(3)), wanted, rtol=1e-6)


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("target", ["flat", "qcd"])
def test_reweighted_spectra_have_the_target_shape(
    parts: list[Statistics], target: str, balance: bool
) -> None:
    rows, total = together(), merge_all(parts)
    reweight = Reweight("pt", 20, 0.0, 400.0, target=target, cap=1e9)
    factors = WeightTable.from_statistics(
        total, dataset="d", weighting=Weighting(balance, reweight)
    )
    weight = rows["weight"] * factors.factor(rows["label"], rows["pt"])
    assert np.isclose(weight.mean(), 1, rtol=1e-5)
    shape, sums = {}, np.zeros(3)
    for k in range(3):
        mine = rows["label"] == k
        spectrum, _ = np.histogram(
            np.clip(rows["pt"][mine], 0, 399.999), 20, (0, 400), weights=weight[mine]
        )
        sums[k], filled = spectrum.sum(), total.samples[""].training[PT.key][0][k] > 0
        shape[k] = np.where(filled, spectrum / sums[k], np.nan)
    wanted = np.full(20, 0.05) if target == "flat" else shape[0]
    for k in range(3):
        both = ~np.isnan(shape[k]) & ~np.isnan(wanted)
        assert np.allclose(
            shape[k][both] / shape[k][both].sum(), wanted[both] / wanted[both].sum(), 1e-4
        )
    share = total.weights({"": 1.0})[0] / total.weights({"": 1.0})[0].sum()
    assert np.allclose(sums / sums.sum(), np.full(3, 1 / 3) if balance else share, rtol=1e-4)


def of_rows(classes: tuple[str, ...], label: np.ndarray, weight: np.ndarray) -> Statistics:
    """Statistics of training rows with these labels and weights."""
    counted = SampleSums.of_rows(classes, "train", label, weight)
    training = {UNBINNED: training_sums(weight, label, len(classes), 1)}
    return Statistics(classes, {"": replace(counted, training=training)})


def simple(sums: list[list[float]], reweight: Reweight) -> Statistics:
    """Statistics of two classes with the given sums of positive weights and ten rows a class."""
    sums_ = np.array(sums, np.float64)
    empty = SampleSums.empty(2)
    empty.rows[0] = 10
    training = {reweight.key: np.stack([sums_, np.abs(sums_), sums_**2])}
    return Statistics(("a", "b"), {"": replace(empty, training=training)})


def table_of(statistics: Statistics, reweight: Reweight, negative: str = "absolute") -> WeightTable:
    weighting = Weighting(reweight=reweight, negative=negative)
    return WeightTable.from_statistics(statistics, dataset="d", weighting=weighting)


def test_the_cap_bounds_rare_and_empty_bins() -> None:
    reweight = Reweight("pt", 4, 0.0, 4.0, cap=2.0)
    statistics = simple([[97, 1, 2, 0], [25, 25, 25, 25]], reweight)
    factors = table_of(statistics, reweight).factors
    # ratios of densities: 0.25/0.97, then min(25, 2), min(12.5, 2) and, for the empty bin, 2
    assert np.allclose(factors[0] / factors[0][1], [0.25 / 0.97 / 2, 1, 1, 1])
    assert np.allclose(factors[1], factors[1][0])
    assert np.isfinite(factors).all()


def test_bins_in_several_variables_are_those_of_numpy() -> None:
    edges = {"pt": (0.0, 1.0, 4.0), "eta": (-1.0, 0.5, 1.0, 2.0)}
    rng = np.random.default_rng(2)
    pt, eta = rng.uniform(-1, 5, 400), rng.uniform(-2, 3, 400)
    pt[:3], eta[:3] = (0.0, 1.0, 4.0), (-1.0, 0.5, 2.0)  # edges; the last ones are inside
    inside = Reweight(edges=edges, outside="left_out")
    found = np.bincount(inside.bin_of(pt, eta), minlength=inside.cells)
    expected, _, _ = np.histogram2d(pt, eta, [edges["pt"], edges["eta"]])
    assert found[:6].tolist() == expected.ravel().tolist()
    assert found[6] == 400 - expected.sum()
    near, _, _ = np.histogram2d(np.clip(pt, 0, 4), np.clip(eta, -1, 2), [*edges.values()])
    nearest = Reweight(edges=edges)
    assert nearest.cells == 6
    assert np.bincount(nearest.bin_of(pt, eta), minlength=6).tolist() == near.ravel().tolist()
    assert nearest.key != inside.key


def test_values_that_are_left_out_weigh_nothing() -> None:
    reweight = Reweight(edges={"pt": (0.0, 1.0, 2.0)}, outside="left_out", cap=1e9)
    factors = table_of(simple([[30, 10, 5], [10, 10, 0]], reweight), reweight).factors
    assert factors[:, 2].tolist() == [0, 0]
    assert np.allclose(factors[0, 1] / factors[0, 0], 3)
    apart = simple([[30, 10, 5], [0, 0, 7]], reweight)
    with pytest.raises(DataError, match="no common bin for b"):
        table_of(apart, reweight)


def test_a_threshold_needs_bins_that_the_classes_share() -> None:
    reweight = Reweight(edges={"pt": (0.0, 1.0, 2.0)}, target="a", threshold=10.0)
    with pytest.raises(DataError, match="no common bin for b"):
        table_of(simple([[30, 0], [0, 7]], reweight), reweight)


def test_classes_are_balanced_in_proportions() -> None:
    label = np.repeat([0, 1, 2], [700, 200, 100])
    statistics = of_rows(CLASSES, label, np.ones(1000))
    weighting = Weighting(balance={CLASSES[0]: 1.0, CLASSES[2]: 3.0})
    factor = WeightTable.from_statistics(statistics, dataset="d", weighting=weighting)
    sums = np.bincount(label, factor.factor(label))
    assert np.allclose(sums, [250, 0, 750])


def test_a_balance_that_gives_all_classes_with_rows_nothing_is_refused() -> None:
    statistics = of_rows(CLASSES, np.repeat([0, 1], 10), np.ones(20))
    weighting = Weighting(balance={CLASSES[2]: 1.0})
    with pytest.raises(DataError, match="positive number for a class"):
        WeightTable.from_statistics(statistics, dataset="d", weighting=weighting)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "neither"),
        ({"variable": "pt", "bins": 2, "high": 1.0, "edges": {"pt": (0, 1)}}, "both"),
        ({"edges": {"pt": (0.0,)}}, r"pt: \[0.0\]"),
        ({"edges": {"pt": (0.0, 2.0, 1.0)}}, "pt: "),
        ({"variable": "pt", "bins": 0, "high": 1.0}, "bins 0"),
        ({"edges": {"pt": (0.0, 1.0)}, "threshold": 100.0}, "threshold 100"),
        ({"edges": {"pt": (0.0, 1.0)}, "cap": 0.0}, "cap 0"),
    ],
)
def test_a_reweighting_that_cannot_be_is_refused(given: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        Reweight(**given)


def test_bins_empty_in_the_target_class_weigh_nothing() -> None:
    reweight = Reweight("pt", 3, 0.0, 3.0, target="b")
    statistics = simple([[10, 10, 0], [0, 5, 5]], reweight)
    factors = table_of(statistics, reweight).factors
    assert factors[0, 0] == 0
    assert factors[1, 0] == 0
    assert (factors[:, 1:] > 0).all()


def test_a_bin_of_negative_total_weighs_nothing_where_signs_are_kept() -> None:
    reweight = Reweight("pt", 3, 0.0, 3.0)
    statistics = simple([[10, 10, -1], [5, 5, 5]], reweight)
    factors = table_of(statistics, reweight, "keep").factors
    assert factors[0, 2] == 0
    assert np.isfinite(factors).all()


def test_values_outside_count_in_the_edge_bins() -> None:
    assert PT.bin_of(np.array([-np.inf, -1, 0, 399.9, 400, np.inf])).tolist() == [
        0,
        0,
        0,
        19,
        19,
        19,
    ]


def test_the_only_class_keeps_its_weights_and_must_have_some() -> None:
    one = of_rows(("muon",), np.zeros(4, np.int32), np.float32([1, 2, 3, 2]))
    factors = WeightTable.from_statistics(one, dataset="muons").factors
    np.testing.assert_allclose(factors, [[0.5]])  # a mean weight of 2 becomes 1
    none = of_rows(("muon",), np.zeros(4, np.int32), np.zeros(4, np.float32))
    with pytest.raises(DataError, match="one class"):
        WeightTable.from_statistics(none, dataset="muons")


def test_a_class_without_weight_counts_nothing_in_training() -> None:
    weight = np.float32([1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0])
    three = of_rows(("a", "b", "c"), np.repeat([0, 1, 2], [4, 4, 3]).astype(np.int32), weight)
    factors = WeightTable.from_statistics(three, dataset="jets").factors
    # The others have equal sums, and the mean over all 11 rows is 1.
    np.testing.assert_allclose(factors, [[5.5 / 4], [5.5 / 8], [0]])


def test_data_that_cannot_train_are_refused(tmp_path: Path) -> None:
    one = of_rows(CLASSES, np.zeros(5, np.int32), np.ones(5))
    with pytest.raises(DataError, match=r"'jets'[\s\S]*two classes[\s\S]*w: 0 rows"):
        WeightTable.from_statistics(one, dataset="jets")
    with pytest.raises(DataError, match=r"'jets', split 'train'[\s\S]*loosen the selection"):
        WeightTable.from_statistics(Statistics.empty(CLASSES), dataset="jets")
    both = one.merge(of_rows(CLASSES, np.ones(5, np.int32), np.ones(5)))
    with pytest.raises(DataError, match="histogram"):
        table_of(both, PT)
    apart = Reweight("pt", 2, 0.0, 2.0, target="b")
    with pytest.raises(DataError, match="no common bin for a"):
        table_of(simple([[1, 0], [0, 1]], apart), apart)
    other = Reweight("pt", 2, 0.0, 2.0, target="z")
    with pytest.raises(ConfigError, match="choose one of: a, b"):
        table_of(simple([[1, 1], [1, 1]], other), other)
    with pytest.raises(ConfigError, match="low < high"):
        Reweight("pt", 2, 1.0, 1.0)
    with pytest.raises(DataError, match="numbers from 0 to 2"):
        of_rows(CLASSES, np.array([3]), np.ones(1))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda b, c: c["x"].__setitem__((3, 1), np.inf),
            r"s\.h5, split 'train'[\s\S]*feature\(s\) 1",
        ),
        (lambda b, c: b.columns["pt"].__setitem__(3, np.nan), r"s\.h5[\s\S]*finite 'pt'"),
        (lambda b, c: b.weight.__setitem__(3, np.nan), r"s\.h5[\s\S]*event weights"),
    ],
)
def test_values_no_training_can_use_are_refused_by_name(tmp_path: Path, spoil, words: str) -> None:
    block, columns = table(100, 0)
    spoil(block, columns)
    with ShardWriter(
        tmp_path / "s.h5", file_key="k", splits={"train": 1.0}, auxiliary=("pt",)
    ) as writer:
        writer.append(block, columns)
    with pytest.raises(DataError, match=words):
        shard_statistics(tmp_path / "s.h5", Sampler(), classes=CLASSES, reweights=(PT,))


def signed(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels (1 % of class 1) and weights, a fifth of them negative."""
    rng = np.random.default_rng(5)
    label = (rng.random(rows) < 0.01).astype(np.int32)
    return label, (rng.exponential(30, rows) * rng.choice([1, -1], rows, p=[0.8, 0.2])).astype("f4")


@pytest.mark.parametrize("negative", ["absolute", "keep"])
def test_training_weights_have_an_absolute_mean_of_one_and_balanced_classes(negative: str) -> None:
    label, weight = signed()
    weighting = Weighting(negative=negative)
    found = WeightTable.from_statistics(
        of_rows(("a", "b"), label, weight), dataset="d", weighting=weighting
    )
    made = found.training({"label": label, "weight": weight}).astype(np.float64)
    assert np.isclose(np.abs(made).mean(), 1.0, rtol=1e-6)
    assert np.isclose(made[label == 0].sum(), made[label == 1].sum(), rtol=1e-5)
    assert (made < 0).any() == (negative == "keep")
    wanted = np.abs(weight) if negative == "absolute" else weight
    ratio = made[label == 0] / wanted[label == 0]
    assert np.allclose(ratio, ratio[0], rtol=1e-5)
    effective = [made[label == k].sum() ** 2 / (made[label == k] ** 2).sum() for k in (0, 1)]
    assert np.allclose(found.effective, effective, rtol=1e-5)


def test_event_weights_stay_as_they_are_without_samples() -> None:
    label, weight = signed()
    found = WeightTable.from_statistics(of_rows(("a", "b"), label, weight), dataset="d")
    assert np.array_equal(found.events.of({"label": label, "weight": weight}), weight)


def test_a_training_weight_of_its_own_takes_the_place_of_the_event_weight() -> None:
    label, weight = signed()
    own = np.linspace(-1, 3, len(label)).astype("f4")
    statistics = of_rows(("a", "b"), label, own)
    table_ = WeightTable.from_statistics(statistics, dataset="d", weighting=Weighting(own=True))
    made = table_.training({"label": label, "weight": weight, "training_weight": own})
    factor = made[label == 0] / np.abs(own[label == 0])
    assert np.allclose(factor, factor[0], rtol=1e-5)


def two_samples() -> tuple[Statistics, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """A signal and two backgrounds, of 50, 200 and 50 rows, from more entries than rows."""
    rows = {"sig": (1, 50, 2.0), "tt": (0, 200, 0.5), "w": (0, 50, 4.0)}
    parts, columns = [], {}
    for name, (k, count, weight) in rows.items():
        label, w = np.full(count, k, np.int32), np.full(count, weight, np.float32)
        one = of_rows(("b", "s"), label, w).samples[""]
        sums = replace(one, entries=2 * count, sum_of_weights=2.0 * count * weight)
        parts.append(Statistics(("b", "s"), {name: sums}))
        columns[name] = label, w
    return merge_all(parts), columns


def test_sums_of_two_files_add_up() -> None:
    one, other = (
        replace(SampleSums.empty(1), entries=n, sum_of_weights=w) for n, w in ((3, 3.5), (5, 4.0))
    )
    both = one.merge(other)
    assert (both.entries, both.sum_of_weights) == (8, 7.5)


def test_a_training_weight_of_its_own_is_no_part_of_a_cross_section() -> None:
    statistics, columns = two_samples()
    weighting = Weighting(balance=False, own=True, samples={"tt": Normalisation(8000.0)})
    found = WeightTable.from_statistics(statistics, dataset="d", weighting=weighting)
    training = {
        name: found.training({"label": k, "training_weight": w}).astype(np.float64)
        for name, (k, w) in columns.items()
    }
    whole = np.concatenate(list(training.values()))
    assert np.isclose(np.abs(whole).mean(), 1.0, rtol=1e-6)
    sums = {name: (w.astype(np.float64)).sum() for name, (_, w) in columns.items()}
    ratio = training["tt"].sum() / training["sig"].sum()
    assert np.isclose(ratio, sums["tt"] / sums["sig"], rtol=1e-5)
    background = np.concatenate([training["tt"], training["w"]])
    effective = background.sum() ** 2 / (background**2).sum()
    assert np.isclose(found.effective[0], effective, rtol=1e-5)


def test_shards_keep_a_training_weight_of_their_own_apart(tmp_path: Path) -> None:
    block, columns = table(200, 3)
    own = np.linspace(-1, 2, 200).astype(np.float32)
    with ShardWriter(tmp_path / "s.h5", file_key="k", splits={"train": 1.0}) as writer:
        writer.append(replace(block, training_weight=own, columns={}), columns)
    sums = shard_statistics(tmp_path / "s.h5", Sampler(), classes=CLASSES).samples[""]
    for k in range(3):
        mine = own[block.label == k].astype(np.float64)
        wanted = [mine.sum(), np.abs(mine).sum(), (mine**2).sum()]
        assert np.allclose(sums.training[UNBINNED][:, k, 0], wanted, rtol=1e-12)


def test_class_means_weigh_samples_by_their_scales_and_signs(tmp_path: Path) -> None:
    parts, rows = [], []
    for number, (name, scale) in enumerate((("a", 1.0), ("b", 50.0))):
        block, columns = table(300, number)
        weight = block.weight * np.where(np.arange(300) % 5, 1, -1).astype(np.float32)
        path = tmp_path / f"{name}.h5"
        with ShardWriter(path, file_key=name, splits={"train": 1.0}, sample=name) as writer:
            writer.append(replace(block, weight=weight, columns={}), columns)
        parts.append(shard_statistics(path, Sampler(), classes=CLASSES))
        rows.append((block.label, columns["x"][:, 0], weight.astype(np.float64) * scale))
    label, x, weight = (np.concatenate(column) for column in zip(*rows, strict=True))
    found = merge_all(parts).means("x", {"a": 1.0, "b": 50.0})[:, 0]
    for k in range(3):
        mine = label == k
        wanted = (x[mine] * weight[mine]).sum() / weight[mine].sum()
        assert np.isclose(found[k], wanted, rtol=1e-9)


def test_samples_are_scaled_to_their_cross_sections() -> None:
    statistics, columns = two_samples()
    samples = {"tt": Normalisation(8000.0), "w": Normalisation(1000.0, sum_of_weights=500.0)}
    found = WeightTable.from_statistics(
        statistics, dataset="d", weighting=Weighting(samples=samples)
    )
    event = {
        name: found.events.of({"label": k, "weight": w, "sample": np.full(len(k), code_of(name))})
        for name, (k, w) in columns.items()
    }
    # Half of the entries are selected: half of what is expected; Σw = 500 was given, not counted.
    assert np.isclose(event["tt"].sum(dtype=np.float64), 4000, rtol=1e-6)
    assert np.isclose(event["w"].sum(dtype=np.float64), 200 * 1000 / 500, rtol=1e-6)
    assert np.array_equal(event["sig"], columns["sig"][1])
    training = {
        name: found.training({"label": k, "weight": w, "sample": np.full(len(k), code_of(name))})
        for name, (k, w) in columns.items()
    }
    sums = {name: float(t.sum(dtype=np.float64)) for name, t in training.items()}
    assert np.isclose(sums["tt"] / sums["w"], 4000 / 400, rtol=1e-5)
    assert np.isclose(sums["tt"] + sums["w"], sums["sig"], rtol=1e-5)
    assert np.isclose(sum(sums.values()), 300, rtol=1e-5)
    background = np.concatenate([training["tt"], training["w"]]).astype(np.float64)
    effective = background.sum() ** 2 / (background**2).sum()
    assert np.isclose(found.effective[0], effective, rtol=1e-5)
    scales = found.events.scales
    assert np.isclose(statistics.weights(scales)[0, 0], 4400, rtol=1e-6)
    assert np.isclose(statistics.squares(scales)[0, 0], (event["tt"].astype("f8") ** 2).sum()
                      + (event["w"].astype("f8") ** 2).sum(), rtol=1e-5)  # fmt: skip
    with pytest.raises(DataError, match="rows of another sample"):
        found.events.of({"label": [0], "weight": [1.0], "sample": np.array([7], np.uint32)})


@pytest.mark.parametrize("code", [0, 2**32 - 1])
def test_rows_of_another_sample_are_refused(code: int) -> None:
    """Also where its code is below or above those of all samples."""
    weights = EventWeights({"ttbar": 2.0, "wjets": 3.0})
    columns = {"weight": np.ones(1, np.float32), SAMPLE: np.array([code], np.uint32)}
    with pytest.raises(DataError, match="rows of another sample"):
        weights.of(columns)


@pytest.mark.parametrize("total", [0.0, -3.0, np.nan, np.inf])
def test_a_cross_section_needs_a_positive_sum_of_weights(total: float) -> None:
    statistics, _ = two_samples()
    sums = {**statistics.samples, "tt": replace(statistics.samples["tt"], sum_of_weights=total)}
    weighting = Weighting(samples={"tt": Normalisation(8000.0)})
    broken = Statistics.from_json(Statistics(statistics.classes, sums).to_json())
    with pytest.raises(DataError, match=r"(?s)sample 'tt'.*sum_of_weights"):
        WeightTable.from_statistics(broken, dataset="d", weighting=weighting)


def test_a_cap_that_acts_says_what_it_left_undone() -> None:
    reweight = Reweight("pt", 4, 0.0, 4.0, cap=2.0)
    found = table_of(simple([[97, 1, 2, 0], [25, 25, 25, 25]], reweight), reweight)
    (one,) = found.capped
    after = np.array([97 * 0.25 / 0.97, 1 * 2, 2 * 2, 0])
    assert (one.label, one.bins) == ("a", 3)
    assert np.isclose(one.undone, 0.5 * np.abs(after / after.sum() - 0.25).sum())
    assert table_of(simple([[20, 30, 20, 30], [25] * 4], reweight), reweight).capped == ()
    # A bin whose ratio is the cap exactly reaches the target.
    assert table_of(simple([[3, 1, 2, 2], [2] * 4], reweight), reweight).capped == ()


def test_statistics_of_an_earlier_version_are_refused() -> None:
    with pytest.raises(InputError, match="earlier version"):
        Statistics.from_json('{"classes": [], "rows": [], "weights": []}')
