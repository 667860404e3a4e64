"""Check that events used in training are not tested in another dataset.

An event that is in two datasets has the same split in both if both have the same identity and the
same splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rootloom.errors import ConfigError
from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files
from rootloom.planning.given import place_of, status_of
from rootloom.system.filelist import File


def require_apart(datasets: DataOf, files: Mapping[str, Files], root: Path) -> None:
    """Refuse a dataset with classes that has the nominal one's events and other splits.

    Also one that is only scored: friend trees say of its rows which split they are in.

    Shared events are recognised by their files and by recipes of simulations; copies of files by
    rule `apart`, which knows their content. root: where relative names of files start. Raises
    ConfigError, and what `Files.listing` raises.
    """
    nominal = datasets.nominal
    for data in datasets:
        if data.trains or not data.dataset.classes:  # rows of no class are in no split
            continue
        shared = _simulated(data, nominal) or _listed(data, nominal, files, root)
        if shared:
            raise refusal(f"{data.where}: splits", nominal.name, shared)


def refusal(where: str, nominal: str, shared: str) -> ConfigError:
    """The error for a dataset that has events of the one that trains in other splits."""
    return ConfigError(
        where,
        expected=f"for events that are also in '{nominal}', which trains, the same split: the same "
        "splits, identity and names of samples, or of simulated classes",
        found=f"other splits for {shared}: events may be used in training and in testing",
        fix="copy `splits`, `identity` and what `define` gives for them from dataset "
        f"'{nominal}', or leave these files out",
    )


def _simulated(data: Data, nominal: Data) -> str:
    """A process that both simulate with the same seed but other splits; "" if there is none."""
    ours, theirs = data.dataset.simulate, nominal.dataset.simulate
    if ours is None or theirs is None or (ours.source, ours.seed) != (theirs.source, theirs.seed):
        return ""
    alike = divisions(data) == divisions(nominal)
    known = {rule.process: name for name, rule in nominal.dataset.classes.items()}
    for name, rule in data.dataset.classes.items():
        if rule.process in known and not (alike and known[rule.process] == name):
            return f"simulated events of process '{rule.process}'"
    return ""


def _listed(data: Data, nominal: Data, files: Mapping[str, Files], root: Path) -> str:
    """A file that both have, with other splits; "" if there is none."""
    ours, theirs = (divisions(one) for one in (data, nominal))
    if alike(ours, theirs):
        return ""
    known = {place: theirs[file.sample] for place, file in _places(nominal, files, root)}
    for place, file in _places(data, files, root):
        if known.get(place, ours[file.sample]) != ours[file.sample]:
            return file.url
    return ""


def _places(
    data: Data, files: Mapping[str, Files], root: Path
) -> Iterator[tuple[tuple[str, str], File]]:
    """Place and tree of each file, however its address is written, and the file."""
    dataset, sources = data.dataset, data.dataset.sources()
    for pack in files[data.name].packs:
        for file in files[data.name].of_pack(pack).values():
            place = place_of(file.url, status_of(file.url, root))
            yield (place, sources[file.sample].tree or dataset.tree), file


def alike(ours: Mapping[str, list[Any]], theirs: Mapping[str, list[Any]]) -> bool:
    """Whether all samples of two datasets divide events in one way; see `divisions`."""
    return all(one == other for one in ours.values() for other in theirs.values())


def divisions(data: Data) -> dict[str, list[Any]]:
    """For each sample what decides the split of an event, apart from its file and tree.

    With definitions written out: the same name may be defined by other expressions. Only in its own
    dataset does a simulated event have the identity of its simulation.
    """
    shares, simulated = data.dataset.splits.shares(), data.dataset.simulate is not None
    found: dict[str, list[Any]] = {}
    for name, reader in data.readers().items():
        splits, identity = reader["splits"], reader["identity"]
        if identity:
            found[name] = [shares, splits, identity, name]
        else:
            found[name] = [shares, splits, simulated and not splits]
    return found
