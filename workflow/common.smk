"""What the rules share: the plan, its paths, and how a job's parameters are asked for."""

import os
import re
import sys
from pathlib import Path

# The workflow runs the library it was checked out with, in this process and in every job.
SOURCE = str((Path(workflow.basedir) / "src").resolve())
sys.path.insert(0, SOURCE)
inherited = os.environ.get("PYTHONPATH")
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [SOURCE, inherited]))}

from snakemake.exceptions import WorkflowError

from rootloom.errors import RootloomError
from rootloom.plan import Plan
from rootloom.types import SPLITS

try:
    PLAN = Plan(config, root=Path(workflow.basedir))
    PLAN.sources
except RootloomError as refusal:
    raise WorkflowError(str(refusal)) from None

PATHS = PLAN.paths

# What `index` checks is not part of what it computes: a new variable must not index every file anew.
config["reader"] = PLAN.reader()


def any_of(names):
    """Wildcard constraint that admits the declared names only."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def job_of(rule):
    """A rule's `job` parameter: its configuration section and its fingerprint."""
    return lambda wildcards: PLAN.job(rule, **wildcards)


def scaled(amount):
    """A resource that grows with the attempt, for jobs that ran out of memory or time."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def shards_for(rule, output):
    """Input function: the shards a job reads.

    Once its output was made from shards of the very same fingerprints, a shard that is deleted, or
    made again with the same content, is no reason to run the job: it waits for nobody's shard and
    looks at nobody's time. Everything else a shard can change is in the fingerprint.
    """

    def shards(wildcards):
        paths = PLAN.shards_read(**wildcards)
        if not PLAN.is_current(rule, output.format(**wildcards), **wildcards):
            return paths
        return [ancient(path) for path in paths if Path(path).exists()]

    return shards


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
