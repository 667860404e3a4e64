"""The plugin `rootloom-slurm`; see `executor`.

The engine imports every executor it finds, also where there is no SLURM.
"""

try:
    from snakemake_executor_plugin_rootloom_slurm.executor import (
        Executor,
        ExecutorSettings,
        common_settings,
    )
except ModuleNotFoundError as missing:
    from rootloom.cluster.absent import absent

    Executor, ExecutorSettings, common_settings = absent("slurm", missing)

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
