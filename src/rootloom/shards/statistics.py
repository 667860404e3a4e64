"""Statistics over all shards that training needs: computed for each shard, then merged.

Moments, class means and sums of training weights come only from the training split, since
information of the test split must not enter. Rows and event weights are counted for every split,
and before any selection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from rootloom.errors import DataError, ResultError, naming
from rootloom.shards.layout import AUXILIARY, TRAINING_WEIGHT
from rootloom.shards.moments import ClassMeans, Moments
from rootloom.shards.reader import Shard
from rootloom.shards.reweight import Reweight
from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
from rootloom.system.atomic import read_json
from rootloom.types import SPLITS, TARGET, Column

_BLOCK_ROWS = 8192
M = TypeVar("M", bound="Mergeable")


class Mergeable(Protocol):
    """Sums over rows."""

    def merge(self, other: Self) -> Self:
        """Sums over the rows of both."""


class Sampler(Protocol):
    """The part of a representation that statistics use."""

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """Values by name, (n, F) float64, NaN where absent."""


@dataclass(frozen=True)
class Statistics:
    """Exact sums over shards; `merge` agrees to rounding in any order, to the bit in one order.

    classes: names, K of them. samples: sums by sample; "" for files that are in no sample.
    moments: by the names of the representation's `sample`, and of the targets as
    "target.<name>". class_means: for names with one entry per row, by name, then by sample.
    """

    classes: tuple[str, ...]
    samples: Mapping[str, SampleSums] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    class_means: Mapping[str, Mapping[str, ClassMeans]] = field(default_factory=dict)

    @classmethod
    def empty(cls, classes: Sequence[str]) -> Self:
        """Statistics of no rows, to start merging."""
        return cls(tuple(classes))

    @property
    def rows(self) -> np.ndarray:
        """Rows by split and class, (3, K) int64, of all samples together."""
        return self._total("rows", np.int64)

    @property
    def negative(self) -> np.ndarray:
        """Rows of negative event weight by split and class, (3, K) int64."""
        return self._total("negative", np.int64)

    @property
    def unclassified(self) -> int:
        """Number of selected rows that belong to no class."""
        return sum(sums.unclassified for sums in self.samples.values())

    def weights(self, scales: Mapping[str, float]) -> np.ndarray:
        """Sums of event weights by split and class, (3, K); scales: by sample."""
        return self._total("weight", np.float64, scales)

    def squares(self, scales: Mapping[str, float]) -> np.ndarray:
        """Sums of squared event weights by split and class, (3, K); scales: by sample."""
        return self._total("square", np.float64, {name: s * s for name, s in scales.items()})

    def means(self, name: str, scales: Mapping[str, float]) -> np.ndarray:
        """Means (K, F), by event weights, of the values `name` of the representation.

        scales: by sample.
        """
        parts = [means.scaled(scales[s]) for s, means in sorted(self.class_means[name].items())]
        return reduce(ClassMeans.merge, parts).mean

    def _total(
        self, name: str, dtype: type, scales: Mapping[str, float] | None = None
    ) -> np.ndarray:
        total: np.ndarray = np.zeros((len(SPLITS), len(self.classes)), dtype)
        for sample, sums in sorted(self.samples.items()):
            total += getattr(sums, name) * (scales[sample] if scales else 1)
        return total

    def merge(self, other: Self) -> Self:
        """Statistics of both together. Raises DataError when their classes differ."""
        if self.classes != other.classes:
            raise DataError(
                "statistics",
                expected=f"the classes {', '.join(self.classes)} in every shard",
                found=", ".join(other.classes),
                fix="delete shards made with another configuration",
            )
        # A name that has one entry per row only in some blocks gets no means.
        means = {
            name: merged(self.class_means.get(name, {}), other.class_means.get(name, {}))
            for name in {**self.class_means, **other.class_means}
            if all(name in s.class_means or name not in s.moments for s in (self, other))
        }
        return type(self)(
            self.classes,
            merged(self.samples, other.samples),
            merged(self.moments, other.moments),
            means,
        )

    def content(self) -> dict[str, object]:
        """JSON data that give the same bits when read."""
        return {
            "classes": list(self.classes),
            "samples": {name: sums.to_json() for name, sums in self.samples.items()},
            "moments": {name: m.to_json() for name, m in self.moments.items()},
            "class_means": {
                name: {sample: m.to_json() for sample, m in means.items()}
                for name, means in self.class_means.items()
            },
        }

    def to_json(self) -> str:
        """A JSON text that gives the same bits when read."""
        return json.dumps(self.content(), sort_keys=True, allow_nan=False)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read statistics from a file. Raises ResultError, naming it, if it is damaged."""
        return read_json(path, "statistics of a dataset", cls.of_content)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`, exactly. Raises ResultError for an earlier version's."""
        content = json.loads(text)
        if "samples" not in content:
            raise ResultError(
                "statistics",
                expected="sums by sample",
                found="those of an earlier version, without",
                fix="run snakemake again: the results they belong to are made again",
            )
        return cls.of_content(content)

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `content`, exactly."""
        return cls(
            tuple(content["classes"]),
            {name: SampleSums.from_json(sums) for name, sums in content["samples"].items()},
            {name: Moments.from_json(m) for name, m in content["moments"].items()},
            {
                name: {sample: ClassMeans.from_json(m) for sample, m in means.items()}
                for name, means in content["class_means"].items()
            },
        )


def shard_statistics(
    path: str | Path,
    representation: Sampler,
    *,
    classes: Sequence[str],
    reweights: Sequence[Reweight] = (),
) -> Statistics:
    """Statistics of one shard, in blocks of limited memory.

    Raises ResultError for a damaged shard, DataError for values that no training can use.
    """
    with Shard(path) as shard:
        sample = str(shard.attributes.get("sample", ""))
        entries = int(shard.attributes.get("entries", 0))
        total_weight = float(shard.attributes.get("sum_of_weights", 0.0))
        empty = SampleSums.empty(len(classes))
        sums = replace(
            empty,
            entries=entries,
            sum_of_weights=total_weight,
            unclassified=shard.rows("none"),
        )
        total = Statistics(tuple(classes), {sample: sums})
        for split in SPLITS:
            for start in range(0, shard.rows(split), _BLOCK_ROWS):
                with naming(f"{path}, split '{split}'", DataError):
                    total = total.merge(
                        _block(shard, sample, split, start, representation, classes, reweights)
                    )
    return total


def _block(
    shard: Shard,
    sample: str,
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
    counted = SampleSums.of_rows(classes, split, label, weight)
    if not training:
        return Statistics(tuple(classes), {sample: counted})
    found = representation.sample(columns)
    moments = {name: Moments.of(x) for name, x in found.items()}
    moments |= {
        name.removeprefix(AUXILIARY): Moments.of(np.asarray(column, np.float64)[:, None])
        for name, column in columns.items()
        if name.startswith(AUXILIARY + TARGET)
    }
    means = {
        name: {sample: ClassMeans.of(x, label, weight, len(classes))}
        for name, x in found.items()
        if len(x) == len(label)
    }
    sums = replace(counted, training=_training(shard, columns, len(classes), reweights))
    return Statistics(tuple(classes), {sample: sums}, moments, means)


def _training(
    shard: Shard, columns: Mapping[str, Column], classes: int, reweights: Sequence[Reweight]
) -> dict[str, np.ndarray]:
    """See `SampleSums.training`."""
    base = np.asarray(columns.get(TRAINING_WEIGHT, columns["weight"]))
    label = np.asarray(columns["label"], np.int64)
    found = {UNBINNED: training_sums(base, label, classes, 1)}
    for reweight in reweights:
        values = [_dense(shard, columns, name) for name in reweight.variables]
        cells = reweight.cell_of(values, label)
        found[reweight.key] = training_sums(base, cells, classes, reweight.cells)
    return found


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


def merged(a: Mapping[str, M], b: Mapping[str, M]) -> dict[str, M]:
    """Both mappings in their order, with what is in both merged."""
    return {**a, **b, **{name: a[name].merge(b[name]) for name in a.keys() & b.keys()}}
