"""Sum the statistics of a pack's shards."""

from __future__ import annotations

from dataclasses import dataclass

from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages.shared import class_of, sums_of_pack, write_sums


@dataclass(frozen=True, kw_only=True)
class Section:
    """reweight: the kinematic reweighting, whose histograms are filled as well."""

    representation: Fields
    classes: list[str]
    reweight: Fields | None


def describe(plan: Planning, dataset: str, representation: str, pack: str) -> Description:
    """The sums of a pack of files."""
    section = section_of(plan, dataset, representation)
    files = plan.files(dataset).listing.parts[pack].digest
    shards = preprocess.fingerprint_of(plan, dataset, representation, files)
    return Description(section, code=code_of(section), upstream=[shards])


def section_of(plan: Planning, dataset: str, representation: str) -> Section:
    """The section of all packs of a dataset."""
    declared = plan.data(dataset).dataset
    return Section(
        representation=plan.request.representation(representation),
        classes=list(declared.classes),
        reweight=declared.reweight,
    )


def code_of(section: Section) -> list[str]:
    """Classes that jobs with this section execute in addition to `run`."""
    return [class_of("representations", section.representation)]


def run(job: Job, *, manifest: str, output: str) -> None:
    """Sum the statistics of a pack's shards."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.manifest import Manifest
    from rootloom.shards.reweight import Reweight
    from rootloom.shards.statistics import Statistics, shard_statistics

    section = Section(**job["section"])
    representation, classes = representation_of(section.representation), section.classes
    reweights = [Reweight(**section.reweight)] if section.reweight else []

    def of_shard(path: str) -> Statistics:
        return shard_statistics(path, representation, classes=classes, reweights=reweights)

    content = sums_of_pack(manifest, of_shard, Statistics.empty(classes))
    content["events"] = [entry.events for entry in Manifest.read(manifest).files.values()]
    write_sums(output, content, "moments", job)


STAGE = Stage("moments", f"{__name__}:run", describe, reads=("preprocess",), same_again=True)
