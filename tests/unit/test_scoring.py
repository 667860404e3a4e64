"""What predictions and baselines are given of a row's weights, against arithmetic by hand."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from rootloom.baselines.base import Sample
from rootloom.baselines.boosted_trees import BoostedTrees
from rootloom.evaluation.predictions import Header, Outputs, Rows, read_predictions
from rootloom.planning.stage import job_of
from rootloom.shards.reweight import Reweight
from rootloom.shards.statistics import Statistics
from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
from rootloom.shards.weights import Normalisation, Weighting, WeightTable
from rootloom.shards.writer import ShardWriter
from rootloom.stages import baseline
from rootloom.stages.scoring import (
    LearningData,
    RowsToScore,
    header_of,
    rows_to_score,
    score_stream,
    write_predictions,
)
from rootloom.stages.shared import Predicted, Scored
from rootloom.system.atomic import write_json
from rootloom.types import GROUPS, NO_CLASS, Ragged, RowBlock

CLASSES = ("b", "s")
REWEIGHT = Reweight("pt", 2, 0.0, 2.0)
LABEL = np.array([0, 0, 0, 1, 1], np.int32)
PT = np.array([0.5, 1.5, 1.5, 0.5, 1.5], np.float32)
WEIGHT = np.array([2.0, -1.0, 3.0, 1.0, 1.0], np.float32)
SCALE = 10.0


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scoring") / "a.h5"
    columns = {"x.v": np.arange(5, dtype=np.float32)}
    block = RowBlock(
        np.arange(5), np.zeros(5, np.int32), LABEL, WEIGHT,
        {"pt": PT, "target.t": np.arange(5) * 2.0},
    )  # fmt: skip
    with ShardWriter(
        path, file_key="a", splits={"train": 1.0}, auxiliary=("pt", "target.t"), sample="mc"
    ) as writer:
        writer.append(block, columns)
    return path


def table() -> WeightTable:
    """A sample scaled by ten, classes balanced and flat in pT."""
    counted = SampleSums.of_rows(CLASSES, "train", LABEL, WEIGHT)
    base = {REWEIGHT.key: training_sums(WEIGHT, REWEIGHT.cell_of(PT, LABEL), 2, 2)}
    sums = SampleSums(5, 1.0, counted.rows, counted.negative, counted.weight, counted.square, base)
    weighting = Weighting(reweight=REWEIGHT, samples={"mc": Normalisation(SCALE)})
    return WeightTable.from_statistics(
        Statistics(CLASSES, {"mc": sums}), dataset="toy", weighting=weighting
    )


def by_hand() -> np.ndarray:
    """|w| in each class and bin made alike: |w| are 2 and 4 in b, 1 and 1 in s; the mean is 1."""
    absolute = np.abs(WEIGHT)
    factor = np.array([1 / 2, 1 / 4, 1 / 4, 1.0, 1.0])
    return absolute * factor * 5 / (absolute * factor).sum()


def test_predictions_hold_both_weights(shard: Path, tmp_path: Path) -> None:
    truth = np.array([0, 1, NO_CLASS])
    found = scored(shard, tmp_path, RowsToScore(truth, table().events, table()))
    assert len(found) == 5
    np.testing.assert_allclose(found.weight, WEIGHT * SCALE, rtol=1e-6)
    np.testing.assert_allclose(found.training_weight, by_hand(), rtol=1e-6)
    np.testing.assert_array_equal(found.truth, LABEL)


def test_rows_of_another_dataset_have_its_event_weights_and_the_classes_of_the_training(
    shard: Path, tmp_path: Path
) -> None:
    """Its file names the classes in another order: "s" is its 0."""
    found = scored(shard, tmp_path, RowsToScore(np.array([1, 0, NO_CLASS]), table().events, None))
    np.testing.assert_allclose(found.weight, WEIGHT * SCALE, rtol=1e-6)
    assert found.training_weight is None
    np.testing.assert_array_equal(found.truth, 1 - LABEL)


@pytest.mark.parametrize("role", ["train", "evaluate", "score"])
def test_what_is_told_of_rows_follows_from_the_role_of_their_dataset(role: str) -> None:
    """Labels of shards follow the dataset's own order of classes, truth that of the training."""
    section = predicted(role)
    told = rows_to_score(section, counted())
    assert told.truth.tolist() == [1, 0, NO_CLASS]
    assert told.events.scales == {"mc": SCALE}
    assert (told.training is not None) == (role == "train")
    job = job_of(section, "", "")
    header = header_of(job, section, "test", ("score",), 1, 1.0, probability=True)
    assert (header.classes, header.trained_on) == (("b", "s"), role == "train")


@pytest.mark.parametrize("role", ["train", "evaluate", "score"])
def test_a_baseline_of_the_test_split_scores_all_rows_of_what_is_not_evaluated(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """Its rows are all of the training split, which this baseline leaves out."""
    learned = SimpleNamespace(
        rows=5, columns=("score",), parameters=0, turned=(), probability=False, splits=("test",),
        reads=("x.v",), predict=lambda columns, rows: columns["x.v"][:, None],
    )  # fmt: skip
    kind = SimpleNamespace(learn=lambda data: learned)
    monkeypatch.setattr(baseline.registry, "build", lambda *_: kind)
    section = predicted(role)
    section = baseline.Section(
        **vars(section), baseline={"kind": "any"}, trained=asdict(Scored(**of_training(section)))
    )
    statistics = tmp_path / "statistics.json"
    write_json(statistics, counted().content())
    outputs = SimpleNamespace(**{split: tmp_path / f"{split}.h5" for split in GROUPS})
    given = {"shards": [shard], "statistics": str(statistics)}
    training = {f"training_{name}": value for name, value in given.items()}
    baseline.run(job_of(section, "", ""), **training, **given, outputs=outputs)
    found = read_predictions(outputs.train).rows.scores[:, 0]
    expected = np.arange(5) if role == "score" else np.full(5, np.nan)
    np.testing.assert_array_equal(found, expected)


def predicted(role: str) -> Predicted:
    """Rows of a dataset that names the classes in another order, with a normalised sample."""
    mc = {"expected": SCALE * 6, "sum_of_weights": None}
    weighting = {
        "balance": True, "reweight": None, "negative": "keep", "own": False, "samples": {"mc": mc},
    }  # fmt: skip
    return Predicted(
        experiment="e", dataset="d", task={}, method="m", member=0, classes=["b", "s"], targets=[],
        representation={}, weighting=weighting, labels=["s", "b"], role=role,
    )  # fmt: skip


def of_training(section: Predicted) -> dict[str, object]:
    return {name: value for name, value in vars(section).items() if name not in ("labels", "role")}


def counted() -> Statistics:
    """Of the rows of that dataset."""
    rows = SampleSums.of_rows(("s", "b"), "train", 1 - LABEL, WEIGHT)
    training = {UNBINNED: np.ones((3, 2, 1))}
    sums = replace(rows, entries=5, sum_of_weights=float(WEIGHT.sum()), training=training)
    return Statistics(("s", "b"), {"mc": sums})


def scored(shard: Path, folder: Path, told: RowsToScore) -> Rows:
    header = Header("m", CLASSES, "s", ("score",), split="train")
    write_predictions(
        folder / "p.h5", header, [shard], told, lambda _, n: Outputs(np.zeros((n, 1), np.float32))
    )
    return read_predictions(folder / "p.h5").rows


def test_baselines_learn_from_training_weights(shard: Path) -> None:
    data = LearningData([shard], table(), CLASSES, "s", ("t",))
    (sample,) = data.samples("train", ("v",), 1)
    np.testing.assert_allclose(sample.weight, by_hand(), rtol=1e-6)
    np.testing.assert_array_equal(sample.target, LABEL)
    np.testing.assert_array_equal(sample.x[:, 0], np.arange(5))
    (other,) = data.samples("train", ("v",), 0)
    np.testing.assert_array_equal(other.target, 1 - LABEL)
    ((columns, truth),) = data.rows("train", ["x.v"])
    np.testing.assert_allclose(columns["weight"], by_hand(), rtol=1e-6)
    assert truth[:, 0].tolist() == [0, 2, 4, 6, 8]


def test_scores_of_batches_are_handed_out_in_order() -> None:
    scores = np.arange(20.0).reshape(10, 2)
    tracks = Ragged(np.arange(30.0), np.array([0, 0, 4, 9, 9, 12, 13, 20, 22, 29, 30]))
    batches = [
        Outputs(scores[rows], {"t.x": tracks.take(rows)})
        for rows in np.split(np.arange(10), [3, 4, 9])
    ]
    score = score_stream(batches)
    found = [score({}, rows) for rows in (2, 0, 5, 1, 2)]
    assert [len(part) for part in found] == [2, 0, 5, 1, 2]
    np.testing.assert_array_equal(np.concatenate([part.scores for part in found]), scores)
    objects = [part.objects["t.x"] for part in found]
    np.testing.assert_array_equal(np.concatenate([one.values for one in objects]), tracks.values)
    counts = np.concatenate([one.counts() for one in objects])
    np.testing.assert_array_equal(counts, tracks.counts())


def gaussians(rows: int, seed: int) -> Sample:
    """Weights that follow the variable: to ignore them is to learn something else."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, rows).astype(np.int8)
    x = rng.normal(target, 2.0).astype(np.float32)[:, None]
    return Sample(x, target, np.exp(np.where(target, -1.5, 1.5) * x[:, 0]), ("v",))


def test_boosted_trees_are_those_of_scikit_learn_with_both_splits_weights() -> None:
    train, validation = gaussians(3000, 1), gaussians(500, 2)
    fitted = BoostedTrees(max_iter=60, patience=3, seed=4).fit(train, validation)

    def reference(train_weight: np.ndarray | None, validation_weight: np.ndarray | None) -> object:
        model = HistGradientBoostingClassifier(
            max_iter=60, n_iter_no_change=3, early_stopping=True, random_state=4
        )
        model.fit(
            train.x, train.target == 1, sample_weight=train_weight,
            X_val=validation.x, y_val=validation.target == 1, sample_weight_val=validation_weight,
        )  # fmt: skip
        return model

    weights = train.weight / train.weight.mean(), validation.weight / validation.weight.mean()
    wanted = reference(*weights)
    np.testing.assert_allclose(
        fitted.score(validation.x), wanted.predict_proba(validation.x)[:, 1], rtol=1e-6
    )
    # Neither weight could be left out unseen: the number of trees or the scores would change.
    for other in (reference(None, weights[1]), reference(weights[0], None)):
        assert not np.allclose(
            wanted.predict_proba(validation.x), other.predict_proba(validation.x), atol=1e-3
        )
