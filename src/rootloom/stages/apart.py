"""Refuse copies of files that train among those of another dataset, if their splits differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rootloom.planning.overlap import alike, divisions, refusal
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import index as indexing
from rootloom.system import provenance
from rootloom.system.atomic import write_json

if TYPE_CHECKING:
    from rootloom.rootio.origin import Events


@dataclass(frozen=True, kw_only=True)
class Section:
    """splits: by sample, what decides the split of an event; empty where no event can differ.

    nominal: the dataset that trains; nominal_splits: the same of it.
    """

    dataset: str
    splits: dict[str, list[Any]]
    nominal: str
    nominal_splits: dict[str, list[Any]]


def describe(plan: Planning, dataset: str) -> Description:
    """What decides the splits of both datasets, and which files they have."""
    data, nominal = plan.data(dataset), plan.datasets.nominal
    ours, theirs = divisions(data), divisions(nominal)
    if not data.dataset.classes or alike(ours, theirs):  # rows of no class are in no split
        ours, theirs = {}, {}
    section = Section(dataset=dataset, splits=ours, nominal=nominal.name, nominal_splits=theirs)
    lists = [plan.files(one).listing.digest for one in (dataset, nominal.name)]
    return Description(section, upstream=[indexing.code(plan), *lists])


def run(job: Job, *, indexes: Sequence[str], nominal: Sequence[str], output: str) -> None:
    """Refuse a dataset with events that the nominal one has in another split.

    indexes, nominal: catalogues of all packs of each. Trainings of the experiment wait for this, so
    that a file which cannot be used is refused before them. Raises ConfigError.
    """
    section = Section(**job["section"])
    if section.splits:
        _require_apart(section, indexes, nominal)
    write_json(output, {"provenance": provenance.record("apart", dict(job))})


def _require_apart(section: Section, indexes: Sequence[str], nominal: Sequence[str]) -> None:
    from rootloom.rootio.origin import overlap

    known = defaultdict[str, list[tuple[str, "Events"]]](list)
    for sample, events in _events(nominal):
        known[events.origin].append((sample, events))
    for sample, events in _events(indexes):
        for trained, others in known[events.origin]:
            differ = section.splits[sample] != section.nominal_splits[trained]
            if differ and overlap(events, others):
                shared = f"{events.url}, which has the events of {others.url}"
                raise refusal(f"dataset '{section.dataset}': splits", section.nominal, shared)


def _events(indexes: Sequence[str]) -> Iterator[tuple[str, Events]]:
    """Sample and events of each file that can be read."""
    from rootloom.rootio.catalogue import Catalogue

    for path in indexes:
        yield from Catalogue.read(path).events()


STAGE = Stage("apart", f"{__name__}:run", describe, reads=("index",), same_again=True)
