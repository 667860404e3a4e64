"""Options of the executor on the command line and in a profile."""

from dataclasses import dataclass, field
from typing import Optional

from snakemake_executor_plugin_htcondor import ExecutorSettings as HTCondorSettings


@dataclass
class ExecutorSettings(HTCondorSettings):
    """Those of the published executor, how the site is told a job's run time, and how often a job
    sends home what it has made where no file system is shared.
    """

    # The engine makes an option of the type itself: no postponed annotations, no `|`.
    runtime_attribute: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Job attribute from which the site reads a job's longest run time in seconds "
            "(MaxRuntime at CERN). Without one, HTCondor itself holds a job that runs longer.",
            "required": False,
        },
    )
    state_seconds: Optional[int] = field(  # noqa: UP045
        default=600,
        metadata={
            "help": "Without a shared file system: seconds after which a running job sends what it "
            "has made so far (checkpoints, shards) to where its next start finds it, should its "
            "node be lost without a warning. 0: only when it is told to stop.",
            "required": False,
        },
    )
