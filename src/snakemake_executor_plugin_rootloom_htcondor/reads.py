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


# The list of a dataset's files and where it lies, by the dataset's name.
Lists = Mapping[str, tuple[Path, FileList]]


def read_by(job: JobExecutorInterface, lists: Lists) -> list[str]:
    """Files that a job may read, as far as they are there, sorted.

    Its inputs; outputs of an earlier run, which it may keep or update; ROOT files with those of
    their friend trees, shards and a directory of checkpoints that its parameters name, and why
    files were set aside; the shards of its manifests, where it works on rows of a representation;
    why it ended before. lists: of the files of the workflow's datasets. Raises ResultError for a
    damaged manifest.
    """
    found = {str(OUTCOMES), *(path for one in _each(job) for path in _named_by(one, lists))}
    return sorted(path for path in found if Path(path).is_file())


def excerpts_for(job: JobExecutorInterface, lists: Lists) -> dict[str, bytes]:
    """The lists of files as a job needs them, by path: with those of its own pack alone."""
    digests: dict[str, set[str]] = {name: set() for name in lists}
    for one in _each(job):
        section, name = _section(one), _dataset(one)
        if "files" in section:
            digests[name].add(section["files"])
        if "file" in section:
            listing = lists[name][1]
            digests[name].add(listing.parts[listing.pack_of(section["file"]["key"])].digest)
    return {str(at): listing.excerpt(digests[name]) for name, (at, listing) in lists.items()}


def _dataset(job: Any) -> str:
    """The dataset that a job names; "" where it names none."""
    return str(job.wildcards_dict.get("dataset", ""))


def _each(job: JobExecutorInterface) -> list[JobExecutorInterface]:
    return list(job.jobs) if job.is_group() else [job]


def _section(job: JobExecutorInterface) -> Mapping[str, Any]:
    described = job.params.get("job", {})
    found: Mapping[str, Any] = described.get("section", {}) if isinstance(described, dict) else {}
    return found


def _named_by(job: JobExecutorInterface, lists: Lists) -> Iterator[str]:
    yield from map(str, (*job.input, *job.output))
    section, known = _section(job), lists.get(_dataset(job))
    files = _files(section, known[1] if known else None)
    if _opens_root_files(section):
        urls = (url for file in files for url in (file.url, *file.friends.values()))
        yield from (url for url in urls if not is_remote(url))
    if pattern := job.params.get("shards"):
        parts = range(section["parts"])
        yield from (of_file(pattern, file.key, part) for file in files for part in parts)
        yield from (str(mark_beside(of_file(pattern, file.key))) for file in files)
    # A rule whose job opens the shards of its manifests says how many files they are of.
    if "representation" in section or job.params.get("files") is not None:
        named = [*job.input.get("manifests", ()), *job.input.get("training_manifests", ())]
        manifests = [path for path in dict.fromkeys(named) if path.endswith(".json")]
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
