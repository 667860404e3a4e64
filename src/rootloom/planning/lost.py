"""Single files that a finished pack made and that are there no more."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

from rootloom.planning.data import Data
from rootloom.planning.files import Files
from rootloom.planning.request import Request
from rootloom.system.atomic import read_json
from rootloom.system.paths import of_file


class Lost:
    """Shards and friend trees of a dataset that have to be made again although their pack is done.

    is_current: whether the manifest of a pack, called with rule, path and wildcards, was made by
    the very job that would make it now; if it was not, its pack is done again as a whole.
    """

    def __init__(
        self, request: Request, data: Data, files: Files, is_current: Callable[..., bool]
    ) -> None:
        self._request, self._data = request, data
        self._files, self._is_current = files, is_current

    def paths(self) -> list[str]:
        """All of them."""
        shards = [path for of_one in self.shards.values() for path in of_one]
        return [*shards, *self._friends()]

    @cached_property
    def shards(self) -> dict[str, list[str]]:
        """Lost shards, by representation."""
        return {name: self._shards(name) for name in self._data.representations}

    def shards_of(self, representation: str, pack: str) -> list[str]:
        """Lost shards of a pack."""
        if not self.shards[representation]:
            return []  # as nearly always: the names of a million files take a while
        of_pack = {
            of_file(pattern, key)
            for key in self._files.of_pack(pack)
            for pattern in self._patterns(representation)
        }
        return [path for path in self.shards[representation] if path in of_pack]

    def _patterns(self, representation: str) -> list[str]:
        named = self._data.name, representation, "{file}"
        return [self._request.paths.shard(*named, part) for part in self._data.parts()]

    def _shards(self, representation: str) -> list[str]:
        named = self._data.name, representation
        return self._lost(
            "preprocess",
            lambda pack: self._request.paths.manifest(*named, pack),
            self._patterns(representation),
            representation=representation,
        )

    def _friends(self) -> list[str]:
        request = self._request
        return self._lost(
            "friends",
            lambda pack: request.paths.friends(request.name, self._data.name, pack),
            [self._files.friend("{file}")],
        )

    def _lost(
        self, rule: str, manifest: Callable[[str], str], outputs: list[str], **wildcards: str
    ) -> list[str]:
        """`outputs`: patterns of what a pack leaves of each of its files."""
        present = _Folder()
        lost: list[str] = []
        for pack in self._files.packs:
            made = manifest(pack)
            if not os.path.exists(made):
                continue
            keys = self._files.of_pack(pack)
            paths = ((key, of_file(pattern, key)) for key in keys for pattern in outputs)
            gone = [(key, path) for key, path in paths if not present.has(path)]
            if gone and self._is_current(
                rule, made, dataset=self._data.name, pack=pack, **wildcards
            ):
                kept = _not_aside(made)
                lost += [path for key, path in gone if key in kept]
        return lost


def _not_aside(manifest: str) -> set[str]:
    """Files of which a pack's job made shards, or friend trees: those it could read."""

    def kept(content: Any) -> set[str]:
        files = content["files"].items()
        return {key for key, made in files if not isinstance(made, dict) or made["shards"]}

    return read_json(manifest, "what a pack's job left", kept, fix="delete it and run again")


class _Folder:
    """Which files exist, by one listing a folder: looking at each takes minutes on a busy disk.

    Remembers the last folder: files come in the order of the hash that their folders follow.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._names: frozenset[str] = frozenset()

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder != self._path:
            try:
                self._names = frozenset(os.listdir(folder))
            except OSError:
                self._names = frozenset()
            self._path = folder
        return name in self._names
