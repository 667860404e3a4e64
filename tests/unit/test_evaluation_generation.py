"""Examples read by one reader, and what an evaluation and its page say of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import wasserstein_distance
from tests.unit.test_evaluation_fidelity import showers

from rootloom.errors import ConfigError, DataError, InputError
from rootloom.evaluation.generation.evaluator import Generation
from rootloom.evaluation.generation.result import GenerationResult
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation, read_floor, to_json, write_result
from rootloom.physics.calorimeter.detector import Segmentation
from rootloom.planning.stage import job_of
from rootloom.report.generation.chapter import _scaled
from rootloom.report.inputs import History, ReportInputs
from rootloom.report.page import write_report
from rootloom.representations.calorimeter import CalorimeterCells
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.occupied import occupied_rows
from rootloom.rootio.writing import write_tree
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import EventWeights
from rootloom.shards.writer import ShardWriter
from rootloom.stages import floor
from rootloom.stages.comparing import Sampling, stored_examples, stored_weights, written_examples
from rootloom.system.atomic import sealed, write_json

LAYERS = ((3, 1), (1, 3), (3, 1))
VARIABLES = {"energy": "energy", "total": "sum(cell_energy)", "hottest": "max(cell_energy)"}
OBJECTS = {"cells": {"id": "cell_id", "energy": "cell_energy"}}
READER = RowReader("showers", VARIABLES, OBJECTS, classes=(ClassRule("eplus", by_file=True),))
AS_STORED = EventWeights()
FAST = Generation(bins=10, response_bins=3, bootstrap=5, trainings=2, max_rows=150)


def result(*members: int, evaluator: Generation = FAST, other: int = 2) -> GenerationResult:
    real, made = showers(150, 1), [showers(150, seed, scale=1.2) for seed in members]
    known = CalorimeterCells(layers=LAYERS)
    return evaluator.result(real, evaluator.floor(real, showers(150, other)), made, known)


def evaluation(method: str, found: GenerationResult) -> Evaluation:
    return Evaluation(
        experiment="calogan",
        method=method,
        split="test",
        classes=("eplus",),
        members=tuple(range(len(found.values["fpd"].members))),
        parameters=1234,
        training_seconds=60.0,
        rows={"eplus": 150},
        weights={"eplus": 150.0},
        result=found,
    )


@pytest.fixture(scope="module")
def one() -> GenerationResult:
    return result(3)


@pytest.fixture(scope="module")
def two() -> GenerationResult:
    return result(4, 5)


def test_members_are_summarised_and_pooled(one: GenerationResult, two: GenerationResult) -> None:
    fpd = two.metrics()["fpd"]
    assert fpd.value == pytest.approx(np.mean(fpd.members))
    assert fpd.spread == pytest.approx(np.std(fpd.members, ddof=1))
    assert one.metrics()["fpd"].spread is None
    assert one.floor == two.floor
    real, members = showers(150, 1), [showers(150, seed, scale=1.2) for seed in (4, 5)]
    mean = np.mean([m.inputs.mean(axis=0) for m in members], axis=0)
    for image, (nx, ny), cells in zip(two.images, LAYERS, np.split(mean, [3, 6]), strict=True):
        np.testing.assert_allclose(image.generated, cells.reshape(nx, ny).T)
        assert image.panel.x_label == "x / mm"
    found = two.features[1]
    edges = np.array(found.edges)
    for density, samples in ((found.real, [real]), (found.generated, members)):
        values = np.concatenate([s.features[:, 1] for s in samples])
        expected, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges, density=True)
        np.testing.assert_allclose(density, expected)


def test_a_result_survives_json(two: GenerationResult) -> None:
    whole = evaluation("flow", two)
    assert Evaluation.from_json(whole.to_json()) == whole
    assert whole.metric("AUC_high") == two.values["auc_high"]
    assert len(list(two.lines())) == len(two.values)


def test_a_floor_survives_its_file_and_a_broken_one_is_refused(
    tmp_path: Path, one: GenerationResult
) -> None:
    file = tmp_path / "calorimeter.json"
    write_result(file, one.floor)
    assert read_floor(file) == one.floor
    file.write_text(sealed(to_json(one.floor).replace('"compared"', '"compares"')))
    with pytest.raises(InputError, match=f"{file}(.|\n)*comparison of real examples(.|\n)*compare"):
        read_floor(file)
    with pytest.raises(InputError, match=r"absent\.json"):
        read_floor(tmp_path / "absent.json")


def test_the_page_shows_methods_and_the_floor(
    tmp_path: Path, one: GenerationResult, two: GenerationResult
) -> None:
    histories = [History(name, 0, [2.0, 1.0], [2.0, 1.0]) for name in ("gan", "flow")]
    content = ReportInputs(
        "Showers", [evaluation("gan", one), evaluation("flow", two)], histories=histories
    )
    page, picture = write_report(tmp_path / "report.html", content)
    text = page.read_text()
    best = min((one, "gan"), (two, "flow"), key=lambda pair: pair[0].values["auc_high"].value)[1]
    assert f"<strong>{best}</strong> makes the showers whose features" in text
    # Two tables of figures and one of features, each with the floor below the methods.
    assert text.count('<tr class="sum"><th scope="row">real showers</th>') == 3
    assert text.count("<svg") >= 4 + 1 + 1 + 2
    assert picture.name == "generated.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_methods_with_other_real_showers_are_refused(tmp_path: Path, one: GenerationResult) -> None:
    other = evaluation("flow", result(4, other=6))
    with pytest.raises(DataError, match="evaluation of 'flow'"):
        write_report(
            tmp_path / "report.html", ReportInputs("Showers", [evaluation("gan", one), other])
        )


def cells(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    energy = rng.uniform(1, 100, rows).astype(np.float32)
    found = rng.exponential(1.0, (rows, 9)) * (rng.random((rows, 9)) < 0.6)
    found[:, 4] += 0.1
    return energy, found.astype(np.float32)


def written(path: Path, energy: np.ndarray, found: np.ndarray) -> Path:
    segmentation = Segmentation(LAYERS, (1.0, 2.0, 3.0), 30.0)
    rows = occupied_rows(
        {"energy": energy}, found, segmentation.places, collection="cell", quantity="energy"
    )
    write_tree(path, "showers", [rows])
    return path


def test_stored_and_written_showers_are_read_alike(tmp_path: Path) -> None:
    energy, found = cells(50)
    path = written(tmp_path / "showers.root", energy, found)
    representation = CalorimeterCells(layers=LAYERS, keep_bits=23)
    sampling = Sampling(representation, ("hottest", "total"), rows=1000, seed=1)
    made = written_examples(path, READER, "eplus", sampling)
    np.testing.assert_array_equal(made.condition, energy[:, None])
    np.testing.assert_array_equal(made.inputs, found)
    np.testing.assert_array_equal(made.features[:, 0], found.max(axis=1))
    np.testing.assert_allclose(made.features[:, 1], found.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(made.response, found.sum(axis=1), rtol=1e-6)

    shard = tmp_path / "shard.h5"
    with ShardWriter(
        shard, file_key="a", splits={"test": 1.0}, auxiliary=("hottest", "total")
    ) as writer:
        for block in READER.read(str(path), 0, 50, file_class="eplus"):
            writer.append(block, representation.encode(block.columns))
    stored = stored_examples([shard], "test", sampling, AS_STORED)
    for field in ("features", "inputs", "condition", "response"):
        np.testing.assert_array_equal(getattr(stored, field), getattr(made, field))
    np.testing.assert_array_equal(stored.weight, np.ones(50))
    np.testing.assert_array_equal(stored_weights([shard, shard], "test", AS_STORED), np.ones(100))
    with pytest.raises(DataError, match="the train split"):
        stored_examples([shard], "train", sampling, AS_STORED)


def test_showers_of_samples_count_by_their_cross_sections(tmp_path: Path) -> None:
    representation = CalorimeterCells(layers=LAYERS, keep_bits=23)
    sizes, shards = {"a": 60, "b": 40}, []
    for sample, rows in sizes.items():
        path = written(tmp_path / f"{sample}.root", *cells(rows))
        shards.append(tmp_path / f"{sample}.h5")
        with ShardWriter(
            shards[-1], file_key=sample, splits={"test": 1.0}, auxiliary=("total",), sample=sample
        ) as writer:
            for block in READER.read(str(path), 0, rows, file_class="eplus"):
                writer.append(block, representation.encode(block.columns))
    sampling, events = Sampling(representation, ("total",), 1000, 1), EventWeights({"a": 3, "b": 7})
    expected = np.repeat([3.0, 7.0], list(sizes.values()))
    found = stored_examples(shards, "test", sampling, events)
    np.testing.assert_array_equal(found.weight, expected)
    np.testing.assert_array_equal(stored_weights(shards, "test", events), expected)


def test_a_shower_without_cells_has_all_features(tmp_path: Path) -> None:
    """A generator may make one; the variables of the shipped dataset are finite for it."""
    text = (Path(__file__).parents[2] / "config/datasets/calo.yaml").read_text()
    variables = yaml.safe_load(text)["variables"]
    energy, found = cells(3)
    found[1] = 0
    path = written(tmp_path / "showers.root", energy, found)
    reader = RowReader("showers", variables, OBJECTS, classes=(ClassRule("eplus", by_file=True),))
    names = tuple(name for name in variables if name != "energy")
    sampling = Sampling(CalorimeterCells(layers=LAYERS, keep_bits=23), names, rows=9, seed=1)
    made = written_examples(path, reader, "eplus", sampling)
    assert (made.features[1] == 0).all()
    full = found[[0, 2]]
    hottest = made.features[[0, 2], names.index("hottest")]
    np.testing.assert_allclose(hottest, full.max(axis=1) / full.sum(axis=1), rtol=1e-6)


def test_a_representation_calls_no_function_that_the_dataset_does_not(tmp_path: Path) -> None:
    """The evaluation would not follow edits of it."""

    class Rooted(CalorimeterCells):
        def read_back(self, reader: RowReader) -> tuple[RowReader, tuple[str, ...]]:
            variables = {**reader.variables, "root": "sqrt(sum(cell_energy))"}
            return super().read_back(dataclasses.replace(reader, variables=variables))

    path = written(tmp_path / "showers.root", *cells(3))
    sampling = Sampling(Rooted(layers=LAYERS), ("total",), rows=9, seed=1)
    with pytest.raises(ConfigError, match=r"'Rooted': read_back\n.*\n.*found: +sqrt\n"):
        written_examples(path, READER, "eplus", sampling)
    reader = dataclasses.replace(READER, select="sqrt(energy) > 0")
    assert len(written_examples(path, reader, "eplus", sampling)) == 3


def test_of_many_showers_some_are_drawn(tmp_path: Path) -> None:
    energy, found = cells(400)
    path = written(tmp_path / "showers.root", energy, found)
    representation = CalorimeterCells(layers=LAYERS, keep_bits=23)
    drawn = [
        written_examples(path, READER, "eplus", Sampling(representation, ("total",), 150, seed))
        for seed in (1, 1, 2)
    ]
    assert [len(d) for d in drawn] == [150] * 3
    np.testing.assert_array_equal(drawn[0].condition, drawn[1].condition)
    chosen = [set(d.condition[:, 0]) for d in drawn]
    assert chosen[0] != chosen[2]
    assert len(chosen[0] & set(energy.astype(np.float64))) == 150


def test_generated_showers_count_as_the_rows_whose_energies_they_have(tmp_path: Path) -> None:
    energy, found = cells(50)
    path = written(tmp_path / "showers.root", energy, found)
    weight = np.where(np.arange(50) % 7 == 0, -1.0, 1 + np.arange(50)).astype(np.float32)
    weight[11] = 0  # a row of weight 0 does not exist, nor does its shower
    sampling = Sampling(CalorimeterCells(layers=LAYERS, keep_bits=23), ("total",), 1000, 1)
    # A selection drops rows; the others keep their own weights.
    reader = dataclasses.replace(READER, select="energy > 20")
    made = written_examples(path, reader, "eplus", sampling, weight)
    kept = (energy > 20) & (weight != 0)
    assert 10 < kept.sum() < 49
    np.testing.assert_array_equal(made.weight, weight[kept])
    np.testing.assert_array_equal(made.condition[:, 0], energy[kept])
    with pytest.raises(DataError, match="49 showers"):
        written_examples(path, READER, "eplus", sampling, weight[:49])


def test_the_floor_compares_the_test_split_with_as_many_rows_of_the_training_split(
    tmp_path: Path,
) -> None:
    """Rows of the training have twice the energy: their distance is SciPy's, not 0."""
    representation, shards = CalorimeterCells(layers=LAYERS, keep_bits=23), []
    totals = {}
    for split, rows, scale in (("train", 80, 2), ("validation", 70, 9), ("test", 60, 1)):
        energy, found = cells(rows)
        path = written(tmp_path / f"{split}.root", energy, scale * found)
        shards.append(tmp_path / f"{split}.h5")
        totals[split] = scale * found.sum(axis=1, dtype=np.float64)
        with ShardWriter(
            shards[-1], file_key=split, splits={split: 1.0}, auxiliary=("total",)
        ) as writer:
            for block in READER.read(str(path), 0, rows, file_class="eplus"):
                writer.append(block, representation.encode(block.columns))
    evaluation = {"kind": "generation", "max_rows": 100, "bootstrap": 2, "trainings": 2, "bins": 5}
    section = floor.Section(
        representation={"kind": "calorimeter", "layers": LAYERS, "keep_bits": 23},
        evaluation=evaluation, features=["total"], samples={},
    )  # fmt: skip
    statistics, output = tmp_path / "statistics.json", tmp_path / "floor.json"
    write_json(statistics, Statistics.empty(("eplus",)).content())
    job = job_of(section, "", "")
    floor.run(job, shards=shards, statistics=str(statistics), output=str(output))
    found = read_floor(output)
    assert found.compared == (60, 60)
    value = found.values["wasserstein.total"].value
    assert value is not None
    # 60 of 80 rows are drawn: their distribution is that of all within some of its own distance.
    real = totals["test"] / totals["test"].std()
    expected = wasserstein_distance(real, totals["train"] / totals["test"].std())
    assert value == pytest.approx(expected, rel=0.1)


def test_tables_scale_limits_and_keep_reasons() -> None:
    found = _scaled(Measurement(None, None, None, None, (None,), at_least=0.5, why="few"), 100.0)
    assert (found.at_least, found.why) == (50.0, "few")
