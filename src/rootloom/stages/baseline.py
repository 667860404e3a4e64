"""Fit a baseline to the training split and score the rows it is asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rootloom.config import registry
from rootloom.planning.request import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, Scored, class_of, scored, statistics_read, weights_of
from rootloom.types import GROUPS


@dataclass(frozen=True, kw_only=True)
class Section(Scored):
    """baseline: kind and fields of its class."""

    baseline: Fields


def describe(plan: Planning, method: str) -> Description:
    """A baseline has one member, which is fitted and scores in one job."""
    baseline = plan.request.experiment.baselines[method]
    section = Section(**vars(scored(plan.request, method, 0)), baseline=baseline)
    code = [class_of("baselines", baseline), class_of("representations", section.representation)]
    return Description(section, code=code, upstream=[statistics_read(plan, method)])


def run(job: Job, *, shards: Sequence[str], statistics: str, outputs: Any) -> None:
    """Fit a baseline to the training split and score the rows it is asked for.

    outputs: with a path for each split, and for the rows of no class, as attributes. Each file has
    all rows of its split.
    """
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.scoring import (
        LearningData,
        header_of,
        signal_of,
        unscored,
        write_predictions,
    )

    section = Section(**job["section"])
    table = weights_of(section, Statistics.read(statistics))
    truth = tuple(section.classes), signal_of(section), tuple(section.targets)
    started = time.perf_counter()
    recipe = registry.build("baselines", section.baseline)
    learned = recipe.learn(LearningData(shards, table, *truth))
    seconds = time.perf_counter() - started
    print(f"{section.method}: fitted to {learned.rows} rows in {seconds:.1f} s")
    for split in GROUPS:
        asked = split in learned.splits
        header = header_of(
            job,
            section,
            split,
            learned.columns,
            learned.parameters,
            seconds,
            turned=learned.turned,
            probability=learned.probability,
        )
        write_predictions(
            getattr(outputs, split),
            header,
            shards,
            table,
            learned.predict if asked else unscored(len(learned.columns)),
            reads=learned.reads if asked else (),
        )


STAGE = Stage(
    "baseline",
    f"{__name__}:run",
    describe,
    reads=("preprocess", "statistics"),
    script_calls=ALL_SHARDS,
)
