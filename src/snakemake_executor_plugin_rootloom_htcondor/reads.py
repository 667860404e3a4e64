"""What a job reads of its working directory: more than the inputs that its rule declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from rootloom.cluster.ledger import FOLDER
from rootloom.rootio.source import is_remote
from rootloom.shards.manifest import shards_by_file

OUTCOMES = FOLDER / "outcomes.json"


def read_by(job: JobExecutorInterface) -> list[str]:
    """Files that a job may read, as far as they are there, sorted.

    Its inputs; outputs of an earlier run, which it may keep or update; ROOT files, shards and a
    directory of checkpoints that its parameters name; the shards of its manifests, where it works
    on rows of a representation; why it ended before. Raises InputError for a damaged manifest.
    """
    jobs = list(job.jobs) if job.is_group() else [job]
    found = {str(OUTCOMES), *(path for one in jobs for path in _named_by(one))}
    return sorted(path for path in found if Path(path).is_file())


def _named_by(job: JobExecutorInterface) -> Iterator[str]:
    yield from map(str, (*job.input, *job.output))
    described = job.params.get("job", {})
    section = described.get("section", {}) if isinstance(described, dict) else {}
    if _opens_root_files(section):
        urls = (file["url"] for file in section["files"].values())
        yield from (url for url in urls if not is_remote(url))
    for shards in job.params.get("shards", {}).values():
        yield from shards
    if "representation" in section:
        manifests = [path for path in job.input.get("manifests", ()) if path.endswith(".json")]
        for shards in shards_by_file(manifests).values():
            yield from shards
    if directory := job.params.get("directory"):
        yield from (str(path) for path in Path(directory).rglob("*"))


def _opens_root_files(section: Mapping[str, Any]) -> bool:
    """Whether a job's section names ROOT files that it opens: headers, or what its reader reads."""
    if not section.get("files"):
        return False
    reader = section.get("reader")
    return not reader or bool(reader["variables"] or reader["objects"] or reader["rows"] != "event")
