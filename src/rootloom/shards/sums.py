"""Sums over the rows of one sample: counts and weights by split and class."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, Self, TypedDict

import numpy as np

from rootloom.errors import DataError
from rootloom.types import SPLITS

# Key of the sums of training weights without reweighting, in one bin.
UNBINNED = ""


class SumsContent(TypedDict):
    """`SampleSums` as JSON data: counts and sums (splits, classes) as lists."""

    entries: int
    sum_of_weights: float | None
    rows: list[list[int]]
    negative: list[list[int]]
    weight: list[list[float]]
    square: list[list[float]]
    training: dict[str, list[list[float]]]
    unclassified: NotRequired[int]


def code_of(sample: str) -> int:
    """The code of a sample's name in a shard's column "sample": 32 bits of its hash."""
    return int.from_bytes(hashlib.blake2b(sample.encode(), digest_size=4).digest(), "little")


@dataclass(frozen=True)
class SampleSums:
    """Sums over one sample (the files of one physics process), before any normalisation.

    entries: entries of its trees, whether selected or not; sum_of_weights: of their event weights,
    NaN where the weight is not one number an event.
    rows, negative: (3, K) int64, rows and those of negative weight by split and class; weight,
    square: (3, K) float64, sums of w and w². training: `Reweight.key` (or UNBINNED, one bin) →
    (3, K, bins), sums of b, |b| and b² over the training split, where b is the dataset's
    `training_weight` or, without one, the event weight. unclassified: selected rows of no class,
    which are not part of the other sums.
    """

    entries: int
    sum_of_weights: float
    rows: np.ndarray
    negative: np.ndarray
    weight: np.ndarray
    square: np.ndarray
    training: Mapping[str, np.ndarray] = field(default_factory=dict)
    unclassified: int = 0

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Sums of no rows."""
        shape = (len(SPLITS), classes)
        counts = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        return cls(0, 0.0, *counts, np.zeros(shape), np.zeros(shape))

    @classmethod
    def of_rows(
        cls, classes: Sequence[str], split: str, label: np.ndarray, weight: np.ndarray
    ) -> Self:
        """Sums of R rows of a split. Raises DataError for labels or weights out of range."""
        if len(label) and not (label.min() >= 0 and label.max() < len(classes)):
            raise DataError(
                "labels",
                expected=f"numbers from 0 to {len(classes) - 1} ({', '.join(classes)})",
                found=f"numbers from {label.min()} to {label.max()}",
            )
        if not np.isfinite(weight).all():
            raise DataError(
                "event weights",
                expected="finite numbers",
                found=f"{int((~np.isfinite(weight)).sum())} of {len(weight)} are not",
                fix="guard the weight expression or select finite weights",
            )
        found, at, many = cls.empty(len(classes)), SPLITS.index(split), len(classes)
        weight = weight.astype(np.float64)
        found.rows[at] = np.bincount(label, minlength=many)
        found.negative[at] = np.bincount(label[weight < 0], minlength=many)
        found.weight[at] = np.bincount(label, weight, many)
        found.square[at] = np.bincount(label, weight**2, many)
        return found

    def merge(self, other: Self) -> Self:
        """Sums over the rows of both."""
        training = {**self.training, **other.training}
        for key in self.training.keys() & other.training.keys():
            training[key] = self.training[key] + other.training[key]
        return type(self)(
            self.entries + other.entries,
            self.sum_of_weights + other.sum_of_weights,
            self.rows + other.rows,
            self.negative + other.negative,
            self.weight + other.weight,
            self.square + other.square,
            training,
            self.unclassified + other.unclassified,
        )

    def to_json(self) -> SumsContent:
        """Lists of numbers; `sum_of_weights` is None where it is no number."""
        return {
            "entries": self.entries,
            "sum_of_weights": self.sum_of_weights if np.isfinite(self.sum_of_weights) else None,
            "rows": self.rows.tolist(),
            "negative": self.negative.tolist(),
            "weight": self.weight.tolist(),
            "square": self.square.tolist(),
            "training": {key: sums.tolist() for key, sums in self.training.items()},
            "unclassified": self.unclassified,
        }

    @classmethod
    def from_json(cls, content: SumsContent) -> Self:
        """The inverse of `to_json`, exactly."""
        total = content["sum_of_weights"]
        return cls(
            int(content["entries"]),
            float("nan") if total is None else float(total),
            np.array(content["rows"], np.int64),
            np.array(content["negative"], np.int64),
            np.array(content["weight"], np.float64),
            np.array(content["square"], np.float64),
            {key: np.array(sums, np.float64) for key, sums in content["training"].items()},
            int(content.get("unclassified", 0)),  # models of earlier versions lack it
        )


def training_sums(base: np.ndarray, cell: np.ndarray, classes: int, bins: int) -> np.ndarray:
    """Sums (3, K, bins) of b, |b| and b², from b (R,) and cells (R,): label · bins + bin."""
    base = np.asarray(base, np.float64)
    sums = [np.bincount(cell, term, classes * bins) for term in (base, np.abs(base), base**2)]
    return np.stack(sums).reshape(3, classes, bins)
