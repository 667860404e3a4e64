"""Turn ROOT files into shards: those of a pack, or one that got lost after its pack was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rootloom.errors import ChangedError, ResultError
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import index as indexing
from rootloom.stages.shared import (
    FileFields,
    Sharded,
    class_of,
    functions_of,
    is_ours,
    refuse_changed,
)
from rootloom.system import provenance
from rootloom.system.filelist import File, files_of_job, states
from rootloom.system.hashing import of_value
from rootloom.system.paths import of_file

if TYPE_CHECKING:
    from rootloom.shards.manifest import Entry


@dataclass(frozen=True, kw_only=True)
class Section(Sharded):
    """Shards of a pack. files: digest of its part of the list. on_bad_file: as in the index's."""

    files: str
    on_bad_file: str


@dataclass(frozen=True, kw_only=True)
class ShardSection(Sharded):
    """One shard: a part of a file."""

    file: FileFields
    part: int


def describe(plan: Planning, dataset: str, representation: str, pack: str) -> Description:
    """The shards of a pack."""
    sharded = _sharded(plan, dataset, representation)
    section = Section(
        **vars(sharded),
        files=plan.files(dataset).listing.parts[pack].digest,
        on_bad_file=plan.data(dataset).dataset.on_bad_file,
    )
    return _described(plan, section)


def describe_shard(
    plan: Planning, dataset: str, representation: str, file: str, part: str
) -> Description:
    """One shard, by the code that makes those of a pack."""
    sharded = _sharded(plan, dataset, representation)
    section = ShardSection(
        **vars(sharded), file=plan.files(dataset).file(file)._asdict(), part=int(part)
    )
    return _described(plan, section)


def fingerprint_of(plan: Planning, dataset: str, representation: str, files: str) -> str:
    """Fingerprint of all shards of the files with this digest, for stages that read them.

    How the files are divided into packs does not count: it says when a number is computed, not what
    it is.
    """
    sharded = _sharded(plan, dataset, representation)
    made = _described(plan, sharded)
    code = plan.code(STAGE.run, *made.code, *made.functions)
    return of_value([vars(sharded), files, list(made.upstream), code])


def _sharded(plan: Planning, dataset: str, representation: str) -> Sharded:
    data, fields = plan.data(dataset), plan.request.representation(representation)
    declared = data.dataset
    return Sharded(
        dataset=dataset,
        representation=fields,
        parts=declared.shards_per_file,
        readers=data.readers(fields),
        splits=declared.splits.shares(),
        simulated=declared.simulate is not None,
        step=declared.step,
        auxiliary=data.auxiliary(),
    )


def _described(plan: Planning, section: Sharded) -> Description:
    return Description(
        section,
        code=[class_of("representations", section.representation)],
        functions=functions_of(plan, section.readers.values()),
        upstream=[indexing.code(plan)],
    )


def run(job: Job, *, listing: str, index: str, shards: str, changed: str, output: str) -> None:
    """Turn a pack's files into shards; those that are there and current are kept.

    listing: the list of all files. shards: pattern of their paths. changed: pattern of the notes on
    files that are not those that were indexed. A file that cannot be read does not keep the others
    from being done: it is refused, or set aside, at the end. A disk without room does, and so do
    other faults of the machine (ResourceError).
    """
    from rootloom.rootio.catalogue import Catalogue, quarantine
    from rootloom.shards.manifest import Manifest
    from rootloom.stages.sharding import PackOfShards

    section = Section(**job["section"])
    files = files_of_job(listing, section.files)
    known = Manifest.read(output).files if is_ours(output) else {}
    pack = PackOfShards(job, section, section.on_bad_file, Catalogue.read(index), known)
    entries: dict[str, Entry] = {}
    changes: dict[str, ChangedError] = {}
    for key, file in files.items():
        paths = [of_file(shards, key, part) for part in range(section.parts)]
        try:
            entry = pack.entry(file, paths, output)
            entries |= {key: entry} if entry else {}
        except ChangedError as change:
            changes[key] = change
    refuse_changed(changes, changed)
    quarantine(pack.refusals, len(files), section.on_bad_file)
    record = provenance.record("preprocess", dict(job), inputs=states(files))
    Manifest(entries).write(output, record)


def run_shard(job: Job, *, index: str, changed: str, output: str) -> None:
    """Make one shard again that got lost after its pack was done.

    changed: as in `run`. Raises InputError for a file that cannot be read any more, whatever
    `on_bad_file` says: what follows was made with it.
    """
    from rootloom.representations.section import representation_of
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.stages.sharding import shard_job, write_shard

    section = ShardSection(**job["section"])
    file = File(**section.file)
    header = Catalogue.read(index).header(file.key)
    if header is None:
        raise ResultError(
            output,
            expected="a shard of a file that can be read",
            found=f"{file.url}, which was set aside",
            fix="start again: files that were set aside have no shards",
        )
    one = shard_job(job, section, file, section.part)
    try:
        write_shard(one, representation_of(section.representation), header, output)
    except ChangedError as change:
        refuse_changed({file.key: change}, changed)


STAGE = Stage(
    "preprocess",
    f"{__name__}:run",
    describe,
    reads=("simulate", "index", "branches"),
    same_again=True,
)
# By the code that makes the shards of a pack, so that both are the same.
SHARD = Stage("shard", STAGE.run, describe_shard, reads=("simulate", "index"))
