"""What the rows of a representation look like: distributions of inputs, images, examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.planning.request import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages.shared import class_of, write_sums


@dataclass(frozen=True, kw_only=True)
class Section:
    """Whose rows are looked at, and the classes that they are told apart by."""

    representation: Fields
    classes: list[str]


def describe(plan: Planning, representation: str) -> Description:
    """The survey of all shards of a representation."""
    fields = plan.request.representation(representation)
    section = Section(representation=fields, classes=list(plan.request.dataset.classes))
    shards = preprocess.fingerprint_of(plan, representation, plan.files.listing.digest)
    return Description(section, code=[class_of("representations", fields)], upstream=[shards])


def run(job: Job, *, shards: Sequence[str], output: str) -> None:
    """Pass over all shards once: distributions of inputs, images, examples."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.survey import survey

    section = Section(**job["section"])
    found = survey(shards, representation_of(section.representation), section.classes)
    write_sums(output, found.content(), "survey", job)


STAGE = Stage("survey", f"{__name__}:run", describe, reads=("preprocess",))
