"""The manifest of a pack: the shards of its files, and the files that were set aside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

from rootloom.errors import ResultError
from rootloom.rootio.origin import Events
from rootloom.system import provenance
from rootloom.system.atomic import REMAKE, read_json, write_json


class _Fields(TypedDict):
    """Fields of an `Entry` as JSON data. events: none in manifests of earlier versions."""

    url: str
    bytes: int
    shards: list[str]
    fingerprints: list[str]
    seconds: float
    quarantined: str | None
    events: NotRequired[tuple[str, int, int, str] | None]


class _Manifest(TypedDict):
    files: dict[str, _Fields]


class _Mark(TypedDict):
    url: str
    reason: str
    fingerprints: list[str]


@dataclass(frozen=True)
class Entry:
    """One file. shards: relative to the manifest. fingerprints: of the shards.

    seconds: time that making them took; 0 if unknown. quarantined: why the
    file was set aside; it then has no shards. events: the origin of its events, None if it was
    set aside.
    """

    url: str
    bytes: int
    shards: tuple[str, ...]
    fingerprints: tuple[str, ...]
    seconds: float
    quarantined: str | None = None
    events: Events | None = None


@dataclass(frozen=True)
class Manifest:
    """Entries by the files' keys."""

    files: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a manifest; raises ResultError if it is missing or not a manifest."""
        fix = "delete it and run snakemake again: shards that are whole are kept"
        return read_json(path, "the manifest of a pack of shards", cls._of, fix=fix)

    @classmethod
    def _of(cls, content: _Manifest) -> Manifest:
        return cls({key: _entry(fields) for key, fields in content["files"].items()})

    def write(self, path: str | Path, provenance: Mapping[str, object]) -> None:
        """Write it whole or not at all."""
        files = {key: asdict(entry) for key, entry in self.files.items()}
        write_json(path, {"files": files, "provenance": provenance})


@dataclass(frozen=True)
class Mark:
    """The note, in place of a file's shards, that the file was set aside, and why.

    An empty shard must not replace a file that was not read: without the manifest it would look
    like a good file without rows. fingerprints: of the shards that could not be
    made. As long as these are the current ones, the file stays aside, even if the manifest is
    deleted, because later results were made without it.
    """

    url: str
    reason: str
    fingerprints: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Mark | None:
        """The note at `path`; None if there is none. Raises ResultError if it is damaged."""
        if not path.exists():
            return None
        fix = "delete it: the file is read again"
        return read_json(path, "why a file was set aside", cls._of, fix=fix)

    @classmethod
    def _of(cls, content: _Mark) -> Mark:
        return cls(content["url"], content["reason"], tuple(content["fingerprints"]))

    def write(self, path: Path, provenance: Mapping[str, object]) -> None:
        """Write it whole or not at all."""
        write_json(path, {**asdict(self), "provenance": provenance})


def mark_beside(shard: str | Path) -> Path:
    """Path of the note of a file, from the path of any of its shards."""
    return Path(shard).with_name(f"{Path(shard).name.partition('.')[0]}.aside.json")


def _entry(fields: _Fields) -> Entry:
    found = fields.get("events")
    return Entry(
        url=fields["url"],
        bytes=fields["bytes"],
        shards=tuple(fields["shards"]),
        fingerprints=tuple(fields["fingerprints"]),
        seconds=fields["seconds"],
        quarantined=fields["quarantined"],
        events=Events(*found) if found else None,
    )


def relative(shards: Iterable[str], manifest: str | Path) -> tuple[str, ...]:
    """Paths of shards relative to the manifest, so that results can be moved as a whole."""
    return tuple(os.path.relpath(path, Path(manifest).parent) for path in shards)


def shards_by_file(
    manifests: Iterable[str | Path], *, verified: bool = False
) -> dict[str, list[str]]:
    """Paths of the shards in the manifests, by file, in the order of the files' keys.

    A file that was set aside has none. verified: refuse a shard whose fingerprint is not that in
    the manifest. A shard that was restored, copied or moved may be intact but belong to another
    file or an earlier configuration. Raises ResultError.
    """
    found: dict[str, list[str]] = {}
    for path in manifests:
        below = Path(path).parent
        for key, entry in Manifest.read(path).files.items():
            found[key] = [os.path.normpath(below / shard) for shard in entry.shards]
            if verified:
                for shard, job in zip(found[key], entry.fingerprints, strict=False):
                    _require_made_by(Path(shard), job)
    return dict(sorted(found.items()))


def _require_made_by(shard: Path, job: str) -> None:
    found = provenance.fingerprint(shard)
    if found != job:
        made = f"a shard of job {found}" if found else "one that does not say what made it"
        raise ResultError(
            str(shard),
            expected=f"the shard that job {job} made, as its manifest says",
            found=made if shard.exists() else "no such file",
            fix=REMAKE,
        )


def all_shards(paths: Sequence[str | Path], files: int) -> list[str]:
    """Shards of all files of a dataset, in the order of the files' keys.

    paths: its manifests; single shards that they name may be among them. Raises ResultError
    if they do not have `files` files, or if a shard has another fingerprint: training on fewer or
    other files would go unnoticed.
    """
    manifests = [path for path in paths if Path(path).suffix == ".json"]
    found = shards_by_file(manifests, verified=True)
    if len(found) != files:
        raise ResultError(
            f"{len(manifests)} manifests of shards",
            expected=f"{files} files",
            found=str(len(found)),
            fix="run snakemake again: it makes the manifests that are missing",
        )
    return [shard for shards in found.values() for shard in shards]
