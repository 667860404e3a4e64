"""Gather a method in one file: its members, what is read of a file, cuts, and rows to check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rootloom.config.sections import Fields
from rootloom.planning.data import Data
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, applied_of, class_of
from rootloom.system import provenance


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a bundle says beside its members: see `rootloom.export.bundle.Record`.

    sources, partition: fields of its classes `Source` and `Partition`. evaluation: kind and fields
    of the class that computes metrics. working_points: fields of `WorkingPoints` of an experiment.
    """

    experiment: str
    dataset: str
    method: str
    members: list[int]
    sources: dict[str, Fields]
    partition: Fields
    representation: Fields
    classes: list[str]
    targets: list[str]
    evaluation: Fields
    working_points: Fields


def describe(plan: Planning, method: str) -> Description:
    """The bundle of a method, from the predictions of its members for the nominal dataset."""
    request, data = plan.request, plan.datasets.nominal
    representation = request.representation(request.representation_of(method))
    evaluation = request.library.evaluation(request.experiment)
    section = Section(
        experiment=request.name,
        dataset=data.name,
        method=method,
        members=request.members(method),
        sources=_sources(data, representation),
        partition=_partition(data, request.folds(method)),
        representation=representation,
        classes=list(data.dataset.classes),
        targets=list(data.dataset.targets),
        evaluation=evaluation,
        working_points=request.experiment.working_points.model_dump(),
    )
    code = [class_of("evaluations", evaluation)]
    return Description(section, code=code, upstream=applied_of(plan, data.name, method))


def _sources(data: Data, representation: Fields) -> dict[str, Fields]:
    """How the rows of each sample are read, and where its friend trees are."""
    readers, dataset = data.readers(representation), data.dataset
    return {
        name: {
            "reader": readers[name],
            "friends": {n: one.file for n, one in dataset.own(source, "friends").items()},
        }
        for name, source in dataset.sources().items()
    }


def _partition(data: Data, folds: int) -> Fields:
    return {
        "shares": data.dataset.splits.shares(),
        "folds": folds,
        "simulated": data.dataset.simulate is not None,
    }


def run(
    job: Job,
    *,
    models: Sequence[str],
    predictions: Sequence[str],
    shards: Sequence[str],
    output: str,
) -> None:
    """Write the bundle of a method.

    models: of its members. predictions: of these, for the validation split of `shards`, those of
    the nominal dataset.
    """
    from rootloom.export import bundle
    from rootloom.shards.ids import HASH
    from rootloom.stages import bundling
    from rootloom.training import trained

    section = Section(**job["section"])
    members = [trained.load(path) for path in models]
    scored = bundling.read_members(predictions)
    mean = bundling.mean_of_members(scored)
    inputs = {path: provenance.fingerprint(Path(path)) for path in models}
    bundle.save(
        output,
        bundle.Bundle(
            experiment=section.experiment,
            method=section.method,
            dataset=section.dataset,
            members=section.members,
            sources={name: bundle.Source(**one) for name, one in section.sources.items()},
            partition=bundle.Partition(**section.partition, hash=HASH),
            representation=section.representation,
            model=members[0].model,
            task=members[0].task,
            classes=section.classes,
            targets=section.targets,
            columns=list(mean.header.columns),
            statistics=members[0].statistics,
            trainings=[dict(member.metrics) for member in members],
            working_points=bundling.working_points(mean, section.working_points),
            metrics=bundling.metrics(mean, section.evaluation),
            device=str(mean.header.provenance.get("device", "unknown")),
            provenance=provenance.record("bundle", dict(job), inputs=inputs),
            params=[member.params for member in members],
            check=bundling.check_sample(shards, scored),
        ),
    )
    print(f"{output}: {len(members)} members of '{section.method}'")


STAGE = Stage(
    "bundle",
    f"{__name__}:run",
    describe,
    reads=("train", "predict", "preprocess"),
    script_calls=ALL_SHARDS,
)
