"""Evaluation of predictions, or of generated examples and real ones.

Each function imports what it needs: for predictions neither JAX nor ROOT.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rootloom.config.sections import Fields
from rootloom.stages.shared import Compared, events_of
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.evaluation.base import Comparator, Evaluator
    from rootloom.evaluation.results import Evaluation
    from rootloom.stages.evaluate import Paths, Section


@dataclass(frozen=True, kw_only=True)
class Examples(Compared):
    """reader: how rows of generated files are read."""

    experiment: str
    classes: list[str]
    members: list[int]
    reader: Fields


def evaluate_predictions(section: Section, evaluator: Evaluator, paths: Paths) -> Evaluation:
    """Metrics of a method from the prediction files of its members."""
    from rootloom.evaluation.evaluate import evaluate
    from rootloom.evaluation.predictions import require_named_split

    for path in (*paths["results"], *paths["held_out"]):
        require_named_split(path)
    return evaluate(paths["results"], evaluator, paths["held_out"])


def evaluate_examples(section: Section, evaluator: Comparator, paths: Paths) -> Evaluation:
    """Metrics of a method from the examples that its members made, and real ones."""
    from rootloom.evaluation.results import Evaluation, read_floor
    from rootloom.rootio.section import reader_of
    from rootloom.shards.manifest import all_shards
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.comparing import (
        sampling_of,
        stored_examples,
        stored_weights,
        written_examples,
    )
    from rootloom.training import trained

    read = Examples(**(section.examples or {}))
    (statistics,), (floor,), test = paths["statistics"], paths["floor"], SPLITS[-1]
    shards = all_shards(paths["manifests"], paths["files"])
    sampling, reader = sampling_of(read, evaluator), reader_of(read.reader)
    events = events_of(read, Statistics.read(statistics))
    real = stored_examples(shards, test, sampling, events)
    (label,) = read.classes
    # A generated example has the weight of the row with the same condition.
    weight = stored_weights(shards, test, events)
    made = [written_examples(path, reader, label, sampling, weight) for path in paths["results"]]
    metrics = [trained.load(path).metrics for path in paths["models"]]
    result = evaluator.result(real, read_floor(Path(floor)), made, sampling.representation)
    print("\n".join(result.lines()))
    return Evaluation(
        experiment=read.experiment,
        method=section.method,
        split=test,
        classes=(label,),
        members=tuple(read.members),
        parameters=metrics[0]["parameters"],
        training_seconds=sum(m["seconds"] for m in metrics) / len(metrics),
        rows={label: len(real)},
        weights={label: float(real.weight.sum())},
        result=result,
    )
