"""Prediction files from shards and scores, of networks and of baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rootloom.baselines.base import Sample, matrix
from rootloom.evaluation.predictions import Header, Outputs, Rows, prediction_writer
from rootloom.planning.stage import Job
from rootloom.shards.layout import AUXILIARY
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import EventWeights, Weighting, WeightTable
from rootloom.stages.shared import Predicted, Scored, weights_of
from rootloom.system import provenance
from rootloom.types import NO_CLASS, TARGET, UNLABELLED, Column, dense

BASE = ("id", "entry", "object", "label", "weight")
Scorer = Callable[[Mapping[str, Column], int], Outputs]


@dataclass(frozen=True)
class RowsToScore:
    """Truth and weights of a dataset's rows, for the prediction file.

    truth: for each label in the shards, the number of the class in the training; the last is for
    rows of no class. events: computes event weights. training: computes training weights; None for
    a dataset that does not train.
    """

    truth: np.ndarray
    events: EventWeights
    training: WeightTable | None

    @property
    def reads(self) -> tuple[str, ...]:
        """The shard columns that they are computed from."""
        return self.events.reads if self.training is None else self.training.reads


def rows_to_score(section: Predicted, statistics: Statistics) -> RowsToScore:
    """Truth and weights, from the statistics of the scored dataset."""
    truth = np.array([*map(section.classes.index, section.labels), NO_CLASS], np.int32)
    if section.role != "train":
        events = Weighting.of_events(section.weighting).events(statistics.samples)
        return RowsToScore(truth, events, None)
    table = weights_of(section, statistics)
    return RowsToScore(truth, table.events, table)


def write_predictions(
    output: str | Path,
    header: Header,
    shards: Sequence[str | Path],
    told: RowsToScore,
    score: Scorer,
    *,
    reads: Sequence[str] = (),
) -> int:
    """Score every row of a split or of no class, shard by shard; returns the number of rows.

    score: (shard columns, R) → what is said of R rows; called once a shard, in the shards' order.
    reads: shard columns it needs beside `BASE`. told: truth and weights of the rows.
    """
    owners = [_owner(path) for path in shards]
    files = {key: number for number, key in enumerate(dict.fromkeys(owners))}
    rows = 0
    with prediction_writer(output, dataclasses.replace(header, files=tuple(files))) as writer:
        for path, key in zip(shards, owners, strict=True):
            with Shard(path) as shard:
                columns = _columns(shard, header.split, (*told.reads, *reads))
            said = score(columns, len(columns["id"]))
            found = _rows(columns, files[key], header.split, told, said)
            writer.append(found)
            rows += len(found)
    return rows


def score_stream(batches: Iterable[Outputs]) -> Scorer:
    """A scorer that hands out, in order, the rows of batches of any length."""
    source = iter(batches)
    held: list[Outputs] = []

    def score(columns: Mapping[str, Column], rows: int) -> Outputs:
        while sum(map(len, held)) < rows:
            held.append(next(source))
        if not held:
            return Outputs(np.empty((0, 1), np.float32))
        whole = Outputs.together(held)
        held[:] = [whole.take(np.arange(rows, len(whole)))]
        return whole.take(np.arange(rows))

    return score


def scorer_of(predict: Callable[[Mapping[str, Column], int], np.ndarray]) -> Scorer:
    """A scorer of a method that says nothing of objects, from its scores (R, C)."""

    def score(columns: Mapping[str, Column], rows: int) -> Outputs:
        return Outputs(predict(columns, rows) if rows else np.empty((0, 1), np.float32))

    return score


@dataclass(frozen=True)
class LearningData:
    """What a baseline learns from (`baselines.base.Data`), weighted as in training."""

    shards: Sequence[str | Path]
    table: WeightTable
    classes: tuple[str, ...]
    signal: str
    targets: tuple[str, ...]

    def variables(self) -> tuple[str, ...]:
        """Per-row variables that the shards hold, sorted; shards without rows hold none."""
        for path in self.shards:
            with Shard(path) as shard:
                names = [n for n in shard.columns if n.startswith("x.") and not shard.is_ragged(n)]
            if names:
                return tuple(sorted(name.removeprefix("x.") for name in names))
        return ()

    def samples(self, split: str, variables: Sequence[str], positive: int) -> Iterator[Sample]:
        """The rows of a split, one sample a shard."""
        for path in self.shards:
            with Shard(path) as shard:
                reads = [*self.table.reads, *(f"x.{name}" for name in variables)]
                columns = _columns(shard, split, reads)
            yield Sample(
                x=matrix(columns, variables),
                target=(dense(columns, "label") == positive).astype(np.int8),
                weight=self.table.training(columns),
                names=tuple(variables),
            )

    def rows(
        self, split: str, reads: Sequence[str]
    ) -> Iterator[tuple[dict[str, Column], np.ndarray]]:
        """See `Data`; shards without rows of the split are left out."""
        for path in self.shards:
            with Shard(path) as shard:
                columns = {}
                if shard.rows(split):
                    columns = _columns(shard, split, (*self.table.reads, *reads))
            if columns:
                columns["weight"] = self.table.training(columns)
                truth = [dense(columns, f"{AUXILIARY}{TARGET}{name}") for name in self.targets]
                yield columns, np.stack(truth, axis=1)


def unscored(columns: int) -> Scorer:
    """A scorer of a method that is not asked for these rows: NaN in each of its columns."""
    return lambda _, rows: Outputs(np.full((rows, columns), np.nan, np.float32))


def _owner(path: str | Path) -> str:
    with Shard(path) as shard:
        return str(shard.attributes["file_key"])


def _columns(shard: Shard, split: str, reads: Sequence[str]) -> dict[str, Column]:
    if not shard.rows(split):
        whole = ("label", "entry", "object")
        none = {name: np.empty(0, np.float32) for name in (*BASE, *reads)}
        return {**none, **{name: np.empty(0, np.int64) for name in whole}}
    auxiliary = [name for name in shard.columns if name.startswith(AUXILIARY)]
    return shard.read(split, dict.fromkeys([*BASE, *auxiliary, *reads]))


def _rows(
    columns: Mapping[str, Column], file: int, group: str, told: RowsToScore, said: Outputs
) -> Rows:
    length = len(columns["id"])
    auxiliary = {
        name.removeprefix(AUXILIARY): dense(columns, name)
        for name in columns
        if name.startswith(AUXILIARY)
    }
    weight = told.events.of(columns)
    training = told.training
    return Rows(
        id=dense(columns, "id"),
        weight=weight,
        # That of a class, which these rows have not.
        training_weight=None
        if training is None or group == UNLABELLED
        else training.training(columns, weight),
        truth=told.truth[dense(columns, "label")],
        scores=said.scores,
        objects=said.objects,
        file=np.full(length, file, np.int32),
        entry=dense(columns, "entry"),
        object=dense(columns, "object"),
        aux=auxiliary,
    )


def signal_of(section: Scored) -> str:
    """The class that a scored job discriminates from the others."""
    return str(section.task.get("signal") or section.classes[-1])


def header_of(
    job: Job,
    section: Predicted,
    split: str,
    columns: Sequence[str],
    parameters: int,
    seconds: float,
    *,
    objects: Sequence[str] = (),
    turned: Sequence[str] = (),
    probability: bool,
    device: str = "cpu",
) -> Header:
    """What a prediction file of this job says of itself.

    probability: whether its scores are such. device: the kind of device that computed them.
    """
    return Header(
        method=section.method,
        classes=tuple(section.classes),
        signal=signal_of(section),
        columns=tuple(columns),
        experiment=section.experiment,
        member=section.member,
        split=split,
        parameters=parameters,
        training_seconds=seconds,
        provenance={**provenance.record("predict", dict(job)), "device": device},
        objects=tuple(objects),
        turned=tuple(turned),
        probability=probability,
        trained_on=section.role == "train",
    )
