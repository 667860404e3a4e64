"""A mix-in that lets a restarted head take over the jobs of an earlier one.

It is added to the published executor plugins of both batch systems. Each submission is written to
the ledger before it is made. After a restart of the head, jobs that are still in the batch system
are watched instead of submitted again. A job that was lost (preemption, node failure) is
submitted again without using one of its attempts.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from rootloom.cluster import outcomes
from rootloom.cluster.ledger import FOLDER, Ledger, Place, key_of
from rootloom.cluster.outcomes import Cause
from rootloom.system.provenance import is_current

MAX_LOSSES = 20  # a job lost more often than this is reported as failed
MAX_DELAY_SECONDS = 300.0  # seconds until a job that was lost repeatedly is submitted again
IN_FLIGHT_SECONDS = 15.0  # seconds until a submission must be visible in the queue


@dataclass(frozen=True)
class Known:
    """State of one job in the batch system. "failed": it ended in any way other than success.

    waits: it is active but not running.
    """

    external_id: str
    state: Literal["active", "done", "failed"]
    waits: bool = False


class Adopting(RemoteExecutor):
    """Put before the plugin's executor: `class Executor(Adopting, PluginExecutor)`.

    The subclass gives `known`, `submit` and `cause_of`, and calls `open_ledger` at the end of its
    `__post_init__`.
    """

    # The plugin's polling thread starts before __post_init__.
    ledger: Ledger | None = None

    @abstractmethod
    def known(self) -> dict[Place, Known]:
        """All jobs of this working directory that the batch system still knows, by their place."""

    @abstractmethod
    def submit(self, jobs: Sequence[JobExecutorInterface], token: str) -> None:
        """Submit jobs as one submission that carries `token`; the n-th job is place (token, n).

        Each is then reported with `report_job_submission`, or `report_job_error` without an
        external id.
        """

    @abstractmethod
    def cause_of(self, info: SubmittedJobInfo) -> Cause:
        """Why a job failed; without an external id: why it was not submitted."""

    def adopted(self, job: JobExecutorInterface, known: Known, place: Place) -> SubmittedJobInfo:
        """The record by which a job of an earlier head is watched from now on."""
        return SubmittedJobInfo(job, external_jobid=known.external_id, aux={})

    def batches(self, jobs: list[JobExecutorInterface]) -> Iterable[list[JobExecutorInterface]]:
        """Groups of jobs for one submission; single jobs unless the batch system has arrays."""
        return ([job] for job in jobs)

    # -- called by the engine -------------------------------------------------------------------
    @property
    def cores(self) -> str:
        """Cores of a job on its node; the cores of the head's machine are no limit there."""
        return "all"

    def open_ledger(self) -> None:
        """Prepare the ledger.

        It is read with the first jobs, because only then this process is the head of its directory.
        """
        self.workflow.global_resources["_cores"] = None  # nor do they limit a rule's threads
        self._losses: Counter[str] = Counter()
        self._due: list[tuple[float, JobExecutorInterface]] = []
        self._found: dict[Place, Known] | None = None

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Take over the jobs that an earlier head submitted; submit the others."""
        if self.ledger is None:
            self.ledger = Ledger(FOLDER / "ledger.jsonl")
            self._take_back()
        left = [job for job in jobs if not self._take_over(job)]
        self._cancel_rivals(left)
        for batch in self.batches(left):
            for job in batch:
                self.run_job_pre(job)
            self._submit(batch)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self._submit([job])

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Submit lost jobs again after their delay, then ask for the state of the others."""
        if self.ledger is not None:
            due = [job for moment, job in self._due if moment <= time.monotonic()]
            self._due = [entry for entry in self._due if entry[1] not in due]
            for batch in self.batches(due):
                self._submit(batch)
        async for info in super().check_active_jobs(active_jobs):
            yield info

    def report_job_error(
        self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs: object
    ) -> None:
        """Record why a job ended; report it to the engine unless it was only lost."""
        job, cause = job_info.job, self.cause_of(job_info)
        key = job_key(job)
        if cause == "lost" and self._losses[key] < MAX_LOSSES:
            self._submit_later(job, key)
            return
        if not job.is_group():
            outcomes.record(cause, job.rule.name, job.wildcards_dict)
        words = {"memory": "It ran out of memory. ", "time": "It ran out of time. "}
        super().report_job_error(job_info, msg=f"{words.get(cause, '')}{msg or ''}", **kwargs)

    def handle_job_success(self, job: JobExecutorInterface) -> None:
        """The engine has recorded the result: remove the job from the ledger."""
        self._forget(job)
        super().handle_job_success(job)

    def handle_job_error(self, job: JobExecutorInterface) -> None:
        """The engine has recorded the failure: remove the job; a further attempt is a new job."""
        self._forget(job)
        super().handle_job_error(job)

    # -- inside ---------------------------------------------------------------------------------
    def _submit(self, jobs: Sequence[JobExecutorInterface]) -> None:
        assert self.ledger is not None
        for log in filter(None, map(log_of, jobs)):
            outcomes.clear(log)  # it may be lost before it clears them itself
        self.submit(jobs, self.ledger.intend([job_key(job) for job in jobs]))

    def _submit_later(self, job: JobExecutorInterface, key: str) -> None:
        assert self.ledger is not None
        delay = min(2.0 ** self._losses[key] - 1, MAX_DELAY_SECONDS)
        self._losses[key] += 1
        self.logger.info(
            f"Job {job.jobid} was lost ({self._losses[key]} of {MAX_LOSSES} times): "
            f"it is submitted again in {delay:.0f} s."
        )
        self.ledger.forget(key)
        self._due.append((time.monotonic() + delay, job))

    def _forget(self, job: JobExecutorInterface) -> None:
        assert self.ledger is not None
        self.ledger.forget(job_key(job))

    def _take_over(self, job: JobExecutorInterface) -> bool:
        """Whether a job of an earlier head is in the queue or has finished already."""
        assert self.ledger is not None
        places = self.ledger.places(job_key(job))
        if not places:
            return False
        found = {p: self._known_now(p) for p in places}
        states = {known.state: (known, p) for p, known in found.items() if known is not None}
        outputs = [str(path) for path in job.output]
        done = "done" in states and all(Path(path).exists() for path in outputs)
        if "active" not in states and (done or is_current(outputs, fingerprint_of(job))):
            self.logger.info(f"Job {job.jobid} was finished while no head process was running.")
            self.report_job_success(SubmittedJobInfo(job))
            return True
        # Failed ones too: the cause decides what happens next.
        choice = states.get("active") or states.get("failed")
        if choice is None:
            return False
        self.logger.info(f"Job {job.jobid} is already in the queue as {choice[0].external_id}.")
        self.report_job_submission(self.adopted(job, *choice))
        return True

    def _cancel_rivals(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Cancel jobs of an earlier head for the same outputs with other settings.

        Such a job would overwrite the new outputs.
        """
        assert self.ledger is not None
        rivals = {key: job for job in jobs for key in self.ledger.rivals(job_key(job))}
        places = {p: job for key, job in rivals.items() for p in self.ledger.places(key)}
        running = {p: k for p in places if (k := self._known_now(p)) and k.state == "active"}
        if running:
            ids = ", ".join(known.external_id for known in running.values())
            self.logger.info(
                f"Cancelled, because their configuration or inputs have changed: {ids}."
            )
            self.cancel_jobs(
                [
                    SubmittedJobInfo(places[p], external_jobid=k.external_id)
                    for p, k in running.items()
                ]
            )
        while any(
            known.state == "active" for p, known in (self._found or {}).items() if p in running
        ):
            time.sleep(1)
            self._found = self.known()
        for key in rivals:
            self.ledger.forget(key)

    def _take_back(self) -> None:
        """Cancel waiting jobs of an earlier head whose outputs exist already.

        A finished job may have been submitted again because its end looked like a failure. A
        running one is not stopped, because the engine on its node would delete the result.
        """
        assert self.ledger is not None
        if not self.ledger.waiting():
            return
        needless = [job for job in self.dag.jobs if not self.dag.needrun(job)]
        for job in needless:
            for place in self.ledger.places(job_key(job)):
                known = self._known_now(place)
                if known and known.waits:
                    self.logger.info(
                        f"Cancelled, because its result exists already: {known.external_id}."
                    )
                    self.cancel_jobs([SubmittedJobInfo(job, external_jobid=known.external_id)])
                    self._forget(job)

    def _known_now(self, place: Place) -> Known | None:
        """State of a place in the queue, after waiting for a submission that may be on its way."""
        assert self.ledger is not None
        if self._found is None:
            self._found = self.known()
        arrives = self.ledger.intent(place.token).time + IN_FLIGHT_SECONDS
        while place not in self._found and time.time() < arrives:
            time.sleep(1)
            self._found = self.known()
        return self._found.get(place)


def fingerprint_of(job: JobExecutorInterface) -> str:
    """The fingerprint of a job; empty for a rule that has none."""
    described = {} if job.is_group() else job.params.get("job", {})
    return str(described.get("fingerprint", "")) if isinstance(described, dict) else ""


def job_key(job: JobExecutorInterface) -> str:
    """What identifies a job in the ledger."""
    return key_of(job.name, [str(path) for path in job.output], fingerprint_of(job))


def log_of(job: JobExecutorInterface) -> str | None:
    """The log file of a job's own script."""
    return None if job.is_group() or not job.log else str(job.log[0])
