"""A submission of the published executor, completed before it reaches HTCondor."""

from __future__ import annotations

import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import htcondor2 as htcondor
from snakemake_executor_plugin_htcondor import Executor as HTCondorExecutor
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from rootloom.cluster.adoption import Known
from rootloom.cluster.ledger import Place
from snakemake_executor_plugin_rootloom_htcondor import node, queue, words
from snakemake_executor_plugin_rootloom_htcondor.reads import excerpts_for, read_by
from snakemake_executor_plugin_rootloom_htcondor.sandbox import (
    MEGABYTE,
    Cargo,
    Common,
    Sandboxes,
    checkout_of,
)

PATIENCE = 600.0  # seconds for which a schedd that does not answer is asked to take a job
LONGEST_PAUSE = 30.0  # seconds between two such questions


class Submission(HTCondorExecutor):
    """What a job needs besides what the published executor asks for; call `send`."""

    run_uuid = ""
    _token = ""

    def send(self, job: JobExecutorInterface, token: str) -> None:
        """Submit a job that carries `token`; wait out a schedd that does not answer."""
        self._token = token
        limit, pause = time.monotonic() + PATIENCE, 2.0
        while True:
            try:
                super().run_job(job)
                return
            except (WorkflowError, htcondor.HTCondorException) as error:
                if time.monotonic() > limit or not _may_pass(error):
                    raise
                self.logger.warning(f"{error}. Trying again in {pause:.0f} s.")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            # No answer does not mean that it was not taken.
            taken = (self.in_queue(limit) or {}).get(Place(token, 1))
            if taken is not None:
                self.report_job_submission(SubmittedJobInfo(job, int(taken.external_id)))
                return

    def in_queue(self, limit: float = float("inf")) -> dict[Place, Known] | None:
        """Jobs of this working directory in the queue, once the schedd answers.

        limit: moment (`time.monotonic`) at which to give up and return None.
        """
        pause = 2.0
        while True:
            try:
                return queue.queued(self.run_uuid)
            except Exception as error:  # the bindings raise bare and undocumented kinds
                if time.monotonic() > limit:
                    return None
                self.logger.warning(f"HTCondor's schedd does not answer ({error}); asking again.")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Watch a job from now on, by its id and by what it prints."""
        if job_info.aux is None:
            job_info.aux = self.described(job_info.job, self._token)
        super().report_job_submission(job_info, register_job=register_job)

    def described(self, job: JobExecutorInterface, token: str) -> dict[str, str | Path]:
        """What is kept of a submission: its token, and the file with what the job prints."""
        return {"token": token, "log": self._log(job.name, token)}

    def _sanitize_job_args(self, job_args: str) -> str:
        """Leave the arguments to `_handle_explicit_unit_resources`, which quotes them."""
        return job_args

    def _handle_explicit_unit_resources(
        self, job: JobExecutorInterface, submit_dict: dict[str, Any]
    ) -> None:
        """Complete a submission; what the rule or the profile says in HTCondor's words stays."""
        super()._handle_explicit_unit_resources(job, submit_dict)
        log = self._log(job.name, self._token)
        log.parent.mkdir(parents=True, exist_ok=True)
        submit_dict["output"] = submit_dict["error"] = str(log)
        carried = 0
        if not job.resources.get("job_wrapper"):
            command = [submit_dict["executable"], *words.words_of(submit_dict["arguments"])]
            wrapped, carried = self._wrapped(job, command)
            submit_dict |= {**wrapped, "arguments": words.command_line(wrapped["arguments"])}
        attribute = self.workflow.executor_settings.runtime_attribute
        asked = {**job.resources}
        if asked.get("disk_mb"):
            asked["disk_mb"] += -(-carried // MEGABYTE)
        for word, value in words.translated(asked, attribute).items():
            submit_dict.setdefault(word, value)

    def _wrapped(self, job: JobExecutorInterface, command: list[str]) -> tuple[dict[str, Any], int]:
        """Submit commands that run a command on a node; the bytes that have to travel there."""
        if not self.carries:
            program = [str(Path(node.__file__).resolve()), self.workflow.workdir_init]
            return {
                "executable": sys.executable,
                "transfer_executable": False,
                "arguments": [*program, *command],
            }, 0
        plan = self.workflow.globals.get("PLAN")  # the canary has none
        lists = plan.lists() if plan else {}
        cargo = Cargo(
            command,
            reads=read_by(job, lists),
            outputs=[str(path) for path in job.output],
            every=self.workflow.executor_settings.state_seconds or None,
            made=excerpts_for(job, lists),
        )
        return self.sandboxes.prepare(self._token, cargo)

    @property
    def carries(self) -> bool:
        """Whether jobs see nothing of this folder but what HTCondor carries to them."""
        return SharedFSUsage.INPUT_OUTPUT not in self.workflow.storage_settings.shared_fs_usage

    @cached_property
    def sandboxes(self) -> Sandboxes:
        """What travels with the jobs."""
        folder = Path(self.jobDir).absolute() / "sandboxes"
        return Sandboxes(folder, Path(self.workflow.workdir_init), self._common)

    def _common(self) -> Common:
        workflow = self.workflow
        if plan := workflow.globals.get("PLAN"):
            plan.require_start_here()
        configured = [str(path) for path in workflow.configfiles]
        return Common(checkout_of(Path(workflow.main_snakefile)), configured)

    def _get_exec_args_and_transfer_files(
        self, job: JobExecutorInterface, needs_transfer: bool
    ) -> tuple[str, str, list[str], list[str], list[str]]:
        """Leave what travels to `_wrapped`."""
        alone = needs_transfer and bool(job.resources.get("job_wrapper"))
        found: tuple[str, str, list[str], list[str], list[str]]
        found = super()._get_exec_args_and_transfer_files(job, alone)
        return found

    def _log_resource_requests(self, submit_dict: dict[str, Any]) -> None:
        """Take the last chance before a submission to set what the published executor has set."""
        submit_dict |= words.identified(self._token, self.run_uuid)
        if "request_gpus" not in submit_dict:
            for word in words.GPU_WORDS:
                submit_dict.pop(word, None)

    def _log(self, rule: str, token: str) -> Path:
        """What a job prints; a folder holds 1/256 of a rule's jobs."""
        return Path(self.jobDir).absolute() / rule / token[2:4] / f"{token}.log"


def _may_pass(error: Exception) -> bool:
    """Whether a schedd refused a job that it might take later; a wrong word never gets better."""
    return not isinstance(error, WorkflowError) or "Failed to submit" in str(error)
