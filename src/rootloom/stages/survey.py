"""Merge what the packs say of the rows of a representation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import preprocess
from rootloom.stages import spectra as summing
from rootloom.stages.shared import division, write_sums
from rootloom.system.atomic import read_json

if TYPE_CHECKING:
    from rootloom.shards.survey import Survey


@dataclass(frozen=True, kw_only=True)
class Section:
    """spectra: the section of those that are merged."""

    spectra: Fields


def describe(plan: Planning, dataset: str, representation: str) -> Description:
    """The survey of all packs, which does not depend on the division of the files into packs."""
    spectra = summing.section_of(plan, dataset, representation)
    code = plan.code(summing.STAGE.run, *summing.code_of(spectra))
    axes = plan.fingerprint("axes", dataset=dataset, representation=representation)
    shards = preprocess.fingerprint_of(
        plan, dataset, representation, plan.files(dataset).listing.digest
    )
    return Description(Section(spectra=asdict(spectra)), upstream=[code, axes, shards])


def run(job: Job, *, spectra: Sequence[str], output: str) -> None:
    """Merge what the packs say of the rows of a representation."""
    from rootloom.shards.merging import merge_by_position

    packs = (read_json(path, "the spectra of a pack of files", _placed) for path in spectra)
    total = merge_by_position(packs)
    write_sums(output, total.content(), "survey", job, division(spectra))


def _placed(content: Mapping[str, Any]) -> tuple[int, Survey]:
    from rootloom.shards.survey import Survey

    return int(content["position"]), Survey.of_content(content)


STAGE = Stage("survey", f"{__name__}:run", describe, reads=("spectra",))
