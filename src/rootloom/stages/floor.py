"""Metrics of real examples compared with real ones, once per representation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.config import registry
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, Compared, class_of, events_of
from rootloom.system import provenance
from rootloom.types import SPLITS


@dataclass(frozen=True, kw_only=True)
class Section(Compared):
    """Comparison of real examples with real ones."""


def describe(plan: Planning, dataset: str, representation: str) -> Description:
    """The comparison of real examples of a representation, once for all methods."""
    section = Section(**vars(compared(plan, dataset, representation)))
    statistics = plan.fingerprint("statistics", dataset=dataset, representation=representation)
    code = [
        class_of("evaluations", section.evaluation),
        class_of("representations", section.representation),
    ]
    return Description(section, code=code, upstream=[statistics])


def compared(plan: Planning, dataset: str, representation: str) -> Compared:
    """Fields for comparing examples of a dataset."""
    request, data = plan.request, plan.data(dataset)
    return Compared(
        representation=request.representation(representation),
        evaluation=request.library.evaluation(request.experiment),
        features=data.compared(representation),
        samples=data.weighting()["samples"],
    )


def run(job: Job, *, shards: Sequence[str], statistics: str, output: str) -> None:
    """Compare real examples of the test split with equally many of the training split.

    statistics: have the sums for scaling samples to their cross sections.
    """
    from rootloom.evaluation.results import write_result
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.comparing import sampling_of, stored_examples

    section = Section(**job["section"])
    evaluator = registry.parse("evaluations", section.evaluation)
    sampling = sampling_of(section, evaluator)
    train, _, test = SPLITS
    events = events_of(section, Statistics.read(statistics))
    real = stored_examples(shards, test, sampling, events)
    other = stored_examples(shards, train, dataclasses.replace(sampling, rows=len(real)), events)
    record = provenance.record("floor", dict(job), seed=evaluator.seed)
    found = dataclasses.replace(evaluator.floor(real, other), provenance=record)
    write_result(output, found)


STAGE = Stage(
    "floor",
    f"{__name__}:run",
    describe,
    reads=("preprocess", "statistics"),
    script_calls=ALL_SHARDS,
)
