"""Metrics of one method from the examples that its members made, beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rootloom.planning.data import Data
from rootloom.planning.request import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.floor import code_of, compared
from rootloom.stages.shared import ALL_SHARDS, Compared, events_of
from rootloom.system import provenance
from rootloom.system.atomic import of_result
from rootloom.types import SPLITS


@dataclass(frozen=True, kw_only=True)
class Section(Compared):
    """reader: how rows of generated files are read."""

    experiment: str
    method: str
    classes: list[str]
    members: list[int]
    reader: Fields


def describe(plan: Planning, dataset: str, method: str) -> Description:
    """The comparison of a method, by what its members made and by the floor."""
    request, data = plan.request, plan.data(dataset)
    representation = request.representation_of(method)
    comparison = compared(plan, dataset, representation)
    members = request.members(method)
    section = Section(
        **vars(comparison),
        experiment=request.name,
        method=method,
        classes=list(data.dataset.classes),
        members=members,
        reader=_reader(data, comparison.representation),
    )
    named = {"dataset": dataset}
    made = [plan.fingerprint("generate", **named, method=method, member=str(m)) for m in members]
    floor = plan.fingerprint("floor", **named, representation=representation)
    return Description(section, code=code_of(comparison), upstream=[floor, *made])


def _reader(data: Data, representation: Fields) -> Fields:
    """Without what generators need not write: an event's split and its name.

    Nor its weight: a row counts as the one to whose condition it was made.
    """
    without: Fields = {"splits": {}, "weight": None, "training_weight": None, "identity": []}
    return {**data.reader(representation), **without, "friends": {}}


def run(
    job: Job,
    *,
    examples: Sequence[str],
    models: Sequence[str],
    floor: str,
    shards: Sequence[str],
    statistics: str,
    output: str,
) -> None:
    """Compare the examples that the members of a method made with real ones.

    examples: ROOT files by member; models: bundles by member. floor: what real examples beside real
    ones gave. shards: real examples, of which those of the test split are compared with.
    statistics: hold the sums by which samples are scaled to their cross sections.
    """
    from rootloom.evaluation.results import Evaluation, read_floor, write_result
    from rootloom.rootio.section import reader_of
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.comparing import (
        comparison,
        stored_examples,
        stored_weights,
        written_examples,
    )
    from rootloom.training import bundle

    section = Section(**job["section"])
    evaluator, sampling = comparison(section)
    reader, test = reader_of(section.reader), SPLITS[-1]
    events = events_of(section, Statistics.read(statistics))
    real = stored_examples(shards, test, sampling, events)
    (label,) = section.classes
    # A generated example stands for the row to whose condition it was made, and counts as much.
    weight = stored_weights(shards, test, events)
    with of_result():
        made = [written_examples(path, reader, label, sampling, weight) for path in examples]
    metrics = [bundle.load(path).metrics for path in models]
    evaluation = Evaluation(
        experiment=section.experiment,
        method=section.method,
        split=test,
        classes=(label,),
        members=tuple(section.members),
        parameters=metrics[0]["parameters"],
        training_seconds=sum(m["seconds"] for m in metrics) / len(metrics),
        rows={label: len(real)},
        weights={label: float(real.weight.sum())},
        result=evaluator.result(real, read_floor(Path(floor)), made, sampling.representation),
        provenance=provenance.record("fidelity", dict(job), seed=evaluator.seed),
    )
    write_result(output, evaluation)
    print("\n".join(evaluation.result.lines()))


STAGE = Stage(
    "fidelity",
    f"{__name__}:run",
    describe,
    reads=("generate", "train", "floor", "preprocess", "statistics"),
    script_calls=ALL_SHARDS,
)
