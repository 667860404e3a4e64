"""Generate examples with a trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootloom.cluster.running import progress
from rootloom.config.sections import Fields
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages.shared import ALL_SHARDS, notes, seed_of, statistics_read
from rootloom.stages.train import network_code
from rootloom.types import SPLITS


@dataclass(frozen=True, kw_only=True)
class Section:
    """tree: name of the tree that is written. options: of generating and writing examples."""

    experiment: str
    dataset: str
    method: str
    member: int
    threads: int
    tree: str
    options: Fields


def describe(plan: Planning, dataset: str, method: str, member: str) -> Description:
    """The examples of one member."""
    request = plan.request
    given = request.experiment.generation
    seed = seed_of(given.get("seed", 1), method, member)
    section = Section(
        experiment=request.name,
        dataset=dataset,
        method=method,
        member=int(member),
        threads=request.experiment.threads,
        tree=plan.data(dataset).dataset.tree,
        options={**given, "seed": seed},
    )
    upstream = [
        plan.fingerprint("train", method=method, member=member),
        statistics_read(plan, dataset, method),
    ]
    return Description(section, code=network_code(plan, method), upstream=upstream)


def run(job: Job, *, model: str, shards: Sequence[str], output: str) -> None:
    """Generate an example for each row of the test split, with its condition, in the same order."""
    from rootloom.training.devices import configure

    section = Section(**job["section"])
    configure(cpus=section.threads)
    from rootloom.stages import sampling
    from rootloom.stages.conditions import conditions_of_split

    generator = sampling.load_generator(model)
    representation = generator.representation
    request = sampling.Request(
        conditions_of_split(shards, representation, SPLITS[-1]),
        sampling.options_of(representation, section.options),
        tree=section.tree,
    )
    made_by = notes("generate", job, request.options.seed)
    what = f"generate {section.method} {section.member}"
    shown = progress(what, f"{generator.noun}s")
    sampling.write_examples(output, generator, request, made_by, shown)


STAGE = Stage(
    "generate",
    f"{__name__}:run",
    describe,
    reads=("train", "preprocess", "apart"),
    script_calls=ALL_SHARDS,
)
