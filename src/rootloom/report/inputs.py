"""What a report is made of: results read from files, never a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.errors import InputError
from rootloom.evaluation.results import Evaluation


@dataclass(frozen=True)
class AverageImages:
    """Mean images of the classes. images: class → (H, W), row 0 at the bottom.

    extent: (left, right, bottom, top) in the units of the labels.
    """

    title: str
    extent: tuple[float, float, float, float]
    images: Mapping[str, np.ndarray]
    x_label: str = "Δη"
    y_label: str = "Δφ"
    quantity: str = "mean pixel intensity"


@dataclass(frozen=True)
class DatasetSummary:
    """rows, weights: split → class → number. quarantined: file → reason; share: of what is meant
    to be there (luminosity, or files), 0 … 1.
    """

    name: str
    rows: Mapping[str, Mapping[str, int]]
    weights: Mapping[str, Mapping[str, float]]
    files: int
    description: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    quarantined_share: float = 0.0


@dataclass(frozen=True)
class Expected:
    """A published figure. metric: "auc", "accuracy" or "r50" (1/ε_B at ε_S = 50 %), any case."""

    method: str
    metric: str
    value: float
    source: str
    error: float | None = None


@dataclass(frozen=True)
class History:
    """How one training went; every sequence has one entry an epoch.

    wait_share: share of the wall time in which the device waited for input; None if unknown.
    """

    method: str
    member: int
    train_loss: Sequence[float]
    validation_loss: Sequence[float]
    seconds: float | None = None
    wait_share: float | None = None


@dataclass(frozen=True)
class ReportInputs:
    """Everything on the page. provenance: heading → anything that JSON can hold."""

    title: str
    evaluations: Sequence[Evaluation]
    dataset: DatasetSummary | None = None
    images: Sequence[AverageImages] = ()
    histories: Sequence[History] = ()
    expected: Sequence[Expected] = ()
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def read_history(path: str | Path, method: str, member: int) -> History:
    """A training log of JSON lines; raises InputError naming the file and line.

    Of each line with "epoch" it takes "train_loss", "validation_loss", "seconds" and
    "wait_seconds"; the last line of an epoch wins, since a resumed training repeats its epoch.
    Nested objects are read as if their keys were joined by "_".
    """
    epochs: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(_lines(path), start=1):
        try:
            record = _flat(json.loads(line))
        except (ValueError, AttributeError):
            raise InputError(
                f"{path}, line {number}",
                expected="a JSON object",
                found=line[:60],
                fix="delete the log and train again, or remove the line",
            ) from None
        if "epoch" in record:
            epochs[int(record["epoch"])] = record
    records = [epochs[epoch] for epoch in sorted(epochs)]
    seconds, waited = (_total(records, name) for name in ("seconds", "wait_seconds"))
    return History(
        method=method,
        member=member,
        train_loss=[_number(r, "train_loss") for r in records],
        validation_loss=[_number(r, "validation_loss") for r in records],
        seconds=seconds,
        wait_share=waited / seconds if seconds and waited is not None else None,
    )


def _lines(path: str | Path) -> list[str]:
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            str(path), expected="a training log of JSON lines", found=str(error)
        ) from None
    return [line for line in text.splitlines() if line.strip()]


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.items():
        nested = isinstance(value, dict)
        found |= _flat(value, f"{prefix}{key}_") if nested else {prefix + key: value}
    return found


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    return float("nan") if value is None else float(value)


def _total(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [float(r[name]) for r in records if r.get(name) is not None]
    return sum(known) if known else None
