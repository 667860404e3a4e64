"""Metrics of one method over its members, from their predictions or generated examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.planning.data import Data
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.floor import compared
from rootloom.stages.shared import applied_of, class_of, functions_of
from rootloom.system import provenance
from rootloom.system.atomic import of_result

# Functions for what an evaluation `evaluates`; loaded by name, so that an edit of one does not run
# evaluations of the other kind again.
_EVALUATE = {
    "predictions": "rootloom.stages.evaluating:evaluate_predictions",
    "examples": "rootloom.stages.evaluating:evaluate_examples",
}


@dataclass(frozen=True, kw_only=True)
class Section:
    """evaluation: kind and fields of its class. evaluate: computes the metrics, "module:function".

    examples: for a comparison with real rows, how these and the generated ones are read: fields of
    `evaluating.Examples`; else None.
    """

    dataset: str
    method: str
    evaluation: Fields
    evaluate: str
    examples: Fields | None


def describe(plan: Planning, dataset: str, method: str) -> Description:
    """The evaluation of a method on a dataset, from outputs of its members and the floor."""
    request = plan.request
    evaluation = request.library.evaluation(request.experiment)
    section = Section(
        dataset=dataset,
        method=method,
        evaluation=evaluation,
        evaluate=_EVALUATE[request.of_evaluation("evaluates")],
        examples=_examples(plan, plan.data(dataset), method) if request.beside_real else None,
    )
    code = [section.evaluate, class_of("evaluations", evaluation)]
    functions: list[str] = []
    upstream = applied_of(plan, dataset, method)
    if section.examples is not None:
        representation = request.representation_of(method)
        code.append(class_of("representations", request.representation(representation)))
        functions = functions_of(plan, [section.examples["reader"]])
        floor = plan.fingerprint("floor", dataset=dataset, representation=representation)
        upstream = [floor, *upstream]
    return Description(section, code=code, functions=functions, upstream=upstream)


def _examples(plan: Planning, data: Data, method: str) -> Fields:
    request = plan.request
    section = compared(plan, data.name, request.representation_of(method))
    return {
        **dataclasses.asdict(section),
        "experiment": request.name,
        "classes": list(data.dataset.classes),
        "members": request.members(method),
        "reader": _reader(data, section.representation),
    }


def _reader(data: Data, representation: Fields) -> Fields:
    """The dataset's reader without columns that generators do not write: split and identity.

    Nor the weight: an example has that of the row with the same condition.
    """
    without: Fields = {"splits": {}, "weight": None, "training_weight": None, "identity": []}
    return {**data.reader(representation), **without, "friends": {}}


class Paths(TypedDict):
    """Files of an evaluation. results: predictions or examples of the members.

    held_out: predictions for the training split of members that each left out a fold of it. For a
    comparison with real rows: floor, the comparison of real rows with real ones; models of the
    members; manifests of the shards with the real rows, and files, their number of files;
    statistics, with the sums for scaling samples to their cross sections. Else empty.
    """

    results: Sequence[str]
    held_out: Sequence[str]
    floor: Sequence[str]
    models: Sequence[str]
    manifests: Sequence[str]
    statistics: Sequence[str]
    files: int
    output: str


def run(job: Job, **paths: Unpack[Paths]) -> None:
    """Metrics of one method over its members."""
    from rootloom.evaluation.results import write_result

    section = Section(**job["section"])
    evaluator = registry.parse("evaluations", section.evaluation)
    evaluate: Any = registry.load(section.evaluate)
    with of_result():
        found = evaluate(section, evaluator, paths)
    record = provenance.record("evaluate", dict(job), seed=evaluator.seed)
    write_result(paths["output"], dataclasses.replace(found, provenance=record))


STAGE = Stage(
    "evaluate",
    f"{__name__}:run",
    describe,
    reads=("predict", "baseline", "generate", "floor", "train", "preprocess", "statistics"),
)
