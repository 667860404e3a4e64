"""Write friend trees: those of a pack's files, or one that got lost after its pack was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rootloom.config.sections import Fields
from rootloom.errors import ChangedError
from rootloom.planning.data import Data, mentions
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import index as indexing
from rootloom.stages.shared import FileFields, applied_of, notes, refuse_changed
from rootloom.system import provenance
from rootloom.system.atomic import of_result, write_json
from rootloom.system.filelist import File, files_of_job, states
from rootloom.system.paths import of_file

if TYPE_CHECKING:
    from rootloom.stages.friend_trees import Scores


@dataclass(frozen=True, kw_only=True)
class Branches:
    """What names and fills branches.

    folds: of cross-validations, by method. readers: how rows are counted, by sample. simulated:
    whether the workflow makes the files.
    """

    experiment: str
    folds: dict[str, int]
    readers: dict[str, Fields]
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class Section(Branches):
    """Friend trees of a pack. files: digest of its part of the list of files."""

    files: str


@dataclass(frozen=True, kw_only=True)
class FriendSection(Branches):
    """One friend tree, of one file."""

    file: FileFields


def describe(plan: Planning, dataset: str, pack: str) -> Description:
    """The friend trees of a pack's files."""
    digest = plan.files(dataset).listing.parts[pack].digest
    section = Section(**vars(_branches(plan, dataset)), files=digest)
    return Description(section, upstream=_upstream(plan, dataset))


def describe_friend(plan: Planning, dataset: str, file: str) -> Description:
    """One friend tree, by the code that makes those of a pack."""
    fields = plan.files(dataset).file(file)._asdict()
    section = FriendSection(**vars(_branches(plan, dataset)), file=fields)
    return Description(section, upstream=_upstream(plan, dataset))


def _branches(plan: Planning, dataset: str) -> Branches:
    request, data = plan.request, plan.data(dataset)
    # No member has left out rows of another dataset than the one that trains.
    crossed = request.experiment.methods if data.trains else ()
    folds = {method: request.folds(method) for method in crossed}
    return Branches(
        experiment=request.name,
        folds={method: number for method, number in folds.items() if number},
        readers=_readers_that_count(data),
        simulated=data.dataset.simulate is not None,
    )


def _readers_that_count(data: Data) -> dict[str, Fields]:
    """Readers that only count rows, by sample: without quantities but for `mentions`."""
    nothing: Fields = {
        "variables": {},
        "objects": {},
        "gather": {},
        "targets": {},
        "identity": [],
    }
    return {
        name: {**reader, **nothing, "mentions": mentions(reader, {**reader, **nothing})}
        for name, reader in data.readers().items()
    }


def _upstream(plan: Planning, dataset: str) -> list[str]:
    methods = plan.request.all_methods
    predictions = [one for name in methods for one in applied_of(plan, dataset, name)]
    return [indexing.code(plan), *predictions]


def run(
    job: Job,
    *,
    listing: str,
    predictions: Sequence[str],
    index: str,
    friends: str,
    changed: str,
    output: str,
) -> None:
    """Write the friend trees of a pack's files: branches of all methods and members.

    listing: the list of all files. friends: pattern of their paths. changed: pattern of the notes
    on files that are not those that were indexed. A file without a header in the index was set
    aside, and has none.
    """
    section = Section(**job["section"])
    files = files_of_job(listing, section.files)
    asked = {key: of_file(friends, key) for key in files}
    made = _write_friends(job, section, predictions, index, files, asked, changed)
    record = provenance.record("friends", dict(job), inputs=states(files))
    write_json(output, {"files": made, "provenance": record})


def run_friend(
    job: Job, *, predictions: Sequence[str], index: str, changed: str, output: str
) -> None:
    """Write one friend tree again that got lost after its pack was done."""
    section = FriendSection(**job["section"])
    file = File(**section.file)
    asked = {file.key: output}
    _write_friends(job, section, predictions, index, {file.key: file}, asked, changed)


def _write_friends(
    job: Job,
    section: Branches,
    predictions: Sequence[str],
    index: str,
    files: Mapping[str, File],
    friends: Mapping[str, str],
    changed: str,
) -> dict[str, str]:
    """The paths that were written, by file."""
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.rootio.friends import write_friend
    from rootloom.rootio.names import friend_tree, identifier
    from rootloom.rootio.section import reader_of
    from rootloom.stages.sharding import checksums_wanted

    catalogue, experiment = Catalogue.read(index), section.experiment
    made: dict[str, str] = {}
    changes: dict[str, ChangedError] = {}
    readers = {name: reader_of(fields) for name, fields in section.readers.items()}
    scores = scores_of(section, predictions, list(friends))
    beside = {**notes("friends", job), "legend": json.dumps(scores.legend(), indent=1)}
    for key, output in friends.items():
        header, reader = catalogue.header(key), readers[files[key].sample]
        if header is None:
            continue
        rows, counts = scores.of(key), None
        if reader.rows != "event":
            fitted = reader.fitted(header.all_branches(), header.url)
            recipe = files[key].state if section.simulated else None
            wanted = checksums_wanted(header, recipe)
            try:
                counts = fitted.object_counts(
                    header.url, 0, header.entries, friends=files[key].friends, checksums=wanted
                )
            except ChangedError as change:
                changes[key] = change
                continue
        made[key] = output
        write_friend(
            output,
            header.entries,
            rows.entry,
            rows.object,
            rows.branches,
            friend_tree(reader.tree, experiment),
            collection=identifier(experiment),
            counts=counts,
            objects=rows.objects,
            notes=beside,
        )
    refuse_changed(changes, changed)
    return made


def scores_of(section: Branches, predictions: Sequence[str], keys: Sequence[str]) -> Scores:
    """Scores of some input files. Raises ResultError for predictions that are damaged."""
    from rootloom.evaluation.predictions import require_named_split
    from rootloom.stages.friend_trees import Scores

    with of_result():
        for path in predictions:
            require_named_split(path)
        return Scores(predictions, keys, section.experiment, section.folds)


_READS = ("predict", "baseline", "index")
STAGE = Stage("friends", f"{__name__}:run", describe, reads=_READS)
# By the code that makes the friend trees of a pack, so that both are the same.
FRIEND = Stage("friend", STAGE.run, describe_friend, reads=_READS)
