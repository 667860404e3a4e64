"""The files of a dataset: which there are, which one job works on, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from rootloom.cluster.ledger import FOLDER
from rootloom.config.sections import Rates
from rootloom.errors import ConfigError, nearest
from rootloom.planning.data import Data
from rootloom.planning.given import GivenFiles
from rootloom.planning.request import Request
from rootloom.rootio.transport.source import is_remote
from rootloom.shards.manifest import Manifest
from rootloom.system import packing
from rootloom.system.atomic import read_json, write_json
from rootloom.system.filelist import File, FileList
from rootloom.system.hashing import of_value

MIN_RUNTIME = 30  # minutes asked for at least: a scheduler gains nothing from less
RUNTIME_MARGIN = 5  # asked for over expected: rates are those of another machine


class Files:
    """ROOT files of one dataset with their packs, shards and friend trees.

    simulated_by: fingerprint of the job that makes the simulated file of a key. noted: whether to
    rely on the list of files that the head of the run wrote, as its jobs do.
    """

    def __init__(
        self,
        request: Request,
        data: Data,
        simulated_by: Callable[[str], str],
        *,
        noted: bool = False,
    ) -> None:
        self._request, self._data = request, data
        self._simulated_by = simulated_by
        self._noted = noted
        self._dataset, self._paths = data.dataset, request.paths
        self.list_path = FOLDER / "files" / f"{data.name}.list"

    @cached_property
    def listing(self) -> FileList:
        """The dataset's files, by pack.

        Raises InputError for a pattern without files, ResultError for a list that is damaged.
        """
        if self._noted and self.list_path.exists():
            noted = FileList.read(self.list_path)
            if noted.question == self._question:  # else it is of another run's configuration
                return noted
        return FileList.of(self._found(), 60 * self._request.settings.job_minutes, self._question)

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
        return of_value([self._data.name, source, list(self._dataset.classes), *others])

    @cached_property
    def _rates(self) -> Rates:
        return self._request.library.rates()

    def _found(self) -> Iterator[tuple[File, float]]:
        """Each file, with the expected seconds of the work on it."""
        if self._dataset.simulate:
            return self._simulated()
        return GivenFiles(self._request, self._data, self.changed, self.retries).files()

    def _simulated(self) -> Iterator[tuple[File, float]]:
        simulate = self._dataset.simulate
        assert simulate is not None
        size = self._request.settings.size
        if size not in simulate.files:
            raise ConfigError(
                "config/config.yaml: size",
                expected=f"a size of dataset '{self._data.name}'",
                found=f"'{size}'",
                fix=nearest(size, simulate.files),
            )
        row_bytes = simulate.row_bytes or self._rates.simulated_row_bytes
        # The same before and after it is made.
        seconds = self._rates.seconds(simulate.rows_per_file * row_bytes)
        for label in self._dataset.classes:
            for number in range(simulate.files[size]):
                key = f"{label}-{number:05d}"
                url = self._paths.simulated(self._data.name, key)
                yield File(key, url, label, self._simulated_by(key)), seconds

    def require_start_here(self) -> None:
        """Refuse a working directory other than the checkout: relative names must mean the same.

        For jobs that see neither. Raises ConfigError.
        """
        named = [name for source in self._dataset.sources().values() for name in source.files or []]
        local = self._dataset.simulate or not all(map(is_remote, named))
        if local and Path.cwd() != self._request.root:
            raise ConfigError(
                f"dataset '{self._data.name}'",
                expected="snakemake started in the checkout, as file names start there",
                found=f"started in {Path.cwd()}",
                fix=f"start it in {self._request.root}: nodes have no other folder in common",
            )

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
        return [self._paths.manifest(self._data.name, representation, pack) for pack in self.packs]

    def all_manifests(self) -> list[str]:
        """Manifests of all representations' packs."""
        return [path for name in self._data.representations for path in self.manifests(name)]

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
        return self._paths.friend(self._request.name, self._data.name, key, many=self.many)

    def friends(self) -> list[str]:
        """Manifests of the friend trees."""
        return [
            self._paths.friends(self._request.name, self._data.name, pack) for pack in self.packs
        ]

    @cached_property
    def changed(self) -> dict[str, str]:
        """Checksums of files that jobs found to be others than those indexed, by key.

        A file that was replaced may have its predecessor's name, size and time; who opens it knows.
        """
        folder = Path(self._paths.changed(self._data.name, "")).parent
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
        path = Path(self._paths.retries(self._data.name))
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
            write_json(self._paths.retries(self._data.name), {"files": counts})
        return sorted(aside)

    def _marked(self) -> Iterator[str]:
        """Files with a mark in place of their shards, whether or not a manifest tells of them."""
        for name in self._data.representations:
            shard = self._paths.shard(self._data.name, name, "{file}", 0)
            for path in Path(shard.partition("{")[0]).rglob("*.aside.json"):
                yield path.name.partition(".")[0]
