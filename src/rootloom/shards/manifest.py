"""What a pack's job left: the shards of its files, and the files that were set aside."""

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
    """Of an `Entry`. events: none in manifests of earlier versions."""

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

    seconds: what it took when it was made; 0 when this is not known any more. quarantined: why the
    file was set aside: it then has no shards. events: where its events are from, None when it was
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
        """Raises ResultError when it is not there or no manifest."""
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
    """That a file was set aside, and why: what lies where its shards would.

    No shard without rows stands in for a file that was not read: it would be a good file without
    rows to everybody who has not read the manifest. fingerprints: of the shards that could not be
    made. As long as they are what is asked for, the file stays aside, whatever becomes of the
    manifest: what follows was made without it.
    """

    url: str
    reason: str
    fingerprints: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Mark | None:
        """The mark at `path`; None without one. Raises ResultError for what is none."""
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
    """Where the mark of a file is, by the path of any of its shards."""
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
    """Paths of shards as an entry holds them, so that results can move as a whole."""
    return tuple(os.path.relpath(path, Path(manifest).parent) for path in shards)


def shards_by_file(
    manifests: Iterable[str | Path], *, verified: bool = False
) -> dict[str, list[str]]:
    """Paths of the shards in the manifests, by file, in the order of the files' keys.

    A file that was set aside has none. verified: refuse a shard that is not the one its manifest
    tells of. Those that were restored, copied or moved may be whole and still be of another file,
    or of an earlier configuration. Raises ResultError.
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
    """Shards of all files of a data set, in the order of the files' keys, whatever the packs.

    paths: its manifests; single shards, which they name, may stand among them. Raises ResultError
    when they do not hold `files` files, or a shard is not the one that they tell of: training on
    less, or on others, would go unnoticed.
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
