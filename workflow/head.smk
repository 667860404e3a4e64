"""One head a directory at a time, and jobs that end with the process that started them."""

import time

from snakemake.logging import logger

from snakemake.jobs import Job

from rootloom.cluster.attempts import spare_refused
from rootloom.cluster.head import Lease
from rootloom.system.atomic import date_back
from rootloom.system.processes import announce_engine

announce_engine()

spare_refused(Job)

# What failed is said at the very end, whatever the engine says in between.
ENDING = ending.Ending()
if workflow.is_main_process:
    logger.addHandler(ENDING)

# Before anything is planned. Jobs parse this file too, and are no heads.
HEAD = Lease(Path(".snakemake", "rootloom")) if workflow.is_main_process else None


def take_lease():
    """Become the head of this directory and leave its jobs the lists of files, or refuse to start."""
    try:
        note = HEAD.take()
        PLAN.note_files()
        planned = list(workflow.dag.needrun_jobs())
        date_back({str(path) for job in planned for path in job.input}, time.time())
        PLAN.jobs.note_code(
            (job.rule.name, job.wildcards) for job in planned if not job.is_norun
        )
    except RootloomError as refusal:
        raise WorkflowError(str(refusal)) from None
    if note:
        logger.warning(note)


onstart:
    take_lease()


onsuccess:
    HEAD.release()


onerror:
    HEAD.release()
    ENDING.speak()
