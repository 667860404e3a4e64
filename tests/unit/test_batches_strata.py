"""Batches of one row of each stratum of lengths: honest draws, room for all rows, one shape."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from rootloom.batches import strata
from rootloom.batches.loader import Loader
from rootloom.models.deep_sets import DeepSets
from rootloom.representations.particle_set import ParticleSet
from rootloom.shards.moments import Moments
from rootloom.shards.writer import ShardWriter
from rootloom.stages.networks import task_of
from rootloom.tasks.classification import Classification
from rootloom.training.loop import fit
from rootloom.training.options import TrainingOptions
from rootloom.training.predict import predict
from rootloom.types import Batch, Objects, ParticleSets, Ragged, RowBlock

ROWS = (900, 301, 800)
GROUPED = ParticleSet(objects=("parts.pt",), max_objects=40, groups=4)
WRAPPED = replace(GROUPED, wrap=("parts",))
WHOLE = ParticleSet(objects=("parts.pt",), max_objects=40, groups=1)
SMALL = {"window_bytes": 40_000}  # several windows


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Rows of 0 to 40 objects, more in the second file than in the others."""
    paths = []
    for k, rows in enumerate(ROWS):
        rng = np.random.default_rng(k)
        counts = np.minimum(rng.poisson(rng.gamma(3, 5 + 2 * (k == 1), rows)), 40)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        block = RowBlock(
            np.arange(rows),
            np.zeros(rows, np.int32),
            rng.integers(0, 2, rows).astype(np.int32),
            rng.normal(1, 1, rows).astype(np.float32),  # signed
            {"parts.pt": Ragged(rng.random(offsets[-1]), offsets)},
        )
        paths.append(tmp_path_factory.mktemp("shards") / f"{k}.h5")
        with ShardWriter(paths[-1], file_key=str(k), splits={"train": 1.0}) as writer:
            writer.append(block, WHOLE.encode(block.columns))
    return paths


def parts_of(batch: Batch) -> tuple[Objects, ...]:
    parts = batch.inputs.collections["parts"]
    return (parts,) if isinstance(parts, Objects) else parts


def rows_of(batch: Batch) -> dict[int, tuple[float, ...]]:
    """By identity: label, weight, number and sum of the objects."""
    counts, sums = (
        np.concatenate([of(part) for part in parts_of(batch)], axis=1)
        for of in (lambda p: p.mask.sum(axis=2), lambda p: p.x.sum(axis=(2, 3), dtype=np.float64))
    )
    ids = batch.id.astype(np.uint64) @ np.array([1 << 32, 1], np.uint64)
    columns = (batch.target, batch.weight, counts, sums)
    there = batch.inputs.present
    found = zip(*(column[there].tolist() for column in columns), strict=True)
    return dict(zip(ids[there].tolist(), found, strict=True))


def in_groups(batch: Batch) -> bool:
    return not isinstance(batch.inputs.collections["parts"], Objects)


def same(a: Batch, b: Batch) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("options", [{}, SMALL, {"shuffle": False}, {**SMALL, "shuffle": False}])
def test_every_row_comes_once_as_it_is_in_few_shapes(shards, devices, options) -> None:
    def batches(representation: ParticleSet) -> list[Batch]:
        loader = Loader(shards, representation, "train", 32, devices=devices, **options)
        return list(loader.epoch(3))

    grouped, whole = batches(GROUPED), batches(WHOLE)
    rows = [row for batch in grouped for row in rows_of(batch).items()]
    assert len(rows) == len(dict(rows)) == sum(ROWS)
    expected = {k: row for batch in whole for k, row in rows_of(batch).items()}
    for key, row in rows:
        np.testing.assert_allclose(row, expected[key], rtol=1e-6)
    assert all(map(in_groups, grouped))
    assert len({tuple(leaf.shape for leaf in jax.tree.leaves(batch)) for batch in grouped}) == 1
    slots = sum(part.mask.size for part in parts_of(grouped[0]))
    assert slots < 0.75 * parts_of(whole[0])[0].mask.size
    if "shuffle" in options:  # a batch has the rows of one without groups, and tells their places
        for batch, other in zip(grouped, whole, strict=True):
            order = batch.place[batch.place >= 0]
            ids = other.id.reshape(-1, 2)[order]
            np.testing.assert_array_equal(batch.id[batch.place >= 0], ids)


def test_a_batch_is_a_function_of_its_number(shards) -> None:
    """Neither a restart, the cache nor processes change it; devices do not change its rows."""

    def batches(**options: object) -> list[Batch]:
        loader = Loader(shards, GROUPED, "train", 32, devices=4, seed=2, **SMALL, **options)
        return list(loader.epoch(1))

    undisturbed = batches()
    alone = Loader(shards, GROUPED, "train", 32, seed=2, **SMALL).epoch(1)
    for batch, other in zip(undisturbed, alone, strict=True):
        assert set(rows_of(batch)) == set(rows_of(other)), "other rows on one device"
    # A window has twelve batches: all of its own, and those with rows that the one before left.
    options = {"devices": 4, "seed": 2, "cache_bytes": 0, "prefetch": 0}
    again = Loader(shards, GROUPED, "train", 32, **options, **SMALL)
    for start in range(0, len(undisturbed), 5):
        with closing(again.epoch(1, start)) as resumed:
            assert all(map(same, islice(resumed, 15), undisturbed[start:]))
    for batch, *shares in zip(undisturbed, *(batches(share=(k, 2)) for k in (0, 1)), strict=True):
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *shares)
        assert same(joined, batch)


def test_a_training_compiles_its_step_once(shards, tmp_path: Path) -> None:
    traced = []

    class Counted(DeepSets):
        def __call__(self, inputs: ParticleSets, *, train: bool) -> jax.Array:
            traced.append(train)
            return super().__call__(inputs, train=train)

    moments = {"parts": Moments.of(np.random.default_rng(0).random((9, 1)))}
    task = Classification(Counted(objects=(4,), row=(3,)), GROUPED, moments, ("a", "b"))
    training, validation = (
        Loader(shards, GROUPED, "train", 32, devices=4, shuffle=shuffle)
        for shuffle in (True, False)
    )
    options = TrainingOptions(batch_size=32, epochs=3, tensorboard=False)
    result = fit(task, training, validation, options, tmp_path, fingerprint="f", progress=False)
    assert result.steps == 3 * training.batches_per_epoch
    assert sum(traced) - 1 == 1, "one is to see whether the network has convolutions"


@pytest.mark.parametrize("devices", [1, 4])
def test_predictions_are_in_file_order_whatever_the_padding(shards, devices: int) -> None:
    moments = {"parts": Moments.of(np.random.default_rng(0).random((9, 1)))}
    found = []
    for representation in (WHOLE, GROUPED, WRAPPED):
        task = Classification(DeepSets(objects=(4,), row=(3,)), representation, moments, ("a", "b"))
        loader = Loader(
            shards, representation, "train", 128, devices=devices, shuffle=False, **SMALL
        )
        example = jax.tree.map(lambda leaf: leaf[0], next(loader.epoch(0)))
        params = task.init(jax.random.key(0), example)
        parts = [(columns["score"], rows.id) for columns, rows in predict(task, params, loader)]
        found.append([np.concatenate(column) for column in zip(*parts, strict=True)])
    assert len(found[0][0]) == sum(ROWS)
    for scores, ids in found[1:]:
        np.testing.assert_array_equal(ids, found[0][1])
        np.testing.assert_allclose(scores, found[0][0], rtol=0, atol=3e-6)
    assert np.std(found[0][0]) > 1e-3, "the same for all"


def test_each_row_is_in_each_batch_equally_often_and_gradients_are_those_of_all_rows() -> None:
    """A toy whose gradient is known: loss w (θ − y)² with y the length itself, θ = 0."""
    rng = np.random.default_rng(1)
    size, count, draws = 8, 40, 3000
    lengths = rng.integers(0, 30, count)
    weight = rng.normal(1, 1, count)
    gradient = -2 * weight * lengths
    seen, of_batches = np.zeros((count // size, count)), np.zeros((draws, count // size))
    for k in range(draws):
        order = rng.permutation(count)
        words = rng.integers(0, 2**64, count + 1, dtype=np.uint64)
        dealt = strata.deal(order, lengths[order], words, size).reshape(-1, size)
        np.put_along_axis(seen, dealt, np.take_along_axis(seen, dealt, axis=1) + 1, axis=1)
        of_batches[k] = gradient[dealt].sum(axis=1)
        assert (np.diff(lengths[dealt], axis=1) <= 0).all(), "not the longest first"
    np.testing.assert_allclose(of_batches.sum(axis=1), gradient.sum(), rtol=1e-9)
    expected, error = gradient.mean() * size, of_batches.std(axis=0) / np.sqrt(draws)
    assert (np.abs(of_batches.mean(axis=0) - expected) < 4 * error).all()
    assert chisquare(seen, axis=None).pvalue > 1e-3
    # Batches are more alike than random ones: without replacement, the variance of those is this.
    random = gradient.var() * size * (count - size) / (count - 1)
    assert of_batches.var() < random


def test_rows_left_over_by_a_window_are_dealt_out_with_the_next(shards) -> None:
    """Batches of an epoch whose windows hold no whole number of them are all alike."""
    loader = Loader(shards, GROUPED, "train", 64, window_bytes=30_000, prefetch=0)
    epochs = 60
    lengths, rows = np.zeros((2, epochs, loader.batches_per_epoch))
    for epoch in range(epochs):
        for k, batch in enumerate(loader.epoch(epoch)):
            masks = [part.mask for part in parts_of(batch)]
            lengths[epoch, k] = sum(mask.sum() for mask in masks)
            rows[epoch, k] = batch.inputs.present.sum()
    assert (rows[:, :-1] == 64).all()
    assert (rows[:, -1] == sum(ROWS) % 64).all()
    expected = lengths.sum(axis=1).mean() / sum(ROWS) * rows[0]
    error = lengths.std(axis=0) / np.sqrt(epochs)
    assert (np.abs(lengths.mean(axis=0) - expected) < 4 * error).all()


def test_a_rest_has_each_row_equally_often_and_long_and_short_ones() -> None:
    rng = np.random.default_rng(3)
    size, count, draws = 8, 29, 3000
    lengths, seen = rng.permutation(count), np.zeros(count)
    for _ in range(draws):
        words = rng.integers(0, 2**64, count + 1, dtype=np.uint64)
        dealt = strata.deal(np.arange(count), lengths, words, size)
        assert sorted(dealt) == list(range(count))
        rest = dealt[-(count % size) :]
        seen[rest] += 1
        assert set(np.diff(lengths[rest])) <= {-5, -6}
    assert chisquare(seen).pvalue > 1e-3


def test_windows_that_hold_no_batch_are_dealt_out_together(shards) -> None:
    loader = Loader(shards, GROUPED, "train", 64, window_bytes=4000, cache_bytes=0)
    batches = list(loader.epoch(0))
    assert sum(map(len, map(rows_of, batches))) == sum(ROWS)
    assert all(same(a, b) for a, b in zip(loader.epoch(0, 3), batches[3:], strict=True))


def test_rows_are_in_no_groups_where_the_network_reads_empty_slots() -> None:
    filled = {"kind": "particle_set", "objects": ("parts.pt",), "empty": (("parts.pt", 1.0),)}
    one_collection = {"charged": "parts", "neutral": "parts", "vertices": "parts"}
    for model, grouped in (
        ({"kind": "deep_sets"}, True),
        ({"kind": "deepjet", **one_collection}, False),
    ):
        task = {"kind": "classification"}
        network = SimpleNamespace(model=model, representation=filled, task=task, classes=("a", "b"))
        made = task_of(network, network, {}).representation
        assert (made.length_groups() is not None) == grouped


def test_groups_have_the_fewest_pairs_of_slots() -> None:
    highest = np.array([9, 9, 7, 4, 4, 3, 1, 0])

    def pairs(cuts: tuple[int, ...]) -> int:
        parts = np.split(highest, cuts)
        return sum(len(part) * max(part[0], 1) ** 2 for part in parts)

    best = min(pairs((i, j)) for i in range(1, 8) for j in range(i + 1, 8))
    made = strata.stairs(highest, 1, 3)
    assert sum(rows * slots**2 for rows, slots in made.groups) == best
    assert sum(rows for rows, _ in made.groups) == 8
    assert (made.heights >= highest).all()
    assert strata.stairs(highest, 1, 9).groups == ((2, 9), (1, 7), (2, 4), (1, 3), (2, 1))
    assert strata.stairs(highest, 4, 2).heights.tolist() == [9, 4]


def test_a_window_of_few_rows_does_not_make_all_batches_longer() -> None:
    many, few = np.arange(20 * 8) % 30, np.full(8, 29)
    alone = strata.of_shuffled([many], 8)
    assert alone.tolist() == np.sort(many)[::-1][::20].tolist()
    both = strata.of_shuffled([many, few], 8)
    assert both.tolist() == np.minimum(alone + 1, 29).tolist()
    assert strata.of_shuffled([few], 8).tolist() == few.tolist()
