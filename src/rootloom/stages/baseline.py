"""Fit a baseline to the training split and score the rows of a dataset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rootloom.config import registry
from rootloom.config.sections import Fields
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
    """The fit of a baseline and its scores for a dataset, in one job.

    For another dataset the fit to the same rows is repeated, because fits are not stored.
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

    training_shards, training_statistics: of the fit; shards, statistics: of the scored dataset.
    outputs: with a path for each split, and for the rows of no class, as attributes. Each file has
    all rows of its split.
    """
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.scoring import (
        LearningData,
        header_of,
        rows_to_score,
        scorer_of,
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
        # Without truth all rows are scored, also those that no metric needs.
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
            scorer_of(learned.predict) if asked else unscored(len(learned.columns)),
            reads=learned.reads if asked else (),
        )


STAGE = Stage(
    "baseline",
    f"{__name__}:run",
    describe,
    reads=("preprocess", "statistics", "apart"),
    script_calls=ALL_SHARDS,
)
