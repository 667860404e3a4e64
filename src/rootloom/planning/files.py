"""The files of a data set: which there are, which one job works on, and what became of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from rootloom.cluster.ledger import FOLDER
from rootloom.config.sections import FromFiles, Rates
from rootloom.errors import ConfigError, nearest
from rootloom.planning.request import Request
from rootloom.rootio.transport import checksums
from rootloom.rootio.transport.source import beside, expand, is_remote, matches
from rootloom.shards.manifest import Manifest
from rootloom.system import faults, packing
from rootloom.system.atomic import read_json, write_json
from rootloom.system.filelist import File, FileList
from rootloom.system.hashing import of_value

MIN_RUNTIME = 30  # minutes asked for at least: a scheduler gains nothing from less
RUNTIME_MARGIN = 5  # asked for over expected: rates are those of another machine


class Files:
    """ROOT files with their packs, shards and friend trees.

    simulated_by: fingerprint of the job that makes the simulated file of a key. noted: whether to
    rely on the list of files that the head of the run wrote, as its jobs do.
    """

    def __init__(
        self, request: Request, simulated_by: Callable[[str], str], *, noted: bool = False
    ) -> None:
        self._request = request
        self._simulated_by = simulated_by
        self._noted = noted
        self._dataset, self._paths = request.dataset, request.paths
        self.list_path = FOLDER / "files" / f"{request.dataset_name}.list"

    @cached_property
    def listing(self) -> FileList:
        """The dataset's files, by pack.

        Raises InputError for a pattern without files, ResultError for a list that is damaged.
        """
        if self._noted and self.list_path.exists():
            noted = FileList.read(self.list_path)
            if noted.question == self._question:  # else it is of another run's configuration
                return noted
        found = self._simulated() if self._dataset.simulate else self._given()
        return FileList.of(found, 60 * self._request.settings.job_minutes, self._question)

    def note(self) -> None:
        """Write the list of files for the jobs."""
        self.listing.write(self.list_path)

    @cached_property
    def _question(self) -> str:
        """What decides, beside the disk, which files there are and how they are packed."""
        files = [
            (
                name,
                source.files,
                source.tree,
                self._dataset.class_of(name),
                [
                    (friend, rule.file, bool(rule.by))
                    for friend, rule in self._dataset.own(source, "friends").items()
                ],
            )
            for name, source in self._dataset.sources().items()
        ]
        simulate = self._dataset.simulate
        source = simulate.model_dump() if simulate else files
        others = (self._rates.model_dump(), self._request.settings.model_dump())
        return of_value([self._request.dataset_name, source, list(self._dataset.classes), *others])

    @cached_property
    def _rates(self) -> Rates:
        return self._request.library.rates()

    def _simulated(self) -> Iterator[tuple[File, float]]:
        simulate = self._dataset.simulate
        assert simulate is not None
        size = self._request.settings.size
        if size not in simulate.files:
            raise ConfigError(
                "config/config.yaml: size",
                expected=f"a size of dataset '{self._request.dataset_name}'",
                found=f"'{size}'",
                fix=nearest(size, simulate.files),
            )
        row_bytes = simulate.row_bytes or self._rates.simulated_row_bytes
        # The same before and after it is made.
        seconds = self._rates.seconds(simulate.rows_per_file * row_bytes)
        for label in self._dataset.classes:
            for number in range(simulate.files[size]):
                key = f"{label}-{number:05d}"
                url = self._paths.simulated(self._request.dataset_name, key)
                yield File(key, url, label, self._simulated_by(key)), seconds

    def _given(self) -> Iterator[tuple[File, float]]:
        # Paths stay as written where that works, so that a checkout that moves keeps its results.
        base = None if Path.cwd() == self._request.root else self._request.root
        seen: dict[tuple[str, object], str] = {}
        keys: dict[str, str] = {}
        for sample, source in self._dataset.sources().items():
            label, tree = self._dataset.class_of(sample), source.tree or self._dataset.tree
            for named, url in expand(source.files or [], base=base):
                # Several trees of one file may be samples.
                key = f"{named}-{of_value(source.tree)[:12]}" if source.tree else named
                status = None if is_remote(url) else self._status(url)
                if (other := _first_of(seen, tree, url, status)) is not None:
                    raise self._twice(other, url, tree, base)
                if (other := keys.setdefault(key, url)) != url:
                    raise ConfigError(
                        f"files {other} and {url}",
                        expected="different files, with different keys",
                        found=f"'{key}' for both",
                        fix="rename one of them",
                    )
                identity, seconds = self._look(key, url, status)
                friends = self._friends_of(sample, source, key, url, base)
                for name, place in friends.items():
                    # Their content decides a shard as the file's own does.
                    state, more = self._look("", place, self._status(place))
                    identity, seconds = f"{identity}; {name}: {state}", seconds + more
                yield File(key, url, label, identity, sample, friends), seconds

    def _twice(self, one: str, other: str, tree: str, base: Path | None) -> ConfigError:
        """A refusal of one file at two addresses, or at one that is listed twice."""
        word = "sample" if self._dataset.samples else "class"
        listed = [
            f"'{pattern}'" + (f" of {word} '{name}'" if name else "")
            for name, source in self._dataset.sources().items()
            if tree == (source.tree or self._dataset.tree)
            for url in dict.fromkeys((one, other))
            for pattern in matches(source.files or [], url, base)
        ]
        return ConfigError(
            f"files {one} and {other}" if one != other else f"file {one}",
            expected="different files, each listed once",
            found=f"one file{' under two names' if one != other else ''}, listed by "
            + " and by ".join(listed),
            fix="leave one of them out: its events would count twice",
        )

    def _friends_of(
        self, sample: str, source: FromFiles, key: str, url: str, base: Path | None
    ) -> dict[str, str]:
        """Files of a file's friend trees, by name, where they are not in the file itself.

        base: folder that relative patterns start from.
        """
        found = {}
        of = f"dataset '{self._request.dataset_name}'" + (f", sample '{sample}'" if sample else "")
        for name, friend in self._dataset.own(source, "friends").items():
            if friend.file is None:
                continue
            where = f"{of}: friends.{name}"
            found[name] = place = beside(friend.file, url, key, base, where)
            if (other := self._owners.setdefault((name, place), url)) != url and not friend.by:
                raise ConfigError(
                    f"{where}.file",
                    expected="a file of its own for each file of the dataset, entry by entry",
                    found=f"{place} for {other} and {url}",
                    fix="write {stem}, {folder} or {key} for what differs, or name branches "
                    "that tell which entries belong together: by: [run, event]",
                )
        return found

    @cached_property
    def _owners(self) -> dict[tuple[str, str], str]:
        """Whose friend a file is, by the friend's name."""
        return {}

    def require_start_here(self) -> None:
        """Refuse a working directory other than the checkout: relative names must mean the same.

        For jobs that see neither. Raises ConfigError.
        """
        named = [name for source in self._dataset.sources().values() for name in source.files or []]
        local = self._dataset.simulate or not all(map(is_remote, named))
        if local and Path.cwd() != self._request.root:
            raise ConfigError(
                f"dataset '{self._request.dataset_name}'",
                expected="snakemake started in the checkout, as file names start there",
                found=f"started in {Path.cwd()}",
                fix=f"start it in {self._request.root}: nodes have no other folder in common",
            )

    def _status(self, url: str) -> os.stat_result | None:
        """Of a local file; None when it is gone. Raises ResourceError when nobody can say."""
        try:
            return os.stat(os.path.join(self._request.root, url))
        except OSError as error:
            faults.pass_on(error, url)
            return None

    def _look(self, key: str, url: str, status: os.stat_result | None) -> tuple[str, float]:
        """A given file's state, and the expected duration of the work on it."""
        identity, size = url, None
        if is_remote(url):
            size = checksums.split(url)[1].size
        elif status is not None:
            size = status.st_size
            identity = f"{size}-{status.st_mtime_ns}"
        if key in self.changed:
            identity = f"{identity}, content {self.changed[key][:16]}"
        retry = self.retries.get(key)
        seconds = self._rates.seconds(size or 1e6 * self._rates.remote_megabytes)
        return f"{identity}, retry {retry}" if retry else identity, seconds

    @property
    def packs(self) -> list[str]:
        """Labels of the packs of files that one job works on; see `rootloom.system.packing`."""
        return list(self.listing.parts)

    def pack_of(self, key: str) -> str:
        """The pack of a file."""
        return self.listing.pack_of(key)

    def of_pack(self, pack: str) -> dict[str, File]:
        """The files of a pack, by key."""
        return self.listing.of_pack(pack)

    def file(self, key: str) -> File:
        """A file by its key."""
        return self.of_pack(self.pack_of(key))[key]

    @property
    def minutes(self) -> int:
        """Time to ask for, for a job on a pack: the same for all, so that they can be one array."""
        return max(MIN_RUNTIME, round(RUNTIME_MARGIN * self.listing.seconds / 60))

    def manifests(self, representation: str) -> list[str]:
        """Manifests of a representation's packs."""
        return [
            self._paths.manifest(self._request.dataset_name, representation, pack)
            for pack in self.packs
        ]

    def all_manifests(self) -> list[str]:
        """Manifests of all representations' packs."""
        return [path for name in self._request.representations for path in self.manifests(name)]

    def root_inputs(self, files: Iterable[File]) -> list[str]:
        """The ROOT files that the workflow makes.

        Given ones are no inputs of the engine, which would compare their times with the clock:
        their names, sizes and times are in the fingerprints.
        """
        return [file.url for file in files] if self._dataset.simulate else []

    @property
    def many(self) -> bool:
        """Whether there are too many files for one folder."""
        return self.listing.files > packing.FOLDER_ENTRIES

    def friend(self, key: str) -> str:
        """The friend tree of a file."""
        return self._paths.friend(self._request.name, key, many=self.many)

    def friends(self) -> list[str]:
        """Manifests of the friend trees."""
        return [self._paths.friends(self._request.name, pack) for pack in self.packs]

    @cached_property
    def changed(self) -> dict[str, str]:
        """Checksums of files that jobs found to be others than those indexed, by key.

        A file that was replaced may have its predecessor's name, size and time; who opens it knows.
        """
        folder = Path(self._paths.changed(self._request.dataset_name, "")).parent
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
        found = {}
        for path in paths:
            found[path.stem] = read_json(
                path,
                "a note on a file that has changed",
                lambda note: str(note["checksum"]),
                fix="delete it and run again",
            )
        return found

    @cached_property
    def retries(self) -> dict[str, int]:
        """Files that were set aside and are to be looked at again, and how often so far."""
        path = Path(self._paths.retries(self._request.dataset_name))
        if not path.exists():
            return {}
        expected = "how often files that were set aside were tried again"
        fix = "delete it: they stay aside until `rootloom retry`"
        return read_json(
            path, expected, lambda found: {k: int(n) for k, n in found["files"].items()}, fix=fix
        )

    def retry(self) -> list[str]:
        """Give every file that was set aside another chance in the next run; their keys.

        A file that could not be read for a while has the same name, size and time when it can be
        read again: nothing but the user knows that it is worth another look.
        """
        aside = {
            key
            for path in self.all_manifests()
            if Path(path).exists()
            for key, entry in Manifest.read(path).files.items()
            if entry.quarantined
        }
        marked: dict[str, set[str]] = {}
        for key in self._marked():
            marked.setdefault(self.pack_of(key), set()).add(key)
        for pack, keys in marked.items():
            aside |= keys & self.of_pack(pack).keys()
        counts = {**self.retries, **{key: self.retries.get(key, 0) + 1 for key in aside}}
        if aside:
            write_json(self._paths.retries(self._request.dataset_name), {"files": counts})
        return sorted(aside)

    def _marked(self) -> Iterator[str]:
        """Files with a mark in place of their shards, whether or not a manifest tells of them."""
        for name in self._request.representations:
            shard = self._paths.shard(self._request.dataset_name, name, "{file}", 0)
            for path in Path(shard.partition("{")[0]).rglob("*.aside.json"):
                yield path.name.partition(".")[0]


def _first_of(
    seen: dict[tuple[str, object], str], tree: str, url: str, status: os.stat_result | None
) -> str | None:
    """The address among those `seen` of a tree of a file, by any spelling or link; else add it.

    seen: addresses by tree and place. status: of a local file. Copies are found when the files are
    indexed.
    """
    place: object = checksums.split(url)[0]
    if status is not None:
        # Size and time too, for file systems that give one number to several files.
        numbers = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        place = ",".join(map(str, numbers))  # half the memory of the numbers
    if (tree, place) in seen:
        return seen[tree, place]
    seen[tree, place] = url
    return None
