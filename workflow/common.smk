"""What the rules share: the plan, its paths, and how a job's parameters are asked for."""

import re
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rootloom.system import ending
from rootloom.cluster import outcomes
from rootloom.errors import RootloomError
from rootloom.planning.plan import State
from rootloom.stages import make_plan
from rootloom.types import GROUPS

try:
    # Jobs parse this file too: they read the lists of files that the head has written.
    PLAN = make_plan(config, Path(workflow.basedir), noted=not workflow.is_main_process)
    PLAN.look() if workflow.is_main_process else PLAN.lists()
except RootloomError as refusal:
    ending.refuse(refusal)

REQUEST, PATHS = PLAN.request, PLAN.paths
# Jobs parse this file too: what has to run was decided by the head.
HEAD_PLANS = workflow.is_main_process

# What `index` checks is not part of what it computes: a new variable must not index every file anew.
config["readers"] = {data.name: data.readers_to_check() for data in PLAN.datasets}
# Nor what `statistics` refuses: a new cross section must not sum anything anew.
config["weighting"] = {data.name: data.weighting() for data in PLAN.datasets}
config["roles"] = {data.name: data.role.value for data in PLAN.datasets}


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


def minutes_of_pack(rule):
    """The same for work on a pack of files, which takes as long as they are large."""
    return lambda wildcards: minutes(rule, files(wildcards).minutes)(wildcards)


def files(wildcards):
    """The files of the dataset that a job names, or of the one that trains."""
    return PLAN.files(dataset_of(wildcards))


def dataset_of(wildcards):
    """The dataset that a job names, or the one that trains."""
    named = wildcards.get("dataset")
    return PLAN.datasets.nominal.name if named is None else named


def listing_of(wildcards):
    """The list of files of the dataset that a job works on."""
    return str(files(wildcards).list_path)


def number_of_files(wildcards):
    """How many files the dataset that a job reads has."""
    return files(wildcards).listing.files


def files_of(wildcards):
    """The ROOT files of a pack."""
    of_pack = files(wildcards).of_pack(wildcards.pack)
    return files(wildcards).root_inputs(of_pack.values())


def all_predictions(wildcards):
    """Prediction files of every method and member, for every split and the rows of no class."""
    return PLAN.all_predictions(wildcards.dataset)


def reads(rule, paths, same_again=False):
    """Input function of a rule: `paths(wildcards)`, whose times do not count.

    What its outputs were made from, they say themselves. A job whose outputs are not those of this
    very job is told to run. One whose outputs are current waits for nobody: the time of an input
    says nothing, and one that is not there comes back, if it does, without leading to new outputs.

    same_again: these come back with the content they had, also when a user forces it.
    """

    def inputs(wildcards):
        found = paths(wildcards)
        if not HEAD_PLANS or to_run(rule, wildcards):
            return found
        again = rule in followers()
        if again and not same_again:
            return found  # the engine follows what the user forces, file by file
        names = [found] if isinstance(found, str) else found
        kept = [ancient(name) for name in names if forcing() or Path(name).exists()]
        return kept[0] if isinstance(found, str) and kept else kept

    return inputs


def to_run(rule, wildcards):
    """Whether a job has to run. The engine is told where it does not see it by itself."""
    outputs = outputs_of(rule, wildcards)
    state = PLAN.state(rule, outputs, **wildcards)
    if state is State.STALE:
        workflow.dag.forcefiles.update(outputs)
    return state is not State.CURRENT


def outputs_of(rule, wildcards):
    """Paths of a job's outputs."""
    declared = workflow.get_rule(rule).output
    return [str(output.apply_wildcards(wildcards)) for output in declared]


def forcing():
    """Whether the user wants something made again, whatever there is."""
    asked = workflow.dag_settings
    return bool(asked.forcerun or asked.forceall or asked.forcetargets)


@cache
def followers():
    """Rules that run again because the user forces one that they read."""
    forced = set()
    for name in workflow.dag_settings.forcerun:
        makers = [rule.name for rule in workflow.rules if rule.is_producer(name)]
        forced.update(makers or [name])
    return PLAN.followers(forced)


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


def given_weights(wildcards):
    """The file of parameters that a method is given, if it is; its content counts, not its time."""
    path = REQUEST.method(wildcards.method).weights
    return [ancient(path)] if path else []


def shards_for(rule, dataset=dataset_of):
    """Input function: the manifests of the shards that a job reads, and lost shards.

    dataset: of the job's wildcards, which one.
    """

    def paths(wildcards):
        name, representation = dataset(wildcards), representation_read(wildcards)
        # Jobs on other machines need not ask.
        lost = PLAN.lost(name).shards[representation] if HEAD_PLANS else []
        return [*PLAN.files(name).manifests(representation), *lost]

    return reads(rule, paths, same_again=True)


def representation_read(wildcards):
    """The representation that a job names, or its method reads."""
    named = wildcards.get("representation")
    return named if named is not None else REQUEST.representation_of(wildcards.method)


def of_training(wildcards):
    """The dataset that trains, whatever a job names."""
    return PLAN.datasets.nominal.name


def statistics_for(rule, dataset=dataset_of):
    """Input function: the statistics of the representation that a job reads."""

    def path(wildcards):
        return PATHS.statistics(dataset(wildcards), representation_read(wildcards))

    return reads(rule, path)


def beside_real(inputs):
    """Inputs, as a list, of an evaluation that compares with real rows; of another one none."""

    def listed(wildcards):
        found = inputs(wildcards)
        return [found] if isinstance(found, str) else found

    return listed if REQUEST.beside_real else []


def model_of(wildcards):
    """The model that a job applies."""
    return PATHS.model(REQUEST.name, wildcards.method, wildcards.member)


def apart_for(rule):
    """Input function: that the dataset of a job has no event in another split of the nominal one."""
    return reads(rule, lambda wildcards: PLAN.apart(wildcards.dataset), same_again=True)


def index_of_file(wildcards):
    """The index of the pack of a file."""
    return PATHS.index(wildcards.dataset, files(wildcards).pack_of(wildcards.file))


def shards_of_pack(wildcards):
    """The manifest of a pack, and lost shards of it."""
    lost = []
    if HEAD_PLANS:
        of_dataset = PLAN.lost(wildcards.dataset)
        lost = of_dataset.shards_of(wildcards.representation, wildcards.pack)
    return [PATHS.manifest(**wildcards), *lost]


wildcard_constraints:
    dataset=any_of([data.name for data in PLAN.datasets]),
    representation=any_of(REQUEST.representations),
    experiment=any_of([REQUEST.name]),
    method=any_of(REQUEST.all_methods),
    file="[^/.]+",
    folder="[0-9a-f]{2}/[0-9a-f]",
    block="[^/]+",
    # Folders of a friend tree, where a dataset has too many files for one.
    place="([0-9a-f]{2}/[0-9a-f]/)?",
    part=r"\d+",
    pack=r"(\d+/)?\d+-of-\d+",
    member=r"\d+",
