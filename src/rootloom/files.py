"""The files of a data set: which there are, which one job works on, and what became of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rootloom import packing
from rootloom.errors import ConfigError, nearest
from rootloom.fileio import write_text
from rootloom.rootio import checksums
from rootloom.rootio.source import expand, is_remote
from rootloom.selection import Selection

MIN_RUNTIME = 30  # minutes asked for at least: a scheduler gains nothing from less
RUNTIME_MARGIN = 5  # asked for over expected: rates are those of another machine


@dataclass(frozen=True)
class Source:
    """One ROOT file of the dataset. `label` is its class when the file decides it."""

    key: str
    url: str
    label: str | None = None
    number: int = 0
    simulated: bool = False

    @property
    def remote(self) -> bool:
        """Whether the workflow engine cannot see it as a file."""
        return is_remote(self.url)


class Files(Selection):
    """ROOT files with their packs, shards and friend trees."""

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The dataset's files by key, sorted."""
        found = self._simulated() if self.dataset.simulate else self._given()
        return {source.key: source for source in sorted(found, key=lambda s: s.key)}

    def _simulated(self) -> list[Source]:
        simulate = self.dataset.simulate
        assert simulate is not None
        size = self.settings.size
        if size not in simulate.files:
            raise ConfigError(
                "config.yaml: size",
                expected=f"a size of dataset '{self.dataset_name}'",
                found=f"'{size}'",
                fix=nearest(size, simulate.files),
            )
        found = []
        for label in self.dataset.classes:
            for number in range(simulate.files[size]):
                key = f"{label}-{number:05d}"
                url = self.paths.simulated(self.dataset_name, key)
                found.append(Source(key, url, label, number, simulated=True))
        return found

    def _given(self) -> list[Source]:
        # Paths stay as written where that works, so that a checkout that moves keeps its results.
        base = None if Path.cwd() == self.root else self.root
        if self.dataset.files:
            return [Source(s.key, s.url) for s in expand(self.dataset.files, base=base)]
        return [
            Source(s.key, s.url, label)
            for label, rule in self.dataset.classes.items()
            for s in expand(rule.files or [], base=base)
        ]

    @cached_property
    def packs(self) -> dict[str, list[str]]:
        """Files that one job works on, by the pack's label; see `rootloom.packing`."""
        found: dict[str, list[str]] = {}
        for key in self.sources:
            found.setdefault(self.pack_of(key), []).append(key)
        return found

    def pack_of(self, key: str) -> str:
        """The pack of a file."""
        number = packing.number_of(key, self._packs)
        return packing.label(number, self._packs)

    @cached_property
    def _packs(self) -> int:
        return packing.packs_for(sum(self.seconds.values()), 60 * self.settings.job_minutes)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Expected duration of the work on each file: the same before and after it is made."""
        rates, simulate = self.library.rates(), self.dataset.simulate
        if simulate:
            row_bytes = simulate.row_bytes or rates.simulated_row_bytes
            size = simulate.rows_per_file * row_bytes
            return dict.fromkeys(self.sources, rates.seconds(size))
        unknown = 1e6 * rates.remote_megabytes
        return {key: rates.seconds(self._size(key) or unknown) for key in self.sources}

    def _size(self, key: str) -> int | None:
        """Bytes of a given file, as the disk or, for a URL, its list of checksums says."""
        status = self.status(key)
        return status[0] if status else checksums.split(self.sources[key].url)[1].size

    def status(self, key: str) -> tuple[int, int] | None:
        """Size and time of a given file on disk; None of a URL, or when it is gone."""
        if key not in self._statuses:
            source = self.sources[key]
            try:
                status = None if source.remote else os.stat(self.root / source.url)
            except OSError:
                status = None
            self._statuses[key] = (status.st_size, status.st_mtime_ns) if status else None
        return self._statuses[key]

    @cached_property
    def _statuses(self) -> dict[str, tuple[int, int] | None]:
        return {}

    @cached_property
    def minutes(self) -> int:
        """Time to ask for, for a job on a pack: the same for all, so that they can be one array."""
        longest = max(sum(self.seconds[key] for key in keys) for keys in self.packs.values())
        return max(MIN_RUNTIME, round(RUNTIME_MARGIN * longest / 60))

    def shards(self, representation: str, key: str) -> list[str]:
        """Shards of a file."""
        return [
            self.paths.shard(self.dataset_name, representation, key, part) for part in self.parts()
        ]

    def manifests(self, representation: str) -> list[str]:
        """Manifests of a representation's packs."""
        return [self.paths.manifest(self.dataset_name, representation, pack) for pack in self.packs]

    def all_manifests(self) -> list[str]:
        """Manifests of all representations' packs."""
        return [path for name in self.representations for path in self.manifests(name)]

    def root_inputs(self, keys: list[str]) -> list[str]:
        """The ROOT files as inputs the engine can watch: none for a URL.

        Nor for any given file where there are many: looking at each would be most of the plan, and
        their sizes and times are in the fingerprints.
        """
        sources = (self.sources[key] for key in keys)
        return [s.url for s in sources if s.simulated or not (s.remote or self.many)]

    @property
    def many(self) -> bool:
        """Whether there are too many files for one folder."""
        return len(self.sources) > packing.FOLDER_ENTRIES

    def friend(self, key: str) -> str:
        """The friend tree of a file."""
        return self.paths.friend(self.name, key, many=self.many)

    def friends(self) -> list[str]:
        """Manifests of the friend trees."""
        return [self.paths.friends(self.name, pack) for pack in self.packs]

    @cached_property
    def retries(self) -> dict[str, int]:
        """Files that were set aside and are to be looked at again, and how often so far."""
        path = Path(self.paths.retries(self.dataset_name))
        found: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def retry(self) -> list[str]:
        """Give every file that was set aside another chance in the next run; their keys.

        A file that could not be read for a while has the same name, size and time when it can be
        read again: nothing but the user knows that it is worth another look.
        """
        aside = {
            key
            for path in self.all_manifests()
            if Path(path).exists()
            for key, entry in json.loads(Path(path).read_text())["files"].items()
            if entry["quarantined"]
        }
        counts = {**self.retries, **{key: self.retries.get(key, 0) + 1 for key in aside}}
        if aside:
            write_text(self.paths.retries(self.dataset_name), json.dumps(counts, indent=1))
        return sorted(aside)
