"""Simulate one ROOT file: a fixed number of accepted rows of one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rootloom.cluster.running import progress
from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import class_of, notes, seed_of


@dataclass(frozen=True, kw_only=True)
class Section:
    """source: kind and fields. process: one of the source's. rows: accepted ones of the file."""

    source: Fields
    process: str | None
    rows: int
    seed: int


def describe(plan: Planning, dataset: str, file: str) -> Description:
    """A file is its class, its number and the recipe: a larger dataset keeps those that exist."""
    declared = plan.data(dataset).dataset
    simulate = declared.simulate
    assert simulate is not None
    label, _, number = file.rpartition("-")
    process = declared.classes[label].process
    section = Section(
        source=simulate.source,
        process=process,
        rows=simulate.rows_per_file,
        seed=seed_of(simulate.seed, str(process), str(int(number))),
    )
    return Description(section, code=[class_of("simulations", simulate.source)])


def run(job: Job, *, output: str) -> None:
    """Simulate one ROOT file: a fixed number of accepted rows of one process."""
    section = Section(**job["section"])
    source = registry.build("simulations", section.source)
    source.generate(
        section.process,
        section.rows,
        section.seed,
        Path(output),
        progress(f"simulate {Path(output).stem}", "rows"),
        notes=notes("simulate", job, section.seed),
    )


STAGE = Stage("simulate", f"{__name__}:run", describe)
