"""Refuse branches and trees that no file has, before files are set aside for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import index as indexing
from rootloom.system import provenance
from rootloom.system.atomic import write_json


@dataclass(frozen=True, kw_only=True)
class Section:
    """asked: how rows are read, by sample."""

    dataset: str
    asked: dict[str, Fields]


def describe(plan: Planning, dataset: str) -> Description:
    """What is asked of all files, and which files these are."""
    section = Section(dataset=dataset, asked=plan.data(dataset).readers())
    return Description(section, upstream=[indexing.code(plan), plan.files(dataset).listing.digest])


def run(job: Job, *, indexes: Sequence[str], output: str) -> None:
    """Refuse branches and trees that no file has, before files are set aside for them.

    It is the first to see all files.
    """
    from rootloom.rootio.catalogue import require_somewhere

    section = Section(**job["section"])
    require_somewhere(indexes, f"dataset '{section.dataset}'")
    write_json(output, {"provenance": provenance.record("branches", dict(job))})


STAGE = Stage("branches", f"{__name__}:run", describe, reads=("index",), same_again=True)
