"""What several stages share: fields of their sections, and how outputs are written and read.

Like the stages themselves it loads nothing heavy: every job parses the Snakefile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.errors import ChangedError
from rootloom.planning.stage import Job, Planning
from rootloom.rootio.definitions import expressions
from rootloom.rootio.syntax import functions_named
from rootloom.system import provenance
from rootloom.system.atomic import write_json
from rootloom.system.packing import position
from rootloom.system.paths import of_file

if TYPE_CHECKING:
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.survey import Survey
    from rootloom.shards.weights import EventWeights, WeightTable

Sums = TypeVar("Sums", "Statistics", "Survey")
FileFields = dict[str, Any]  # of `system.filelist.File`
# Scripts find the shards by this, and hand them to `run`.
ALL_SHARDS = ("rootloom.shards.manifest:all_shards",)
MAX_SEED = 900_000_000  # the largest that Pythia 8 accepts


# -- describing jobs ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What training, prediction and baselines share: inputs, classes and weights.

    classes, targets: those of the dataset that trains. weighting: how event and training weights of
    `dataset` follow from what shards hold.
    """

    experiment: str
    dataset: str
    task: Fields
    method: str
    member: int
    classes: list[str]
    targets: list[str]
    representation: Fields
    weighting: Fields


@dataclass(frozen=True, kw_only=True)
class Predicted(Scored):
    """Scoring of a dataset in any role.

    labels: its own classes, in the order of the labels in its shards. role: its role.
    """

    labels: list[str]
    role: str


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """How rows become shards of a representation, whatever the files.

    parts: shards of a file. readers: how rows are read, by sample. splits: shares drawn by the hash
    of the event. simulated: whether the workflow makes the files. step: entries read at a time.
    auxiliary: variables and targets that shards have in addition to the inputs.
    """

    dataset: str
    representation: Fields
    parts: int
    readers: dict[str, Fields]
    splits: dict[str, float]
    simulated: bool
    step: int
    auxiliary: list[str]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Comparison of examples with real ones.

    features: variables of the dataset that are compared. samples: normalisation of samples with a
    cross section.
    """

    representation: Fields
    evaluation: Fields
    features: list[str]
    samples: dict[str, Fields]


def scored(plan: Planning, dataset: str, method: str, member: int) -> Scored:
    """Fields for scoring a dataset with a member of a method (0 for a baseline)."""
    request, nominal = plan.request, plan.datasets.nominal.dataset
    return Scored(
        experiment=request.name,
        dataset=dataset,
        task=request.library.task(request.experiment, request.experiment.methods.get(method)),
        method=method,
        member=member,
        classes=list(nominal.classes),
        targets=list(nominal.targets),
        representation=request.representation(request.representation_of(method)),
        weighting=plan.data(dataset).weighting(),
    )


def predicted(plan: Planning, dataset: str, method: str, member: int) -> Predicted:
    """Fields for the predictions of a member (0 for a baseline), with the dataset's labels."""
    data = plan.data(dataset)
    return Predicted(
        **vars(scored(plan, dataset, method, member)),
        labels=list(data.dataset.classes),
        role=data.role.value,
    )


def statistics_read(plan: Planning, dataset: str, method: str) -> str:
    """Fingerprint of the statistics of a dataset, in the representation of a method."""
    representation = plan.request.representation_of(method)
    return plan.fingerprint("statistics", dataset=dataset, representation=representation)


def applied_of(plan: Planning, dataset: str, method: str) -> list[str]:
    """Fingerprints of the outputs of all members of a method for a dataset."""
    named = {"dataset": dataset, "method": method}
    if method in plan.request.experiment.baselines:
        return [plan.fingerprint("baseline", **named)]
    members = plan.request.members(method)
    rule = plan.request.product.rule
    return [plan.fingerprint(rule, **named, member=str(m)) for m in members]


def class_of(group: str, fields: Fields) -> str:
    """The class that a section `{kind: name, …}` belongs to, "module:Class"."""
    return registry.path(group, fields["kind"])


def functions_of(plan: Planning, readers: Iterable[Fields]) -> list[str]:
    """The functions that the expressions of readers call, "module:name"."""
    texts = (text for reader in readers for _, text in expressions(reader))
    names = frozenset[str]().union(*map(functions_named, texts))
    # A name that is not known is refused by `planning.checks`.
    return [one.place for name, one in sorted(plan.request.functions.items()) if name in names]


def seed_of(base: int, *names: str) -> int:
    """A seed in 1 … 900,000,000 for a job, by hash: neighbours share nothing."""
    text = "\0".join((str(base), *names)).encode()
    return 1 + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % MAX_SEED


# -- running them -------------------------------------------------------------------------------


def is_ours(output: str) -> bool:
    """Whether there is an output of an earlier run to go on from, of this version's format."""
    return provenance.fingerprint(Path(output)) is not None


def notes(stage: str, job: Job, seed: int | None = None) -> dict[str, str]:
    """The provenance of a ROOT file, as text beside its tree."""
    return {"provenance": json.dumps(provenance.record(stage, dict(job), seed=seed))}


def sums_of_pack(manifest: str, of_shard: Callable[[str], Sums], empty: Sums) -> dict[str, Any]:
    """Sums over the shards of a pack as JSON data, with the place of the pack among all.

    empty: of no shard, where all files of the pack were set aside.
    """
    from rootloom.shards.manifest import shards_by_file
    from rootloom.shards.merging import merge_all, merge_by_position

    by_file = shards_by_file([manifest], verified=True)
    files = sorted((position(key), shards) for key, shards in by_file.items() if shards)
    sums = ((at, merge_all(map(of_shard, shards))) for at, shards in files)
    content = (merge_by_position(sums) if files else empty).content()
    # That of any of its files.
    return {**content, "position": str(position(next(iter(by_file))))}


def division(packs: Sequence[str]) -> dict[str, str]:
    """Into how many packs the files were divided whose sums are merged, as a note on the inputs."""
    return {"packs": Path(packs[0]).stem.rpartition("-of-")[2]}


def write_sums(
    output: str,
    content: dict[str, Any],
    stage: str,
    job: Job,
    inputs: dict[str, Any] | None = None,
) -> None:
    """Write sums of rows, or what they are made by, with their provenance, as JSON on one line."""
    content["provenance"] = provenance.record(stage, dict(job), inputs=inputs)
    write_json(output, content, indent=None)


def events_of(section: Compared, statistics: Statistics) -> EventWeights:
    """Event weights of rows, by the sums of all of them."""
    from rootloom.shards.weights import Weighting

    return Weighting.of_events({"samples": section.samples}).events(statistics.samples)


def weights_of(section: Scored, statistics: Statistics) -> WeightTable:
    """Event and training weights of rows, by the sums of all of them."""
    from rootloom.shards.weights import Weighting, WeightTable

    weighting = Weighting.of(section.weighting)
    return WeightTable.from_statistics(statistics, dataset=section.dataset, weighting=weighting)


def refuse_changed(changes: Mapping[str, ChangedError], pattern: str) -> None:
    """Raise ChangedError if files are not those that were indexed, and leave a note on each.

    The next plan reads the notes (see `Files.changed`): it may see the same sizes and times.
    """
    for key, change in changes.items():
        if change.checksum:
            write_json(of_file(pattern, key), {"checksum": change.checksum})
    if len(changes) > 1:
        raise ChangedError(
            f"{len(changes)} files",
            expected="the files that were indexed",
            found="\n".join(str(change) for change in changes.values()),
            fix="start again, once the files are complete: they are then indexed anew",
        )
    for change in changes.values():
        raise change
