"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration; no ROOT file is opened for it. Every rule asks here
for its `job`, whose fingerprint, not a file's time, decides what is stale.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rootloom import provenance
from rootloom.jobs import Job, Jobs, seed_of

__all__ = ["Job", "Plan", "seed_of"]


class Plan(Jobs):
    """One experiment on one dataset, as files and jobs."""

    def targets(self) -> list[str]:
        """Everything a complete run leaves behind."""
        return [self.paths.report(self.name), *self.friends(), *self.all_manifests()]

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        return [self.paths.predictions(self.name, method, m, split) for m in self.members(method)]

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
        shards = [path for name in self.representations for path in self.lost_shards(name)]
        return [*shards, *self.lost_friends()]

    def lost_shards(self, representation: str) -> list[str]:
        """Shards that a finished pack made and that are there no more."""
        return self._lost(
            "preprocess",
            lambda pack: self.paths.manifest(self.dataset_name, representation, pack),
            lambda key: self.shards(representation, key),
            representation=representation,
        )

    def lost_friends(self) -> list[str]:
        """Friend trees that a finished pack made and that are there no more."""
        return self._lost(
            "friends",
            lambda pack: self.paths.friends(self.name, pack),
            lambda key: [self.friend(key)],
        )

    def _lost(
        self,
        rule: str,
        manifest: Callable[[str], str],
        outputs: Callable[[str], list[str]],
        **wildcards: str,
    ) -> list[str]:
        present = _Folders()
        lost: list[str] = []
        for pack, keys in self.packs.items():
            made = manifest(pack)
            if not present.has(made):
                continue
            gone = [path for key in keys for path in outputs(key) if not present.has(path)]
            if gone and self.is_current(rule, made, pack=pack, **wildcards):
                lost += gone
        return lost


class _Folders:
    """Which files exist, by one listing a folder: looking at each takes minutes on a busy disk."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]
