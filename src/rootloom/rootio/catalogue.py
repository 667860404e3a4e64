"""The headers of a pack's files in one JSON file, and which files cannot be read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import TypedDict, cast

from rootloom.errors import (
    ConfigError,
    InputError,
    LackError,
    ResultError,
    UnsteadyError,
)
from rootloom.rootio.header import Fields, Header, events_of
from rootloom.rootio.origin import Events
from rootloom.system.atomic import read_json, write_json


class _Fields(TypedDict):
    """A header: see `Header`; `branches` is the digest of them."""

    branches: str
    friends: dict[str, _Fields]


class _Entry(TypedDict, total=False):
    """A file. header: where it could be read, else `quarantined`, the reason why not.

    lacks: what its trees have not, of a file that could be opened.
    """

    identity: str
    header: _Fields
    quarantined: str
    sample: str
    lacks: list[str]


class _Content(TypedDict):
    files: dict[str, _Entry]
    branches: dict[str, dict[str, str]]


class Catalogue:
    """Headers, or reasons why there is none, by the files' keys.

    An "identity" changes with the content of a file and with the way it is read. The
    branches, which are the same for all files of a dataset, are stored once.
    """

    def __init__(self) -> None:
        self._files: dict[str, _Entry] = {}
        self._branches: dict[str, dict[str, str]] = {}

    @classmethod
    def read(cls, path: str | Path) -> Catalogue:
        """Read a catalogue; empty if there is no file. Raises ResultError if it is damaged."""
        if not Path(path).exists():
            return cls()
        return read_json(path, "the headers of a pack of files", cls._of)

    @classmethod
    def _of(cls, content: _Content) -> Catalogue:
        found = cls()
        found._files, found._branches = dict(content["files"]), dict(content["branches"])
        return found

    def write(self, path: str | Path, provenance: Mapping[str, object]) -> None:
        """Write the catalogue atomically."""
        content = {"files": self._files, "branches": self._branches, "provenance": provenance}
        write_json(path, content)

    def has(self, key: str, identity: str) -> bool:
        """Whether this content of the file was examined before, even if it was set aside."""
        return key in self._files and self._files[key]["identity"] == identity

    def add(self, key: str, identity: str, header: Header, sample: str = "") -> None:
        """The header of a file of a sample."""
        fields = self._noted(header.to_dict())
        self._files[key] = {"identity": identity, "header": fields, "sample": sample}

    def set_aside(self, key: str, identity: str, reason: str) -> None:
        """Record why a file cannot be read."""
        self._files[key] = {"identity": identity, "quarantined": reason}

    def set_aside_lacking(self, key: str, identity: str, refusal: LackError, sample: str) -> None:
        """Record what a file of a sample lacks."""
        self.set_aside(key, identity, str(refusal))
        self._files[key] |= {"sample": sample, "lacks": list(refusal.names)}

    def keep_aside(self, key: str, known: Catalogue) -> None:
        """Copy the entry of a file that was set aside from another catalogue."""
        self._files[key] = known._entry(key)

    def lacks(self) -> Iterator[tuple[str, frozenset[str], str]]:
        """Sample, missing names and reason, for each file that lacks a branch or tree."""
        for entry in self._files.values():
            if "sample" in entry:
                lacking = frozenset(entry.get("lacks", ()))
                yield entry["sample"], lacking, entry.get("quarantined", "")

    def events(self) -> Iterator[tuple[str, Events]]:
        """Sample and events of each file that was not set aside."""
        for entry in self._files.values():
            if "header" in entry:
                yield entry["sample"], events_of(Header.from_dict(self._whole(entry["header"])))

    def header(self, key: str) -> Header | None:
        """The header of a file; None when it was set aside."""
        fields = self._entry(key).get("header")
        if fields is None:
            return None
        return Header.from_dict(self._whole(fields))

    def reason(self, key: str) -> str | None:
        """Why a file was set aside; None when it was not."""
        reason: str | None = self._entry(key).get("quarantined")
        return reason

    def _noted(self, fields: Fields) -> _Fields:
        """A header with digests in place of its branches and those of its friends."""
        text = json.dumps(fields["branches"], sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self._branches[digest] = fields["branches"]
        friends = {name: self._noted(friend) for name, friend in fields["friends"].items()}
        return cast(_Fields, {**fields, "branches": digest, "friends": friends})

    def _whole(self, fields: _Fields) -> Fields:
        friends = {name: self._whole(friend) for name, friend in fields["friends"].items()}
        branches = self._branches[fields["branches"]]
        return cast(Fields, {**fields, "branches": branches, "friends": friends})

    def _entry(self, key: str) -> _Entry:
        if key not in self._files:
            raise ResultError(
                f"file '{key}'",
                expected="an entry in its pack's index",
                found=f"{len(self._files)} others",
                fix="run snakemake again: it indexes files that are new",
            )
        return self._files[key]


def require_somewhere(paths: Iterable[str | Path], where: str) -> None:
    """Refuse a branch or tree that no file of its sample has; then its name is wrong.

    paths: catalogues of all packs, read one at a time. where: names the dataset.
    Raises ConfigError with the nearest names.
    """
    everywhere: dict[str, frozenset[str]] = {}  # what all files of a sample lack
    reasons: dict[str, str] = {}
    files: Counter[str] = Counter()
    for path in paths:
        for sample, lacking, reason in Catalogue.read(path).lacks():
            everywhere[sample] = everywhere.get(sample, lacking) & lacking
            reasons.setdefault(sample, reason)
            files[sample] += 1
    for sample, names in everywhere.items():
        if names:
            raise ConfigError(
                f"{where}, sample '{sample}'" if sample else where,
                expected="names of trees and readable branches that some of its files have",
                found=f"{', '.join(sorted(names))}, in none of the {files[sample]} files that "
                f"could be opened; of the first:\n{reasons[sample]}",
                fix="correct the name in the dataset file: no file is set aside for it",
            )


def aside_before(key: str, url: str, reason: str | None, on_bad_file: str) -> dict[str, InputError]:
    """The error, by the file's key, for a file that was set aside before; empty if it may stay so.

    The file is not read again as long as it has not changed: later results were made without it.
    """
    if on_bad_file != "fail":
        return {}
    refusal = InputError(
        url,
        expected="a readable file with the branches that the dataset names",
        found=f"it was set aside by an earlier run: {reason}",
        fix="repair or remove it, or run `rootloom retry` to read it again as it is",
    )
    return {key: refusal}


def quarantine(refusals: Mapping[str, InputError], files: int, on_bad_file: str) -> None:
    """Report files that cannot be read: as one error, or as set aside with one line each."""
    if not refusals:
        return
    if on_bad_file == "fail":
        if len(refusals) == 1:
            raise next(iter(refusals.values()))
        passes = any(refusal.passes for refusal in refusals.values())
        lacking = _lacking(refusals.values()) if len(refusals) == files else ""
        each = "\n".join(str(refusal) for refusal in refusals.values())
        raise (UnsteadyError if passes else InputError)(
            f"{len(refusals)} of {files} files",
            expected="readable files with the branches that the dataset names",
            found=f"\n{indent(each, '    ')}",
            fix=f"correct {lacking} in the dataset file, which no file here has"
            if lacking
            else "repair or remove them, or set `on_bad_file: quarantine`",
        )
    for key, refusal in refusals.items():
        print(f"set aside '{key}': {refusal}")


def _lacking(refusals: Iterable[InputError]) -> str:
    """Names that all files lack which were refused; empty if there are none."""
    names = [set(one.names) if isinstance(one, LackError) else set() for one in refusals]
    return ", ".join(f"'{name}'" for name in sorted(set.intersection(*names)))
