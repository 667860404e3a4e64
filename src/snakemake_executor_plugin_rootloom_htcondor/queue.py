"""What HTCondor says of the jobs of one run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import htcondor2 as htcondor

from rootloom.cluster.adoption import Known
from rootloom.cluster.ledger import Place
from snakemake_executor_plugin_rootloom_htcondor.words import RUN, TOKEN

_WANTED = ["ClusterId", "JobStatus", "ExitCode", TOKEN]
_IDLE, _REMOVED, _COMPLETED = 1, 3, 4


class Ad(Protocol):
    """What is asked of a ClassAd of `htcondor`: attributes of a job by name."""

    def __getitem__(self, name: str, /) -> object: ...

    def get(self, name: str, /) -> object:
        """None where the job has no such attribute."""


def queued(run: str) -> dict[Place, Known]:
    """Jobs of a run in the queue. Raises an htcondor error when the schedd does not answer."""
    ads = htcondor.Schedd().query(constraint=f'{RUN} == "{run}"', projection=_WANTED)
    return _by_place(ads, left=False)


def history(run: str, since: float) -> dict[Place, Known]:
    """Jobs of a run that left the queue after a moment (seconds since 1970), where it is kept."""
    ads = htcondor.Schedd().history(
        constraint=f'{RUN} == "{run}"',
        projection=_WANTED,
        since=f"EnteredCurrentStatus < {int(since)}",
    )
    return _by_place(ads, left=True)


def remove(cluster: int) -> None:
    """Take a job out of the queue."""
    htcondor.Schedd().act(htcondor.JobAction.Remove, [f"{cluster}.0"])


def _by_place(ads: Iterable[Ad], *, left: bool) -> dict[Place, Known]:
    return {Place(str(ad[TOKEN]), 1): _known(ad, left) for ad in ads}


def _known(ad: Ad, left: bool) -> Known:
    waits = not left and ad["JobStatus"] == _IDLE
    return Known(str(ad["ClusterId"]), _state(ad, left), waits=waits)


def _state(ad: Ad, left: bool) -> Literal["active", "done", "failed"]:
    """left: it has left the queue. One that is being removed may still run."""
    status = ad["JobStatus"]
    if status == _COMPLETED:
        return "done" if ad.get("ExitCode") == 0 else "failed"
    return "failed" if left and status == _REMOVED else "active"
