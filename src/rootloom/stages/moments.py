"""Sum the statistics of a pack's shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rootloom.planning.request import Fields, Request
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages.shared import class_of, write_sums
from rootloom.system.packing import position


@dataclass(frozen=True, kw_only=True)
class Section:
    """reweight: the kinematic reweighting, whose histograms are filled as well."""

    representation: Fields
    classes: list[str]
    reweight: Fields | None


def describe(plan: Planning, representation: str, pack: str) -> Description:
    """The sums of a pack of files."""
    section = section_of(plan.request, representation)
    files = plan.files.listing.parts[pack].digest
    shards = preprocess.fingerprint_of(plan, representation, files)
    return Description(section, code=code_of(section), upstream=[shards])


def section_of(request: Request, representation: str) -> Section:
    """The same whatever the files."""
    return Section(
        representation=request.representation(representation),
        classes=list(request.dataset.classes),
        reweight=request.dataset.reweight,
    )


def code_of(section: Section) -> list[str]:
    """What such sums execute beside `run`."""
    return [class_of("representations", section.representation)]


def run(job: Job, *, manifest: str, output: str) -> None:
    """Sum the statistics of a pack's shards."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.manifest import Manifest, shards_by_file
    from rootloom.shards.reweight import Reweight
    from rootloom.shards.statistics import (
        Statistics,
        merge_all,
        merge_by_position,
        shard_statistics,
    )

    section = Section(**job["section"])
    representation = representation_of(section.representation)
    reweights = [Reweight(**section.reweight)] if section.reweight else []
    by_file = shards_by_file([manifest])
    files = [
        (
            position(key),
            merge_all(
                shard_statistics(path, representation, classes=section.classes, reweights=reweights)
                for path in shards
            ),
        )
        for key, shards in by_file.items()
        if shards
    ]
    total = merge_by_position(files) if files else Statistics.empty(section.classes)
    content: dict[str, Any] = total.content()
    # Of any of its files: where the pack lies among packs.
    content["position"] = str(position(next(iter(by_file))))
    content["events"] = [entry.events for entry in Manifest.read(manifest).files.values()]
    write_sums(output, content, "moments", job)


STAGE = Stage("moments", f"{__name__}:run", describe, reads=("preprocess",), same_again=True)
