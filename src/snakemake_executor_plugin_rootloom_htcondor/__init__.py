"""The plugin `rootloom-htcondor`; see `executor`.

The engine imports every executor it finds, also where there is no HTCondor.
"""

try:
    from snakemake_executor_plugin_rootloom_htcondor.executor import (
        Executor,
        ExecutorSettings,
        common_settings,
    )
except ModuleNotFoundError as missing:
    from rootloom.cluster.absent import absent

    Executor, ExecutorSettings, common_settings = absent("htcondor", missing)

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
