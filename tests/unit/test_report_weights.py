"""The tables of weights of a page, against sums over the rows themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rootloom.report.section import DatasetWords
from rootloom.report.weight_rows import summarise_weights
from rootloom.shards.statistics import Statistics
from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
from rootloom.types import SPLITS

CLASSES = ("background", "signal")
ABOUT = DatasetWords(
    dataset="d",
    dataset_description="",
    size=None,
    definitions={},
    weighting={
        "balance": True,
        "reweight": None,
        "negative": "absolute",
        "own": False,
        "samples": {"tt": {"expected": 8000.0, "sum_of_weights": None}},
    },
    weights={
        "event": "genWeight",
        "training": None,
        "luminosity": 2.0,
        "samples": {
            "tt": {"class": "background", "cross_section": 4.0, "weight": "genWeight"},
            "hh": {"class": "signal", "cross_section": None, "weight": "genWeight"},
        },
    },
)
SCALES = {"tt": 8000.0 / 4000.0, "hh": 1.0}


def rows(sample: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label and weight of a sample's rows, by split."""
    rng = np.random.default_rng(["tt", "hh"].index(sample))
    found = {}
    for split, number in zip(SPLITS, (400, 50, 100), strict=True):
        weight = rng.lognormal(0, 1, number) * np.where(rng.random(number) < 0.2, -1, 1)
        found[split] = np.full(number, ["tt", "hh"].index(sample)), weight
    return found


def sums(sample: str) -> SampleSums:
    total = SampleSums.empty(2)
    for split, (label, weight) in rows(sample).items():
        total = total.merge(SampleSums.of_rows(CLASSES, split, label, weight))
    label, weight = rows(sample)["train"]
    training = {UNBINNED: training_sums(weight, label, 2, 1)}
    return replace(total, entries=2000, sum_of_weights=4000.0, training=training)


def number(text: str) -> float:
    return float(text.replace("\u2009", "").replace("%", ""))


def test_classes_and_samples_are_scaled_to_their_cross_sections() -> None:
    statistics = Statistics(CLASSES, {name: sums(name) for name in ("tt", "hh")})
    found = summarise_weights(ABOUT, statistics)
    by_place = {(row.split, row.label): row for row in found.classes}
    for label, sample in zip(CLASSES, ("tt", "hh"), strict=True):
        for split, (_, own) in rows(sample).items():
            row, weight = by_place[split, label], own * SCALES[sample]
            assert number(row.rows) == len(weight)
            np.testing.assert_allclose(number(row.total), weight.sum(), rtol=1e-4)
            effective = weight.sum() ** 2 / (weight**2).sum()
            assert abs(number(row.effective) - effective) <= 0.51
            assert abs(number(row.negative) - 100 * np.mean(weight < 0)) <= 0.051
        # Balance scales a class as a whole: absolute weights are worth what they were.
        absolute = np.abs(rows(sample)["train"][1])
        worth = absolute.sum() ** 2 / (absolute**2).sum()
        assert abs(number(by_place["train", label].training) - worth) <= 0.51
        assert by_place["test", label].training == "–"
    tt, hh = found.samples
    assert (tt.name, tt.sum_of_weights, tt.cross_section, tt.scale) == ("tt", "4000", "4 pb", "2")
    assert (hh.cross_section, hh.scale) == ("–", "1")
    for row in (tt, hh):
        selected = SCALES[row.name] * sum(w.sum() for _, w in rows(row.name).values())
        np.testing.assert_allclose(number(row.selected), selected, rtol=1e-4)
        assert number(row.rows) == 550


def test_two_samples_of_a_class_are_added_after_they_are_scaled() -> None:
    one, other = sums("tt"), sums("tt")
    statistics = Statistics(CLASSES, {"tt": one, "more": other, "hh": sums("hh")})
    samples = {**ABOUT.weights["samples"], "more": ABOUT.weights["samples"]["hh"]}
    about = replace(ABOUT, weights={**ABOUT.weights, "samples": samples})
    found = summarise_weights(about, statistics)
    (row,) = (r for r in found.classes if (r.split, r.label) == ("test", "background"))
    weight = np.concatenate([2.0 * rows("tt")["test"][1], rows("tt")["test"][1]])
    np.testing.assert_allclose(number(row.total), weight.sum(), rtol=1e-4)
    assert abs(number(row.effective) - weight.sum() ** 2 / (weight**2).sum()) <= 0.51
