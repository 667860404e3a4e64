"""Whether events that are evaluated may have been trained on.

An event in two datasets has one split if both know it by the same identity and divide alike; what
is trained on in one is then not tested on in the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rootloom.errors import ConfigError
from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files


def require_apart(datasets: DataOf, files: Mapping[str, Files]) -> None:
    """Refuse a dataset that is evaluated and has events of the one that trains, divided otherwise.

    As far as the names of files, and recipes of simulations, tell: copies are not seen. Raises
    ConfigError, and what `Files.listing` raises.
    """
    nominal = datasets.nominal
    for data in datasets.evaluated:
        if data.trains:
            continue
        shared = _simulated(data, nominal) or _listed(data, nominal, files)
        if shared:
            raise ConfigError(
                f"{data.where}: splits",
                expected=f"the same division of events into splits as of '{nominal.name}', which "
                "trains, where the same events are in both: splits, identity and names of "
                "samples, or of simulated classes",
                found=f"another one of {shared}: events that it tests may be trained on",
                fix=f"copy `splits` and `identity` from {nominal.where}, or leave these files out",
            )


def _simulated(data: Data, nominal: Data) -> str:
    """A process that both simulate with the same seed and divide otherwise; "" if there is none."""
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
    """A file that both have and divide otherwise; "" if there is none."""
    ours, theirs = (_divisions(one) for one in (data, nominal))
    if all(one == other for one in ours.values() for other in theirs.values()):
        return ""
    known = {place: theirs[sample] for place, sample in _places(nominal, files[nominal.name])}
    for place, sample in _places(data, files[data.name]):
        if known.get(place, ours[sample]) != ours[sample]:
            return place[0]
    return ""


def _places(data: Data, files: Files) -> Iterator[tuple[tuple[str, str], str]]:
    """Address and tree of each file, with its sample."""
    dataset, sources = data.dataset, data.dataset.sources()
    for pack in files.packs:
        for file in files.of_pack(pack).values():
            yield (file.url, sources[file.sample].tree or dataset.tree), file.sample


def _divisions(data: Data) -> dict[str, list[Any]]:
    """By sample, what decides the split of an event beside the file and tree it is in."""
    dataset = data.dataset
    return {
        name: [dataset.splits.model_dump(), dataset.identity, name if dataset.identity else ""]
        for name in dataset.sources()
    }
