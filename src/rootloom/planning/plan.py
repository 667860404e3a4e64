"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration and the names, sizes and times of the input files;
none of these is opened for it. Every rule asks here for its `job`, whose fingerprint decides what
is stale: outputs carry that of the job that made them, and no time of theirs is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.planning.jobs import Job, Jobs, seed_of
from rootloom.system import provenance
from rootloom.system.atomic import read_json
from rootloom.system.paths import of_file
from rootloom.types import GROUPS

__all__ = ["Job", "Plan", "State", "seed_of"]

# What each rule reads the outputs of.
READS = {
    "simulate": (),
    "index": ("simulate",),
    "branches": ("index",),
    "preprocess": ("simulate", "index", "branches"),
    "shard": ("simulate", "index"),
    "moments": ("preprocess",),
    "statistics": ("moments",),
    "axes": ("preprocess",),
    "spectra": ("preprocess", "axes"),
    "survey": ("spectra",),
    "train": ("preprocess", "statistics"),
    "baseline": ("preprocess", "statistics"),
    "predict": ("train", "preprocess", "statistics"),
    "generate": ("train", "preprocess"),
    "evaluate": ("predict", "baseline"),
    "friends": ("predict", "baseline", "index"),
    "friend": ("predict", "baseline", "index"),
    "floor": ("preprocess", "statistics"),
    "fidelity": ("generate", "train", "floor", "preprocess", "statistics"),
    "report": ("evaluate", "fidelity", "train", "statistics", "survey", "preprocess"),
}
# Made again, these have the same content: a user who forces one does not ask for what reads it.
SAME_AGAIN = frozenset({"branches", "preprocess", "moments", "axes", "spectra"})


class State(Enum):
    """What is there of a job's outputs: all, made by this very job; by another one; not all."""

    CURRENT = "current"
    STALE = "stale"
    MISSING = "missing"


class Plan(Jobs):
    """One experiment on one dataset, as files and jobs."""

    def targets(self) -> list[str]:
        """Everything a complete run leaves behind: what was deleted of it is made again."""
        made = [*self._report_files(), *self._of_methods(), *self.histories(), *self._of_files()]
        if not self.makes_examples:
            made += self.friends()
        return list(dict.fromkeys(made))

    def _report_files(self) -> list[str]:
        names = ("report.html", "quarantined.json", *self.figures())
        return [self.paths.report(self.name, name) for name in names]

    def _of_methods(self) -> Iterator[str]:
        for method in self.all_methods:
            yield self.paths.evaluation(self.name, method)
            if method in self.experiment.methods:
                yield from self.models(method)
            if self.makes_examples:
                yield self.paths.floor(self.name, self.representation_of(method))
                yield from self.generated(method)
            else:
                yield from (one for split in GROUPS for one in self.predictions(method, split))

    def _of_files(self) -> Iterator[str]:
        if self.dataset.simulate:
            yield from (file.url for pack in self.packs for file in self.files(pack).values())
        yield from self.indexes()
        yield from self.asked_first()
        yield from self.all_manifests()
        for name in self.representations:
            yield self.paths.axes(self.dataset_name, name)
            yield from self._sums("statistics", self.paths.statistics, self.paths.moments, name)
            yield from self._sums("survey", self.paths.survey, self.paths.spectra, name)

    def _sums(
        self,
        rule: str,
        whole: Callable[[str, str], str],
        part: Callable[[str, str, str], str],
        representation: str,
    ) -> Iterator[str]:
        """What `rule` merges the sums of all packs to, and these sums."""
        merged = whole(self.dataset_name, representation)
        yield merged
        # Those of another division of the files gave the same result.
        if self.state(rule, [merged], representation=representation) is not State.CURRENT or (
            self._division_of(merged) == str(self.listing.packs)
        ):
            yield from (part(self.dataset_name, representation, pack) for pack in self.packs)

    def _division_of(self, merged: str) -> str | None:
        """The number of packs whose sums were merged, if the file is whole."""
        record = provenance.read(Path(merged))
        return record["inputs"].get("packs") if record else None

    def indexes(self) -> list[str]:
        """Headers of the files of all packs."""
        return [self.paths.index(self.dataset_name, pack) for pack in self.packs]

    def asked_first(self) -> list[str]:
        """What has to be known of all files before any of them is set aside, if any may be."""
        return [self.paths.branches(self.dataset_name)] if self.sets_aside else []

    def models(self, method: str) -> list[str]:
        """Bundles of all members of a method."""
        return [self.paths.model(self.name, method, m) for m in self.members(method)]

    def histories(self) -> list[str]:
        """Training logs of all members of all networks."""
        return [
            self.paths.history(self.name, method, m)
            for method in self.experiment.methods
            for m in self.members(method)
        ]

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        return [self.paths.predictions(self.name, method, m, split) for m in self.members(method)]

    def generated(self, method: str) -> list[str]:
        """Files with the examples that the members of a method have made."""
        return [self.paths.generated(self.name, method, m) for m in self.members(method)]

    def held_out(self, method: str) -> list[str]:
        """Prediction files with rows that members of a cross-validation left out."""
        return self.predictions(method, "train") if self.folds(method) else []

    def state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        """Whether outputs are there and were made by exactly the job that would make them now.

        Everything that can change is in the fingerprints that they carry; no time is looked at.
        """
        named = (rule, *outputs)
        if named not in self._states:
            self._states[named] = self._state(rule, outputs, **wildcards)
        return self._states[named]

    @cached_property
    def _states(self) -> dict[tuple[str, ...], State]:
        return {}

    def _state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        there = [os.path.exists(output) for output in outputs]
        if not any(there):
            return State.MISSING
        if rule == "simulate" and self._indexed(wildcards["file"]):
            return State.CURRENT
        made_from = self._fingerprint(rule, **self._relevant(wildcards))
        if provenance.is_current([o for o, t in zip(outputs, there, strict=True) if t], made_from):
            return State.CURRENT if all(there) else State.MISSING
        return State.STALE

    def _indexed(self, file: str) -> bool:
        """Whether a simulated file's index is current, whose fingerprint holds that of the file.

        Then there is no need to open it: a plan opens no ROOT file unless something has changed.
        """
        pack = self.pack_of(file)
        made = self.paths.index(self.dataset_name, pack)
        return self.state("index", [made], pack=pack) is State.CURRENT

    def followers(self, forced: Collection[str]) -> frozenset[str]:
        """Rules that run again when a user forces these rules."""
        found: frozenset[str] = frozenset()
        while True:
            again = {*forced, *found} - SAME_AGAIN
            more = frozenset(rule for rule, read in READS.items() if again.intersection(read))
            if more == found:
                return found
            found = more

    def lost(self) -> list[str]:
        """Single files that have to be made again although their pack is done."""
        shards = [path for name in self.representations for path in self.lost_shards[name]]
        return [*shards, *self._lost_friends()]

    @cached_property
    def lost_shards(self) -> dict[str, list[str]]:
        """Shards that a finished pack made and that are there no more, by representation."""
        return {name: self._lost_shards(name) for name in self.representations}

    def lost_shards_of(self, representation: str, pack: str) -> list[str]:
        """Those of them that belong to a pack."""
        if not self.lost_shards[representation]:
            return []  # as nearly always: the names of a million files take a while
        named = (self.dataset_name, representation)
        of_pack = {
            of_file(self.paths.shard(*named, "{file}", part), key)
            for key in self.files(pack)
            for part in self.parts()
        }
        return [path for path in self.lost_shards[representation] if path in of_pack]

    def _lost_shards(self, representation: str) -> list[str]:
        named = (self.dataset_name, representation)
        return self._lost(
            "preprocess",
            lambda pack: self.paths.manifest(*named, pack),
            [self.paths.shard(*named, "{file}", part) for part in self.parts()],
            representation=representation,
        )

    def _lost_friends(self) -> list[str]:
        return self._lost(
            "friends",
            lambda pack: self.paths.friends(self.name, pack),
            [self.friend("{file}")],
        )

    def _lost(
        self, rule: str, manifest: Callable[[str], str], outputs: list[str], **wildcards: str
    ) -> list[str]:
        """`outputs`: patterns of what a pack leaves of each of its files."""
        present = _Folder()
        lost: list[str] = []
        for pack in self.packs:
            made = manifest(pack)
            if not os.path.exists(made):
                continue
            paths = ((key, of_file(one, key)) for key in self.files(pack) for one in outputs)
            gone = [(key, path) for key, path in paths if not present.has(path)]
            if gone and self.state(rule, [made], pack=pack, **wildcards) is State.CURRENT:
                kept = _not_aside(made)
                lost += [path for key, path in gone if key in kept]
        return lost


def _not_aside(manifest: str) -> set[str]:
    """Files of which a pack's job made shards, or friend trees: those it could read."""

    def kept(content: Any) -> set[str]:
        files = content["files"].items()
        return {key for key, made in files if not isinstance(made, dict) or made["shards"]}

    return read_json(manifest, "what a pack's job left", kept, fix="delete it and run again")


class _Folder:
    """Which files exist, by one listing a folder: looking at each takes minutes on a busy disk.

    Remembers the last folder: files come in the order of the hash that their folders follow.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._names: frozenset[str] = frozenset()

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder != self._path:
            try:
                self._names = frozenset(os.listdir(folder))
            except OSError:
                self._names = frozenset()
            self._path = folder
        return name in self._names
