"""The shards of single files: what one is made from, whether it is there, and how it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rootloom import provenance
from rootloom.errors import InputError
from rootloom.filelist import File
from rootloom.fingerprint import of_value
from rootloom.rootio.catalogue import Catalogue
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.header import Header, entry_range, events_of
from rootloom.rootio.staging import held
from rootloom.sections import reader_of, representation_of
from rootloom.shards.events import require_one_entry_an_event
from rootloom.shards.ids import Naming
from rootloom.shards.manifest import Entry, relative
from rootloom.shards.update import recipes, write_or_update
from rootloom.types import RowBlock

Job = Mapping[str, Any]


class PackOfShards:
    """The shards of a pack, file by file.

    known: entries of an earlier manifest. refusals: why files could not be read, so far.
    """

    def __init__(self, job: Job, catalogue: Catalogue, known: Mapping[str, Entry]) -> None:
        self._job, self._catalogue, self._known = job, catalogue, known
        self._representation = representation_of(job["section"])
        self.refusals: dict[str, InputError] = {}

    def entry(self, file: File, paths: Sequence[str], manifest: str) -> Entry:
        """Make the shards of a file that are not there and current; what the manifest says of it.

        paths: of its shards. One that cannot be read has shards without rows.
        """
        started = time.perf_counter()
        parts = [shard_job(self._job, file, part) for part in range(len(paths))]
        fingerprints = tuple(part["fingerprint"] for part in parts)
        known = self._known.get(file.key)
        header, reason = self._catalogue.header(file.key), self._catalogue.reason(file.key)
        # A file stays aside until it changes or is retried: what follows was made without it.
        if known and known.quarantined and known.fingerprints == fingerprints:
            header, reason = None, known.quarantined
        made = False
        with held(file.url):
            for part, path in zip(parts, paths, strict=True):
                try:
                    made |= write_shard(part, self._representation, header, path)
                except InputError as refusal:
                    self.refusals[file.key], header, reason = refusal, None, str(refusal)
                    if self._job["section"]["on_bad_file"] == "fail":
                        break
                    write_shard(part, self._representation, None, path)
        if header and self._job["section"]["readers"][file.sample]["identity"]:
            require_one_entry_an_event(paths, file.url)
        before = known.seconds if known else 0.0
        return Entry(
            file.url,
            header.size if header else _size(file.url),
            relative(paths, manifest),
            fingerprints,
            time.perf_counter() - started if made else before,
            reason,
            events_of(header) if header else None,
        )


def shard_job(job: Job, file: File, part: int) -> dict[str, Any]:
    """The job of one shard, the same whether it is made with its pack or alone."""
    shared = ("files", "on_bad_file", "readers")
    section = {k: v for k, v in job["section"].items() if k not in shared}
    section |= {"file": file.key, "url": file.url, "file_class": file.label, "part": part}
    section |= {"sample": file.sample, "reader": job["section"]["readers"][file.sample]}
    found = {"section": section, "code": job["code"], "upstream": file.state}
    return {**found, "fingerprint": of_value(found)}


def write_shard(job: Job, representation: Any, header: Header | None, output: str) -> bool:
    """One shard, without rows when its file was set aside; False when it was there and current."""
    section = job["section"]
    inputs = {section["file"]: header.checksum if header else "none"}
    made_by = provenance.read(Path(output))
    if made_by and (made_by["fingerprint"], made_by["inputs"]) == (job["fingerprint"], inputs):
        return False
    reader, naming = reader_of(section["reader"]), naming_of(section, header)
    objects = {name: tuple(columns) for name, columns in reader.objects.items()}
    needed = representation.needs(tuple(reader.variables), objects)
    record = provenance.record("preprocess", dict(job), inputs=inputs)
    read = write_or_update(
        Path(output),
        blocks=lambda columns: _blocks(section, reader, header, columns),
        representation=representation,
        recipe=recipes(representation, reader.expressions(needed), _context(job, header)),
        file_key=section["file"],
        splits=section["splits"],
        naming=naming,
        auxiliary=section["auxiliary"],
        sample=section["sample"],
        attributes={"provenance": json.dumps(record, sort_keys=True)},
    )
    print(f"{output}: {read} columns read")
    return True


def naming_of(section: Job, header: Header | None) -> Naming:
    """How the events of a shard's file get their identities."""
    if section["simulated"] or header is None:
        return Naming.of_simulated(section["file"])
    return Naming(section["file"], header.origin, header.first_entry, section["sample"])


def _size(url: str) -> int:
    """Bytes of a file that could not be read; 0 of one behind a URL, or that is gone."""
    return Path(url).stat().st_size if Path(url).exists() else 0


def _context(job: Job, header: Header | None) -> list[Any]:
    """What decides a shard beside the expressions and fields of its columns."""
    section = {k: v for k, v in job["section"].items() if k not in ("representation", "step")}
    reader = {k: v for k, v in section["reader"].items() if k not in ("variables", "objects")}
    variables = section["reader"]["variables"]
    auxiliary = {name: variables[name] for name in section["auxiliary"] if name in variables}
    content = header.checksum if header else None
    return [{**section, "reader": reader}, auxiliary, job["code"], job["upstream"], content]


def _blocks(
    section: Job, reader: RowReader, header: Header | None, columns: Sequence[str]
) -> Iterator[RowBlock]:
    """Rows of a shard's range of entries; none of a file that was set aside."""
    if header is None:
        return
    start, stop = entry_range(header, section["part"], section["parts"])
    yield from reader.fitted(header.branches).read(
        section["url"],
        start,
        stop,
        file_class=section["file_class"],
        columns=columns,
        step=section["step"],
        part=section["part"],
        unlabelled=True,
    )
