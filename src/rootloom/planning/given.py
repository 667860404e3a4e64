"""The files that a dataset names: each once, with its friends and what tells its content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rootloom.config.sections import FromFiles
from rootloom.errors import ConfigError, InputError, naming
from rootloom.planning.data import Data
from rootloom.planning.request import Request
from rootloom.rootio.transport import checksums
from rootloom.rootio.transport.source import beside, expand, is_remote, matches
from rootloom.system import faults
from rootloom.system.filelist import File
from rootloom.system.hashing import of_value


class GivenFiles:
    """Files by the patterns of a dataset, none of which is opened.

    changed: checksums, by key, of files that are others than those indexed. retries: how often
    files that were set aside are looked at again, by key.
    """

    def __init__(
        self,
        request: Request,
        data: Data,
        changed: Mapping[str, str],
        retries: Mapping[str, int],
    ) -> None:
        self._request, self._data, self._dataset = request, data, data.dataset
        self._changed, self._retries = changed, retries
        self._rates = request.library.rates()
        # Whose friend a file is, by the friend's name.
        self._owners: dict[tuple[str, str], str] = {}

    def files(self) -> Iterator[tuple[File, float]]:
        """Each file, with the expected seconds of the work on it.

        Raises InputError for a pattern without files, ConfigError for a file that is listed twice.
        """
        # Paths stay as written where that works, so that a checkout that moves keeps its results.
        base = None if Path.cwd() == self._request.root else self._request.root
        seen: dict[tuple[str, str], str] = {}
        keys: dict[str, str] = {}
        for sample, source in self._dataset.sources().items():
            label, tree = self._dataset.class_of(sample), source.tree or self._dataset.tree
            with naming(self._place(sample), InputError):
                found = expand(source.files or [], base=base)
            for named, url in found:
                # Several trees of one file may be samples.
                key = f"{named}-{of_value(source.tree)[:12]}" if source.tree else named
                status = status_of(url, self._request.root)
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
                    state, more = self._look("", place, status_of(place, self._request.root))
                    identity, seconds = f"{identity}; {name}: {state}", seconds + more
                yield File(key, url, label, identity, sample, friends), seconds

    def _place(self, sample: str) -> str:
        """Where the configuration lists the files of a sample, or of all files."""
        key = "samples" if self._dataset.samples else "classes" if sample else "files"
        file = self._data.place(key)
        return f"{file}: {key}.{sample}" if sample else file

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
        of = f"dataset '{self._data.name}'" + (f", sample '{sample}'" if sample else "")
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

    def _look(self, key: str, url: str, status: os.stat_result | None) -> tuple[str, float]:
        """A given file's state, and the expected duration of the work on it."""
        identity, size = url, None
        if is_remote(url):
            size = checksums.split(url)[1].size
        elif status is not None:
            size = status.st_size
            identity = f"{size}-{status.st_mtime_ns}"
        if key in self._changed:
            identity = f"{identity}, content {self._changed[key][:16]}"
        retry = self._retries.get(key)
        seconds = self._rates.seconds(size or 1e6 * self._rates.remote_megabytes)
        return f"{identity}, retry {retry}" if retry else identity, seconds


def _first_of(
    seen: dict[tuple[str, str], str], tree: str, url: str, status: os.stat_result | None
) -> str | None:
    """The address among those `seen` of a tree of a file, by any spelling or link; else add it.

    seen: addresses by tree and place. status: of a local file. Copies are found when the files are
    indexed.
    """
    place = place_of(url, status)
    if (tree, place) in seen:
        return seen[tree, place]
    seen[tree, place] = url
    return None


def status_of(url: str, root: Path) -> os.stat_result | None:
    """Of a local file; None when it is gone or remote. Raises ResourceError when nobody can say."""
    if is_remote(url):
        return None
    try:
        return os.stat(os.path.join(root, url))
    except OSError as error:
        faults.pass_on(error, url)
        return None


def place_of(url: str, status: os.stat_result | None) -> str:
    """What all spellings of a file's address, and all links to it, have in common.

    status: of a local file.
    """
    if status is None:
        return checksums.split(url)[0]
    # Size and time too, for file systems that give one number to several files.
    numbers = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return ",".join(map(str, numbers))  # half the memory of the numbers
