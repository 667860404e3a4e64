"""What no training or evaluation could work on is refused by the statistics, once."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from rootloom.errors import DataError
from rootloom.shards.populated import require_populated
from rootloom.shards.statistics import Statistics
from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
from rootloom.shards.weights import Normalisation, Weighting
from rootloom.types import SPLITS

CLASSES = ("qcd", "w", "top")
PLAIN = Weighting()


def statistics(weights: dict[str, list[list[float]]], sample: str = "") -> Statistics:
    """Of rows with these event weights, by split and class."""
    sums = replace(SampleSums.empty(3), entries=100, sum_of_weights=50.0)
    for split in SPLITS:
        label = np.repeat(np.arange(3), [len(found) for found in weights[split]])
        weight = np.concatenate([*map(np.asarray, weights[split]), []]).astype(np.float64)
        sums = sums.merge(SampleSums.of_rows(CLASSES, split, label, weight))
        if split == "train":
            sums = replace(sums, training={UNBINNED: training_sums(weight, label, 3, 1)})
    return Statistics(CLASSES, {sample: sums})


def rows(**test: list[float]) -> dict[str, list[list[float]]]:
    """Two rows a class and split, but for what `test` says."""
    two = [[1.0, 1.0]] * 3
    changed = [test.get(name, [1.0, 1.0]) for name in CLASSES]
    return {"train": two, "validation": two, "test": changed}


def refused(found: Statistics, message: str, weighting: Weighting = PLAIN) -> None:
    with pytest.raises(DataError, match=message):
        require_populated(found, dataset="mine", weighting=weighting)


def test_signed_weights_and_rare_classes_are_ordinary() -> None:
    found = statistics(rows(w=[-1.0, 1.5], top=[1e-9]))
    require_populated(found, dataset="mine", weighting=PLAIN)


@pytest.mark.parametrize("weights", [[-1.0, 0.5], [1.0, -1.0], [0.0]])
def test_a_class_whose_test_weights_sum_to_nothing_is_refused(weights: list[float]) -> None:
    negative = sum(w < 0 for w in weights)
    said = f"{sum(weights):g} in {len(weights)} rows, {negative} of them negative"
    refused(
        statistics(rows(w=weights)),
        rf"dataset 'mine': weight\n.*class 'w' .*more than zero(.|\n)*{re.escape(said)}",
    )


def test_a_class_without_rows_is_refused_by_name() -> None:
    none = {split: [[1.0], [1.0], []] for split in SPLITS}
    refused(statistics(none), r"classes.top\n.*rows that pass the selection(.|\n)*files of 'top'")
    others = SampleSums.empty(3)
    unclaimed = statistics(none).merge(
        Statistics(CLASSES, {"": replace(others, unclassified=1200)})
    )
    refused(unclaimed, r"classes.top\n.*\n.*none; 6 rows of .*; 1,200 selected rows of no class\n")
    late = rows(top=[])
    refused(statistics(late), r"classes.top\n.*'test'.*\n.*2 in 'train', 2 in 'validation', 0 in")
    nothing = {split: [[], [], []] for split in SPLITS}
    refused(statistics(nothing), r"dataset 'mine'\n.*rows that pass(.|\n)*none in any file")
    untrained = {**rows(), "train": [[], [], []]}
    refused(statistics(untrained), r"split 'train'")


def test_scales_of_samples_count() -> None:
    """Two samples of one class: which of them outweighs the other is a matter of cross sections."""
    plus, minus = statistics(rows(), "plus"), statistics(rows(w=[-1.0, -1.0]), "minus")
    both = plus.merge(minus)
    expected = {"plus": Normalisation(60.0), "minus": Normalisation(40.0)}
    require_populated(both, dataset="mine", weighting=Weighting(samples=expected))
    other = {"plus": Normalisation(40.0), "minus": Normalisation(60.0)}
    refused(both, r"dataset 'mine': weight\n.*class 'w'", Weighting(samples=other))


def test_a_regression_needs_rows_of_all_classes_together() -> None:
    found = statistics(rows(top=[], w=[-1.0]))
    require_populated(found, dataset="mine", weighting=PLAIN, by_class=False)
    refused(found, r"classes.top|weight")
