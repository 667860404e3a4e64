"""What the rules share: the plan, its paths, and how a job's parameters are asked for."""

import os
import re
import sys
from pathlib import Path

# The workflow runs the library it was checked out with, in this process and in every job.
SOURCE = str(Path(workflow.basedir) / "src")
sys.path.insert(0, SOURCE)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])]
)

from snakemake.exceptions import WorkflowError

from rootloom.errors import RootloomError
from rootloom.plan import Plan

try:
    PLAN = Plan(config, root=Path(workflow.basedir))
    PLAN.sources
except RootloomError as refusal:
    raise WorkflowError(str(refusal)) from None

PATHS = PLAN.paths


def any_of(names):
    """Wildcard constraint that admits the declared names only."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def job_of(rule):
    """A rule's `job` parameter: its configuration section and its fingerprint."""
    return lambda wildcards: PLAN.job(rule, **wildcards)


def scaled(amount):
    """A resource that grows with the attempt, for jobs that ran out of memory or time."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def shards_of(method):
    """Shards a method reads."""
    return PLAN.shards(PLAN.representation_of(method))


def statistics_of(method):
    """Statistics of the representation a method reads."""
    return PATHS.statistics(PLAN.dataset_name, PLAN.representation_of(method))


wildcard_constraints:
    dataset=any_of([PLAN.dataset_name]),
    representation=any_of(PLAN.representations),
    experiment=any_of([PLAN.name]),
    method=any_of(PLAN.all_methods),
    file="[^/]+",
    part=r"\d+",
    group=r"\d+",
    member=r"\d+",
