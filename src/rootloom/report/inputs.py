"""The content of a report: results read from files, never a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.evaluation.results import Evaluation
from rootloom.report.weights import WeightsSummary
from rootloom.representations.base import Panel
from rootloom.system.atomic import REMAKE, intact, read_json, unsealed


@dataclass(frozen=True)
class ClassImages:
    """An image of each class, a mean or an example. images: class → (H, W), as `panel` says."""

    title: str
    panel: Panel
    images: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Definition:
    """A quantity of the dataset and its expression. read: by which representations."""

    kind: str
    name: str
    expression: str
    read: str = ""


@dataclass(frozen=True)
class Distribution:
    """An input by split and class. sums: (2, 2, K, n), Σw and Σw², in the training and test split.

    edges: (n + 1,); the outer bins hold what lies beyond.
    """

    name: str
    edges: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class DatasetSummary:
    """rows: split → class → number. weights: None in a report without statistics.

    facts: rows, selection, classes and splits in words. definitions: of all
    quantities. distributions: of the inputs, by representation. examples: an image of one row of
    each class.
    unclassified: selected rows that belong to no class.
    quarantined: file → reason. quarantined_share, quarantined_bytes: share of the files and of
    their bytes, 0 … 1. The number of events in a damaged file is unknown; its share of the bytes is
    the best estimate.
    """

    name: str
    rows: Mapping[str, Mapping[str, int]]
    files: int
    weights: WeightsSummary | None = None
    description: str = ""
    facts: Sequence[tuple[str, str]] = ()
    definitions: Sequence[Definition] = ()
    distributions: Mapping[str, Sequence[Distribution]] = field(default_factory=dict)
    examples: Sequence[ClassImages] = ()
    quarantined: Mapping[str, str] = field(default_factory=dict)
    quarantined_share: float = 0.0
    quarantined_bytes: float = 0.0
    unclassified: int = 0

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(next(iter(self.rows.values()), {}))


@dataclass(frozen=True)
class OtherDataset:
    """A dataset other than the nominal one.

    name: as the experiment names it. dataset: without definitions that are the nominal one's.
    evaluations: one a method; none where it is only scored. friends: folder of its friend trees.
    """

    name: str
    dataset: DatasetSummary
    evaluations: Sequence[Evaluation] = ()
    friends: str = ""


@dataclass(frozen=True)
class Expected:
    """A published value. metric: "auc", "accuracy" or "r50" (1/ε_B at ε_S = 50 %), in any case."""

    method: str
    metric: str
    value: float
    source: str
    error: float | None = None


@dataclass(frozen=True)
class History:
    """The log of one training; every sequence has one entry per epoch.

    figures: other metrics of the validation split, by name.
    planned: number of epochs without early stopping; None if unknown.
    wait_share: share of the wall time in which the device waited for input; None if unknown.
    """

    method: str
    member: int
    train_loss: Sequence[float]
    validation_loss: Sequence[float]
    figures: Sequence[Mapping[str, float]] = ()
    seconds: float | None = None
    wait_share: float | None = None
    planned: int | None = None


@dataclass(frozen=True)
class ReportInputs:
    """Everything on the page.

    evaluations, dataset, images: of the nominal dataset; others: all other datasets.
    provenance: heading → anything that JSON can hold. other_versions: packages that results were
    made with in another version than the page, with these results.
    """

    title: str
    evaluations: Sequence[Evaluation]
    dataset: DatasetSummary | None = None
    images: Sequence[ClassImages] = ()
    histories: Sequence[History] = ()
    expected: Sequence[Expected] = ()
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    other_versions: Sequence[str] = ()
    others: Sequence[OtherDataset] = ()
    exported: Sequence[Exported] = ()

    def datasets(self) -> list[DatasetSummary]:
        """Summaries of all datasets, the nominal one first."""
        nominal = [self.dataset] if self.dataset else []
        return [*nominal, *(other.dataset for other in self.others)]

    def quarantined(self) -> dict[str, str]:
        """Files of all datasets that were set aside, with the reasons."""
        return {url: why for one in self.datasets() for url, why in one.quarantined.items()}


@dataclass(frozen=True)
class Exported:
    """A network in a format: how its largest and median row differ from JAX.

    row, batch: where the largest is. exact: that of JAX in float32 and that of the network from
    JAX in float64, where rounding is larger than the tolerance.
    """

    method: str
    member: int
    format: str
    rows: int
    largest: float
    median: float
    row: int
    batch: int
    exact: tuple[float, float] | None


def read_exported(path: str | Path) -> list[Exported]:
    """What the stage `export` wrote of a member; raises ResultError naming the file."""
    return read_json(path, "what was exported of a network", _exported)


def _exported(content: Mapping[str, Any]) -> list[Exported]:
    of = content["provenance"]["section"]
    return [
        Exported(
            method=of["method"],
            member=of["member"],
            format=name,
            rows=verdict["rows"],
            largest=verdict["largest"]["size"],
            median=verdict["median"],
            row=verdict["largest"]["row"],
            batch=verdict["largest"]["batch"],
            exact=(e["jax"], e["onnx"]["size"]) if (e := verdict["exact"]) else None,
        )
        for name, verdict in content["formats"].items()
    ]


_OF_ALL = ("seconds", "waiting", "planned")


def read_history(path: str | Path, method: str, member: int) -> History:
    """A training log of JSON lines; raises ResultError naming the file.

    A line with "epoch" has "training_loss" and "loss" (validation) of an epoch; a line with
    "seconds", "waiting" (a share) and "planned" (epochs) is for the whole training.
    """
    epochs: list[dict[str, Any]] = []
    totals: dict[str, Any] = {}
    for record in _records(path):
        if "epoch" in record:
            epochs.append(record)
        totals |= {k: record[k] for k in _OF_ALL if record.get(k) is not None}
    return History(
        method=method,
        member=member,
        train_loss=[_number(r, "training_loss") for r in epochs],
        validation_loss=[_number(r, "loss") for r in epochs],
        figures=[_figures(r) for r in epochs],
        seconds=totals.get("seconds"),
        wait_share=totals.get("waiting"),
        planned=totals.get("planned"),
    )


def _records(path: str | Path) -> list[dict[str, Any]]:
    with intact(path, "a training log of JSON lines", fix=REMAKE):
        return [dict(json.loads(line)) for line in unsealed(path).splitlines()]


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of an epoch's validation other than the loss."""
    return {
        name: float(value)
        for name, value in record.items()
        if not name.startswith("training_") and name not in ("epoch", "loss") and value is not None
    }


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return float("nan") if value is None else float(value)
