"""What becomes of submitted jobs: the event log, and the queue itself where the log is silent."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator

from snakemake_executor_plugin_htcondor import JobState, JobStatus
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from rootloom.cluster import outcomes
from rootloom.cluster.adoption import Known, fingerprint_of, log_of
from rootloom.cluster.ledger import Place
from rootloom.cluster.outcomes import Cause
from rootloom.system.provenance import is_current
from snakemake_executor_plugin_rootloom_htcondor import queue
from snakemake_executor_plugin_rootloom_htcondor.ending import Ending, cause_of
from snakemake_executor_plugin_rootloom_htcondor.submission import Submission

SWEEP = 60.0  # seconds between two looks at the queue itself


class Watching(Submission):
    """Polling of the published executor, which knows why jobs ended and forgets none."""

    # The polling thread starts before __post_init__.
    _ready = False

    def __post_init__(self) -> None:
        """Nothing is known of any job yet."""
        super().__post_init__()
        self._reading = threading.Lock()
        self._endings: dict[int, Ending] = {}
        self._clusters: dict[str, int] = {}
        self._told: set[int] = set()
        self._unseen: set[int] = set()
        self._gone: set[int] = set()
        self._swept = time.monotonic()
        self._ready = True

    @abstractmethod
    def is_ours(self, token: str) -> bool:
        """Whether a job of the event log may still matter."""

    def in_log(self) -> dict[Place, Known]:
        """Jobs that the event log knows to have ended."""
        self._drain_unified_log()
        with self._reading:
            states = {t: (c, self._endings[c].state) for t, c in self._clusters.items()}
        return {Place(t, 1): Known(str(c), state) for t, (c, state) in states.items() if state}

    def cause(self, info: SubmittedJobInfo) -> Cause | None:
        """Why a job ended or is held; None while a user may release it."""
        ending = self._endings.get(info.external_jobid)
        if ending is None:
            return "lost"
        log = log_of(info.job)
        asked = info.job.resources
        return cause_of(
            ending,
            memory=asked.get("mem_mb"),
            runtime=asked.get("runtime"),
            stopped=log is not None and outcomes.noted(outcomes.STOPPED, log),
        )

    # -- called by the engine and by the published executor --------------------------------------
    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report jobs that ended; yield the others."""
        if not active_jobs or not self._ready:
            return
        if time.monotonic() - self._swept > SWEEP:
            await asyncio.to_thread(self._sweep, {info.external_jobid for info in active_jobs})
        async for info in super().check_active_jobs(active_jobs):
            yield info

    def report_job_error(
        self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs: object
    ) -> None:
        """Point at what the job printed."""
        if job_info.aux:
            kwargs.setdefault("aux_logs", [str(job_info.aux["log"])])
        super().report_job_error(job_info, msg=msg, **kwargs)

    def _drain_unified_log(self) -> None:
        """Read what is new in the event log; jobs of runs long over are passed by."""
        if not self._ready:
            return
        with self._reading:
            log = self._get_job_event_log()
            for event in log.events(stop_after=0) if log else ():
                cluster, kind = event.cluster, event.type.name
                if kind == "SUBMIT" and self.is_ours(event.get("LogNotes", "")):
                    self._clusters[event["LogNotes"]] = cluster
                    self._endings[cluster] = Ending()
                if cluster in self._endings:
                    self._event_logs.setdefault(cluster, []).append(event)
                    before = self._endings[cluster]
                    self._endings[cluster] = before.after(kind, event, event.timestamp)

    def _cleanup_job_tracking(self, cluster_id: int) -> None:
        super()._cleanup_job_tracking(cluster_id)
        self._told.discard(cluster_id)

    def _report_and_resolve_job_state(
        self, current_job: SubmittedJobInfo, job_state: JobState
    ) -> SubmittedJobInfo | None:
        cluster = current_job.external_jobid
        # Where the log could not be read, the state came from the queue or the history.
        self._endings.setdefault(cluster, _ending_of(job_state))
        if job_state.status == JobStatus.HELD:
            return self._resolve_held(current_job, job_state)
        if not job_state.status.is_terminal():
            self._told.discard(cluster)
            return self._resolve_gone(current_job) if cluster in self._gone else current_job
        self.sandboxes.land(current_job.aux["token"])
        if job_state.status == JobStatus.COMPLETED and job_state.exit_code == 0:
            current_job.aux["log"].unlink(missing_ok=True)
        return super()._report_and_resolve_job_state(current_job, job_state)

    # -- inside ---------------------------------------------------------------------------------
    def _resolve_held(self, info: SubmittedJobInfo, state: JobState) -> SubmittedJobInfo | None:
        """Wait for the user, or give the job up: then it must not be released behind our back."""
        cluster, since = info.external_jobid, state.held_since or time.time()
        if self.cause(info) is None and time.time() - since < self._held_timeout:
            if cluster not in self._told:
                self._told.add(cluster)
                self.logger.warning(
                    f"HTCondor holds job {cluster} ({info.job.name}): {state.hold_reason}. Repair "
                    f"what it says and `condor_release {cluster}`; after "
                    f"{self._held_timeout / 3600:.1f} hours it counts as failed."
                )
            return info
        try:
            queue.remove(cluster)
        except Exception as error:  # the bindings raise bare and undocumented kinds
            self.logger.warning(f"Held job {cluster} could not be removed yet: {error}")
            return info
        self.sandboxes.land(info.aux["token"])
        message = f"HTCondor held job {cluster}: {state.hold_reason}. "
        self.report_job_error(info, msg=message)
        self._cleanup_job_tracking(cluster)
        return None

    def _sweep(self, watched: set[int]) -> None:
        """Look for jobs that are in the queue no more although the event log did not say so."""
        self._swept = time.monotonic()
        try:
            found = queue.queued(self.run_uuid)
        except Exception as error:  # as above
            self.logger.warning(f"HTCondor's schedd does not answer ({error}).")
            return
        absent = watched - {int(known.external_id) for known in found.values()}
        self._gone, self._unseen = absent & self._unseen, absent

    def _resolve_gone(self, info: SubmittedJobInfo) -> SubmittedJobInfo | None:
        cluster, place = info.external_jobid, Place(info.aux["token"], 1)
        try:
            known = queue.history(self.run_uuid, 0.0).get(place)
        except Exception as error:  # as above
            self.logger.warning(f"HTCondor's history cannot be read ({error}).")
            return info
        done = known is not None and known.state == "done"
        self.sandboxes.land(place.token)
        if done or is_current([str(path) for path in info.job.output], fingerprint_of(info.job)):
            self.report_job_success(info)
        else:
            self._endings.pop(cluster, None)
            self.report_job_error(info, msg=f"HTCondor has forgotten job {cluster}. ")
        self._cleanup_job_tracking(cluster)
        return None


def _ending_of(state: JobState) -> Ending:
    return Ending(
        reason=state.hold_reason or "",
        held=state.status == JobStatus.HELD,
        removed=state.status == JobStatus.REMOVED,
        exit_code=state.exit_code,
        signal=state.exit_signal if state.exit_by_signal else None,
    )
