"""The shards of single files: what one is made from, whether it is there, and how it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.config.sections import Fields
from rootloom.errors import DataError, InputError, naming, require_fault_of_file
from rootloom.planning.stage import Job, job_of
from rootloom.representations.base import Representation, storable
from rootloom.representations.section import representation_of
from rootloom.rootio.catalogue import Catalogue, aside_before
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.definitions import expressions
from rootloom.rootio.functions import FUNCTIONS
from rootloom.rootio.header import Header, entry_range, events_of
from rootloom.rootio.joining import NO_CHECKSUMS, Checksums
from rootloom.rootio.section import reader_of
from rootloom.rootio.syntax import functions_named
from rootloom.rootio.transport.remote import address
from rootloom.rootio.transport.staging import held
from rootloom.shards.events import require_one_entry_an_event
from rootloom.shards.ids import Naming
from rootloom.shards.manifest import Entry, Mark, mark_beside, relative
from rootloom.shards.update import recipes, write_or_update
from rootloom.stages.shared import Sharded
from rootloom.system import provenance
from rootloom.system.filelist import File
from rootloom.types import TARGET, Ragged, RowBlock

# Keys of a reader whose parts decide single columns.
_BY_COLUMN = ("variables", "objects", "gather")
_LOOKED_AT = 20_000  # values of a block; sorting all hits of a large one would take longer than it


class PackOfShards:
    """The shards of a pack, file by file.

    section, on_bad_file: of the job. known: entries of an earlier manifest. refusals: why files
    could not be read, so far; only what is a file's own fault comes to be there.
    """

    def __init__(
        self,
        job: Job,
        section: Sharded,
        on_bad_file: str,
        catalogue: Catalogue,
        known: Mapping[str, Entry],
    ) -> None:
        self._job, self._section, self._on_bad_file = job, section, on_bad_file
        self._catalogue, self._known = catalogue, known
        self._representation = representation_of(section.representation)
        self.refusals: dict[str, InputError] = {}

    def entry(self, file: File, paths: Sequence[str], manifest: str) -> Entry | None:
        """Make the shards of a file that are not there and current; what the manifest says of it.

        paths: of its shards. One that cannot be read has a mark in their place, and none of them;
        where it may not be set aside there is nothing to say of it (None). Raises what is not the
        fault of the file: then it stays as it is, to be read again.
        """
        started = time.perf_counter()
        parts = [shard_job(self._job, self._section, file, part) for part in range(len(paths))]
        fingerprints = tuple(part["fingerprint"] for part in parts)
        header, reason = self._catalogue.header(file.key), self._aside(file, paths, fingerprints)
        made = False
        if reason and self._on_bad_file == "fail":
            self.refusals |= aside_before(file.key, file.url, reason, "fail")
            return None
        if header and not reason:
            try:
                with held(file.url):
                    for part, path in zip(parts, paths, strict=True):
                        made |= write_shard(part, self._representation, header, path)
            except InputError as refusal:
                require_fault_of_file(refusal)
                self.refusals[file.key], reason = refusal, str(refusal)
                if self._on_bad_file == "fail":
                    return None
        if header is None or reason:
            if file.key not in self.refusals:
                print(f"'{file.key}' stays aside")
            reason = reason or self._catalogue.reason(file.key) or ""
            self._set_aside(Mark(file.url, reason, fingerprints), paths)
            return Entry(file.url, _size(file.url), (), fingerprints, 0.0, reason)
        mark_beside(paths[0]).unlink(missing_ok=True)
        if self._section.readers[file.sample]["identity"]:
            require_one_entry_an_event(paths, file.url)
        known = self._known.get(file.key)
        return Entry(
            file.url,
            header.size,
            relative(paths, manifest),
            fingerprints,
            time.perf_counter() - started if made else known.seconds if known else 0.0,
            events=events_of(header),
        )

    def _aside(self, file: File, paths: Sequence[str], fingerprints: tuple[str, ...]) -> str | None:
        """Why a file was set aside before. It stays so until it changes or is retried."""
        mark, known = Mark.read(mark_beside(paths[0])), self._known.get(file.key)
        if mark and mark.fingerprints == fingerprints:
            return mark.reason
        return known.quarantined if known and known.fingerprints == fingerprints else None

    def _set_aside(self, mark: Mark, paths: Sequence[str]) -> None:
        """Leave the mark, then remove shards of a time when the file, or a part, could be read."""
        at = mark_beside(paths[0])
        if Mark.read(at) != mark:
            mark.write(at, provenance.record("preprocess", dict(self._job)))
        for path in paths:
            Path(path).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class OneShard:
    """What one shard is made from. url: of its file; the other fields are those of `Sharded`.

    file: key of the file. file_class: the class of its rows, where files decide. part: which of the
    file's shards. friends: files of its friend trees, by name. reader: that of its sample.
    """

    dataset: str
    representation: Fields
    parts: int
    splits: dict[str, float]
    simulated: bool
    step: int
    auxiliary: list[str]
    file: str
    url: str
    file_class: str | None
    part: int
    friends: dict[str, str]
    sample: str
    reader: Fields


def shard_job(job: Job, section: Sharded, file: File, part: int) -> Job:
    """The job of one shard, the same whether it is made with its pack or alone."""
    one = OneShard(
        dataset=section.dataset,
        representation=section.representation,
        parts=section.parts,
        splits=section.splits,
        simulated=section.simulated,
        step=section.step,
        auxiliary=section.auxiliary,
        file=file.key,
        url=file.url,
        file_class=file.label,
        part=part,
        friends=file.friends,
        sample=file.sample,
        reader=section.readers[file.sample],
    )
    return job_of(one, job["code"], file.state, parts=job["parts"])


def write_shard(job: Job, representation: Representation, header: Header, output: str) -> bool:
    """One shard; False when it was there and current.

    Raises ChangedError for a file that is not the one of the header, and what `RowReader.read` and
    `ShardWriter` raise.
    """
    one = OneShard(**job["section"])
    inputs = {one.file: header.content()}
    made_by = provenance.read(Path(output))
    if made_by and (made_by["fingerprint"], made_by["inputs"]) == (job["fingerprint"], inputs):
        return False
    reader, names = reader_of(one.reader), naming_of(one, header)
    objects = {name: tuple(columns) for name, columns in reader.objects.items()}
    needed = representation.needs(tuple(reader.variables), objects)
    record = provenance.record("preprocess", dict(job), inputs=inputs)
    coarse: set[str] = set()
    # What cannot be encoded knows its column and row, not whose they are.
    with naming(address(header.url), DataError):
        read = write_or_update(
            Path(output),
            blocks=lambda columns: _noting(
                _blocks(job, one, reader, header, columns), representation, coarse
            ),
            representation=representation,
            recipe=recipes(
                representation,
                _made_from(job, reader, needed),
                _context(job, one, header),
            ),
            file_key=one.file,
            splits=one.splits,
            naming=names,
            auxiliary=one.auxiliary,
            sample=one.sample,
            attributes={"provenance": json.dumps(record, sort_keys=True)},
        )
    print(f"{output}: {read} columns read")
    for name in sorted(coarse):
        print(
            f"warning: '{name}' of {one.url} has values that float32, in which it is used, "
            "cannot tell apart: subtract a constant in its expression, as in time - 1.75e9"
        )
    return True


def naming_of(one: OneShard, header: Header) -> Naming:
    """How the events of a shard's file get their identities."""
    if one.simulated:
        return Naming.of_simulated(one.file)
    return Naming(one.file, header.origin, header.first_entry, one.sample)


def _size(url: str) -> int:
    """Bytes of a file that could not be read; 0 of one behind a URL, or that is gone."""
    with suppress(OSError):
        return Path(url).stat().st_size
    return 0


def _context(job: Job, one: OneShard, header: Header) -> list[Any]:
    """What a shard depends on in addition to the expressions and fields of its columns."""
    section = {k: v for k, v in job["section"].items() if k not in ("representation", "step")}
    reader = {k: v for k, v in one.reader.items() if k not in _BY_COLUMN}
    variables = one.reader["variables"]
    auxiliary = {name: variables[name] for name in one.auxiliary if name in variables}
    deciding = expressions({**one.reader, "variables": auxiliary, "objects": {}, "gather": {}})
    code = [job["parts"][""], _called(job, [text for _, text in deciding])]
    return [{**section, "reader": reader}, auxiliary, code, job["upstream"], header.content()]


def _made_from(job: Job, reader: RowReader, columns: Sequence[str]) -> dict[str, list[Any]]:
    """What each column is made from: its expression, how its objects are gathered, functions."""
    found: dict[str, list[Any]] = {}
    for name, text in reader.expressions(columns).items():
        rule = reader.gather.get(name.partition(".")[0])
        texts = [text, *(rule.expressions().values() if rule else ())]
        found[name] = [text, _called(job, texts), *(rule._asdict().values() if rule else ())]
    return found


def _called(job: Job, texts: Iterable[str]) -> dict[str, str]:
    """Hashes of the code of the functions that expressions call, by place."""
    names = frozenset[str]().union(*map(functions_named, texts)) & FUNCTIONS.keys()
    places = sorted(FUNCTIONS[name].signature.place for name in names)
    return {place: job["parts"][place] for place in places}


def _noting(
    blocks: Iterator[RowBlock], representation: Representation, coarse: set[str]
) -> Iterator[RowBlock]:
    """Yield the blocks; add names of columns whose values float32 cannot tell apart to `coarse`.

    Inputs of a representation that `centres` keep their differences.
    """
    for block in blocks:
        for name, column in block.columns.items():
            kept = representation.centres and not name.startswith(TARGET)
            values = column.values if isinstance(column, Ragged) else column
            if not kept and storable(values[:_LOOKED_AT]).dtype == np.float64:
                coarse.add(name)
        yield block


def _blocks(
    job: Job, one: OneShard, reader: RowReader, header: Header, columns: Sequence[str]
) -> Iterator[RowBlock]:
    """Rows of a shard's range of entries."""
    start, stop = entry_range(header, one.part, one.parts)
    yield from reader.fitted(header.all_branches(), header.url).read(
        one.url,
        start,
        stop,
        file_class=one.file_class,
        columns=columns,
        step=one.step,
        part=one.part,
        friends=one.friends,
        checksums=checksums_wanted(header, job["upstream"] if one.simulated else None),
        unlabelled=True,
    )


def checksums_wanted(header: Header, recipe: str | None) -> Checksums:
    """What a file's header, and those of its friends, must sum up to when they are read.

    recipe: of a simulated file. One that was made again by it has other bytes and the same events.
    """
    if recipe is not None:
        made_by = provenance.read(Path(header.url))
        if made_by and made_by["fingerprint"] == recipe:
            return NO_CHECKSUMS
    return Checksums(header.checksum, {name: one.checksum for name, one in header.friends.items()})
