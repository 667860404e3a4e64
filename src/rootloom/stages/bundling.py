"""What a bundle says of a method beside its parameters: cuts, metrics, and rows to check it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.errors import DataError, ResultError
from rootloom.evaluation.classification.cuts import Asked, cuts
from rootloom.evaluation.members import mean_of
from rootloom.evaluation.predictions import (
    Predictions,
    read_predictions,
    require_named_split,
)
from rootloom.export.bundle import CHECKED_ROWS, CheckSample, Metric, WorkingPoint
from rootloom.shards.held import together
from rootloom.shards.layout import inputs_in
from rootloom.shards.reader import Shard
from rootloom.system.atomic import REMAKE, of_result
from rootloom.types import SPLITS, Column, dense, score_columns


def read_members(paths: Sequence[str]) -> list[Predictions]:
    """Predictions of all members; raises ResultError for those of other rows than the first's."""
    with of_result():
        for path in paths:
            require_named_split(path)
        members = [read_predictions(path) for path in paths]
    for path, other in zip(paths, members, strict=True):
        if not np.array_equal(other.rows.id, members[0].rows.id):
            raise ResultError(
                path,
                expected=f"the rows of {paths[0]}",
                found=f"{len(other.rows)} rows that are not the same ones",
                fix=REMAKE,
            )
    return members


def mean_of_members(members: Sequence[Predictions]) -> Predictions:
    """Predictions with the mean scores of members for the same rows."""
    scores = mean_of(np.stack([member.rows.scores for member in members]))
    rows = dataclasses.replace(members[0].rows, scores=scores)
    return dataclasses.replace(members[0], rows=rows)


def working_points(mean: Predictions, asked: Fields) -> list[WorkingPoint]:
    """Cuts on the score of the signal, or of each of several classes; none if it predicts numbers.

    asked: fields of `cuts.Asked`.
    """
    header, rows = mean.header, mean.that_count().rows
    if header.columns != score_columns(header.classes):
        return []
    signals = [header.signal] if len(header.classes) == 2 else list(header.classes)
    found: list[WorkingPoint] = []
    for number, signal in enumerate(signals):
        is_signal = rows.truth == header.classes.index(signal)
        try:
            made = cuts(rows.scores[:, number], is_signal, rows.weight, Asked(**asked))
        except DataError as refusal:
            print(f"note: no working points of '{signal}': {refusal.found}")
            continue
        column = header.columns[number]
        found += [WorkingPoint(**vars(one), signal=signal, column=column) for one in made]
    return found


def metrics(mean: Predictions, evaluation: Fields) -> dict[str, Metric]:
    """Metrics of an evaluation of the experiment; none if it cannot evaluate these rows."""
    evaluator: Any = registry.parse("evaluations", evaluation)
    try:
        found = evaluator.result([mean], []).metrics()
    except DataError as refusal:
        print(f"note: no metrics of the validation split: {refusal}")
        return {}
    return {name: Metric(value=one.value, error=one.statistical) for name, one in found.items()}


def check_sample(shards: Sequence[str], members: Sequence[Predictions]) -> CheckSample:
    """Rows from all over the validation split, as many as there are up to `CHECKED_ROWS`."""
    ids = members[0].rows.id
    places = np.unique(np.linspace(0, len(ids) - 1, CHECKED_ROWS).astype(np.int64))
    columns = together(list(_rows_at(shards, places)))
    if not np.array_equal(dense(columns, "id"), ids[places]):
        raise ResultError(
            shards[0],
            expected="the rows that were scored, in their order",
            found="others",
            fix="delete the predictions and run snakemake again",
        )
    scores = np.stack([member.rows.scores[places] for member in members])
    return CheckSample(columns, scores.astype(np.float32, copy=False))


def _rows_at(shards: Sequence[str], places: np.ndarray) -> Iterator[dict[str, Column]]:
    """Inputs of the rows of the validation split at these places, a row at a time."""
    first, split = 0, SPLITS[1]
    for path in shards:
        with Shard(path) as shard:
            stop = first + shard.rows(split)
            names = ["id", *inputs_in(shard.columns)]
            for place in places[(places >= first) & (places < stop)] - first:
                yield shard.read(split, names, int(place), int(place) + 1)
        first = stop
