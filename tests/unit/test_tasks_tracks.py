"""Learning of tracks beside jets: its losses, and that no network sees the truth."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import h5py
import jax
import numpy as np
import pytest
import uproot
import yaml
from tests.unit.test_models_groups import batch_of, in_order

from rootloom.errors import ConfigError, DataError, InputError
from rootloom.evaluation.predictions import read_predictions
from rootloom.models.deep_sets import DeepSets
from rootloom.models.gn2 import GN2
from rootloom.planning.stage import job_of
from rootloom.representations.particle_set import ParticleSet
from rootloom.rootio.friends import write_friend
from rootloom.shards.statistics import shard_statistics
from rootloom.shards.writer import ShardWriter
from rootloom.stages import make_plan, predict
from rootloom.stages.friend_trees import Scores
from rootloom.system.atomic import write_json
from rootloom.tasks.tracks import TrackClassification
from rootloom.testing import Case, Memory, Sample, encoded
from rootloom.training import devices
from rootloom.training.state import initial_params
from rootloom.training.trained import Trained, save
from rootloom.types import GROUPS, Batch, Ragged, RowBlock

pytestmark = pytest.mark.usefixtures("strict")
ROOT = Path(__file__).parents[2]
ROWS = 48
CLASSES = ("light", "c", "b")
SETS = ParticleSet(
    objects=("tracks.d0", "tracks.pt"),
    labels=("tracks.origin", "tracks.vertex"),
    max_objects=6,
)
SIZES = {"width": 8, "layers": 1, "heads": 2, "out": 6, "register_scale": 0.5, "dense": (7,)}
MODEL = GN2(**SIZES)


def table() -> dict[str, Any]:
    """Jets of 0 to 7 tracks, whose first quantity tells origin and vertex."""
    rng = np.random.default_rng(3)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 8, ROWS))])
    origin = rng.integers(-1, 8, offsets[-1])
    vertex = np.where(origin > 2, origin % 2, -1)
    columns = {"d0": origin + vertex, "pt": rng.exponential(size=offsets[-1])}
    columns |= {"origin": origin, "vertex": vertex}
    return {f"tracks.{n}": Ragged(x.astype(np.float64), offsets) for n, x in columns.items()}


@cache
def sample() -> Sample:
    return encoded(SETS, table(), np.random.default_rng(5).integers(0, 3, ROWS))


@cache
def started() -> tuple[TrackClassification, Batch, Any]:
    """A task, a batch of one device, and initial parameters."""
    task = TrackClassification(MODEL, SETS, sample().moments, classes=CLASSES)
    batch = Memory(sample().columns, SETS, ROWS).batch(np.arange(ROWS))
    params = initial_params(task, batch, seed=1)
    return task, jax.tree.map(lambda x: x[0], batch), params


def logits_of(task: TrackClassification, params: Any, batch: Batch) -> Any:
    found = jax.jit(lambda p, b: task.found(p, b, jax.random.key(0), train=False)[0])
    return jax.device_get(found(params, batch))


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    chosen = np.take_along_axis(logits, truth[..., None], axis=-1)[..., 0]
    return np.log(np.exp(logits).sum(axis=-1)) - chosen


def salts(logits: Any, target: np.ndarray) -> tuple[float, float, float]:
    """The three losses of one batch, track by track and pair by pair."""
    origins, pairs, shared, columns = [], [], 0, table()
    for jet in range(ROWS):
        here = slice(*columns["tracks.origin"].offsets[[jet, jet + 1]])
        origin, vertex = (
            columns[f"tracks.{n}"].values[here][:6].astype(int) for n in ("origin", "vertex")
        )
        for i in range(len(origin)):
            if origin[i] >= 0:
                origins.append(cross_entropy(logits.origin[jet, i], origin[i]))
            for j in range(len(origin)):
                if i == j:
                    continue
                same = vertex[i] == vertex[j] >= 0
                flags = [{1: -1, 3: 1, 4: 1, 5: 1}.get(origin[k], 0) for k in (i, j)]
                sign = 1 if same else -1
                loss = np.log1p(np.exp(-sign * float(logits.vertex[jet, i, j])))
                pairs.append((1 + (flags[0] & flags[1])) * loss)
                shared += same
    jets = cross_entropy(np.asarray(logits.jet), target).mean()
    return float(jets), 0.5 * float(np.mean(origins)), 1.5 * sum(pairs) / shared


def test_the_mean_of_losses_is_that_of_salt_and_a_step_lowers_each() -> None:
    task, batch, start = started()

    @jax.jit
    def losses(params: Any) -> Any:
        def mean(p: Any) -> Any:
            loss, metrics = task.loss(p, batch, jax.random.key(2), train=False)
            return loss.mean(), {name: value.mean(axis=0) for name, value in metrics.items()}

        (loss, means), gradient = jax.value_and_grad(mean, has_aux=True)(params)
        moved = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
        return loss, means, gradient, moved

    loss, means, gradient, params = losses(start)
    expected = salts(logits_of(task, start, batch), batch.target)
    found = [float(means[f"loss_{name}"]) for name in ("jet", "origin", "vertex")]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(loss) == pytest.approx(sum(expected), rel=1e-5)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    for _ in range(60):
        _, after, _, params = losses(params)
    assert all(
        float(after[f"loss_{n}"]) < 0.95 * f
        for n, f in zip(("jet", "origin", "vertex"), found, strict=True)
    )
    figures = task.summary(jax.device_get(after))
    assert figures["origin_accuracy"] > 0.3
    assert figures["vertex_efficiency"] > 0.3
    assert figures["vertex_purity"] > 0.3
    nothing = task.summary({name: np.zeros_like(value) for name, value in after.items()})
    assert np.isnan(nothing["vertex_purity"])


def test_groups_of_rows_change_no_loss_and_no_count() -> None:
    task, _, params = started()
    case = Case(task, sample().columns)
    whole, grouped = (jax.tree.map(lambda x: x[0], batch_of(case, n, 1)) for n in (1, 4))
    assert len(grouped.inputs.collections["tracks"]) > 1
    of = jax.jit(partial(task.loss, train=False))
    found = [of(params, batch, jax.random.key(2)) for batch in (whole, grouped)]
    expected, values = (
        jax.tree.map(partial(in_order, batch), one)
        for batch, one in zip((whole, grouped), found, strict=True)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[: len(a)], rtol=2e-5, atol=2e-6),
        values,
        expected,
    )


def test_no_prediction_depends_on_the_truth() -> None:
    task, batch, params = started()
    tracks = batch.inputs.collections["tracks"]
    other = batch.inputs._replace(collections={"tracks": tracks._replace(labels=1 - tracks.labels)})
    logits = (logits_of(task, params, batch._replace(inputs=x)) for x in (batch.inputs, other))
    jax.tree.map(np.testing.assert_array_equal, *logits)


ENTRY = np.sort(np.random.default_rng(8).integers(1, 30, ROWS))  # of each jet
OBJECT = np.arange(ROWS) - np.searchsorted(ENTRY, ENTRY)
JETS = np.bincount(ENTRY, minlength=32) + 1  # of each entry of the file; the last has no row


def stored(folder: Path, members: int, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Predictions of all jets, by members whose parameters are multiples of each other."""
    monkeypatch.setattr(devices, "configure", lambda **given: None)  # those of this process
    shard = folder / "shard.h5"
    block = RowBlock(ENTRY, OBJECT, sample().columns["label"], np.ones(ROWS, np.float32), table())
    with ShardWriter(shard, file_key="one", splits={"train": 0.6, "test": 0.4}) as writer:
        writer.append(block, SETS.encode(block.columns))
    found = replace(shard_statistics(shard, SETS, classes=CLASSES), moments=sample().moments)
    write_json(folder / "statistics.json", found.content())
    weighting = {"balance": True, "reweight": None, "negative": "keep", "own": False, "samples": {}}
    network = {
        "model": {"kind": "gn2", **SIZES},
        "representation": {"kind": "particle_set", "name": "tracks", **asdict(SETS)},
        "task": {"kind": "track_classification", "store": True},
    }
    made = []
    for member in range(members):
        model = Trained(
            params=jax.tree.map(lambda x, by=member + 1.0: np.asarray(x) * by, started()[2]),
            statistics=json.loads(found.to_json()),
            classes=list(CLASSES),
            metrics={"parameters": 1, "seconds": 1.0},
            provenance={},
            **network,
        )
        save(folder / "model.safetensors", model)
        section = predict.Section(
            experiment="mine", dataset="d", method="gn2", member=member, classes=list(CLASSES),
            targets=[], weighting=weighting, labels=list(CLASSES), role="evaluate", threads=1,
            representation={}, task=network["task"],
        )  # fmt: skip
        made.append(folder / str(member))
        made[-1].mkdir()
        predict.run(
            job_of(section, "", ""),
            model=str(folder / "model.safetensors"),
            shards=[str(shard)],
            statistics=str(folder / "statistics.json"),
            outputs=SimpleNamespace(**{name: made[-1] / f"{name}.h5" for name in GROUPS}),
        )
    return [place / f"{split}.h5" for place in made for split in GROUPS]


@cache
def origins_alone() -> list[np.ndarray]:
    """Probabilities (tracks, origins) of each jet, by the network alone."""
    task, _, params = started()
    apply = jax.jit(partial(task._network.apply, train=False))
    shard, found = SETS.encode(table()), []
    for jet in range(ROWS):
        inputs = SETS.collate(shard, np.array([jet]), 1)
        logits = apply({"params": params}, SETS.normalise(inputs, task.statistics)).origin[0]
        exponentials = np.exp(np.asarray(logits, np.float64))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        found.append(shares[inputs.collections["tracks"].mask[0]])
    return found


@pytest.mark.parametrize("members", [1, 2])
def test_origins_of_tracks_are_in_predictions_and_friend_trees(
    tmp_path: Path, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = stored(tmp_path, members, monkeypatch)
    files = [read_predictions(path, objects=True).rows for path in paths[: len(GROUPS)]]
    columns = replace(started()[0], store=True).object_columns()
    assert columns[2] == "tracks.origin_primary"
    assert all(tuple(rows.objects) == columns for rows in files)
    assert sum(map(len, files)) == ROWS
    assert sum(len(rows) > 0 for rows in files) == 2
    expected = origins_alone()
    number = {(e, o): jet for jet, (e, o) in enumerate(zip(ENTRY, OBJECT, strict=True))}
    for rows in files:
        for k, jet in enumerate(number[of] for of in zip(rows.entry, rows.object, strict=True)):
            found = np.stack([rows.take(np.array([k])).objects[n].values for n in columns], axis=1)
            np.testing.assert_allclose(found, expected[jet], rtol=0, atol=1e-5)
    assert read_predictions(paths[0]).rows.objects == {}, "read by who needs none"

    rows = Scores(paths, ["one"], "mine", {}).of("one")
    write_friend(
        tmp_path / "f.root", len(JETS), rows.entry, rows.object, rows.branches, "S",
        collection="mine", counts=JETS, objects=rows.objects,
    )  # fmt: skip
    with uproot.open(tmp_path / "f.root") as file:
        tree = file["S"].arrays()
    name, suffix = "mine__gn2__tracks", "__0" * (members > 1)
    assert tree[f"{name}_number"].to_list() == [
        [len(expected[number[e, o]]) if (e, o) in number else -1 for o in range(count)]
        for e, count in enumerate(JETS)
    ]
    for k, column in enumerate(columns):
        found = tree[f"{name}_{column.partition('.')[2]}{suffix}"]
        for entry in range(len(JETS)):
            of_entry = [expected[jet][:, k] for jet in np.flatnonzero(entry == ENTRY)]
            wanted = np.concatenate([np.zeros(0), *of_entry])
            np.testing.assert_allclose(found[entry], wanted, rtol=0, atol=1e-5)
    if members > 1:
        one, two, mean = (tree[f"{name}_origin_tau__{m}"] for m in ("0", "1", "mean"))
        assert ak.max(abs(one - two)) > 1e-3
        assert ak.max(abs((one + two) / 2 - mean)) < 1e-6


def test_damaged_lists_of_objects_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, 1, monkeypatch)[0]
    with h5py.File(path, "r+") as file:
        file["objects/tracks/counts"][0] += 1
    with pytest.raises(InputError, match="not as many as counted"):
        read_predictions(path, objects=True)
    with pytest.raises(InputError, match="not as many as counted"):
        read_predictions(path, ["one"], objects=True)


def test_labels_are_counted_and_stay_whole_numbers_of_the_leading_objects() -> None:
    shard = SETS.encode(table())
    inputs = SETS.collate(shard, np.arange(3), 4)
    tracks, origin = inputs.collections["tracks"], table()["tracks.origin"]
    assert tracks.labels.dtype == np.int32
    for row in range(3):
        expected = origin.values[origin.offsets[row] : origin.offsets[row + 1]][:6]
        assert tracks.labels[row, : len(expected), 0].tolist() == expected.tolist()
    seen = SETS.normalise(inputs, started()[0].statistics)
    assert seen.collections["tracks"].labels is None, "a network would see the truth"
    broken = table()
    broken["tracks.vertex"].values[0] = 0.5
    with pytest.raises(DataError, match=r"tracks\.vertex.*\n.*whole numbers"):
        SETS.encode(broken)
    with pytest.raises(DataError, match="whole numbers"):  # a column that is added later
        SETS.only(("tracks.vertex",)).encode(broken)
    with pytest.raises(ConfigError, match="collections that `objects` names"):
        ParticleSet(("vertices.mass",), labels=SETS.labels).needs((), {})


def test_the_plan_refuses_other_models_and_labels_that_are_not_there(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    inputs: dict[str, Any] = {"kind": "particle_set", "objects": ["tracks.d0"]}
    labels = ["tracks.origin", "tracks.vertex"]
    experiment = yaml.safe_load((tmp_path / "config/experiments/nano-btag.yaml").read_text())
    task = {"kind": "track_classification", "vertex": "tracks.vertx"}

    def planned(model: str, task: Any, **more: Any) -> Any:
        method = {"model": model, "representation": "tracks", "task": task}
        for name, content in (
            ("representations/tracks", {**inputs, **more}),
            ("experiments/mine", {**experiment, "methods": {"net": method}}),
        ):
            (tmp_path / f"config/{name}.yaml").write_text(yaml.safe_dump(content))
        return make_plan({"experiment": "mine"}, tmp_path).request.all_methods

    with pytest.raises(ConfigError, match=r"of kind gn2(.|\n)*'pfn', of kind deep_sets"):
        planned("pfn", task, labels=labels)
    with pytest.raises(ConfigError, match=r"did you mean 'tracks.vertex'"):
        planned("gn2", task, labels=labels)
    with pytest.raises(ConfigError, match=r"origin of the task"):
        planned("gn2", {"kind": "track_classification"})


def test_what_does_not_fit_is_refused() -> None:
    task = started()[0]
    with pytest.raises(ConfigError, match="gn2"):
        replace(task, model=DeepSets())
    with pytest.raises(ConfigError, match=r"'vertex'(.|\n)*did you mean 'tracks.vertex'"):
        replace(task, vertex="tracks.vertx")
    with pytest.raises(ConfigError, match="truth that is no input"):
        replace(SETS, labels=("tracks.d0",))
