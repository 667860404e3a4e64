"""What there is to do: files, shards, methods and members of one run, and what each depends on.

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
from rootloom.planning.data import Data, DataOf
from rootloom.planning.files import Files
from rootloom.planning.jobs import Jobs
from rootloom.planning.lost import Lost
from rootloom.planning.overlap import require_apart
from rootloom.planning.request import Request
from rootloom.planning.stage import Job, Stage
from rootloom.system import provenance
from rootloom.system.filelist import FileList
from rootloom.system.paths import plot_on
from rootloom.types import GROUPS


class State(Enum):
    """State of a job's outputs: all made by this job; made by another one; not all there."""

    CURRENT = "current"
    STALE = "stale"
    MISSING = "missing"


class Plan:
    """One experiment with its datasets: the request, the files, the jobs and their outputs.

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
        self.datasets = DataOf(self.request)
        if not noted:
            check(self.request, self.datasets)
        self.paths = self.request.paths
        self._files = {
            data.name: Files(self.request, data, self._simulated_by(data.name), noted=noted)
            for data in self.datasets
        }
        self.jobs = Jobs(stages, self)
        self._lost = {
            name: Lost(self.request, self.datasets[name], files, self._is_current)
            for name, files in self._files.items()
        }
        self._states: dict[tuple[str, ...], State] = {}

    def job(self, rule: str, **wildcards: str) -> Job:
        """A job of a rule: its section and its fingerprint."""
        return self.jobs.job(rule, **wildcards)

    def fingerprint(self, rule: str, **wildcards: str) -> str:
        """The fingerprint of a job."""
        return self.jobs.fingerprint(rule, **wildcards)

    def code(self, *targets: str) -> str:
        """Hash of the code that is reached from these definitions."""
        return self.jobs.code(*targets)

    def data(self, dataset: str) -> Data:
        """One of the experiment's datasets."""
        return self.datasets[dataset]

    def files(self, dataset: str) -> Files:
        """The files of a dataset, by pack."""
        return self._files[dataset]

    def look(self) -> None:
        """Find the files of all datasets.

        Jobs need not do this: they read the lists that the head has written. Raises InputError for
        a pattern without files, ConfigError for a file listed twice or for events shared with the
        training.
        """
        self.lists()
        require_apart(self.datasets, self._files, self.request.root)

    def lists(self) -> dict[str, tuple[Path, FileList]]:
        """For each dataset the path of its stored list of files, and the list."""
        return {name: (files.list_path, files.listing) for name, files in self._files.items()}

    def require_start_here(self) -> None:
        """Refuse a working directory other than the checkout. Raises ConfigError."""
        for files in self._files.values():
            files.require_start_here()

    def note_files(self) -> None:
        """Write the lists of files for the jobs."""
        for files in self._files.values():
            files.note()

    def lost(self, dataset: str) -> Lost:
        """Single outputs of finished packs of a dataset that are missing."""
        return self._lost[dataset]

    def _simulated_by(self, dataset: str) -> Callable[[str], str]:
        return lambda key: self.fingerprint("simulate", dataset=dataset, file=key)

    # -- outputs ------------------------------------------------------------------------------

    def targets(self) -> list[str]:
        """All outputs of a complete run; those that were deleted are made again."""
        made = [*self._report_files(), *self._of_methods(), *self.histories()]
        for data in self.datasets:
            made += [*self._of_data(data), *self._of_files(data)]
            if self.request.product.of_rows:
                made += self.files(data.name).friends()
        return list(dict.fromkeys(made))

    def all_lost(self) -> list[str]:
        """Single outputs of finished packs, of all datasets, that are missing."""
        return [path for lost in self._lost.values() for path in lost.paths()]

    def plots(self) -> list[str]:
        """Plots saved beside the report: of the nominal dataset, then of each other one."""
        shown, others = self.request.of_evaluation("shown"), self.datasets.evaluated[1:]
        names = [plot_on(data.name, name) for data in others for name in shown]
        return [self.paths.report(self.request.name, n) for n in (*self.request.plots(), *names)]

    def _report_files(self) -> list[str]:
        names = ("report.html", "quarantined.json")
        return [*(self.paths.report(self.request.name, name) for name in names), *self.plots()]

    def _of_methods(self) -> Iterator[str]:
        for method in self.request.experiment.methods:
            yield from self.models(method)
            yield from self.bundle(method)
        yield from self.all_exported()

    def _of_data(self, data: Data) -> Iterator[str]:
        """What the methods produce for a dataset: predictions or examples, and evaluations."""
        request, name = self.request, data.name
        yield from self.apart(name)
        for method in request.all_methods:
            if data.evaluated:
                yield self.paths.evaluation(request.name, name, method)
                yield from self.floor(name, method)
            for part in request.product.parts:
                yield from self.applied(name, method, part)

    def _of_files(self, data: Data) -> Iterator[str]:
        files = self.files(data.name)
        if data.dataset.simulate:
            yield from (file.url for pack in files.packs for file in files.of_pack(pack).values())
        yield from self.indexes(data.name)
        yield from self.asked_first(data.name)
        yield from files.all_manifests()
        for name in data.representations:
            named = data.name, name
            yield from self._sums("statistics", self.paths.statistics, self.paths.moments, *named)
            if data.trains:
                yield self.paths.axes(*named)
                yield from self._sums("survey", self.paths.survey, self.paths.spectra, *named)

    def _sums(
        self,
        rule: str,
        whole: Callable[[str, str], str],
        part: Callable[[str, str, str], str],
        dataset: str,
        representation: str,
    ) -> Iterator[str]:
        """The output in which `rule` merges the sums of all packs, and these sums."""
        named, files = (dataset, representation), self.files(dataset)
        merged = whole(*named)
        yield merged
        # Sums from other packs of the same files give the same result.
        current = self._is_current(rule, merged, dataset=dataset, representation=representation)
        if not current or _division_of(merged) == str(files.listing.packs):
            yield from (part(*named, pack) for pack in files.packs)

    def indexes(self, dataset: str) -> list[str]:
        """Headers of the files of all packs of a dataset."""
        return [self.paths.index(dataset, pack) for pack in self.files(dataset).packs]

    def asked_first(self, dataset: str) -> list[str]:
        """What must be known of all files before one is set aside, if the dataset allows that."""
        return [self.paths.branches(dataset)] if self.data(dataset).sets_aside else []

    def apart(self, dataset: str) -> list[str]:
        """What says that a dataset's events are in the splits they have where the nominal trains.

        Nothing, for the nominal one itself.
        """
        named = self.request.name, dataset
        return [] if self.data(dataset).trains else [self.paths.apart(*named)]

    def all_apart(self) -> list[str]:
        """The same of all datasets."""
        return [path for data in self.datasets for path in self.apart(data.name)]

    def models(self, method: str) -> list[str]:
        """Models of all members of a method."""
        members = self.request.members(method)
        return [self.paths.model(self.request.name, method, m) for m in members]

    def all_models(self) -> list[str]:
        """Models of all members of all networks."""
        return [path for name in self.request.experiment.methods for path in self.models(name)]

    def all_exported(self) -> list[str]:
        """What is said of the networks that are exported."""
        return [
            self.paths.exported(self.request.name, method, member)
            for method, network in self.request.experiment.methods.items()
            for member in (self.request.members(method) if network.export else ())
        ]

    def bundle(self, method: str) -> list[str]:
        """The bundle of a method, if it scores rows."""
        path = self.paths.bundle(self.request.name, method)
        return [path] if self.request.product.of_rows else []

    def histories(self) -> list[str]:
        """Training logs of all members of all networks."""
        return [
            self.paths.history(self.request.name, method, m)
            for method in self.request.experiment.methods
            for m in self.request.members(method)
        ]

    def applied(self, dataset: str, method: str, part: str) -> list[str]:
        """Outputs of all members of a method for a part of a dataset: predictions or examples."""
        members, named = self.request.members(method), (self.request.name, dataset, method)
        return [self.request.product.path(self.paths, *named, member, part) for member in members]

    def evaluated(self, dataset: str, method: str) -> list[str]:
        """Outputs of all members of a method for the part of a dataset that is evaluated."""
        return self.applied(dataset, method, self.request.product.evaluated)

    def floor(self, dataset: str, method: str) -> list[str]:
        """The comparison of real rows with real ones, if the evaluation needs it."""
        representation = self.request.representation_of(method)
        path = self.paths.floor(self.request.name, dataset, representation)
        return [path] if self.request.beside_real else []

    def all_predictions(self, dataset: str) -> list[str]:
        """Predictions of all methods and members, for all splits and rows of no class."""
        methods = self.request.all_methods
        pairs = [(method, split) for method in methods for split in GROUPS]
        return [path for pair in pairs for path in self.applied(dataset, *pair)]

    def held_out(self, dataset: str, method: str) -> list[str]:
        """Prediction files with the rows that members of a cross-validation left out."""
        crossed = self.data(dataset).trains and self.request.folds(method)
        return self.applied(dataset, method, "train") if crossed else []

    def evaluations(self) -> list[str]:
        """Evaluations of all methods, dataset by dataset."""
        return [
            self.paths.evaluation(self.request.name, data.name, method)
            for data in self.datasets.evaluated
            for method in self.request.all_methods
        ]

    def all_statistics(self) -> list[str]:
        """Statistics for the report: in all representations; of other datasets in one.

        One is enough, because all representations have the same rows.
        """
        return [
            self.paths.statistics(data.name, name)
            for data in self.datasets
            for name in (data.representations if data.trains else data.representations[:1])
        ]

    def surveys(self) -> list[str]:
        """Surveys of the nominal dataset, one for each representation."""
        nominal = self.datasets.nominal
        return [self.paths.survey(nominal.name, name) for name in nominal.representations]

    def all_manifests(self) -> list[str]:
        """Manifests of the packs of all datasets in all representations."""
        return [path for files in self._files.values() for path in files.all_manifests()]

    # -- what is there of them ----------------------------------------------------------------

    def state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        """Whether outputs exist and were made by exactly the job that would make them now.

        This is decided by the fingerprints that they carry; file times are not used.
        """
        named = (rule, *outputs)
        if named not in self._states:
            self._states[named] = self._state(rule, outputs, **wildcards)
        return self._states[named]

    def _state(self, rule: str, outputs: Sequence[str], **wildcards: str) -> State:
        there = [output for output in outputs if os.path.exists(output)]
        if not there:
            return State.MISSING
        if rule == "simulate" and self._is_indexed(wildcards["dataset"], wildcards["file"]):
            return State.CURRENT
        if provenance.is_current(there, self.fingerprint(rule, **wildcards)):
            return State.CURRENT if len(there) == len(outputs) else State.MISSING
        return State.STALE

    def _is_current(self, rule: str, output: str, **wildcards: str) -> bool:
        return self.state(rule, [output], **wildcards) is State.CURRENT

    def _is_indexed(self, dataset: str, file: str) -> bool:
        """Whether the index of a simulated file is current; its fingerprint contains the file's.

        Then the file need not be opened: a plan opens no ROOT file unless something has changed.
        """
        pack = self.files(dataset).pack_of(file)
        made = self.paths.index(dataset, pack)
        return self._is_current("index", made, dataset=dataset, pack=pack)

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
