"""Metrics of one method over its members, from prediction files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.config import registry
from rootloom.planning.request import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import class_of, predictions_of
from rootloom.system import provenance
from rootloom.system.atomic import of_result


@dataclass(frozen=True, kw_only=True)
class Section:
    """evaluation: kind and fields of its class."""

    dataset: str
    method: str
    evaluation: Fields


def describe(plan: Planning, dataset: str, method: str) -> Description:
    """The evaluation of a method on a dataset, by the predictions of its members."""
    evaluation = plan.request.library.evaluation(plan.request.experiment)
    section = Section(dataset=dataset, method=method, evaluation=evaluation)
    code = [class_of("evaluations", evaluation)]
    return Description(section, code=code, upstream=predictions_of(plan, dataset, method))


def run(job: Job, *, predictions: Sequence[str], held_out: Sequence[str], output: str) -> None:
    """Metrics of one method over its members.

    held_out: predictions for the training split of members that each left a fold of it out.
    """
    from rootloom.evaluation.evaluate import evaluate
    from rootloom.evaluation.predictions import require_named_split
    from rootloom.evaluation.results import write_result

    section = Section(**job["section"])
    evaluator = registry.parse("evaluations", section.evaluation)
    with of_result():
        for path in (*predictions, *held_out):
            require_named_split(path)
        found = evaluate(predictions, evaluator, held_out)
    record = provenance.record("evaluate", dict(job), seed=evaluator.seed)
    write_result(output, dataclasses.replace(found, provenance=record))


STAGE = Stage("evaluate", f"{__name__}:run", describe, reads=("predict", "baseline"))
