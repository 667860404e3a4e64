"""Choose the axes of the distributions of a representation's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages.shared import ALL_SHARDS, class_of, write_sums


@dataclass(frozen=True, kw_only=True)
class Section:
    """Whose inputs are looked at."""

    representation: Fields


def describe(plan: Planning, dataset: str, representation: str) -> Description:
    """The axes by all shards of a representation."""
    fields = plan.request.representation(representation)
    shards = preprocess.fingerprint_of(
        plan, dataset, representation, plan.files(dataset).listing.digest
    )
    code = [class_of("representations", fields)]
    return Description(Section(representation=fields), code=code, upstream=[shards])


def run(job: Job, *, shards: Sequence[str], output: str) -> None:
    """Choose the axes of the distributions of a representation's inputs."""
    from rootloom.representations.section import representation_of
    from rootloom.shards.survey import axes_of

    section = Section(**job["section"])
    found = axes_of(shards, representation_of(section.representation))
    content = {"axes": {name: edges.tolist() for name, edges in found.items()}}
    write_sums(output, content, "axes", job)


STAGE = Stage(
    "axes",
    f"{__name__}:run",
    describe,
    reads=("preprocess",),
    script_calls=ALL_SHARDS,
    same_again=True,
)
