"""HTCondor for rootloom: the published HTCondor executor, with a memory.

Adds to it that one block of resources is understood, that jobs of an earlier head process are found
again, that lost jobs are submitted again, that the cause of a failure decides what the next attempt
asks for, that what a job is told by HTCondor reaches the program that can save its state, and that
HTCondor carries what jobs read and write where nodes do not see the working directory.
"""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

with warnings.catch_warnings():
    # The engine imports every executor: where HTCondor is not set up, nobody asked for it.
    warnings.filterwarnings("ignore", "The environment variable CONDOR_CONFIG is unset")
    from snakemake_executor_plugin_htcondor import common_settings as common_settings
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from rootloom.cluster.adoption import Adopting, Known
from rootloom.cluster.ledger import Place, run_name
from rootloom.cluster.outcomes import Cause
from snakemake_executor_plugin_rootloom_htcondor import queue
from snakemake_executor_plugin_rootloom_htcondor.settings import (
    ExecutorSettings as ExecutorSettings,
)
from snakemake_executor_plugin_rootloom_htcondor.watching import Watching


class Executor(Adopting, Watching):
    """Submits jobs to HTCondor, and takes over those of earlier heads."""

    def __post_init__(self) -> None:
        """Read the settings, then what earlier heads of this working directory left."""
        super().__post_init__()
        self.run_uuid = run_name(Path(self.workflow.workdir_init), getpass.getuser())
        usage = self.workflow.storage_settings.shared_fs_usage
        if self.carries and usage - {SharedFSUsage.SOFTWARE_DEPLOYMENT}:
            raise WorkflowError(
                "--shared-fs-usage\n"
                "  expected: software-deployment (nodes have the same Python), none (they have "
                "one of their own), or no such option: all is shared\n"
                f"  found:    {' '.join(sorted(map(str, usage)))}"
            )
        self._cleared = False
        self._sender = ThreadPoolExecutor(1, "submission")
        self.open_ledger()

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Take over or submit; the first time, clear away what travelled with jobs long over."""
        super().run_jobs(jobs)
        if self.carries and not self._cleared and self.ledger is not None:
            self._cleared = True
            tokens = [place.token for place in self.ledger.waiting()]
            self._sender.submit(self.sandboxes.sweep, tokens)

    def submit(self, jobs: Sequence[JobExecutorInterface], token: str) -> None:
        """Submit in the background, so that the engine goes on scheduling."""
        for job in jobs:
            self._sender.submit(self._send, job, token)

    def _send(self, job: JobExecutorInterface, token: str) -> None:
        try:
            self.send(job, token)
        except Exception as error:  # a thread's error would otherwise leave the engine waiting
            self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted: {error}. ")

    def known(self) -> dict[Place, Known]:
        """Jobs of this working directory in the queue, the event log or the schedd's history."""
        assert self.ledger is not None
        found = {**self.in_log(), **(self.in_queue() or {})}
        unknown = [place for place in self.ledger.waiting() if place not in found]
        if unknown:
            since = min(self.ledger.intent(place.token).time for place in unknown)
            found = {**queue.history(self.run_uuid, since), **found}
        for place in self.ledger.waiting():
            if place in found and found[place].state != "active":
                self.sandboxes.land(place.token)
        return found

    def adopted(self, job: JobExecutorInterface, known: Known, place: Place) -> SubmittedJobInfo:
        """Watch a job by its id and what it prints."""
        aux = self.described(job, place.token)
        return SubmittedJobInfo(job, external_jobid=int(known.external_id), aux=aux)

    def cause_of(self, info: SubmittedJobInfo) -> Cause:
        """Why a job ended without success."""
        return "failed" if info.external_jobid is None else self.cause(info) or "failed"

    def is_ours(self, token: str) -> bool:
        """Whether a job of the event log may still matter: most of an earlier head's do not."""
        try:
            return self.ledger is not None and self.ledger.intent(token) is not None
        except KeyError:
            return False

    def shutdown(self) -> None:
        """Stop watching and submitting."""
        self._sender.shutdown(wait=False, cancel_futures=True)
        super().shutdown()
