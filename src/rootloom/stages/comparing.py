"""Samples of real and generated examples, from shards and from ROOT files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rootloom.baselines.base import Sample, collect
from rootloom.errors import ConfigError, DataError
from rootloom.evaluation.base import Comparator
from rootloom.evaluation.generation.samples import Samples
from rootloom.representations.base import Representation
from rootloom.representations.section import representation_of
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.header import inspect
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.reader import Shard
from rootloom.shards.weights import EventWeights
from rootloom.stages.shared import Compared
from rootloom.types import Column

# Number of examples whose inputs are in memory at a time.
_BLOCK = 2_000


class Block(NamedTuple):
    """Some rows: variables of the dataset, shard columns of the representation, event weights."""

    variables: Mapping[str, Column]
    columns: Mapping[str, Column]
    weight: np.ndarray


@dataclass(frozen=True)
class Sampling:
    """The quantities that are read for each example, and the number of examples.

    variables: of the dataset, in addition to observables of the representation. features: those of
    both that are compared; None: all. rows: at most so many examples, drawn with `seed`.
    representation: makes the inputs and gives their condition.
    """

    representation: Representation
    variables: tuple[str, ...]
    rows: int
    seed: int
    features: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features: those chosen, else variables, then observables."""
        own = (one.name for one in self.representation.observables())
        return (*self.variables, *own) if self.features is None else self.features


def sampling_of(section: Compared, evaluator: Comparator) -> Sampling:
    """The sampling for an evaluator."""
    return Sampling(
        representation_of(section.representation),
        tuple(section.features),
        evaluator.max_rows,
        evaluator.seed,
        evaluator.features,
    )


def stored_examples(
    shards: Sequence[str | Path],
    split: str,
    sampling: Sampling,
    events: EventWeights,
) -> Samples:
    """Examples of a split of shards, which also have the variables.

    events: computes their event weights.
    """
    return _samples(_stored(shards, split, sampling, events), sampling, f"the {split} split")


def written_examples(
    path: str | Path,
    reader: RowReader,
    file_class: str,
    sampling: Sampling,
    weight: np.ndarray | None = None,
) -> Samples:
    """Examples of a ROOT file, of class `file_class` if files decide the class.

    reader: the dataset's. weight: (N,) of the file's entries; None: the reader's.
    Raises DataError if the file has another number of entries.
    """
    return _samples(_written(str(path), reader, file_class, sampling, weight), sampling, str(path))


def stored_weights(shards: Sequence[str | Path], split: str, events: EventWeights) -> np.ndarray:
    """Event weights (N,) of a split, in the order of `conditions_of_split`.

    events: computes them.
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
                variables = {name: columns[AUXILIARY + name] for name in sampling.variables}
                yield Block(variables, columns, events.of(columns))


def _written(
    path: str,
    reader: RowReader,
    file_class: str,
    sampling: Sampling,
    weight: np.ndarray | None,
) -> Iterator[Block]:
    header, noun = inspect(path, reader.tree), sampling.representation.noun
    reader, needed = _read_back(sampling.representation, reader)
    reader, entries = reader.fitted(header.branches, path), header.entries
    columns = tuple(dict.fromkeys((*sampling.variables, *needed)))
    if weight is not None and len(weight) != entries:
        raise DataError(
            path,
            expected=f"{len(weight)} {noun}s, one for each real row",
            found=str(entries),
            fix="generate them again",
        )
    for block in reader.read(path, 0, entries, file_class=file_class, columns=columns, step=_BLOCK):
        encoded = sampling.representation.recode({name: block.columns[name] for name in needed})
        counts = block.weight if weight is None else weight[block.entry]
        yield Block(block.columns, encoded, counts)


def _read_back(
    representation: Representation, reader: RowReader
) -> tuple[RowReader, tuple[str, ...]]:
    """As of the representation. Raises ConfigError for functions that `reader` does not call."""
    found, needed = representation.read_back(reader)
    if more := sorted(found.functions() - reader.functions()):
        raise ConfigError(
            f"representation '{type(representation).__name__}': read_back",
            expected="expressions that call functions only if those of the dataset do",
            found=", ".join(more),
            fix="name branches, and calculate in `recode`",
        )
    return found, needed


def _samples(blocks: Iterable[Block], sampling: Sampling, where: str) -> Samples:
    samples = (_sample(block, sampling) for block in blocks)
    first = next(samples, None)
    if first is None:
        noun = sampling.representation.noun
        raise DataError(where, expected=f"{noun}s to compare", found="none")
    drawn = collect(chain([first], samples), sampling.rows, sampling.seed)
    parts = drawn.x
    return Samples(
        names=sampling.names,
        features=parts["features"].astype(np.float64),
        inputs=parts["inputs"],
        condition=parts["condition"].astype(np.float64),
        response=parts["response"] if "response" in (parts.dtype.names or ()) else None,
        event_weight=drawn.weight,
        noun=sampling.representation.noun,
    )


def _sample(block: Block, sampling: Sampling) -> Sample:
    """Condition, features, flat inputs and response of each row, as fields of one array (R,).

    All but the response are in single precision, like shards: otherwise a classifier would see the
    difference in the digits of real and generated examples.
    """
    representation, rows = sampling.representation, np.arange(len(block.weight))
    inputs = representation.collate(block.columns, rows, len(rows))
    parts = {
        "condition": np.asarray(representation.condition(inputs), np.float32),
        "features": _features(block, inputs, sampling),
        "inputs": np.asarray(representation.flat(inputs), np.float32),
    }
    response = representation.response(inputs)
    if response is not None:
        parts["response"] = np.asarray(response, np.float64)
    kinds = [(name, part.dtype, part.shape[1:]) for name, part in parts.items()]
    x = np.empty(len(rows), kinds)
    for name, part in parts.items():
        x[name] = part
    return Sample(x, np.ones(len(rows), np.int8), block.weight, ())


def _features(block: Block, inputs: object, sampling: Sampling) -> np.ndarray:
    """Features (R, F) float32, in the order of the names."""
    observed = sampling.representation.observe(inputs).T
    own = (one.name for one in sampling.representation.observables())
    known = {name: np.asarray(block.variables[name], np.float32) for name in sampling.variables}
    known |= dict(zip(own, observed, strict=True))
    found = np.empty((len(block.weight), len(sampling.names)), np.float32)
    for number, name in enumerate(sampling.names):
        found[:, number] = known[name]
    return found
