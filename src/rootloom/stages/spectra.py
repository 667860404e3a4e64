"""Sum over a pack's shards what a report shows of rows: distributions, images, examples."""

from __future__ import annotations

from dataclasses import dataclass

from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages.shared import class_of, sums_of_pack, write_sums


@dataclass(frozen=True, kw_only=True)
class Section:
    """The representation that draws rows and names quantities, and the classes."""

    representation: Fields
    classes: list[str]


def describe(plan: Planning, dataset: str, representation: str, pack: str) -> Description:
    """The sums of a pack of files, on axes chosen by all."""
    section = section_of(plan, dataset, representation)
    axes = plan.fingerprint("axes", dataset=dataset, representation=representation)
    files = plan.files(dataset).listing.parts[pack].digest
    shards = preprocess.fingerprint_of(plan, dataset, representation, files)
    return Description(section, code=code_of(section), upstream=[axes, shards])


def section_of(plan: Planning, dataset: str, representation: str) -> Section:
    """The section of all packs of a dataset."""
    fields = plan.request.representation(representation)
    return Section(representation=fields, classes=list(plan.data(dataset).dataset.classes))


def code_of(section: Section) -> list[str]:
    """Classes that jobs with this section execute in addition to `run`."""
    return [class_of("representations", section.representation)]


def run(job: Job, *, manifest: str, axes: str, output: str) -> None:
    """Sum over a pack's shards what a report shows of rows: distributions, images, examples."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.survey import Survey, of_shard, read_axes

    section, edges = Section(**job["section"]), read_axes(axes)
    representation, classes = representation_of(section.representation), section.classes
    content = sums_of_pack(
        manifest,
        lambda path: of_shard(path, representation, classes, edges),
        Survey.empty(classes, edges),
    )
    write_sums(output, content, "spectra", job)


STAGE = Stage("spectra", f"{__name__}:run", describe, reads=("preprocess", "axes"), same_again=True)
