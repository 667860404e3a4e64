"""Values that float32 cannot tell apart reach networks and cuts as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from rootloom.baselines.base import Sample, matrix
from rootloom.baselines.cut import Cut
from rootloom.batches.loader import Loader
from rootloom.representations.base import storable
from rootloom.representations.features import FeatureVector
from rootloom.representations.image import JetImage
from rootloom.shards.add import add_columns
from rootloom.shards.merging import merge_all
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import Statistics, shard_statistics
from rootloom.shards.writer import ShardWriter
from rootloom.stages.sharding import _noting
from rootloom.types import Ragged, RowBlock

SPLITS = {"train": 0.8, "test": 0.2}
FEATURES = FeatureVector(variables=("time", "shifted"), objects=("hits.t",), max_objects=2)
ORIGIN = 1_750_000_000.0


def block(start: int, rows: int, *, seed: int = 14) -> RowBlock:
    """Times 20 s apart in the two classes, 5 s wide."""
    rng = np.random.default_rng([seed, start])
    label = rng.integers(0, 2, rows).astype(np.int32)
    time = ORIGIN + 20.0 * label + rng.normal(0, 5, rows)
    hits = Ragged(np.repeat(time, 2), np.arange(0, 2 * rows + 1, 2))
    return RowBlock(
        entry=np.arange(start, start + rows),
        object=np.zeros(rows, np.int32),
        label=label,
        weight=np.ones(rows, np.float32),
        columns={"time": time, "shifted": time - ORIGIN, "hits.t": hits},
    )


def write(path: Path, blocks: list[RowBlock]) -> list[RowBlock]:
    with ShardWriter(path, file_key=path.stem, splits=SPLITS) as writer:
        for one in blocks:
            writer.append(one, FEATURES.encode(one.columns))
    return blocks


def statistics(paths: list[Path]) -> Statistics:
    return merge_all(shard_statistics(path, FEATURES, classes=("a", "b")) for path in paths)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One begins with rows of one time only, which float32 holds; one has no rows; one a single."""
    folder = tmp_path_factory.mktemp("wide")
    first = block(0, 3000)
    flat = {"time": np.full(3000, 2.0**30), "shifted": first.columns["shifted"]}
    flat["hits.t"] = Ragged(np.full(6000, 2.0**30), first.columns["hits.t"].offsets)  # type: ignore
    narrow = RowBlock(first.entry, first.object, first.label, first.weight, flat)
    paths = [folder / f"{name}.h5" for name in ("early", "none", "one", "late")]
    write(paths[0], [narrow, block(3000, 3000)])
    write(paths[1], [block(0, 0)])
    write(paths[2], [block(0, 1)])
    write(paths[3], [block(6000, 5000), block(11000, 50)])
    return paths


def test_a_shard_widens_what_needs_it(shards: list[Path]) -> None:
    with Shard(shards[0]) as shard:
        assert shard.dtype("x.time") == shard.dtype("x.hits.t") == np.float64
        assert shard.dtype("x.shifted") == np.float32
        assert shard.columns.count("x.time") == 1
        rows = {split: shard.read(split) for split in SPLITS}
    for table in rows.values():
        entry = np.asarray(table["entry"])
        late = block(3000, 3000).columns["time"][entry[entry >= 3000] - 3000]
        early = np.full((entry < 3000).sum(), 2.0**30)
        np.testing.assert_array_equal(table["x.time"], np.concatenate([early, late]))
        hits = table["x.hits.t"]
        assert isinstance(hits, Ragged)
        np.testing.assert_array_equal(hits.values, np.repeat(table["x.time"], 2))
    assert rows["train"]["x.time"].dtype == rows["test"]["x.time"].dtype == np.float64


def test_added_columns_widen_too(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with ShardWriter(path, file_key="s", splits=SPLITS) as writer:
        for start in (0, 3000):
            writer.append(block(start, 3000), {})
    with add_columns(path) as adder:
        for start in (0, 3000):
            encoded = FEATURES.encode(block(start, 3000).columns)
            if start == 0:
                encoded["x.time"] = np.zeros(3000, np.float32)
            adder.append(block(start, 3000), encoded)
    with Shard(path) as shard:
        table = shard.read("train")
    entry = np.asarray(table["entry"])
    expected = np.where(entry < 3000, 0.0, np.tile(block(3000, 3000).columns["time"], 2)[entry])
    np.testing.assert_array_equal(table["x.time"], expected)


def test_networks_see_the_differences(shards: list[Path]) -> None:
    paths = shards[1:]  # the first begins with a time of its own
    moments = statistics(paths).moments
    representation = FEATURES.centred(moments)
    seen, labels = [], []
    for batch in Loader(paths, representation, "train", 512, shuffle=False).epoch(0):
        x = np.asarray(representation.normalise(batch.inputs, moments).x)[0]
        kept = np.asarray(batch.weight)[0] > 0
        seen.append(x[kept])
        labels.append(np.asarray(batch.target)[0][kept])
    x, label = np.concatenate(seen), np.concatenate(labels)
    assert x.dtype == np.float32
    # (time − mean)/std in float64, from the same rows
    parts = []
    for path in paths:
        with Shard(path) as shard:
            parts.append(shard.read("train")["x.time"] if shard.columns else [])
    time = np.concatenate(parts)
    np.testing.assert_allclose(x[:, 0], (time - time.mean()) / time.std(), atol=1e-5)
    np.testing.assert_allclose(x[:, 0], x[:, 1], atol=1e-4)
    np.testing.assert_allclose(x[:, 2], x[:, 0], atol=1e-3)
    area = roc_auc_score(label, x[:, 0])
    assert area == pytest.approx(norm.cdf(20 / (5 * np.sqrt(2))), abs=3e-3)
    named = representation.normalise(
        representation.collate({"x.time": time, "x.shifted": time, "x.hits.t": Ragged(
            time, np.arange(len(time) + 1))}, np.arange(3), 3), moments
    ).columns["time"]  # fmt: skip
    assert float(named.value[0]) == pytest.approx(time[0], rel=1e-6)


def test_cuts_see_the_differences(shards: list[Path]) -> None:
    with Shard(shards[-1]) as shard:
        train, test = (shard.read(split) for split in SPLITS)
    samples = [
        Sample(matrix(t, ("time", "shifted")), np.asarray(t["label"]), np.asarray(t["weight"]),
               ("time", "shifted"))
        for t in (train, test)
    ]  # fmt: skip
    scores = {}
    for variable in ("time", "shifted"):
        fitted = Cut(variable).fit(samples[0], samples[0])
        scores[variable] = fitted.score(samples[1].x).astype(np.float32)
    areas = [roc_auc_score(test["label"], found) for found in scores.values()]
    assert areas[0] == pytest.approx(areas[1], abs=1e-4)
    assert areas[0] == pytest.approx(norm.cdf(20 / (5 * np.sqrt(2))), abs=5e-3)
    assert Cut("shifted").fit(samples[0], samples[0]).origin == 0


def test_who_cannot_keep_the_differences_is_named() -> None:
    rows = block(0, 500)
    targets = {"target.time": rows.columns["time"], "target.x": rows.columns["shifted"]}
    both = dataclasses.replace(rows, columns={**rows.columns, **targets})
    for representation, expected in (
        (FEATURES, {"target.time"}),
        (JetImage(), {"target.time", "time", "hits.t"}),
    ):
        found: set[str] = set()
        assert list(_noting(iter([both]), representation, found)) == [both]
        assert found == expected


def test_ordinary_columns_stay_as_they_are() -> None:
    rng = np.random.default_rng(1)
    energies = rng.exponential(50.0, 20_000)
    for values in (
        energies, rng.normal(91.2, 2.5, 20_000), np.full(100, 0.1), np.zeros(0), np.array([0.1]),
        rng.integers(0, 100, 1000), np.array([13_000_000.0]), energies.astype(np.float32),
    ):  # fmt: skip
        found = storable(values)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float32))
    # Default values far away hide nothing.
    mixed = np.where(rng.random(5000) < 0.5, 0.0, ORIGIN + rng.normal(0, 5, 5000))
    for values in (mixed, np.array([ORIGIN + 1]), np.arange(2**40, 2**40 + 50)):
        assert storable(values).dtype == np.float64
    plain = FeatureVector(variables=("a",))

    class Usual:
        mean, std = np.array([91.2]), np.array([2.5])

    assert plain.centred({"x": Usual()}).reference == ()
    assert plain.centred({}) is plain
