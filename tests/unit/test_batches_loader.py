"""Loader: every row once, in an order that no cache, thread or restart changes."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy.stats import chisquare, poisson
from tests.learnable import Stored

from rootloom.batches import store
from rootloom.batches.draws import Draw, OutsideFold, WithReplacement
from rootloom.batches.loader import Loader
from rootloom.errors import ConfigError, DataError, InputError
from rootloom.shards.ids import event_ids, event_split, fold_of, row_ids
from rootloom.shards.merging import merge_all
from rootloom.shards.reweight import Reweight
from rootloom.shards.statistics import Statistics, shard_statistics
from rootloom.shards.weights import Weighting, WeightTable
from rootloom.shards.writer import ShardWriter
from rootloom.types import Batch, Column, Ragged, RowBlock

GOLDEN = ["0xcf5bd690ad8a077a", "0x5370f0356824ae92", "0x1185a9ec123a2030", "0x18978e59722071a3"]
SPLITS = {"train": 0.9, "test": 0.1}
ROWS = (3000, 1, 0, 700, 2500)
SMALL = {"window_bytes": 60_000}  # a few hundred rows a window, as if the data were large


class Inputs(NamedTuple):
    x: np.ndarray
    total: np.ndarray


class Representation(Stored):
    """x: two numbers a row; total: the sum over the row's objects, to tie ragged rows down."""

    kind = "features"

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Inputs:
        x, total = np.zeros((size, 2), np.float32), np.zeros(size, np.float32)
        x[: len(rows)] = columns["x"][rows]
        objects = columns["objects"]
        for i, r in enumerate(rows):
            total[i] = objects.values[objects.offsets[r] : objects.offsets[r + 1]].sum()
        return Inputs(x, total)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        return {"x": np.asarray(columns["x"], np.float64)}


def table(rows: int, seed: int) -> tuple[RowBlock, dict[str, Column]]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    values = rng.integers(0, 1000, offsets[-1]).astype(np.float32)
    block = RowBlock(
        np.arange(rows),
        np.zeros(rows, np.int32),
        rng.integers(0, 2, rows).astype(np.int32),
        rng.exponential(1, rows).astype(np.float32),
        {"pt": rng.exponential(100, rows).astype(np.float32)},
    )
    return block, {
        "x": rng.normal(size=(rows, 2)).astype(np.float32),
        "objects": Ragged(values, offsets),
    }


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"{k}.h5" for k in range(len(ROWS))]
    for k, path in enumerate(paths):
        block, columns = table(ROWS[k], k)
        with ShardWriter(path, file_key=f"{k}", splits=SPLITS, auxiliary=("pt",)) as writer:
            writer.append(block, columns)
    return paths


def truth() -> dict[int, tuple]:
    """Every training row by its id: x, sum of objects, label, weight, pt."""
    rows = {}
    for k, count in enumerate(ROWS):
        block, columns = table(count, k)
        ids = event_ids(f"{k}", block.entry)
        objects = columns["objects"]
        for i in np.flatnonzero(event_split(ids, SPLITS) == 0):
            total = objects.values[objects.offsets[i] : objects.offsets[i + 1]].sum()
            x = tuple(columns["x"][i].tolist())
            rows[int(ids[i])] = (x, total, block.label[i], block.weight[i], block.columns["pt"][i])
    return rows


def ids_of(batch: Batch) -> np.ndarray:
    pairs = batch.id.reshape(-1, 2).astype(np.uint64)
    return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]


def leaves_of(batch: Batch) -> list[np.ndarray]:
    return jax.tree.leaves(batch)


def same(a: Batch, b: Batch) -> bool:
    leaves = zip(leaves_of(a), leaves_of(b), strict=True)
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in leaves)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_comes_once_as_it_is(shards, cache_bytes: int, shuffle: bool) -> None:
    wanted = truth()
    loader = Loader(
        shards, Representation(), "train", 64, shuffle=shuffle, cache_bytes=cache_bytes, **SMALL
    )
    assert loader.rows == len(wanted)
    batches = list(loader.epoch(0))
    assert len(batches) == loader.batches_per_epoch == -(-len(wanted) // 64)
    seen = []
    for batch in batches:
        assert batch.inputs.x.shape == (1, 64, 2)
        real = np.flatnonzero(ids_of(batch))
        seen += ids_of(batch)[real].tolist()
        for i in real:
            x, total, label, weight, _ = wanted[int(ids_of(batch)[i])]
            assert tuple(batch.inputs.x[0, i].tolist()) == x
            assert batch.inputs.total[0, i] == total
            assert batch.target[0, i] == label
            assert batch.weight[0, i] == weight
    assert len(seen) == len(wanted)
    assert set(seen) == set(wanted)
    if not shuffle:
        assert seen == list(wanted)


def test_the_last_batch_is_padded_with_nothing(shards) -> None:
    last = list(Loader(shards, Representation(), "train", 1000).epoch(0))[-1]
    real = len(truth()) % 1000
    for leaf in leaves_of(last):
        assert not leaf[0, real:].any()
    assert last.weight[0, :real].all()
    assert (last.target.dtype, last.weight.dtype, last.id.dtype) == (
        np.int32,
        np.float32,
        np.uint32,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"cache_bytes": 0},
        {"prefetch": 0},
        {"prefetch": 0, "cache_bytes": 0},
        {"prefetch": 5},
    ],
)
def test_order_depends_on_neither_cache_nor_threads(shards, options: dict) -> None:
    reference = Loader(shards, Representation(), "train", 77, seed=3, **SMALL)
    other = Loader(shards, Representation(), "train", 77, seed=3, **SMALL, **options)
    for epoch in (1, 0, 1):  # also from a cache that is partly or wholly filled
        pairs = zip(reference.epoch(epoch), other.epoch(epoch), strict=True)
        assert all(same(a, b) for a, b in pairs)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_few_shards_are_open_at_a_time(
    shards, cache_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches() -> list[Batch]:
        loader = Loader(shards, Representation(), "train", 77, cache_bytes=cache_bytes, **SMALL)
        return list(loader.epoch(0))

    wanted = batches()
    monkeypatch.setattr(store, "_OPEN_FILES", 1)
    assert all(same(a, b) for a, b in zip(batches(), wanted, strict=True))


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
@pytest.mark.parametrize("batch_size", [50, 64, 900])
def test_a_restart_at_any_batch_continues_the_epoch(
    shards, cache_bytes: int, batch_size: int
) -> None:
    def loader() -> Loader:
        options = {"seed": 5, "cache_bytes": cache_bytes, **SMALL}
        return Loader(shards, Representation(), "train", batch_size, **options)

    undisturbed = list(loader().epoch(7))
    for start in range(0, len(undisturbed) + 1, 1 if batch_size == 900 else 9):
        resumed = list(loader().epoch(7, start))
        assert len(resumed) == len(undisturbed) - start
        assert all(same(a, b) for a, b in zip(resumed, undisturbed[start:], strict=True))


def test_epochs_and_seeds_differ_and_mix_the_files(shards) -> None:
    def order(seed: int, epoch: int) -> np.ndarray:
        loader = Loader(shards, Representation(), "train", 64, seed=seed)
        return np.concatenate([ids_of(b) for b in loader.epoch(epoch)])

    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert all((a != b).mean() > 0.99 for a, b in zip(orders, orders[1:] + orders[:1], strict=True))
    first = set(event_ids("0", np.arange(3000)).tolist())
    share = np.mean([i in first for i in orders[0][:1000].tolist()])
    assert 0.4 < share < 0.57  # 3000 of 6201 rows


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_the_table_and_an_order_of_it_are_the_epoch(shards, cache_bytes: int) -> None:
    class Flat(Representation):
        same_shape = True

        def collate(self, columns, rows, size):
            inputs = super().collate(columns, rows, size)
            return Inputs(*(leaf if leaf.ndim == 1 else leaf[:, :1] for leaf in inputs))

    options = {"seed": 5, "cache_bytes": cache_bytes, "draw": WithReplacement(3), **SMALL}
    loader = Loader(shards, Flat(), "train", 96, devices=4, **options)
    blocks = list(loader.table())
    assert {block.id.shape for block in blocks} == {(1, 1024, 2)}
    rows = [
        np.concatenate(leaves, axis=1)[0] for leaves in zip(*map(leaves_of, blocks), strict=True)
    ]
    for epoch in (0, 1, 3, 2):
        order = loader.order(epoch)
        assert sorted(order) == list(range(loader.rows))
        batches = [leaves_of(batch) for batch in loader.epoch(epoch)]
        for leaf, parts in zip(rows, zip(*batches, strict=True), strict=True):
            sent = np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
            np.testing.assert_array_equal(leaf[order], sent[: loader.rows])
    assert Loader(shards, Representation(), "train", 96).table() is None


def test_the_order_never_changes(shards) -> None:
    loader = Loader(shards, Representation(), "train", 4, seed=11, **SMALL)
    batch = next(loader.epoch(2))
    assert [hex(i) for i in ids_of(batch).tolist()] == GOLDEN


def test_devices_share_one_global_batch(shards) -> None:
    one = Loader(shards, Representation(), "train", 96, seed=2, **SMALL)
    eight = Loader(shards, Representation(), "train", 96, devices=8, seed=2, **SMALL)
    for a, b in zip(one.epoch(0), eight.epoch(0), strict=True):
        assert b.inputs.x.shape == (8, 12, 2)
        assert b.id.shape == (8, 12, 2)
        flat = Batch(
            Inputs(*(x.reshape(1, 96, *x.shape[2:]) for x in b.inputs)),
            *(leaf.reshape(1, 96, *leaf.shape[2:]) for leaf in jax.tree.leaves(b[1:])),
        )
        assert same(a, flat)


class Bucketed(Representation):
    """As wide as the longest row of the slice."""

    def collate(self, columns, rows, size):
        objects = columns["objects"]
        counts = objects.counts()[rows]
        x = np.zeros((size, max(1, counts.max(initial=0))), np.float32)
        for i, r in enumerate(rows):
            x[i, : counts[i]] = objects.values[objects.offsets[r] : objects.offsets[r + 1]]
        return Inputs(x, x.sum(axis=1))


class Nested(NamedTuple):
    objects: Inputs
    event: np.ndarray


class Several(Bucketed):
    """Inputs in inputs: those of a collection beside a number of the row."""

    def collate(self, columns, rows, size):
        found = super().collate(columns, rows, size)
        return Nested(found, found.total)


class OneShape(Representation):
    """Counts the rows it is asked for."""

    same_shape = True

    def __init__(self) -> None:
        self.rows = 0

    def collate(self, columns, rows, size):
        self.rows += len(rows)
        return super().collate(columns, rows, size)


@pytest.mark.parametrize("kind", [Bucketed, OneShape])
def test_processes_share_one_global_batch(shards, kind: type) -> None:
    whole = Loader(shards, kind(), "train", 96, devices=6, seed=2, **SMALL)
    made = [kind() for _ in range(3)]
    parts = [
        Loader(shards, made[k], "train", 96, devices=6, share=(k, 3), seed=2, **SMALL)
        for k in range(3)
    ]
    for batch, *shares in zip(whole.epoch(0), *(part.epoch(0) for part in parts), strict=True):
        leaves = zip(*map(leaves_of, shares), strict=True)
        inputs, total, *rest = (np.concatenate(leaf) for leaf in leaves)
        assert {len(share.weight) for share in shares} == {2}
        assert same(Batch(Inputs(inputs, total), *rest), batch)
    if kind is OneShape:
        assert sum(one.rows for one in made) == whole.rows


def test_shapes_that_differ_between_devices_are_padded_to_the_largest(shards) -> None:
    loader = Loader(shards, Bucketed(), "train", 8, devices=4)
    widths = set()
    for batch in loader.epoch(0):
        widths.add(batch.inputs.x.shape[-1])
        assert batch.inputs.x.shape[:2] == (4, 2)
        assert np.array_equal(batch.inputs.x.sum(axis=-1), batch.inputs.total)
    assert len(widths) > 1


def test_inputs_of_several_collections_are_merged_and_shared_like_those_of_one(shards) -> None:
    def inputs(kind: type, number: int, shares: int):
        loader = Loader(shards, kind(), "train", 96, devices=6, share=(number, shares), **SMALL)
        return next(loader.epoch(0)).inputs

    whole, parts = inputs(Bucketed, 0, 1), [inputs(Several, k, 3) for k in range(3)]
    for name in Inputs._fields:
        found = np.concatenate([getattr(part.objects, name) for part in parts])
        assert np.array_equal(found, getattr(whole, name))
    assert np.array_equal(np.concatenate([part.event for part in parts]), whole.total)


def test_a_representation_may_merge_devices_itself(shards) -> None:
    class Merging(Representation):
        def merge(self, inputs):
            return ("merged", len(inputs))

    batch = next(Loader(shards, Merging(), "train", 8, devices=2).epoch(0))
    assert batch.inputs == ("merged", 2)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_columns_laid_side_by_side_hold_the_same_numbers(tmp_path: Path, cache_bytes: int) -> None:
    """Two shards of two object columns: gathered one by one and as one (V, 2) column."""

    class Apart(Representation):
        def collate(self, columns, rows, size):
            parts = [take_rows(columns[n], rows, size) for n in ("o.a", "o.b")]
            return Inputs(np.stack(parts, axis=1), np.zeros(size, np.float32))

    class Together(Representation):
        def together(self, names):
            return {"o": tuple(n for n in names if n.startswith("o."))}

        def collate(self, columns, rows, size):
            assert set(columns) == {"o", "label", "weight", "id"}
            x = [
                take_rows(Ragged(v, columns["o"].offsets), rows, size)
                for v in columns["o"].values.T
            ]
            return Inputs(np.stack(x, axis=1), np.zeros(size, np.float32))

    def take_rows(column: Ragged, rows: np.ndarray, size: int) -> np.ndarray:
        out = np.zeros(size, np.float32)
        for i, r in enumerate(rows):
            part = column.values[column.offsets[r] : column.offsets[r + 1]]
            out[i] = (part * np.arange(1, len(part) + 1)).sum()
        return out

    for k in range(2):
        block, columns = table(800, k)
        a = columns["objects"]
        made = {"o.a": a, "o.b": Ragged(a.values * 3 + 1, a.offsets)}
        with ShardWriter(tmp_path / f"{k}.h5", file_key=str(k), splits={"train": 1.0}) as writer:
            writer.append(block, made)
    paths = [tmp_path / "0.h5", tmp_path / "1.h5"]
    options = {"cache_bytes": cache_bytes, "window_bytes": 20_000}
    one, two = (Loader(paths, r, "train", 30, **options) for r in (Apart(), Together()))
    assert all(same(a, b) for a, b in zip(one.epoch(0), two.epoch(0), strict=True))


def test_columns_of_other_lengths_are_not_laid_side_by_side(tmp_path: Path) -> None:
    class Together(Representation):
        def together(self, names):
            return {"o": ("o.a", "o.b")}

    block, columns = table(50, 0)
    _, other = table(50, 1)
    made = {"o.a": columns["objects"], "o.b": other["objects"]}
    with ShardWriter(tmp_path / "s.h5", file_key="k", splits={"train": 1.0}) as writer:
        writer.append(block, made)
    with pytest.raises(InputError, match=r"s\.h5[\s\S]*'o\.a'"):
        Loader([tmp_path / "s.h5"], Together(), "train", 8)


def test_weights_multiply_and_average_to_one(shards) -> None:
    reweight = Reweight("pt", 10, 0.0, 300.0)
    statistics: Statistics = merge_all(
        shard_statistics(p, Representation(), classes=("a", "b"), reweights=(reweight,))
        for p in shards
    )
    factors = WeightTable.from_statistics(
        statistics, dataset="d", weighting=Weighting(reweight=reweight)
    )
    loader = Loader(shards, Representation(), "train", 128, weights=factors, **SMALL)
    wanted, got = truth(), []
    for batch in loader.epoch(0):
        for i, weight in zip(ids_of(batch).tolist(), batch.weight.ravel(), strict=True):
            if i:
                _, _, label, w, pt = wanted[i]
                assert weight == w * factors.factor(np.array([label]), np.array([pt]))[0]
                got.append(weight)
    assert np.isclose(np.mean(got), 1, rtol=1e-4)


def test_damage_surfaces_in_the_caller_and_ends_the_threads(shards, tmp_path: Path) -> None:
    copies = [tmp_path / p.name for p in shards]
    for source, copy in zip(shards, copies, strict=True):
        copy.write_bytes(source.read_bytes())
    loader = Loader(copies, Representation(), "train", 32, cache_bytes=0, **SMALL)
    whole = bytearray(copies[4].read_bytes())
    whole[len(whole) // 4 : 3 * len(whole) // 4] = bytes(len(whole) // 2)
    copies[4].write_bytes(whole)
    with pytest.raises(InputError, match=r"4\.h5[\s\S]*delete this file"):
        list(loader.epoch(0))
    assert not prefetching()


def prefetching() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "rootloom-prefetch"]


def test_an_abandoned_epoch_ends_its_threads(shards) -> None:
    loader = Loader(shards, Representation(), "train", 8, cache_bytes=0, **SMALL)
    batches = loader.epoch(0)
    next(batches)
    assert prefetching()
    batches.close()
    assert not prefetching()
    assert loader.waited_seconds > 0


def test_an_error_in_a_representation_surfaces_with_its_own_type(shards) -> None:
    class Broken(Representation):
        def collate(self, columns, rows, size):
            raise ZeroDivisionError("in collate")

    with pytest.raises(ZeroDivisionError, match="in collate"):
        list(Loader(shards, Broken(), "train", 8).epoch(0))


def test_bad_requests_are_refused(shards) -> None:
    with pytest.raises(ConfigError, match=r"multiple of the 4 devices[\s\S]*use 8"):
        Loader(shards, Representation(), "train", 9, devices=4)
    with pytest.raises(DataError, match="'validation'"):
        Loader(shards, Representation(), "validation", 8)
    with pytest.raises(DataError, match="0 shards"):
        Loader([], Representation(), "train", 8)


@pytest.mark.parametrize("rows", [2000, 20_000])
def test_memory_does_not_follow_the_data(tmp_path: Path, rows: int) -> None:
    """Ten times the rows, the same bound: two windows, the batches ahead, and small change."""
    rng = np.random.default_rng(0)
    for k in range(4):
        block = RowBlock(
            np.arange(rows // 4),
            np.zeros(rows // 4, np.int32),
            np.zeros(rows // 4, np.int32),
            np.ones(rows // 4, np.float32),
            {},
        )
        offsets = np.arange(rows // 4 + 1) * 100
        values = Ragged(rng.random((offsets[-1], 2), np.float32), offsets)
        columns = {"objects": values, "x": np.zeros((rows // 4, 2), np.float32)}
        with ShardWriter(tmp_path / f"{k}.h5", file_key=str(k), splits={"train": 1}) as writer:
            writer.append(block, columns)
    window = 800_000  # a twentieth of 20,000 rows of 840 bytes
    tracemalloc.start()
    loader = Loader(
        [tmp_path / f"{k}.h5" for k in range(4)],
        Representation(),
        "train",
        50,
        cache_bytes=0,
        window_bytes=window,
    )
    for _ in loader.epoch(0):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * window


def drawn_weights(shards, draw: Draw | None, size: int = 64, devices: int = 1) -> dict[int, float]:
    loader = Loader(shards, Representation(), "train", size, devices=devices, draw=draw, **SMALL)
    found: dict[int, float] = {}
    for batch in loader.epoch(1):
        here = zip(ids_of(batch).tolist(), batch.weight.reshape(-1).tolist(), strict=True)
        found |= {row: weight for row, weight in here if row}
    return found


def test_a_bag_draws_rows_with_replacement_and_the_same_ones_everywhere(shards) -> None:
    plain, drawn = drawn_weights(shards, None), drawn_weights(shards, WithReplacement(3))
    assert drawn_weights(shards, WithReplacement(3), size=32, devices=4) == drawn
    times = np.array([drawn[row] / plain[row] for row in plain])
    np.testing.assert_allclose(times, np.rint(times), atol=1e-5)
    counts = np.bincount(np.rint(times).astype(int), minlength=9)
    expected = poisson.pmf(np.arange(9), 1.0) * len(times)
    many = expected > 5
    expected *= counts[many].sum() / expected[many].sum()
    assert chisquare(counts[many], expected[many]).pvalue > 1e-3
    other = drawn_weights(shards, WithReplacement(4))
    another = np.array([other[row] / plain[row] for row in plain])
    assert abs(np.corrcoef(times, another)[0, 1]) < 4 / np.sqrt(len(times))


@pytest.mark.parametrize("draw", [WithReplacement(3), OutsideFold(1, 3)])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_objects_of_one_event_are_drawn_together(
    tmp_path: Path, draw: Draw, cache_bytes: int
) -> None:
    block, columns = table(900, 0)
    event = np.repeat(np.arange(300), 3)
    number = np.tile(np.arange(3, dtype=np.int32), 300)
    weight = np.ones(900, np.float32)
    block = RowBlock(event, number, block.label, weight, block.columns)
    with ShardWriter(tmp_path / "s.h5", file_key="k", splits={"train": 1.0}) as writer:
        writer.append(block, columns)
    options = {"draw": draw, "cache_bytes": cache_bytes, **SMALL}
    loader = Loader([tmp_path / "s.h5"], Representation(), "train", 64, **options)
    found = {}
    for batch in loader.epoch(0):
        found |= dict(zip(ids_of(batch).tolist(), batch.weight.ravel().tolist(), strict=True))
    ids = row_ids(event_ids("k", event), number)
    factors = np.array([found[row] for row in ids.tolist()]).reshape(300, 3)
    assert (factors == factors[:, :1]).all()
    assert len(np.unique(factors)) > 1
    np.testing.assert_allclose(factors[:, 0], draw(event_ids("k", np.arange(300))))
    # The same rows in the same order as without a draw.
    plain = Loader([tmp_path / "s.h5"], Representation(), "train", 64, **(options | {"draw": None}))
    for one, other in zip(loader.epoch(2), plain.epoch(2), strict=True):
        np.testing.assert_array_equal(one.id, other.id)


def test_every_row_is_left_out_by_one_member_of_a_cross_validation(shards) -> None:
    plain = drawn_weights(shards, None)
    members = [drawn_weights(shards, OutsideFold(fold, 3)) for fold in range(3)]
    left_out = np.array([[member[row] == 0 for row in plain] for member in members])
    assert (left_out.sum(axis=0) == 1).all()
    kept = [member[row] / plain[row] for member in members for row in plain if member[row]]
    np.testing.assert_allclose(kept, 3 / 2, rtol=1e-6)  # so that the mean of all is 1
    ids = np.array(list(plain), np.uint64)
    np.testing.assert_array_equal(np.argmax(left_out, axis=0), fold_of(ids, 3))
    assert chisquare(left_out.sum(axis=1)).pvalue > 1e-3
