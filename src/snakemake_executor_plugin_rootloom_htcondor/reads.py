"""What a job reads of its working directory: more than the inputs that its rule declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from rootloom.cluster.ledger import FOLDER
from rootloom.rootio.transport.source import is_remote
from rootloom.shards.manifest import mark_beside, shards_by_file
from rootloom.system.filelist import File, FileList
from rootloom.system.paths import of_file

OUTCOMES = FOLDER / "outcomes.json"


def read_by(job: JobExecutorInterface, listing: FileList | None) -> list[str]:
    """Files that a job may read, as far as they are there, sorted.

    Its inputs; outputs of an earlier run, which it may keep or update; ROOT files with those of
    their friend trees, shards and a directory of checkpoints that its parameters name, and why
    files were set aside; the shards of its manifests, where it works on rows of a representation;
    why it ended before. listing: the data set's files, where the workflow has one. Raises
    ResultError for a damaged manifest.
    """
    found = {str(OUTCOMES), *(path for one in _each(job) for path in _named_by(one, listing))}
    return sorted(path for path in found if Path(path).is_file())


def excerpt_for(job: JobExecutorInterface, listing: FileList) -> bytes:
    """The list of files as a job needs it: with those of its own pack."""
    digests = set()
    for one in _each(job):
        section = _section(one)
        if "files" in section:
            digests.add(section["files"])
        if "file" in section:
            digests.add(listing.parts[listing.pack_of(section["file"]["key"])].digest)
    return listing.excerpt(digests)


def _each(job: JobExecutorInterface) -> list[JobExecutorInterface]:
    return list(job.jobs) if job.is_group() else [job]


def _section(job: JobExecutorInterface) -> Mapping[str, Any]:
    described = job.params.get("job", {})
    found: Mapping[str, Any] = described.get("section", {}) if isinstance(described, dict) else {}
    return found


def _named_by(job: JobExecutorInterface, listing: FileList | None) -> Iterator[str]:
    yield from map(str, (*job.input, *job.output))
    section = _section(job)
    files = _files(section, listing)
    if _opens_root_files(section):
        urls = (url for file in files for url in (file.url, *file.friends.values()))
        yield from (url for url in urls if not is_remote(url))
    if pattern := job.params.get("shards"):
        parts = range(section["parts"])
        yield from (of_file(pattern, file.key, part) for file in files for part in parts)
        yield from (str(mark_beside(of_file(pattern, file.key))) for file in files)
    if "representation" in section:
        manifests = [path for path in job.input.get("manifests", ()) if path.endswith(".json")]
        for shards in shards_by_file(manifests).values():
            yield from shards
    if directory := job.params.get("directory"):
        yield from (str(path) for path in Path(directory).rglob("*"))


def _files(section: Mapping[str, Any], listing: FileList | None) -> list[File]:
    """Entries of the list that a job works on: those of a pack, or one."""
    if "file" in section:
        return [File(**section["file"])]
    if "files" in section and listing is not None:
        return list(listing.with_digest(section["files"]).values())
    return []


def _opens_root_files(section: Mapping[str, Any]) -> bool:
    """Whether a job opens its ROOT files: for their headers, or for what its readers read."""
    readers = section.get("readers")
    return not readers or any(
        r["variables"] or r["objects"] or r["rows"] != "event" for r in readers.values()
    )
