"""What the rules share: the plan, its paths, and how a job's parameters are asked for."""

import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rootloom import ending
from rootloom.cluster import outcomes
from rootloom.errors import RootloomError
from rootloom.plan import Plan
from rootloom.types import SPLITS

try:
    # Jobs parse this file too: they read the list of files that the head has written.
    PLAN = Plan(config, Path(workflow.basedir), noted=not workflow.is_main_process)
    PLAN.listing
except RootloomError as refusal:
    ending.refuse(refusal)

PATHS = PLAN.paths

# What `index` checks is not part of what it computes: a new variable must not index every file anew.
config["readers"] = PLAN.readers()
# Nor what `statistics` refuses: a new cross section must not sum anything anew.
config["weighting"] = PLAN.weighting()


def any_of(names):
    """Wildcard constraint that admits the declared names only."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def job_of(rule):
    """A rule's `job` parameter: its configuration section and its fingerprint."""
    return lambda wildcards: PLAN.job(rule, **wildcards)


def memory(rule, megabytes):
    """Memory that doubles each time this very job ran out of it, and for no other failure."""
    return lambda wildcards: megabytes * outcomes.factor("memory", rule, wildcards)


def minutes(rule, amount):
    """Time that doubles each time this very job ran out of it, and for no other failure."""
    return lambda wildcards: amount * outcomes.factor("time", rule, wildcards)


def files_of(wildcards):
    """The ROOT files of a pack."""
    return PLAN.root_inputs(PLAN.files(wildcards.pack).values())


def all_predictions(wildcards):
    """Prediction files of every method, member and split."""
    return [
        path
        for method in PLAN.all_methods
        for split in SPLITS
        for path in PLAN.predictions(method, split)
    ]


def unless_current(rule, output, paths, lost=lambda wildcards: []):
    """Input function: `paths(wildcards)`, without their times once they cannot matter.

    `lost(wildcards)` has to be made again before the job, if it runs.

    Once its output was made by the very job that would make it now, a pack that is made again, or
    that another division of the files has made superfluous, is no reason to run the job: it waits
    for nobody's pack and looks at nobody's time. Everything that can change is in the fingerprint.
    """

    def inputs(wildcards):
        if not PLAN.is_current(rule, output.format(**wildcards), **wildcards):
            return [*paths(wildcards), *lost(wildcards)]
        return [ancient(path) for path in paths(wildcards) if Path(path).exists()]

    return inputs


def machines(experiment):
    """Further resources of a training: `gpu` counts those of all its machines together.

    On several machines it is one task on each, which its own srun starts: the executor must not.
    """
    found = {}
    if experiment.gpus_per_node:
        found |= {"gpu": experiment.gpus_per_node * experiment.nodes}
    if experiment.nodes > 1:
        found |= {"mpi": "srun", "nodes": experiment.nodes, "tasks": experiment.nodes}
        found |= {"cpus_per_task": experiment.threads}
    if experiment.nodes > 1 and experiment.gpus_per_node:
        # Each machine's share, so that it is an equal one; SLURM's words are tasks, not GPUs.
        found |= {"gres": f"gpu:{experiment.gpus_per_node}", "tasks_per_gpu": 0}
    return found


def shards_for(rule, output):
    """Input function: the manifests of the shards that a job reads, and lost shards."""

    def manifests(wildcards):
        return PLAN.manifests(representation_read(wildcards))

    def lost_shards(wildcards):
        """To be made again; jobs on other machines need not ask."""
        name = representation_read(wildcards)
        return PLAN.lost_shards[name] if workflow.is_main_process else []

    return unless_current(rule, output, manifests, lost_shards)


def representation_read(wildcards):
    """The representation that a job names, or its method reads."""
    named = wildcards.get("representation")
    return named if named is not None else PLAN.representation_of(wildcards.method)


def statistics_of(method):
    """Statistics of the representation a method reads."""
    return PATHS.statistics(PLAN.dataset_name, PLAN.representation_of(method))


wildcard_constraints:
    dataset=any_of([PLAN.dataset_name]),
    representation=any_of(PLAN.representations),
    experiment=any_of([PLAN.name]),
    method=any_of(PLAN.all_methods),
    file="[^/.]+",
    folder="[0-9a-f]{2}/[0-9a-f]",
    block="[^/]+",
    part=r"\d+",
    pack=r"(\d+/)?\d+-of-\d+",
    member=r"\d+",
