"""Leave a project as a finished run would, without computing anything: for `planning.py`.

    cd PROJECT; python BENCHMARKS/planning_done.py

The engine plans as for a dry run. Where it would hand the jobs out, every job's outputs are
written instead, by the classes that its stage writes them with and with the engine's own
parameters, and the engine is told that the job has finished. Headers, entries and sums are those of
no real file; shards and friend trees, into which no plan looks, are empty.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler

ORDER = (
    "index", "preprocess", "moments", "statistics", "axes", "spectra", "survey", "train",
    "baseline", "predict", "bundle", "evaluate", "friends", "report",
)  # fmt: skip


def finish(scheduler: JobScheduler) -> bool:
    """In place of the scheduler's loop: write the outputs of all jobs, each after its inputs'."""
    workflow = scheduler.workflow
    workflow.iocache.deactivate()
    jobs = [job for job in workflow.dag.jobs if job.rule.name in ORDER]
    writers = Writers(workflow.globals["PLAN"])
    for job in sorted(jobs, key=lambda job: ORDER.index(job.rule.name)):
        writers.write(job)
        workflow.async_run(workflow.persistence.finished(job))
    workflow.globals["PLAN"].note_files()
    return True


class Writers:
    """What each rule leaves behind."""

    def __init__(self, plan: Any) -> None:
        sys.path.insert(0, str(Path("src").resolve()))
        self.plan = plan

    def write(self, job: Any) -> None:
        for path in job.output:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        writer: Callable[[Any, dict[str, Any]], None] = getattr(self, job.rule.name)
        writer(job, job.params.job)

    def index(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.rootio.catalogue import Catalogue
        from rootloom.rootio.header import Header

        catalogue = Catalogue()
        for file in self.plan.files(job.wildcards.dataset).of_pack(job.wildcards.pack).values():
            branches = {f"branch_{number}": "float" for number in range(20)}
            header = Header(
                file.url, "jets", "ttree", 1000, 10**6, (0, 1000), branches, "0" * 64, "a"
            )
            catalogue.add(file.key, file.state, header)
        catalogue.write(str(job.output.index), self._record("index", job, asked))

    def preprocess(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.shards.manifest import Entry, Manifest, relative
        from rootloom.system.paths import of_file

        entries = {}
        for file in self.plan.files(job.wildcards.dataset).of_pack(job.wildcards.pack).values():
            shards = [of_file(job.params.shards, file.key, 0)]
            _touch(shards[0])
            below = relative(shards, str(job.output.manifest))
            entries[file.key] = Entry(file.url, 10**6, below, ("0" * 16,), 1.0)
        record = self._record("preprocess", job, asked)
        Manifest(entries).write(str(job.output.manifest), record)

    def moments(self, job: Any, asked: dict[str, Any]) -> None:
        self._statistics(str(job.output.moments), "moments", asked)

    def statistics(self, job: Any, asked: dict[str, Any]) -> None:
        self._statistics(str(job.output.statistics), "statistics", asked)

    def axes(self, job: Any, asked: dict[str, Any]) -> None:
        self._content(str(job.output.axes), {"axes": {}}, "axes", asked)

    def spectra(self, job: Any, asked: dict[str, Any]) -> None:
        self._survey(str(job.output.spectra), "spectra", asked)

    def survey(self, job: Any, asked: dict[str, Any]) -> None:
        self._survey(str(job.output.survey), "survey", asked)

    def _survey(self, path: str, stage: str, asked: dict[str, Any]) -> None:
        from rootloom.shards.survey import Survey

        edges = {f"x{number}": np.arange(41.0) for number in range(10)}
        content = Survey.empty(("qcd", "w"), edges).content() | {"position": "0"}
        self._content(path, content, stage, asked)

    def _statistics(self, path: str, stage: str, asked: dict[str, Any]) -> None:
        from rootloom.shards.moments import Moments
        from rootloom.shards.statistics import Statistics

        empty = Statistics.empty(("qcd", "w"))
        sums = {"x": Moments.of(np.arange(100.0).reshape(50, 2))}
        found = Statistics(empty.classes, empty.samples, sums)
        content = found.content() | {"position": "0", "events": []}
        self._content(path, content, stage, asked)

    def _content(
        self, path: str, content: dict[str, Any], stage: str, asked: dict[str, Any]
    ) -> None:
        from rootloom.system import provenance
        from rootloom.system.atomic import write_json

        record = provenance.record(stage, dict(asked))
        write_json(path, {**content, "provenance": record}, indent=None)

    def train(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system import provenance
        from rootloom.system.atomic import sealed, write_text
        from rootloom.training import trained

        section = asked["section"]
        named = {name: section[name] for name in ("model", "representation", "task", "classes")}
        trained.save(
            str(job.output.model),
            trained.Trained(
                params={"w": np.zeros(3, np.float32)},
                statistics={},
                metrics={},
                provenance=provenance.record("train", dict(asked), seed=1),
                **named,
            ),
        )
        write_text(str(job.output.history), sealed("", asked["fingerprint"], lines=True))

    def predict(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system import provenance
        from rootloom.system.atomic import new_hdf5

        for path in job.output:
            with new_hdf5(str(path)) as (file, _):
                record = provenance.record("predict", dict(asked))
                file.attrs["provenance"] = json.dumps(record, sort_keys=True)

    baseline = predict

    def friends(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system.paths import of_file

        files = self.plan.files(job.wildcards.dataset).of_pack(job.wildcards.pack)
        made = {key: of_file(job.params.friends, key) for key in files}
        for path in made.values():
            _touch(path)
        self._json(str(job.output.manifest), made, self._record("friends", job, asked))

    def bundle(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system import provenance
        from rootloom.training import tensors

        record = {"provenance": provenance.record("bundle", dict(asked))}
        tensors.write(Path(str(job.output.bundle)), {}, record)

    def evaluate(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system import provenance

        self._json(str(job.output.evaluation), {}, provenance.record("evaluate", dict(asked)))

    def report(self, job: Any, asked: dict[str, Any]) -> None:
        from rootloom.system import provenance

        for path in job.output:
            _touch(str(path))
        self._json(str(job.output.quarantined), {}, provenance.record("report", dict(asked)))

    def _json(self, path: str, files: dict[str, Any], record: dict[str, Any]) -> None:
        from rootloom.system.atomic import write_json

        write_json(path, {"files": files, "provenance": record})

    def _record(self, stage: str, job: Any, asked: dict[str, Any]) -> dict[str, Any]:
        from rootloom.system import provenance

        files = self.plan.files(job.wildcards.dataset).of_pack(job.wildcards.pack)
        states = {key: file.state for key, file in files.items()}
        return provenance.record(stage, dict(asked), inputs=states)


def _touch(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).touch()


if __name__ == "__main__":
    JobScheduler.schedule = finish
    main(["--dry-run", "--quiet", "all"])
