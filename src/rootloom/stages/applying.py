"""Scores of files that no run knows, by a bundle: friend trees and predictions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rootloom.errors import (
    ConfigError,
    DataError,
    InputError,
    RootloomError,
    naming,
    require_fault_of_file,
)
from rootloom.evaluation.members import by_member
from rootloom.evaluation.predictions import (
    Header,
    Predictions,
    read_predictions,
    write_predictions,
)
from rootloom.rootio.branches import Container
from rootloom.rootio.friends import write_friend
from rootloom.rootio.header import Header as FileHeader
from rootloom.rootio.header import events_of, inspect, require, with_friends
from rootloom.rootio.joining import Checksums
from rootloom.rootio.names import friend_tree, identifier
from rootloom.rootio.origin import require_distinct
from rootloom.rootio.transport.remote import address
from rootloom.rootio.transport.source import beside, expand, is_remote
from rootloom.rootio.transport.staging import held
from rootloom.shards.ids import Naming
from rootloom.shards.reader import Shard
from rootloom.shards.update import write_or_update
from rootloom.shards.weights import EventWeights
from rootloom.stages import scoring
from rootloom.stages.friend_trees import Scores
from rootloom.stages.readings import NO_SPLITS, Reading
from rootloom.stages.scorers import Scorer
from rootloom.stages.sharding import checksums_wanted
from rootloom.system import provenance, scratch
from rootloom.system.atomic import require_absent, working_folder
from rootloom.system.hashing import of_value
from rootloom.types import NO_CLASS, UNLABELLED

STEP = 20_000  # entries read at a time, as of a dataset by default
_NO_TRUTH = scoring.RowsToScore(np.array([NO_CLASS], np.int32), EventWeights(), None)


@dataclass(frozen=True)
class Request:
    """What is scored, and where it is written.

    files: paths, globs and URLs. output: a folder. sample: see `Scorer.reading`. container: of the
    friend trees.
    """

    files: Sequence[str]
    output: Path
    sample: str | None = None
    container: Container = "ttree"


class Outputs(NamedTuple):
    """What is written of one input file."""

    friend: Path
    predictions: Path


@dataclass(frozen=True)
class Applied:
    """written: outputs by input file. refused: why others could not be read, by input file."""

    written: Mapping[str, Outputs]
    refused: Mapping[str, RootloomError]


class _Input(NamedTuple):
    """An input file with its rows, in a shard. friends: files of its friend trees, by name."""

    key: str
    url: str
    header: FileHeader
    friends: dict[str, str]
    checksums: Checksums
    shard: Path


def apply(scorer: Scorer, request: Request) -> Applied:
    """Score the rows of files and write a friend tree and a file of predictions for each.

    All files are scored as one dataset, in the order of their keys, as a run scores a dataset that
    does not train. Memory holds a block of rows, or the scores of one file; rows wait on the disk
    of the output, or on scratch, in the form of shards. A file that cannot be read keeps no other
    from being scored. Raises ConfigError for outputs that exist already and for files with common
    events, InputError for a path without a file, ResourceError where the machine is at fault.
    """
    found = expand(list(request.files))
    places = {file.url: _outputs(request.output, file.key) for file in found}
    _require_free(places)
    reading = scorer.reading(request.sample)
    refused: dict[str, RootloomError] = {}
    written: dict[str, Outputs] = {}
    with _room(request.output) as folder:
        inputs = []
        for number, file in enumerate(found):
            try:
                inputs.append(_input(scorer, reading, file.key, file.url, folder / f"{number}.h5"))
            except (InputError, DataError) as refusal:
                _note(refused, file.url, refusal)
        require_distinct(events_of(one.header) for one in inputs)
        predictions = _predict(scorer, reading, inputs, folder)
        for one in inputs:
            try:
                _write(scorer, reading, one, predictions, places[one.url], request)
                written[one.url] = places[one.url]
            except (InputError, DataError) as refusal:
                _note(refused, one.url, refusal)
    return Applied(written, refused)


def _note(refused: dict[str, RootloomError], url: str, refusal: InputError | DataError) -> None:
    if isinstance(refusal, InputError):
        require_fault_of_file(refusal)
    refused[url] = refusal


def _outputs(folder: Path, key: str) -> Outputs:
    return Outputs(folder / f"{key}.root", folder / f"{key}.h5")


def _require_free(places: Mapping[str, Outputs]) -> None:
    """Refuse to write where something is, an input in the first place."""
    inputs = {Path(url).resolve() for url in places if not is_remote(url)}
    for outputs in places.values():
        for path in outputs:
            if path.resolve() in inputs:
                raise ConfigError(
                    str(path),
                    expected="an output that is no input",
                    found="one of the files to be scored",
                    fix="choose another --output",
                )
            require_absent(path)


@contextmanager
def _room(output: Path) -> Iterator[Path]:
    """A folder for rows that wait, on scratch or beside the outputs."""
    with scratch.folder() as local:
        if local is not None:
            yield local
            return
        with working_folder(output) as folder:
            yield folder


def _input(scorer: Scorer, reading: Reading, key: str, url: str, shard: Path) -> _Input:
    """Read the selected rows of a file; raises InputError and DataError for what it lacks."""
    friends = {
        name: beside(pattern, url, key, None, f"friends.{name}")
        for name, pattern in reading.friends.items()
        if pattern is not None
    }
    reader = reading.reader
    header = with_friends(inspect(url, reader.tree), reader.beside(url, friends))
    fitted = reader.fitted(header.all_branches(), url)
    require(header, fitted.branches(reading.columns))
    checksums = checksums_wanted(header, None)
    named = _naming(scorer, reading, key, header)
    with held(url), naming(address(url), DataError):
        write_or_update(
            shard,
            blocks=lambda columns: fitted.read(
                url,
                0,
                header.entries,
                columns=columns,
                step=STEP,
                friends=friends,
                checksums=checksums,
                unlabelled=True,
            ),
            representation=reading.representation,
            recipe=dict.fromkeys(reading.columns, ""),
            file_key=key,
            splits=NO_SPLITS,
            naming=named,
            auxiliary=(),
            attributes={},
        )
    with Shard(shard) as rows:
        print(f"{url}: {rows.rows(UNLABELLED)} rows of {header.entries} entries", flush=True)
    return _Input(key, url, header, friends, checksums, shard)


def _naming(scorer: Scorer, reading: Reading, key: str, header: FileHeader) -> Naming:
    """How the events of a file get their identities: as in the training, if they were in it."""
    if scorer.bundle.partition.simulated:
        made_by = None if is_remote(header.url) else provenance.read(Path(header.url))
        if made_by and made_by.get("stage") == "simulate":
            return Naming.of_simulated(Path(header.url).stem)
    return Naming(key, header.origin, header.first_entry, reading.sample)


def _predict(
    scorer: Scorer, reading: Reading, inputs: Sequence[_Input], folder: Path
) -> dict[int, Path]:
    """Predictions of each member for all rows."""
    shards, found = [one.shard for one in inputs], {}
    rows = sum(_rows_in(path) for path in shards)
    for member in scorer.members:
        said = scorer.of(member, shards) if rows else ()
        found[member] = folder / f"predictions-{member}" / f"{UNLABELLED}.h5"
        header = _header(scorer, member)
        score = scoring.score_stream(said)
        scoring.write_predictions(found[member], header, shards, _NO_TRUTH, score)
    return found


def _rows_in(path: Path) -> int:
    with Shard(path) as shard:
        return shard.rows(UNLABELLED)


def _header(scorer: Scorer, member: int) -> Header:
    bundle, task = scorer.bundle, scorer.task
    trained = bundle.trainings[scorer.members.index(member)]
    classes = tuple(bundle.classes)
    return Header(
        method=bundle.method,
        classes=classes,
        signal=str(bundle.task.get("signal") or classes[-1]),
        columns=task.columns(),
        experiment=bundle.experiment,
        member=member,
        split=UNLABELLED,
        parameters=trained.get("parameters"),
        training_seconds=trained.get("seconds"),
        objects=task.object_columns(),
        probability=task.probability,
        trained_on=False,
    )


def _write(
    scorer: Scorer,
    reading: Reading,
    one: _Input,
    predictions: Mapping[int, Path],
    outputs: Outputs,
    request: Request,
) -> None:
    """The friend tree and the predictions of one input file."""
    bundle, reader, counts = scorer.bundle, reading.reader, None
    if reader.rows != "event":
        fitted = reader.fitted(one.header.all_branches(), one.url)
        counts = fitted.object_counts(
            one.url, 0, one.header.entries, friends=one.friends, checksums=one.checksums
        )
    folds = {bundle.method: bundle.partition.folds} if bundle.partition.folds else {}
    scores = Scores(list(predictions.values()), [one.key], bundle.experiment, folds)
    rows, record = scores.of(one.key), _record(scorer, one)
    write_friend(
        outputs.friend,
        one.header.entries,
        rows.entry,
        rows.object,
        rows.branches,
        friend_tree(reader.tree, bundle.experiment),
        collection=identifier(bundle.experiment),
        counts=counts,
        objects=rows.objects,
        notes={"provenance": record, "legend": json.dumps(scores.legend(), indent=1)},
        container=request.container,
    )
    write_predictions(outputs.predictions, _together(scorer, one, predictions, record))


def _record(scorer: Scorer, one: _Input) -> str:
    section = {"experiment": scorer.bundle.experiment, "method": scorer.bundle.method}
    made_by = provenance.fingerprint(Path(scorer.where)) or ""
    digest = hashlib.sha256(Path(scorer.where).read_bytes()).hexdigest()
    inputs = {"bundle": digest, one.key: one.header.content()}
    job = {"section": section, "fingerprint": of_value([section, made_by, inputs])}
    return json.dumps(provenance.record("apply", job, inputs=inputs), sort_keys=True)


def _together(
    scorer: Scorer, one: _Input, predictions: Mapping[int, Path], record: str
) -> Predictions:
    """What all members say of a file's rows: scores of one member, or the mean and columns beside.

    See docs/apply.md.
    """
    found = {m: read_predictions(path, [one.key], objects=True) for m, path in predictions.items()}
    first = next(iter(found.values()))
    header = dataclasses.replace(
        first.header, files=(one.key,), provenance=json.loads(record), member=scorer.members[0]
    )
    rows = dataclasses.replace(first.rows, file=np.zeros(len(first.rows), np.int32))
    if len(found) == 1:
        return Predictions(header, rows)
    names = header.columns
    fold = scorer.folds(rows.id, rows.object)
    columns = by_member(names, {m: of.rows.scores for m, of in found.items()}, fold)
    mean = np.stack([columns.pop(f"{name}__mean") for name in names], axis=1)
    beside = columns if fold is None else {**columns, "fold": fold.astype(np.float32)}
    header = dataclasses.replace(header, objects=())
    return Predictions(header, dataclasses.replace(rows, scores=mean, aux=beside, objects={}))
