"""Score every row with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, Predicted, predicted, statistics_read
from rootloom.stages.train import network_code
from rootloom.types import GROUPS


@dataclass(frozen=True, kw_only=True)
class Section(Predicted):
    """A member and the dataset that it scores; its training is described in the model."""

    threads: int


def describe(plan: Planning, dataset: str, method: str, member: str) -> Description:
    """The predictions of one member for a dataset, from its training and the dataset's sums."""
    threads = plan.request.experiment.threads
    section = Section(**vars(predicted(plan, dataset, method, int(member))), threads=threads)
    upstream = [
        plan.fingerprint("train", method=method, member=member),
        statistics_read(plan, dataset, method),
    ]
    return Description(section, code=network_code(plan, method), upstream=upstream)


def run(job: Job, *, model: str, shards: Sequence[str], statistics: str, outputs: Any) -> None:
    """Score every row of a dataset with a trained model.

    shards, statistics: of that dataset; moments for the inputs are those of the training, in the
    model.
    outputs: with a path for each split, and for the rows of no class, as attributes.
    """
    from rootloom.training.devices import configure

    section = Section(**job["section"])
    configure(cpus=section.threads)
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.networks import NetworkOutputs, predictor_in
    from rootloom.stages.scoring import (
        header_of,
        rows_to_score,
        score_stream,
        write_predictions,
    )
    from rootloom.training import parallel, trained

    found = trained.load(model)
    task = predictor_in(found, model, section)
    networks, sums = NetworkOutputs(task), Statistics.read(statistics)
    rows = rows_to_score(section, sums)
    present = [*sums.rows.sum(axis=1), sums.unclassified]
    for split, some in zip(GROUPS, present, strict=True):
        outputs_of = networks.of(found.params, shards, split) if some else ()
        header = header_of(
            job,
            section,
            split,
            task.columns(),
            found.metrics["parameters"],
            found.metrics["seconds"],
            objects=task.object_columns(),
            probability=task.probability,
            device=parallel.platform(),
        )
        written = write_predictions(
            getattr(outputs, split), header, shards, rows, score_stream(outputs_of)
        )
        print(f"{section.method}: {written} rows of '{split}'")


STAGE = Stage(
    "predict",
    f"{__name__}:run",
    describe,
    reads=("train", "preprocess", "statistics", "apart"),
    script_calls=ALL_SHARDS,
)
