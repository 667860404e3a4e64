"""A stand-in for an executor whose packages are not installed; it raises an error when used."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface


def absent(extra: str, missing: ModuleNotFoundError) -> tuple[type, type, CommonSettings]:
    """Executor, settings and common settings of a plugin that cannot run here.

    extra: the extra of this package that installs what is `missing`.
    """
    text = (
        f"executor rootloom-{extra}\n"
        f"  expected: its packages, which are an extra of this one\n"
        f"  found:    {missing}\n"
        f"  fix:      .venv/bin/python -m pip install -c requirements.lock -e '.[{extra}]'"
    )

    class Absent(RemoteExecutor):
        def __init__(
            self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface
        ) -> None:
            raise WorkflowError(text)

        def run_job(self, job: JobExecutorInterface) -> None:
            raise WorkflowError(text)

        async def check_active_jobs(
            self, active_jobs: list[SubmittedJobInfo]
        ) -> AsyncGenerator[SubmittedJobInfo, None]:
            raise WorkflowError(text)

        def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
            """Nothing was submitted."""

    common = CommonSettings(
        non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False
    )
    return Absent, ExecutorSettingsBase, common
