"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration and the names, sizes and times of the input files;
none of these is opened for it. Every rule asks here for its `job`, whose fingerprint decides what
is stale: outputs carry that of the job that made them, and no time of theirs is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from rootloom.planning.checks import check
from rootloom.planning.files import Files
from rootloom.planning.jobs import Jobs
from rootloom.planning.lost import Lost
from rootloom.planning.request import Request
from rootloom.planning.stage import Job, Stage
from rootloom.system import provenance
from rootloom.types import GROUPS


class State(Enum):
    """What is there of a job's outputs: all, made by this very job; by another one; not all."""

    CURRENT = "current"
    STALE = "stale"
    MISSING = "missing"


class Plan:
    """One experiment on one dataset: what is asked for, its files, its jobs and their outputs.

    settings: those of `config/config.yaml`, which lies below `root`. stages: by the names of their
    rules. noted: whether to rely on what the head of the run has checked and written, as its jobs
    do. Raises ConfigError for a configuration that cannot work.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        root: Path,
        stages: Mapping[str, Stage],
        *,
        noted: bool = False,
    ) -> None:
        self.stages = stages
        self.request = Request(settings, root)
        if not noted:
            check(self.request)
        self.paths = self.request.paths
        self.files = Files(self.request, self._simulated_by, noted=noted)
        self.jobs = Jobs(stages, self)
        self.lost = Lost(self.request, self.files, self._is_current)
        self._states: dict[tuple[str, ...], State] = {}

    def job(self, rule: str, **wildcards: str) -> Job:
        """What a rule's job is given: its section and the fingerprint that decides its fate."""
        return self.jobs.job(rule, **wildcards)

    def fingerprint(self, rule: str, **wildcards: str) -> str:
        """What decides the fate of a rule's job."""
        return self.jobs.fingerprint(rule, **wildcards)

    def code(self, *targets: str) -> str:
        """Hash of the definitions that these reach."""
        return self.jobs.code(*targets)

    def _simulated_by(self, key: str) -> str:
        return self.fingerprint("simulate", file=key)

    # -- outputs ------------------------------------------------------------------------------

    def targets(self) -> list[str]:
        """Everything a complete run leaves behind: what was deleted of it is made again."""
        made = [*self._report_files(), *self._of_methods(), *self.histories(), *self._of_files()]
        if not self.request.makes_examples:
            made += self.files.friends()
        return list(dict.fromkeys(made))

    def _report_files(self) -> list[str]:
        names = ("report.html", "quarantined.json", *self.request.figures())
        return [self.paths.report(self.request.name, name) for name in names]

    def _of_methods(self) -> Iterator[str]:
        request = self.request
        for method in request.all_methods:
            yield self.paths.evaluation(request.name, method)
            if method in request.experiment.methods:
                yield from self.models(method)
            if request.makes_examples:
                yield self.paths.floor(request.name, request.representation_of(method))
                yield from self.generated(method)
            else:
                yield from (one for split in GROUPS for one in self.predictions(method, split))

    def _of_files(self) -> Iterator[str]:
        files = self.files
        if self.request.dataset.simulate:
            yield from (file.url for pack in files.packs for file in files.of_pack(pack).values())
        yield from self.indexes()
        yield from self.asked_first()
        yield from files.all_manifests()
        for name in self.request.representations:
            yield self.paths.axes(self.request.dataset_name, name)
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
        named = self.request.dataset_name, representation
        merged = whole(*named)
        yield merged
        # Those of another division of the files gave the same result.
        if not self._is_current(rule, merged, representation=representation) or (
            _division_of(merged) == str(self.files.listing.packs)
        ):
            yield from (part(*named, pack) for pack in self.files.packs)

    def indexes(self) -> list[str]:
        """Headers of the files of all packs."""
        return [self.paths.index(self.request.dataset_name, pack) for pack in self.files.packs]

    def asked_first(self) -> list[str]:
        """What has to be known of all files before any of them is set aside, if any may be."""
        request = self.request
        return [self.paths.branches(request.dataset_name)] if request.sets_aside else []

    def models(self, method: str) -> list[str]:
        """Bundles of all members of a method."""
        members = self.request.members(method)
        return [self.paths.model(self.request.name, method, m) for m in members]

    def all_models(self) -> list[str]:
        """Bundles of all members of all networks."""
        return [path for name in self.request.experiment.methods for path in self.models(name)]

    def histories(self) -> list[str]:
        """Training logs of all members of all networks."""
        return [
            self.paths.history(self.request.name, method, m)
            for method in self.request.experiment.methods
            for m in self.request.members(method)
        ]

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        members = self.request.members(method)
        return [self.paths.predictions(self.request.name, method, m, split) for m in members]

    def generated(self, method: str) -> list[str]:
        """Files with the examples that the members of a method have made."""
        members = self.request.members(method)
        return [self.paths.generated(self.request.name, method, m) for m in members]

    def held_out(self, method: str) -> list[str]:
        """Prediction files with rows that members of a cross-validation left out."""
        return self.predictions(method, "train") if self.request.folds(method) else []

    # -- what is there of them ----------------------------------------------------------------

    def state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        """Whether outputs are there and were made by exactly the job that would make them now.

        Everything that can change is in the fingerprints that they carry; no time is looked at.
        """
        named = (rule, *outputs)
        if named not in self._states:
            self._states[named] = self._state(rule, outputs, **wildcards)
        return self._states[named]

    def _state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        there = [output for output in outputs if os.path.exists(output)]
        if not there:
            return State.MISSING
        if rule == "simulate" and self._is_indexed(wildcards["file"]):
            return State.CURRENT
        if provenance.is_current(there, self.fingerprint(rule, **wildcards)):
            return State.CURRENT if len(there) == len(outputs) else State.MISSING
        return State.STALE

    def _is_current(self, rule: str, output: str, **wildcards: str) -> bool:
        return self.state(rule, [output], **wildcards) is State.CURRENT

    def _is_indexed(self, file: str) -> bool:
        """Whether a simulated file's index is current, whose fingerprint holds that of the file.

        Then there is no need to open it: a plan opens no ROOT file unless something has changed.
        """
        pack = self.files.pack_of(file)
        made = self.paths.index(self.request.dataset_name, pack)
        return self._is_current("index", made, pack=pack)

    def followers(self, forced: Collection[str]) -> frozenset[str]:
        """Rules that run again when a user forces these rules."""
        same_again = {name for name, stage in self.stages.items() if stage.same_again}
        found: frozenset[str] = frozenset()
        while True:
            again = {*forced, *found} - same_again
            more = frozenset(
                n for n, stage in self.stages.items() if again.intersection(stage.reads)
            )
            if more == found:
                return found
            found = more


def _division_of(merged: str) -> str | None:
    """The number of packs whose sums were merged, if the file is whole."""
    record = provenance.read(Path(merged))
    return record["inputs"].get("packs") if record else None
