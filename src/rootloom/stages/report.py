"""Write the report page, its figures, and the list of files that were set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.planning.request import Fields, Request
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import class_of
from rootloom.system import provenance
from rootloom.system.atomic import write_json

# What a sample may have of its own and a reader of the report would want to know.
_SHOWN = {"define", "variables", "objects", "targets", "select"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """What the page says beside its results.

    size: of a simulated data set, else None. networks: member numbers by method. images: names of
    representations by what to call them. definitions, weights: what the dataset's file says of rows
    and their quantities, and of weights. expected: published or earlier metrics to compare with.
    """

    experiment: str
    title: str
    description: str
    dataset: str
    dataset_description: str
    size: str | None
    methods: list[str]
    networks: dict[str, list[int]]
    images: dict[str, str]
    representations: dict[str, Fields]
    definitions: Fields
    expected: list[Fields]
    weighting: Fields
    weights: Fields


def describe(plan: Planning) -> Description:
    """The page, by the metrics of all methods and the surveys of what they read."""
    request, experiment = plan.request, plan.request.experiment
    section = Section(
        experiment=request.name,
        title=experiment.title or request.name,
        description=experiment.description,
        dataset=request.dataset_name,
        dataset_description=request.dataset.description,
        size=request.settings.size if request.dataset.simulate else None,
        methods=request.all_methods,
        networks={name: request.members(name) for name in experiment.methods},
        images=experiment.pictured(),
        representations={name: request.representation(name) for name in request.representations},
        definitions=_definitions(request),
        expected=[entry.model_dump() for entry in experiment.expected],
        weighting=request.weighting(),
        weights=_weights_in_words(request),
    )
    rule = "fidelity" if request.makes_examples else "evaluate"
    upstream = [plan.fingerprint(rule, method=name) for name in request.all_methods]
    upstream += [plan.fingerprint("survey", representation=n) for n in request.representations]
    # A representation that can be drawn gives the axes of its images.
    drawn = [class_of("representations", fields) for fields in section.representations.values()]
    return Description(section, code=drawn, upstream=upstream)


def _definitions(request: Request) -> Fields:
    """What the dataset's file says of rows and their quantities, for the reader of a report."""
    dataset = request.dataset
    return {
        "tree": dataset.tree,
        "rows": dataset.rows,
        "select": dataset.select,
        "identity": dataset.identity,
        "splits": dataset.splits.model_dump(),
        "classes": {
            name: rule.model_dump(include={"files", "process", "where"}, exclude_none=True)
            for name, rule in dataset.classes.items()
        },
        "define": dataset.define,
        "variables": dataset.variables,
        "objects": dataset.objects,
        "targets": dataset.targets,
        "read": {name: _inputs(request, name) for name in request.representations},
        "own": {
            name: source.model_dump(include=source.model_fields_set & _SHOWN)
            for name, source in dataset.sources().items()
            if source.model_fields_set & _SHOWN
        },
    }


def _inputs(request: Request, representation: str) -> list[str]:
    """Variables and collections that a representation itself is made of."""
    section = request.library.representation(representation)
    return [*request.variables_held(section), *request.objects_read(section)]


def _weights_in_words(request: Request) -> Fields:
    """What the dataset's file says of weights, for the reader of a report."""
    dataset = request.dataset
    return {
        "event": dataset.weight,
        "training": dataset.training_weight,
        "luminosity": dataset.luminosity,
        "samples": {
            name: {
                "class": dataset.class_of(name),
                "cross_section": source.cross_section,
                "weight": dataset.own(source, "weight"),
            }
            for name, source in dataset.sources().items()
        },
    }


def run(
    job: Job,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    models: Sequence[str],
    statistics: Sequence[str],
    surveys: Sequence[str],
    manifests: Sequence[str],
    output: str,
    quarantined: str,
) -> None:
    """The report page, its figures, and the list of files that were set aside."""
    from rootloom.report.gather import gather
    from rootloom.report.page import write_report

    inputs = gather(
        {**job, "versions": provenance.record("report", {})},
        evaluations=evaluations,
        histories=histories,
        models=models,
        statistics=statistics,
        surveys=surveys,
        manifests=manifests,
    )
    aside = inputs.dataset.quarantined if inputs.dataset else {}
    content = {"files": dict(aside), "provenance": provenance.record("report", dict(job))}
    write_json(quarantined, content)
    for path in write_report(output, inputs):
        print(path)


STAGE = Stage(
    "report",
    f"{__name__}:run",
    describe,
    reads=("evaluate", "fidelity", "train", "statistics", "survey", "preprocess"),
)
