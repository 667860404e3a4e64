"""Rows of the tables that every report has."""

from __future__ import annotations

import math

from tests.unit.test_report_figures import LINE

from rootloom.evaluation.classification.result import ClassificationResult
from rootloom.evaluation.measurement import Measurement
from rootloom.evaluation.results import Evaluation
from rootloom.report.inputs import Expected, History
from rootloom.report.tables import expected_rows, training_rows


def evaluation(accuracy: Measurement) -> Evaluation:
    """Of a method "dnn" of which nothing but its accuracy is asked for."""
    result = ClassificationResult(signal="w", accuracy=accuracy, discriminations=())
    return Evaluation("e", "dnn", "test", ("qcd", "w"), (0,), None, None, {}, {}, result)


def test_a_difference_is_ours_minus_the_published_one_with_all_errors(monkeypatch) -> None:
    accuracy = Measurement(0.95, 0.3, 0.4, 0.95, (0.95,))
    monkeypatch.setattr(ClassificationResult, "metrics", lambda _: {"accuracy": accuracy})
    entries = [
        Expected("dnn", "accuracy", value, "a paper", error)
        for value, error in ((0.15, 1.2), (3.15, 1.2), (0.15, None))
    ]
    found = expected_rows(entries, [evaluation(accuracy)])
    # √(0.3² + 0.4² + 1.2²) = 1.3
    assert [row.difference.replace("\u2009", "") for row in found] == [
        "+0.8±1.3", "\u22122.2±1.3", "+0.8±0.5",
    ]  # fmt: skip


def test_an_expected_figure_of_another_name_is_said_to_be_none(monkeypatch) -> None:
    accuracy = Measurement(0.95, 0.3, 0.4, 0.95, (0.95,))
    monkeypatch.setattr(ClassificationResult, "metrics", lambda _: {"accuracy": accuracy})
    entries = [Expected(method, "acuracy", 0.9, "a paper") for method in ("dnn", "cnn")]
    found = [row.obtained for row in expected_rows(entries, [evaluation(accuracy)])]
    assert found == ["no such figure; did you mean 'accuracy'?", "–"]


def test_the_best_epoch_is_the_one_of_the_smallest_validation_loss() -> None:
    history = History("dnn", 0, [0.9, 0.5, 0.1], [math.nan, 0.31, 0.42], seconds=60.0)
    (row,) = training_rows([history], {"dnn": LINE})
    assert (row.epochs, row.best) == ("3", "0.3100 (epoch 2)")
    (row,) = training_rows([History("dnn", 0, [0.9], [math.nan])], {"dnn": LINE})
    assert (row.epochs, row.best) == ("1", "–")


def test_a_training_that_stopped_early_says_of_how_many_epochs() -> None:
    early = History("dnn", 0, [0.9, 0.5], [0.4, 0.3], planned=20)
    whole = History("dnn", 1, [0.9, 0.5], [0.4, 0.3], planned=2)
    rows = training_rows([early, whole], {"dnn": LINE})
    assert [row.epochs for row in rows] == ["2 of 20", "2"]
