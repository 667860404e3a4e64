"""Write the report page, its figures, and the list of files that were set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from rootloom.config.sections import Fields
from rootloom.planning.data import Data
from rootloom.planning.request import Request
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.report.section import DatasetWords, OtherDatasetWords, PageWords
from rootloom.stages.shared import class_of
from rootloom.system import provenance
from rootloom.system.atomic import write_json

# Keys of a sample that replace those of the dataset and are shown in the report.
_SHOWN = {"define", "variables", "objects", "targets", "select"}


@dataclass(frozen=True, kw_only=True)
class Section(PageWords):
    """All texts of the page; see `PageWords`."""


def describe(plan: Planning) -> Description:
    """The page, from the metrics of all methods and the surveys of the nominal dataset."""
    request, experiment, nominal = plan.request, plan.request.experiment, plan.datasets.nominal
    others = [data for data in plan.datasets if not data.trains]
    section = Section(
        **vars(_words(plan, nominal)),
        experiment=request.name,
        title=experiment.title or request.name,
        description=experiment.description,
        methods=request.all_methods,
        networks={name: request.members(name) for name in experiment.methods},
        images=experiment.pictured(),
        representations={name: request.representation(name) for name in request.representations},
        expected=[entry.model_dump() for entry in experiment.expected],
        others=[asdict(_other(plan, data)) for data in others],
    )
    upstream = [
        *_evaluations(plan),
        *(
            plan.fingerprint("survey", dataset=nominal.name, representation=name)
            for name in request.representations
        ),
        *(
            plan.fingerprint("statistics", dataset=one.name, representation=one.representations[0])
            for one in others
        ),
        *(
            plan.fingerprint("export", method=name, member=str(member))
            for name, network in experiment.methods.items()
            for member in (request.members(name) if network.export else ())
        ),
    ]
    # The axes of images are defined by the representation.
    drawn = [class_of("representations", fields) for fields in section.representations.values()]
    return Description(section, code=drawn, upstream=upstream)


def _evaluations(plan: Planning) -> list[str]:
    """Fingerprints of the evaluations, dataset by dataset."""
    return [
        plan.fingerprint("evaluate", dataset=data.name, method=method)
        for data in plan.datasets.evaluated
        for method in plan.request.all_methods
    ]


def _words(plan: Planning, data: Data) -> DatasetWords:
    return DatasetWords(
        dataset=data.name,
        dataset_description=data.dataset.description,
        size=plan.request.settings.size if data.dataset.simulate else None,
        definitions=_definitions(plan.request, data),
        weighting=data.weighting(),
        weights=_weights_in_words(data),
    )


def _other(plan: Planning, data: Data) -> OtherDatasetWords:
    tree = plan.request.paths.friend(plan.request.name, data.name, "{file}")
    return OtherDatasetWords(
        **vars(_words(plan, data)),
        role=data.role.value,
        friends=str(PurePosixPath(tree).parent),
    )


def _definitions(request: Request, data: Data) -> Fields:
    """Rows and their quantities as defined in the dataset's file, for the report."""
    dataset = data.dataset
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
        "gather": {
            name: rule.model_dump(exclude_defaults=True) for name, rule in dataset.gather.items()
        },
        "targets": dataset.targets,
        "read": {name: _inputs(request, data, name) for name in data.representations},
        "own": {
            name: source.model_dump(include=source.model_fields_set & _SHOWN)
            for name, source in dataset.sources().items()
            if source.model_fields_set & _SHOWN
        },
    }


def _inputs(request: Request, data: Data, representation: str) -> list[str]:
    """Variables and collections that a representation reads."""
    section = request.library.representation(representation)
    return [*data.variables_held(section), *request.objects_read(section)]


def _weights_in_words(data: Data) -> Fields:
    """Weights as defined in the dataset's file, for the report."""
    dataset = data.dataset
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
    exported: Sequence[str],
    output: str,
    quarantined: str,
) -> None:
    """Write the report page, its plots, and the list of files that were set aside.

    evaluations: dataset by dataset, of all methods. statistics: of the nominal dataset in every
    representation, then of each other one. manifests: of all datasets. exported: what is said of
    exported networks.
    """
    from rootloom.report.gather import gather
    from rootloom.report.page import write_report

    inputs = gather(
        {**job, "versions": provenance.record("report", {})},
        Section(**job["section"]),
        evaluations=evaluations,
        histories=histories,
        models=models,
        statistics=statistics,
        surveys=surveys,
        manifests=manifests,
        exported=exported,
    )
    content = {"files": inputs.quarantined(), "provenance": provenance.record("report", dict(job))}
    write_json(quarantined, content)
    for path in write_report(output, inputs):
        print(path)


STAGE = Stage(
    "report",
    f"{__name__}:run",
    describe,
    reads=("evaluate", "train", "statistics", "survey", "preprocess", "export"),
)
