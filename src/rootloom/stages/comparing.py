"""Showers of shards and of ROOT files as samples to compare, read by the same expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.baselines.base import Sample, collect
from rootloom.config import registry
from rootloom.errors import DataError
from rootloom.evaluation.generation.samples import Showers
from rootloom.representations.section import representation_of
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.header import inspect
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.reader import Shard
from rootloom.shards.weights import EventWeights
from rootloom.stages.shared import Compared
from rootloom.types import Column

# Showers whose cells are laid out at a time.
_BLOCK = 2_000
# Variables, and the columns of the representation with the weights, of some rows.
Block = tuple[Mapping[str, Column], Mapping[str, Column]]


@dataclass(frozen=True)
class Sampling:
    """What is taken of each shower, and of how many.

    features: variables of the dataset. rows: at most so many showers, drawn by `seed`.
    representation: lays out the cells and says which energy was asked for.
    """

    representation: Any
    features: tuple[str, ...]
    rows: int
    seed: int


def comparison(section: Compared) -> tuple[Any, Sampling]:
    """The evaluator, and what it is given of each shower."""
    evaluator = registry.parse("evaluations", section.evaluation)
    representation = representation_of(section.representation)
    features = tuple(section.features)
    return evaluator, Sampling(representation, features, evaluator.max_rows, evaluator.seed)


def stored_showers(
    shards: Sequence[str | Path],
    split: str,
    sampling: Sampling,
    events: EventWeights,
) -> Showers:
    """Those of a split of shards, which carry the variables beside the cells.

    events: makes their event weights.
    """
    return _showers(_stored(shards, split, sampling, events), sampling, f"the {split} split")


def written_showers(
    path: str | Path,
    reader: RowReader,
    file_class: str,
    sampling: Sampling,
    weight: np.ndarray | None = None,
) -> Showers:
    """Those of a ROOT file, whose rows are of class `file_class` where files decide.

    weight: (N,) of the file's entries; None: the reader's.
    Raises DataError when the file has another number of entries.
    """
    return _showers(_written(str(path), reader, file_class, sampling, weight), sampling, str(path))


def stored_weights(shards: Sequence[str | Path], split: str, events: EventWeights) -> np.ndarray:
    """Event weights (N,) of a split, in the order in which `energies_of_split` has its energies.

    events: makes them.
    """
    found = [np.empty(0, np.float32)]
    for path in shards:
        with Shard(path) as shard:
            found.append(events.of(shard.read(split, events.reads)))
    return np.concatenate(found)


def _stored(
    shards: Sequence[str | Path], split: str, sampling: Sampling, events: EventWeights
) -> Iterator[Block]:
    for path in shards:
        with Shard(path) as shard:
            for start in range(0, shard.rows(split), _BLOCK):
                columns = shard.read(split, None, start, start + _BLOCK)
                counted = {**columns, "weight": events.of(columns)}
                yield {name: columns[AUXILIARY + name] for name in sampling.features}, counted


def _written(
    path: str,
    reader: RowReader,
    file_class: str,
    sampling: Sampling,
    weight: np.ndarray | None,
) -> Iterator[Block]:
    header = inspect(path, reader.tree)
    reader, entries = reader.fitted(header.branches, path), header.entries
    objects = {name: tuple(columns) for name, columns in reader.objects.items()}
    needed = sampling.representation.needs(tuple(reader.variables), objects)
    columns = tuple(dict.fromkeys((*sampling.features, *needed)))
    if weight is not None and len(weight) != entries:
        raise DataError(
            path,
            expected=f"{len(weight)} showers, one for each row they are made at the energy of",
            found=str(entries),
            fix="generate them again",
        )
    for block in reader.read(path, 0, entries, file_class=file_class, columns=columns, step=_BLOCK):
        encoded = sampling.representation.encode({name: block.columns[name] for name in needed})
        counts = block.weight if weight is None else weight[block.entry]
        yield block.columns, {**encoded, "weight": counts}


def _showers(blocks: Iterable[Block], sampling: Sampling, where: str) -> Showers:
    samples = (_sample(variables, columns, sampling) for variables, columns in blocks)
    first = next(samples, None)
    if first is None:
        raise DataError(where, expected="showers to compare", found="none")
    drawn = collect(chain([first], samples), sampling.rows, sampling.seed)
    energy, kept = drawn.x[:, 0], drawn.x[:, 1:]
    features, cells = np.split(kept, [len(sampling.features)], axis=1)
    return Showers(
        names=sampling.features,
        features=features.astype(np.float64),
        cells=cells,
        condition=energy.astype(np.float64),
        response=cells.sum(axis=1, dtype=np.float64),
        event_weight=drawn.weight,
    )


def _sample(
    variables: Mapping[str, Column], columns: Mapping[str, Column], sampling: Sampling
) -> Sample:
    """The energy asked for, the features, then all cells, side by side.

    In single precision, in which shards keep what they keep: a classifier would see the digits of
    real and generated showers differ.
    """
    weight = np.asarray(columns["weight"])
    rows = np.arange(len(weight))
    laid = sampling.representation.collate(columns, rows, len(rows))
    features = [np.asarray(variables[name], np.float32) for name in sampling.features]
    x = np.column_stack([laid.energy, *features, laid.cells])
    return Sample(x, np.ones(len(rows), np.int8), weight, ())
