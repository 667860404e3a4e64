"""SLURM for rootloom: the published SLURM executor, with a memory.

Adds to it that jobs of an earlier head process are found again, that lost jobs are submitted again,
that the cause of a failure decides what the next attempt asks for, that training is warned before
its time limit, and that one job needs one engine process on its node instead of two.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import shlex
import subprocess
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from pathlib import Path

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_executor_plugin_slurm import common_settings as common_settings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from rootloom.cluster import outcomes
from rootloom.cluster.adoption import Adopting, Known, fingerprint_of, log_of
from rootloom.cluster.ledger import Place, run_name
from rootloom.cluster.outcomes import Cause
from rootloom.system.provenance import is_current
from snakemake_executor_plugin_rootloom_slurm import queue, script

FORGOTTEN = 60.0  # seconds for which a job may be unknown to SLURM before it counts as lost
PATIENCE = 3600.0  # seconds for which a controller that takes no job now is asked again
_OF_THE_SITE = ("SLURM_CONF",)  # where the cluster is described; not what a job was given
_NOT_NOW = (
    "contact slurm controller", "timed out", "connection refused", "not responding",
    "maxsubmitjob", "temporarily",
)  # fmt: skip


class ExecutorSettings(SlurmSettings):
    """Those of the published executor. Its `status_command` has no effect here.

    squeue is always asked first, and sacct, where there is one, for what squeue has forgotten.
    """


class _Submission(SlurmExecutor):
    """Submission and polling of the published executor, without the shell and the second engine."""

    # The polling thread starts before __post_init__.
    _missing: dict[str, float] | None = None

    def additional_general_args(self) -> str:
        """Nothing: the engine on the node runs the job itself, without a job step around it."""
        return ""

    def get_account_arg(self, job: JobExecutorInterface) -> Iterator[str]:
        """The account that the profile names, or SLURM's own default for the user."""
        if job.resources.get("slurm_account"):
            yield from super().get_account_arg(job)
        else:
            yield ""

    def send(self, jobs: Sequence[JobExecutorInterface], token: str) -> None:
        """Call sbatch for jobs of one rule with the same resources; wait out a busy controller."""
        command, text = self._call(jobs, token), self._script(jobs)
        limit, pause = time.monotonic() + PATIENCE, 2.0
        while True:
            done = subprocess.run(command, input=text, capture_output=True, text=True)
            if done.returncode == 0:
                self._register(jobs, token, done.stdout.strip().partition(";")[0])
                return
            not_now = any(words in done.stderr.lower() for words in _NOT_NOW)
            if not not_now or time.monotonic() > limit:
                break
            time.sleep(pause)
            pause = min(2 * pause, 30.0)
            # No answer does not mean that it was not taken.
            taken = queue.places(queue.states(self.run_uuid) or {}).get(Place(token, 1))
            if taken is not None:
                self._register(jobs, token, taken.partition("_")[0])
                return
        for job in jobs:
            message = f"sbatch refused it: {done.stderr.strip()}\n{shlex.join(command)}\n"
            self.report_job_error(SubmittedJobInfo(job), msg=message)

    def _call(self, jobs: Sequence[JobExecutorInterface], token: str) -> list[str]:
        job = jobs[0]
        validate_slurm_extra(job)
        log = self._log(job, token, "%A_%a" if len(jobs) > 1 else "%j")
        log.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "run_uuid": self.run_uuid,
            "slurm_logfile": log,
            "comment_str": token,
            "account": next(self.get_account_arg(job)),
            "partition": self.get_partition_arg(job),
            "workdir": self.workflow.workdir_init,
        }
        settings = self.workflow.executor_settings
        call = get_submit_command(job, values, settings=settings, failed_nodes=self._failed_nodes)
        command = shlex.split(call + set_gres_string(job))
        warning = script.lead(job.resources.get("runtime"))
        if warning:
            command.append(f"--signal=B:TERM@{warning}")
        if len(jobs) > 1:
            command.append(f"--array=1-{len(jobs)}")
        return [*command, "/dev/stdin"]

    def _script(self, jobs: Sequence[JobExecutorInterface]) -> str:
        return script.batch_script([self.format_job_exec(job) for job in jobs])

    def _log(self, job: JobExecutorInterface, token: str, name: str) -> Path:
        """Log of the batch script; a folder holds the jobs of one array, or 1/256 of the others."""
        folder = self.slurm_logdir / job.name / token[2:4]
        return (folder / token if "_" in name else folder) / f"{name}.log"

    def _register(self, jobs: Sequence[JobExecutorInterface], token: str, slurm_id: str) -> None:
        for number, job in enumerate(jobs, start=1):
            name = f"{slurm_id}_{number}" if len(jobs) > 1 else slurm_id
            aux = {"slurm_logfile": self._log(job, token, name)}
            self.report_job_submission(SubmittedJobInfo(job, external_jobid=name, aux=aux))
        ids = ", ".join(str(job.jobid) for job in jobs)
        self.logger.info(f"Submitted jobs {ids} as SLURM job {slurm_id}.")

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report jobs that ended; yield the others."""
        if not active_jobs:
            return
        async with self.status_rate_limiter:
            found = await asyncio.to_thread(queue.states, self.run_uuid)
        if found is None:
            self.logger.warning("SLURM's controller does not answer; its jobs are waited for.")
        else:
            unknown = [i.external_jobid for i in active_jobs if i.external_jobid not in found]
            found |= await asyncio.to_thread(queue.archived, unknown)
        for info in active_jobs:
            if found is None or not self._report(info, found.get(info.external_jobid)):
                yield info

    def _report(self, info: SubmittedJobInfo, state: queue.State | None) -> bool:
        """Tell the engine of a job that ended; False while it has not."""
        log = info.aux["slurm_logfile"]
        if state is None:
            return self._report_forgotten(info)
        if self._missing is not None:
            self._missing.pop(info.external_jobid, None)
        if state.kind == "active":
            self._warn(info, state)
            return False
        if state.kind == "done":
            if not self.workflow.executor_settings.keep_successful_logs:
                log.unlink(missing_ok=True)
            self.report_job_success(info)
            return True
        info.aux["state"] = state
        message = f"SLURM job {info.external_jobid} ended as {state.name}. "
        self.report_job_error(info, msg=message, aux_logs=[str(log)])
        return True

    def _warn(self, info: SubmittedJobInfo, state: queue.State) -> None:
        """Say once of a job that it waits for what will not come."""
        if state.reason not in queue.HOPELESS or info.aux.get("warned"):
            return
        info.aux["warned"] = True
        self.logger.warning(
            f"SLURM job {info.external_jobid} ({info.job.name}) will not start: "
            f"{queue.HOPELESS[state.reason]} ({state.reason}). Fix: another partition or limit in "
            f"the profile, or `scontrol update JobId={info.external_jobid} ...`."
        )

    def _report_forgotten(self, info: SubmittedJobInfo) -> bool:
        self._missing = self._missing or {}
        since = self._missing.setdefault(info.external_jobid, time.monotonic())
        if time.monotonic() - since < FORGOTTEN:
            return False
        del self._missing[info.external_jobid]
        if is_current([str(path) for path in info.job.output], fingerprint_of(info.job)):
            self.report_job_success(info)
        else:
            self.report_job_error(info, msg=f"SLURM has forgotten job {info.external_jobid}. ")
        return True


class Executor(Adopting, _Submission):
    """Submits jobs and arrays of jobs to SLURM, and takes over those of earlier heads."""

    def __init__(
        self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface
    ) -> None:
        # What SLURM gave the head must not reach its jobs. The published executor would drop the
        # way to the cluster as well.
        for name in [n for n in os.environ if n.startswith("SLURM_") and n not in _OF_THE_SITE]:
            del os.environ[name]
        super().__init__(workflow, logger)

    def __post_init__(self, test_mode: bool = False) -> None:
        """Read the settings, then what earlier heads of this working directory left."""
        super().__post_init__(test_mode)
        # A new name for each head would hide the jobs of earlier ones from squeue.
        self.run_uuid = run_name(Path(self.workflow.workdir_init), getpass.getuser())
        self.open_ledger()

    def batches(self, jobs: list[JobExecutorInterface]) -> Iterable[list[JobExecutorInterface]]:
        """Arrays of jobs of one rule that ask for the same; the others one by one."""
        alike: dict[str, list[JobExecutorInterface]] = {}
        for job in jobs:
            alike.setdefault(self._likeness(job), []).append(job)
        for same in alike.values():
            for first in range(0, len(same), self.max_array_size):
                yield same[first : first + self.max_array_size]

    def _likeness(self, job: JobExecutorInterface) -> str:
        if job.is_group() or not self.array_jobs & {"all", job.name}:
            return f"job {job.jobid}"
        asked = {k: v for k, v in job.resources.items() if k not in ("tmpdir", "_cores", "_nodes")}
        return json.dumps([job.name, job.threads, asked], default=str, sort_keys=True)

    def submit(self, jobs: Sequence[JobExecutorInterface], token: str) -> None:
        """Submit in the background, so that the engine goes on scheduling."""
        self._job_submission_executor.submit(self._send, jobs, token)

    def _send(self, jobs: Sequence[JobExecutorInterface], token: str) -> None:
        try:
            self.send(jobs, token)
        except Exception as error:  # a thread's error would otherwise leave the engine waiting
            for job in jobs:
                self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted: {error}. ")

    def known(self) -> dict[Place, Known]:
        """Jobs of this working directory that SLURM still lists."""
        found = None
        while found is None:
            found = queue.states(self.run_uuid)
            if found is None:
                self.logger.warning("SLURM's controller does not answer; asking again.")
                time.sleep(5)
        at = {place: (name, found[name]) for place, name in queue.places(found).items()}
        return {p: Known(name, state.kind, state.waits) for p, (name, state) in at.items()}

    def adopted(self, job: JobExecutorInterface, known: Known, place: Place) -> SubmittedJobInfo:
        """Watch a job by its id and its batch script's log."""
        log = self._log(job, place.token, known.external_id)
        return SubmittedJobInfo(job, external_jobid=known.external_id, aux={"slurm_logfile": log})

    def cause_of(self, info: SubmittedJobInfo) -> Cause:
        """Why a job ended without success."""
        if info.external_jobid is None:
            return "failed"
        state = info.aux.get("state")
        if state is None:
            return "lost"
        log = log_of(info.job)
        return queue.cause_of(
            state,
            info.aux["slurm_logfile"],
            stopped=log is not None and outcomes.noted(outcomes.STOPPED, log),
            lead=script.lead(info.job.resources.get("runtime")),
        )
