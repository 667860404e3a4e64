"""No further attempts for errors that another attempt cannot change.

Snakemake gives every failed job its `retries`, whatever the cause. They are useful for a lost node,
but not for a missing branch, which would be refused again after another hour in the queue.
Snakemake has no hook for this, but it asks each job for the number of its attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootloom.cluster import outcomes

if TYPE_CHECKING:
    from snakemake_interface_executor_plugins.jobs import JobExecutorInterface


def spare_refused(job: type) -> None:
    """Leave jobs of the engine's class `job` no attempts after an error of their script.

    If this version of the engine works differently, nothing is changed, and failed jobs are tried
    again as in any other workflow.
    """
    engine_s = vars(job).get("restart_times")
    if not isinstance(engine_s, property) or engine_s.fget is None:
        return
    asked = engine_s.fget

    def restart_times(self: JobExecutorInterface) -> int:
        # Removed even if no attempt is left: a later run may give new ones for another failure.
        refused = self.log and outcomes.take(outcomes.REFUSED, self.log[0])
        times: int = 0 if refused else asked(self)
        return times

    job.restart_times = property(restart_times)  # type: ignore[attr-defined]
