"""Check that events used in training are not tested in another dataset.

An event that is in two datasets has the same split in both if both have the same identity and the
same splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rootloom.errors import ConfigError
from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files


def require_apart(datasets: DataOf, files: Mapping[str, Files]) -> None:
    """Refuse an evaluated dataset with the nominal one's events and other splits.

    Shared events are recognised by names of files and recipes of simulations; copies are not
    recognised. Raises ConfigError, and what `Files.listing` raises.
    """
    nominal = datasets.nominal
    for data in datasets.evaluated:
        if data.trains:
            continue
        shared = _simulated(data, nominal) or _listed(data, nominal, files)
        if shared:
            raise ConfigError(
                f"{data.where}: splits",
                expected=f"for events that are also in '{nominal.name}', which trains, the same "
                "split: the same splits, identity and names of samples, or of simulated classes",
                found=f"other splits for {shared}: events may be used in training and in testing",
                fix=f"copy `splits` and `identity` from {nominal.where}, or leave these files out",
            )


def _simulated(data: Data, nominal: Data) -> str:
    """A process that both simulate with the same seed but other splits; "" if there is none."""
    ours, theirs = data.dataset.simulate, nominal.dataset.simulate
    if ours is None or theirs is None or (ours.source, ours.seed) != (theirs.source, theirs.seed):
        return ""
    alike = data.dataset.splits == nominal.dataset.splits
    known = {rule.process: name for name, rule in nominal.dataset.classes.items()}
    for name, rule in data.dataset.classes.items():
        if rule.process in known and not (alike and known[rule.process] == name):
            return f"simulated events of process '{rule.process}'"
    return ""


def _listed(data: Data, nominal: Data, files: Mapping[str, Files]) -> str:
    """A file that both have, with other splits; "" if there is none."""
    ours, theirs = (_divisions(one) for one in (data, nominal))
    if all(one == other for one in ours.values() for other in theirs.values()):
        return ""
    known = {place: theirs[sample] for place, sample in _places(nominal, files[nominal.name])}
    for place, sample in _places(data, files[data.name]):
        if known.get(place, ours[sample]) != ours[sample]:
            return place[0]
    return ""


def _places(data: Data, files: Files) -> Iterator[tuple[tuple[str, str], str]]:
    """Address and tree of each file, and its sample."""
    dataset, sources = data.dataset, data.dataset.sources()
    for pack in files.packs:
        for file in files.of_pack(pack).values():
            yield (file.url, sources[file.sample].tree or dataset.tree), file.sample


def _divisions(data: Data) -> dict[str, list[Any]]:
    """For each sample what decides the split of an event, apart from its file and tree."""
    dataset = data.dataset
    return {
        name: [dataset.splits.model_dump(), dataset.identity, name if dataset.identity else ""]
        for name in dataset.sources()
    }
