"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration; no ROOT file is opened for it. Every rule asks here
for its `job`, whose fingerprint, not a file's time, decides what is stale.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from rootloom import provenance
from rootloom.fileio import intact
from rootloom.jobs import Job, Jobs, seed_of
from rootloom.paths import of_file

__all__ = ["Job", "Plan", "seed_of"]


class Plan(Jobs):
    """One experiment on one dataset, as files and jobs."""

    def targets(self) -> list[str]:
        """Everything a complete run leaves behind."""
        made = [self.paths.report(self.name)]
        if self.makes_examples:
            made += [path for method in self.all_methods for path in self.generated(method)]
        else:
            made += self.friends()
        return [*made, *self.all_manifests()]

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        return [self.paths.predictions(self.name, method, m, split) for m in self.members(method)]

    def generated(self, method: str) -> list[str]:
        """Files with the examples that the members of a method have made."""
        return [self.paths.generated(self.name, method, m) for m in self.members(method)]

    def held_out(self, method: str) -> list[str]:
        """Prediction files with rows that members of a cross-validation left out."""
        return self.predictions(method, "train") if self.folds(method) else []

    def is_current(self, rule: str, output: str, **wildcards: str) -> bool:
        """Whether an output exists and was made by exactly the job that would make it now."""
        made_by = provenance.read(Path(output))
        now = self.job(rule, **wildcards)
        return made_by is not None and made_by["fingerprint"] == now["fingerprint"]

    def lost(self) -> list[str]:
        """Single files that have to be made again although their pack is done."""
        shards = [path for name in self.representations for path in self.lost_shards[name]]
        return [*shards, *self._lost_friends()]

    @cached_property
    def lost_shards(self) -> dict[str, list[str]]:
        """Shards that a finished pack made and that are there no more, by representation."""
        return {name: self._lost_shards(name) for name in self.representations}

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
            if gone and self.is_current(rule, made, pack=pack, **wildcards):
                kept = _not_aside(made)
                lost += [path for key, path in gone if key in kept]
        return lost


def _not_aside(manifest: str) -> set[str]:
    """Files of which a pack's job made shards, or friend trees: those it could read."""
    with intact(manifest, "what a pack's job left", fix="delete it and run again"):
        files = json.loads(Path(manifest).read_text())["files"]
        return {key for key, made in files.items() if not isinstance(made, dict) or made["shards"]}


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
