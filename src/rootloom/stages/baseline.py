"""Fit a baseline to the training split and score the rows of a dataset that it is asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rootloom.config import registry
from rootloom.planning.request import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import (
    ALL_SHARDS,
    Predicted,
    Scored,
    class_of,
    predicted,
    scored,
    statistics_read,
    weights_of,
)
from rootloom.types import GROUPS


@dataclass(frozen=True, kw_only=True)
class Section(Predicted):
    """baseline: kind and fields of its class. trained: fields of `Scored` of the fit."""

    baseline: Fields
    trained: Fields


def describe(plan: Planning, dataset: str, method: str) -> Description:
    """A baseline has one member, which is fitted and scores a dataset in one job.

    For another dataset it is fitted again, to the same rows: what it learns is not stored.
    """
    baseline, nominal = plan.request.experiment.baselines[method], plan.datasets.nominal.name
    section = Section(
        **vars(predicted(plan, dataset, method, 0)),
        baseline=baseline,
        trained=asdict(scored(plan, nominal, method, 0)),
    )
    code = [class_of("baselines", baseline), class_of("representations", section.representation)]
    read = [statistics_read(plan, name, method) for name in (nominal, dataset)]
    return Description(section, code=code, upstream=read)


def run(
    job: Job,
    *,
    training_shards: Sequence[str],
    training_statistics: str,
    shards: Sequence[str],
    statistics: str,
    outputs: Any,
) -> None:
    """Fit a baseline to the training split of one dataset and score rows of that or another one.

    training_shards, training_statistics: of the former; shards, statistics: of the latter.
    outputs: with a path for each split, and for the rows of no class, as attributes. Each file has
    all rows of its split.
    """
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.scoring import (
        LearningData,
        header_of,
        rows_to_score,
        signal_of,
        unscored,
        write_predictions,
    )

    section = Section(**job["section"])
    table = weights_of(Scored(**section.trained), Statistics.read(training_statistics))
    told = rows_to_score(section, Statistics.read(statistics))
    truth = tuple(section.classes), signal_of(section), tuple(section.targets)
    started = time.perf_counter()
    recipe = registry.build("baselines", section.baseline)
    learned = recipe.learn(LearningData(training_shards, table, *truth))
    seconds = time.perf_counter() - started
    print(f"{section.method}: fitted to {learned.rows} rows in {seconds:.1f} s")
    for split in GROUPS:
        # All rows of what has no truth: which ones figures need says nothing of them.
        asked = split in learned.splits or section.role == "score"
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
            told,
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
