"""What training must know of all shards together: a map over shards, then a merge.

Moments, class means and histograms come from the training split only: a mean that has seen the
test split is a leak. Row and weight counts are kept for every split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from rootloom.errors import DataError
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.moments import ClassMeans, Moments
from rootloom.shards.reader import Shard
from rootloom.shards.weights import Reweight
from rootloom.types import SPLITS, TARGET, Column

_BLOCK_ROWS = 8192


class Sampler(Protocol):
    """What statistics ask of a representation."""

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """Values by name, (n, F) float64, NaN where absent."""


@dataclass(frozen=True)
class Statistics:
    """Exact sums over shards; `merge` agrees to rounding in any order, to the bit in one order.

    classes: names, K of them. rows (3, K) int64, weights (3, K) float64: by split and class.
    moments: by the representation's sample names and, as "target.<name>", of the targets.
    class_means: for those samples that have one entry a row. histograms: `Reweight.key` → sums of
    weight (K, bins).
    """

    classes: tuple[str, ...]
    rows: np.ndarray
    weights: np.ndarray
    moments: Mapping[str, Moments] = field(default_factory=dict)
    class_means: Mapping[str, ClassMeans] = field(default_factory=dict)
    histograms: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(cls, classes: Sequence[str]) -> Self:
        """Statistics of no rows: what merging starts from."""
        shape = (len(SPLITS), len(classes))
        return cls(tuple(classes), np.zeros(shape, np.int64), np.zeros(shape))

    @classmethod
    def of_rows(
        cls, classes: Sequence[str], split: str, label: np.ndarray, weight: np.ndarray
    ) -> Self:
        """Counts of R rows of a split. Raises DataError for labels or weights out of range."""
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
        result, index = cls.empty(classes), SPLITS.index(split)
        result.rows[index] = np.bincount(label, minlength=len(classes))
        result.weights[index] = np.bincount(label, weight.astype(np.float64), len(classes))
        return result

    def merge(self, other: Self) -> Self:
        """Statistics of both together. Raises DataError when their classes differ."""
        if self.classes != other.classes:
            raise DataError(
                "statistics",
                expected=f"the classes {', '.join(self.classes)} in every shard",
                found=", ".join(other.classes),
                fix="delete shards made with another configuration",
            )
        # A sample with one entry a row in some blocks only is not per row: its means are dropped.
        means = {
            name: mean
            for name, mean in _merged(self.class_means, other.class_means).items()
            if all(name in s.class_means or name not in s.moments for s in (self, other))
        }
        return type(self)(
            self.classes,
            self.rows + other.rows,
            self.weights + other.weights,
            _merged(self.moments, other.moments),
            means,
            _merged(self.histograms, other.histograms),
        )

    def to_json(self) -> str:
        """A JSON text that gives the same bits when read."""
        content = {
            "classes": list(self.classes),
            "rows": self.rows.tolist(),
            "weights": self.weights.tolist(),
            "moments": {name: m.to_json() for name, m in self.moments.items()},
            "class_means": {name: m.to_json() for name, m in self.class_means.items()},
            "histograms": {name: h.tolist() for name, h in self.histograms.items()},
        }
        return json.dumps(content, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`, exactly."""
        content = json.loads(text)
        return cls(
            tuple(content["classes"]),
            np.array(content["rows"], np.int64),
            np.array(content["weights"], np.float64),
            {name: Moments.from_json(m) for name, m in content["moments"].items()},
            {name: ClassMeans.from_json(m) for name, m in content["class_means"].items()},
            {name: np.array(h, np.float64) for name, h in content["histograms"].items()},
        )


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """One after the other: the same parts in the same order give the same bits."""
    iterator = iter(parts)
    total = next(iterator)
    for part in iterator:
        total = total.merge(part)
    return total


def merge_by_position(parts: Sequence[tuple[int, Statistics]], bit: int = 63) -> Statistics:
    """Merge parts along the bits of their positions (64 bits, all different).

    The order of sums matters to their last bit. This one is that of any division into packs, which
    are ranges of positions: merging packs that were merged this way, each at the position of any of
    its parts, gives the same bits as merging all parts at once.
    """
    if len(parts) == 1:
        return parts[0][1]
    low = [part for part in parts if not part[0] >> bit & 1]
    high = [part for part in parts if part[0] >> bit & 1]
    halves = [merge_by_position(half, bit - 1) for half in (low, high) if half]
    return halves[0] if len(halves) == 1 else halves[0].merge(halves[1])


def shard_statistics(
    path: str | Path,
    representation: Sampler,
    *,
    classes: Sequence[str],
    reweights: Sequence[Reweight] = (),
) -> Statistics:
    """Statistics of one shard, in blocks of bounded memory.

    Raises InputError for a damaged shard, DataError for values that no training can use.
    """
    total = Statistics.empty(classes)
    with Shard(path) as shard:
        for split in SPLITS:
            for start in range(0, shard.rows(split), _BLOCK_ROWS):
                try:
                    total = total.merge(
                        _block(shard, split, start, representation, classes, reweights)
                    )
                except DataError as error:
                    where = f"{path}, split '{split}': {error.where}"
                    raise DataError(
                        where, expected=error.expected, found=error.found, fix=error.fix
                    ) from error
    return total


def _block(
    shard: Shard,
    split: str,
    start: int,
    representation: Sampler,
    classes: Sequence[str],
    reweights: Sequence[Reweight],
) -> Statistics:
    training = split == SPLITS[0]
    names = None if training else ("label", "weight")
    columns = shard.read(split, names, start, start + _BLOCK_ROWS)
    label, weight = np.asarray(columns["label"]), np.asarray(columns["weight"])
    counted = Statistics.of_rows(classes, split, label, weight)
    if not training:
        return counted
    samples = representation.sample(columns)
    moments = {name: Moments.of(x) for name, x in samples.items()}
    moments |= {
        name.removeprefix(AUXILIARY): Moments.of(np.asarray(column, np.float64)[:, None])
        for name, column in columns.items()
        if name.startswith(AUXILIARY + TARGET)
    }
    histograms = {
        r.key: r.histogram(_dense(shard, columns, r.variable), label, weight, len(classes))
        for r in reweights
    }
    means = {
        name: ClassMeans.of(x, label, weight, len(classes))
        for name, x in samples.items()
        if len(x) == len(label)
    }
    return Statistics(counted.classes, counted.rows, counted.weights, moments, means, histograms)


def _dense(shard: Shard, columns: Mapping[str, Column], variable: str) -> np.ndarray:
    column = columns.get(AUXILIARY + variable)
    if not isinstance(column, np.ndarray) or column.ndim != 1:
        raise DataError(
            f"reweighting in '{variable}'",
            expected="an auxiliary variable with one number a row",
            found=f"columns {', '.join(shard.columns)}",
            fix=f"list '{variable}' among the dataset's auxiliary variables",
        )
    return column


def _merged(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, with what is in both merged (arrays are added)."""
    result = {**a, **b}
    for name in a.keys() & b.keys():
        if isinstance(a[name], np.ndarray):
            result[name] = a[name] + b[name]
        else:
            result[name] = a[name].merge(b[name])
    return result
