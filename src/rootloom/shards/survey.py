"""Distributions and images of a dataset for the report: computed for each shard, then merged.

A survey has distributions of every input by class in the training and the test split and, for
representations that can be drawn, mean images and an example row of each class. Histograms and sums
are by sample, as in the statistics, because the scale of a sample's weights is known only at the
end. All shards have the same axes, found from some of them; each shard is read in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from rootloom.errors import DataError
from rootloom.representations.base import Representation
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.moments import ClassMeans
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import merged
from rootloom.system.atomic import read_json
from rootloom.system.packing import position
from rootloom.types import SPLITS, TARGET, Column, Ragged

Axes = Mapping[str, np.ndarray]  # edges (n + 1,) by the name of the input

COMPARED = (SPLITS[0], SPLITS[-1])  # the splits whose distributions are shown
# Bins of a histogram: the root of the number of values, within these limits.
BINS, MIN_BINS = 40, 10
# An axis leaves out this share on either side, because a few far values would hide all others.
_TAIL_SHARE = 0.005
# Whole numbers in at most this range have one bin each.
_MAX_WHOLE_RANGE = 60
# Positive values over a larger ratio than this have logarithmic bins.
_MIN_LOG_RATIO = 100.0
# Rows, and values of an input, from which axes are found: in all shards together, and at least in
# each shard that is used.
_LOOKED_AT, _VALUES, _LEAST = 20_000, 200_000, 20
_BLOCK_ROWS = 8192
_BLOCK_PIXELS = 1 << 22  # of rows drawn at a time


@dataclass(frozen=True)
class Spectrum:
    """A histogram by sample, split and class: `sums` (2, 2, K, n), Σw and Σw² of `COMPARED`.

    edges: (n + 1,); values beyond the edges are in the first and last bin. If an input has several
    values per row, each counts with the row's weight.
    """

    edges: np.ndarray
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)

    def filled(
        self, sample: str, split: int, values: np.ndarray, label: np.ndarray, weight: np.ndarray
    ) -> Self:
        """With values (V,) of a split of `COMPARED` added, with class and weight (V,) of each."""
        sums, known = np.array(self.sums[sample]), np.isfinite(values)
        classes, bins = sums.shape[2:]
        place = np.searchsorted(self.edges, values[known], side="right") - 1
        place = label[known] * bins + np.clip(place, 0, bins - 1)
        for k, w in enumerate((weight[known], weight[known] ** 2)):
            sums[k, split] += np.bincount(place, w, classes * bins).reshape(classes, bins)
        return type(self)(self.edges, {**self.sums, sample: sums})

    def merge(self, other: Self) -> Self:
        """The sum of both. Raises DataError if their bins differ."""
        if not np.array_equal(self.edges, other.edges):
            raise DataError(
                "histograms to merge", expected="the same edges", found="edges that differ"
            )
        both = {n: self.sums[n] + other.sums[n] for n in self.sums.keys() & other.sums.keys()}
        return type(self)(self.edges, {**self.sums, **other.sums, **both})

    def scaled(self, scales: Mapping[str, float]) -> np.ndarray:
        """Σw and Σw² of all samples together, (2, 2, K, n); scales: of weights, by sample."""
        factors = {name: np.array([scales[name], scales[name] ** 2]) for name in self.sums}
        parts = [self.sums[name] * factors[name][:, None, None, None] for name in sorted(factors)]
        return np.sum(parts, axis=0)


@dataclass(frozen=True)
class Example:
    """A row as an image: `pixels` (P,) of all panels, one after the other; id: of the row."""

    id: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Survey:
    """Distributions and images of a dataset in one representation, for the report.

    spectra: by the name of the input. means: of pixels (K, P) in the training split, by sample.
    examples: by class, the training row of the smallest id that is not empty.
    """

    classes: tuple[str, ...]
    spectra: Mapping[str, Spectrum] = field(default_factory=dict)
    means: Mapping[str, ClassMeans] = field(default_factory=dict)
    examples: Mapping[str, Example] = field(default_factory=dict)

    @classmethod
    def empty(cls, classes: Sequence[str], axes: Axes) -> Self:
        """The survey of no rows."""
        return cls(tuple(classes), {name: Spectrum(edges) for name, edges in axes.items()})

    def merge(self, other: Self) -> Self:
        """Both together."""
        return type(self)(
            self.classes,
            merged(self.spectra, other.spectra),
            merged(self.means, other.means),
            _first(self.examples, other.examples),
        )

    def mean(self, scales: Mapping[str, float]) -> np.ndarray:
        """Mean pixels (K, P) of the classes by event weights; scales: by sample."""
        parts = [means.scaled(scales[name]) for name, means in sorted(self.means.items())]
        return reduce(ClassMeans.merge, parts).mean

    def content(self) -> dict[str, object]:
        """JSON data that give the same bits when read."""
        return {
            "classes": list(self.classes),
            "spectra": {
                name: {
                    "edges": one.edges.tolist(),
                    "sums": {sample: sums.tolist() for sample, sums in one.sums.items()},
                }
                for name, one in self.spectra.items()
            },
            "means": {sample: means.to_json() for sample, means in self.means.items()},
            "examples": {
                name: {"id": one.id, "pixels": one.pixels.tolist()}
                for name, one in self.examples.items()
            },
        }

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a survey from a file. Raises ResultError if it is damaged."""
        return read_json(path, "what a report shows of a dataset", cls.of_content)

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `content`, exactly."""
        return cls(
            tuple(content["classes"]),
            {
                name: Spectrum(
                    np.array(one["edges"]), {s: np.array(x) for s, x in one["sums"].items()}
                )
                for name, one in content["spectra"].items()
            },
            {sample: ClassMeans.from_json(one) for sample, one in content["means"].items()},
            {
                name: Example(one["id"], np.array(one["pixels"], np.float32))
                for name, one in content["examples"].items()
            },
        )


def axes_of(paths: Sequence[str | Path], representation: Representation) -> Axes:
    """Find the axes of all distributions from some rows of at most a thousand shards.

    The shards are chosen by their names. Raises ResultError for a damaged shard.
    """
    most, values_of_each = (
        max(_LEAST, -(-of_all // max(1, len(paths)))) for of_all in (_LOOKED_AT, _VALUES)
    )
    seen: dict[str, list[np.ndarray]] = {}
    scattered = sorted(paths, key=lambda path: position(Path(path).name))
    with_rows = filter(None, (_first_rows(path, most) for path in scattered))
    for columns in islice(with_rows, _LOOKED_AT // _LEAST):
        for name, column in _inputs(representation, columns).items():
            values = column.values if isinstance(column, Ragged) else column
            seen.setdefault(name, []).append(np.asarray(values)[:values_of_each])
    return {name: axis(np.concatenate(parts)) for name, parts in seen.items()}


def read_axes(path: str | Path) -> Axes:
    """Read axes from a file. Raises ResultError if it is damaged."""

    def parse(content: Mapping[str, Mapping[str, list[float]]]) -> Axes:
        return {name: np.array(edges, np.float64) for name, edges in content["axes"].items()}

    return read_json(path, "the axes of distributions", parse)


def _first_rows(path: str | Path, most: int) -> dict[str, Column]:
    """The first rows of the first split of `COMPARED` that has rows; empty if there are none."""
    with Shard(path) as shard:
        split = next((one for one in COMPARED if shard.rows(one)), None)
        return shard.read(split, None, 0, most) if split else {}


def of_shard(
    path: str | Path, representation: Representation, classes: Sequence[str], axes: Axes
) -> Survey:
    """The survey of one shard, in blocks of limited memory; raises ResultError if it is damaged."""
    panels = representation.panels()
    pixels = sum(panel.pixels for panel in panels)
    with Shard(path) as shard:
        sample = str(shard.attributes.get("sample", ""))
        found = Survey(tuple(classes))
        spectra = {
            name: Spectrum(at, {sample: np.zeros((2, 2, len(classes), len(at) - 1))})
            for name, at in axes.items()
        }
        for split, name in enumerate(COMPARED):
            for columns in _blocks(shard, name, _BLOCK_ROWS):
                label, weight = _label_and_weight(columns)
                for quantity, column in _inputs(representation, columns).items():
                    of = _spread(column, label, weight)
                    spectra[quantity] = spectra[quantity].filled(sample, split, *of)
        if panels:
            rows = max(1, min(_BLOCK_ROWS, _BLOCK_PIXELS // pixels))
            for columns in _blocks(shard, COMPARED[0], rows):
                found = found.merge(_drawn(columns, representation, sample, classes))
    return found.merge(Survey(tuple(classes), spectra))


def axis(values: np.ndarray) -> np.ndarray:
    """Edges of the histogram of an input, from some of its values (V,).

    One bin for each whole number in a small range, logarithmic bins for positive values over more
    than two powers of ten, otherwise bins of equal width, without the outermost values.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return np.linspace(0.0, 1.0, BINS + 1)
    if values.max() - values.min() <= _MAX_WHOLE_RANGE and np.array_equal(values, np.round(values)):
        return np.arange(values.min() - 0.5, values.max() + 1.0)
    bins = int(np.clip(np.sqrt(len(values)), MIN_BINS, BINS))
    low, high = np.quantile(values, [_TAIL_SHARE, 1 - _TAIL_SHARE])
    if not low < high:
        low, high = values.min(), values.max()
    if not low < high:
        around = 0.5 * abs(low) or 0.5
        low, high = low - around, high + around
    if low > 0 and high > _MIN_LOG_RATIO * low:
        return np.geomspace(low, high, bins + 1)
    return np.linspace(low, high, bins + 1)


def _inputs(representation: Representation, columns: Mapping[str, Column]) -> dict[str, Column]:
    """The representation's quantities, and the targets."""
    prefix = AUXILIARY + TARGET
    targets = {name: column for name, column in columns.items() if name.startswith(prefix)}
    named = {f"target {name.removeprefix(prefix)}": column for name, column in targets.items()}
    return {**representation.quantities(columns), **named}


def _blocks(shard: Shard, split: str, rows: int) -> Iterator[dict[str, Column]]:
    for start in range(0, shard.rows(split), rows):
        yield shard.read(split, None, start, start + rows)


def _label_and_weight(columns: Mapping[str, Column]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(columns["label"], np.int64), np.asarray(columns["weight"], np.float64)


def _spread(
    column: Column, label: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (V,), and class and weight of each value's row."""
    if not isinstance(column, Ragged):
        return np.asarray(column, np.float64), label, weight
    rows = np.repeat(np.arange(len(label)), column.counts())
    return np.asarray(column.values, np.float64), label[rows], weight[rows]


def _drawn(
    columns: Mapping[str, Column],
    representation: Representation,
    sample: str,
    classes: Sequence[str],
) -> Survey:
    """Mean images and examples of a block of rows."""
    label, weight = _label_and_weight(columns)
    rows = np.arange(len(label))
    images = representation.draw(columns, rows)
    pixels = np.concatenate([image.reshape(len(rows), -1) for image in images], axis=1)
    identity, some = np.asarray(columns["id"]), (pixels != 0).any(axis=1)
    examples = {}
    for k, name in enumerate(classes):
        candidates = np.flatnonzero((label == k) & some)
        if len(candidates):
            row = candidates[np.argmin(identity[candidates])]
            examples[name] = Example(int(identity[row]), pixels[row].astype(np.float32))
    means = ClassMeans.of(pixels.astype(np.float64), label, weight, len(classes))
    return Survey(tuple(classes), {}, {sample: means}, examples)


def _first(a: Mapping[str, Example], b: Mapping[str, Example]) -> dict[str, Example]:
    """For each class the example with the smaller id."""
    found: dict[str, Example] = {}
    for name, one in (*a.items(), *b.items()):
        if name not in found or one.id < found[name].id:
            found[name] = one
    return found
