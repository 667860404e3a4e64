"""Train one member of a method."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rootloom.config.sections import Fields
from rootloom.errors import ConfigError, reason
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, Scored, class_of, scored, statistics_read, weights_of
from rootloom.system import provenance
from rootloom.system.atomic import sealed, sweep, write_text


@dataclass(frozen=True, kw_only=True)
class Section(Scored):
    """A member, its network and how it is trained.

    weights: path and checksum of a file of parameters that are used as they are; None: they are
    trained. training: fields of `TrainingOptions`. threads: of the process on each node. With the
    numbers of nodes and GPUs they decide the order of sums: a checkpoint promises the last bits.
    """

    model: Fields
    weights: Fields | None
    training: Fields
    threads: int
    nodes: int
    gpus_per_node: int


def describe(plan: Planning, method: str, member: str) -> Description:
    """A training, by the network, the task and the statistics of what it reads."""
    request, experiment = plan.request, plan.request.experiment
    network, nominal = request.method(method), plan.datasets.nominal.name
    section = Section(
        **vars(scored(plan, nominal, method, int(member))),
        model=request.library.model(network.model),
        weights=given_weights(plan, method),
        training=request.library.training(experiment, network),
        threads=experiment.threads,
        nodes=experiment.nodes,
        gpus_per_node=experiment.gpus_per_node,
    )
    code = network_code(plan, method)
    return Description(section, code=code, upstream=[statistics_read(plan, nominal, method)])


def given_weights(plan: Planning, method: str) -> Fields | None:
    """The file of parameters that a method is given, by path and content; None if it is trained."""
    request = plan.request
    path = request.method(method).weights
    if path is None:
        return None
    try:
        content = (request.root / path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{request.where}: methods.{method}.weights: {path}",
            expected="a safetensors file with the parameters of a published network",
            found=reason(error),
            fix="docs/particles.md says how a PyTorch file is converted",
        ) from None
    _require_scaling(plan, method)
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest()}


def _require_scaling(plan: Planning, method: str) -> None:
    """Given weights want inputs as they were trained with, not scaled by this dataset's moments."""
    request = plan.request
    name = request.method(method).representation
    section = request.library.representation(name)
    scaled = {one[0] for one in section.get("scaling", ())}
    inputs = [*section.get("objects", ()), *section.get("variables", ())]
    if missing := [one for one in inputs if one not in scaled]:
        raise ConfigError(
            f"{request.where}: methods.{method}.weights: representation '{name}'",
            expected="`scaling` of each quantity, as the weights were trained with",
            found=f"none of {', '.join(missing)}, which this dataset's moments would scale",
            fix="[NAME, centre, scale], where 0 and 1 leave a quantity as it is",
        )


def network_code(plan: Planning, method: str) -> list[str]:
    """Classes of a network, which training and applying it execute."""
    request = plan.request
    network = request.method(method)
    given = ["rootloom.models.published:parameters"] if network.weights else []
    return [
        *given,
        class_of("models", request.library.model(network.model)),
        class_of("tasks", request.library.task(request.experiment, network)),
        class_of("representations", request.library.representation(network.representation)),
    ]


class Paths(TypedDict):
    """Files of a training. directory: checkpoints and logs, kept when the job fails."""

    shards: list[str]
    statistics: str
    model: str
    history: str
    directory: str


def run(job: Job, **paths: Unpack[Paths]) -> None:
    """Train one member of a method, or go on where an interrupted training stopped.

    Raises Preempted after SIGTERM or SIGUSR1.
    """
    from rootloom.training import signals
    from rootloom.training.launch import Layout, launch
    from rootloom.training.lock import alone_in

    section, directory = Section(**job["section"]), Path(paths["directory"])
    with signals.leave_at_once(), alone_in(directory) as held:
        sweep(Path(paths["model"]).parent)
        if section.nodes == 1:
            run_process(job, **paths)
        else:
            layout = Layout(section.nodes, section.threads, section.gpus_per_node)
            launch({"job": dict(job), **paths}, directory, layout, held=[held])


def run_process(job: Job, *, process: dict[str, Any] | None = None, **paths: Unpack[Paths]) -> None:
    """What each process of a training does; the lead one writes.

    process: fields of `parallel.Process` when there are several processes. Raises ResourceError
    when the devices are not those that the experiment asks for.
    """
    from rootloom.training.devices import configure

    section = Section(**job["section"])
    configure(cpus=section.threads)
    from rootloom.shards.statistics import Statistics
    from rootloom.stages.networks import (
        loaders_of,
        options_of,
        published,
        task_of,
        write_model,
    )
    from rootloom.training import parallel
    from rootloom.training.loop import fit, keep

    if process is not None:
        parallel.join(parallel.Process(**process))
    parallel.require(section.gpus_per_node)
    parallel.connect()
    statistics = Statistics.read(paths["statistics"])
    options = options_of(section.training, section.member)
    weights = weights_of(section, statistics)
    if parallel.is_lead():
        print("".join(f"reweighting: {line}\n" for line in weights.shortfalls()), end="")
    task = task_of(section, section, statistics.moments)
    loaders = loaders_of(paths["shards"], weights, options, task, section.member)
    folder, fingerprint = paths["directory"], job["fingerprint"]
    if section.weights is None:
        result = fit(task, *loaders, options, folder, fingerprint=fingerprint)
    else:
        params = published(section, **section.weights)
        result = keep(task, *loaders, options, params, folder, fingerprint=fingerprint)
    if parallel.is_lead():
        record = provenance.record("train", dict(job), seed=options.seed)
        write_model(paths["model"], section, statistics, result, record)
        history = sealed(result.history_lines(), job["fingerprint"], lines=True)
        write_text(paths["history"], history)
    parallel.barrier()


STAGE = Stage(
    "train",
    f"{__name__}:run",
    describe,
    reads=("preprocess", "statistics", "apart"),
    script_calls=ALL_SHARDS,
)
