"""No further attempt for what no other attempt can lift.

The engine gives every failed job its `retries`, whatever it failed by. A batch system's lost node
deserves them, a branch that is not there does not: it would be refused again, an hour of queueing
later. The engine has no hook for that; it asks each job for the number of its attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rootloom.cluster import outcomes

if TYPE_CHECKING:
    from snakemake_interface_executor_plugins.jobs import JobExecutorInterface


def spare_refused(job: type) -> None:
    """Let jobs of the engine's class `job` have no attempts left once their script was refused.

    Nothing happens where this version of the engine asks in another way: its jobs are then tried
    again, as by any other workflow.
    """
    engine_s = vars(job).get("restart_times")
    if not isinstance(engine_s, property) or engine_s.fget is None:
        return
    asked = engine_s.fget

    def restart_times(self: JobExecutorInterface) -> int:
        # Taken also where no attempt is left: a later run may give some, for another failure.
        refused = self.log and outcomes.take(outcomes.REFUSED, self.log[0])
        times: int = 0 if refused else asked(self)
        return times

    job.restart_times = property(restart_times)  # type: ignore[attr-defined]
