"""The list of a dataset's files, by pack: the head writes it, the jobs read their part of it.

Finding a million files takes minutes. A job does not need all of them, and on a node it may find
other files. So the list is written once, as one file. Its first line says where the part of each
pack lies and what its hash is, and has its own hash; then follow the parts, one line per file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from rootloom.errors import ResultError
from rootloom.system import packing
from rootloom.system.atomic import intact, write_bytes

_EXPECTED = "the list of a dataset's files, as the head of the run wrote it"
_FIX = "delete it and run snakemake again: it is written at every start"
_NUMBER = 16  # hexadecimal digits of a file's position, which begin its line


class File(NamedTuple):
    """One ROOT file. label: its class if the file decides it.

    state: changes with the content of the file or of its friends' files. sample: the sample it
    belongs to, if there are samples. friends: files of its friend trees, by the friends' names,
    without trees of the file itself.
    """

    key: str
    url: str
    label: str | None
    state: str
    sample: str = ""
    friends: dict[str, str] = {}  # noqa: RUF012  (a default that nobody changes)


class Part(NamedTuple):
    """Where a pack's lines lie, in bytes after the first line, and their hash."""

    digest: str
    start: int
    length: int


@dataclass(frozen=True)
class FileList:
    """The files of a dataset, in the order of the hash of their keys.

    question: hash of the configuration that decides which files belong to it. packs: number of
    packs. seconds: expected time of the longest pack. digest: of all files, the same however they
    are packed. parts: of the packs that have files, by label.
    """

    question: str
    files: int
    packs: int
    seconds: float
    digest: str
    parts: dict[str, Part]
    body: bytes | Path = field(repr=False)

    @classmethod
    def of(cls, files: Iterable[tuple[File, float]], target: float, question: str) -> FileList:
        """Files with the expected seconds of each, in packs of `target` seconds."""
        # Of the finest packs: those of all others are sums of them.
        loads = [0.0] * packing.MAX_PACKS
        lines = list(_lines(files, loads))
        lines.sort()
        packs = packing.packs_for(sum(loads), target)
        together = len(loads) // packs
        longest = max(sum(loads[n : n + together]) for n in range(0, len(loads), together))
        counts = [0] * packs
        for line in lines:
            counts[_pack_of(line, packs)] += 1
        body = "".join(lines).encode()
        parts = _parts(lines, counts, body)
        digest = _digest(body)
        return cls(question, len(lines), packs, longest, digest, parts, body)

    @classmethod
    def read(cls, path: Path) -> FileList:
        """Read only the first line. Raises ResultError if the list is missing or damaged."""
        with intact(path, _EXPECTED, fix=_FIX):
            with path.open("rb") as file:
                text, _, digest = file.readline().rstrip(b"\n").rpartition(b" ")
            if _digest(text) != digest.decode():
                raise ValueError("a first line that does not match its digest")
            found = json.loads(text)
            parts = {pack: Part(*part) for pack, part in found.pop("parts").items()}
            return cls(**found, parts=parts, body=path)

    def write(self, path: Path) -> None:
        """Write the list atomically, unless it exists already."""
        assert isinstance(self.body, bytes)
        head = self._head()
        if not _is_there(path, head, len(self.body)):
            write_bytes(path, head + self.body)

    def _head(self) -> bytes:
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "body"}
        text = json.dumps(content).encode()
        return text + f" {_digest(text)}\n".encode()

    def excerpt(self, digests: Collection[str]) -> bytes:
        """The part of the list for a job that works on the packs with these digests."""
        parts, texts, start = {}, [], 0
        for pack, part in self.parts.items():
            text = self._text(part) if part.digest in digests else b""
            parts[pack] = part._replace(start=start, length=len(text))
            texts.append(text)
            start += len(text)
        return replace(self, parts=parts)._head() + b"".join(texts)

    def pack_of(self, key: str) -> str:
        """The pack of a file, whether or not it is on the list."""
        return packing.label(packing.number_of(key, self.packs), self.packs)

    def of_pack(self, pack: str) -> dict[str, File]:
        """The files of a pack by key; empty for a pack without files."""
        return self._decoded(self.parts[pack]) if pack in self.parts else {}

    def with_digest(self, digest: str) -> dict[str, File]:
        """The files of the pack with this digest.

        Raises ResultError if there is none, because the list is newer than the digest.
        """
        for part in self.parts.values():
            if part.digest == digest:
                return self._decoded(part)
        raise ResultError(
            str(self.body),
            expected=f"a pack of files with the digest {digest}",
            found=f"{len(self.parts)} others: the dataset has changed since this job was planned",
            fix="run snakemake again",
        )

    def _decoded(self, part: Part) -> dict[str, File]:
        lines = self._text(part).splitlines()
        files = (File(*json.loads(line[_NUMBER + 1 :])) for line in lines)
        return {file.key: file for file in files}

    def _text(self, part: Part) -> bytes:
        if isinstance(self.body, bytes):
            return self.body[part.start : part.start + part.length]
        with intact(self.body, _EXPECTED, fix=_FIX):
            with self.body.open("rb") as file:
                first = file.readline()
                file.seek(len(first) + part.start)
                text = file.read(part.length)
            if _digest(text) != part.digest:
                raise ValueError(f"{len(text)} bytes with another checksum")
        return text


def files_of_job(path: str | Path, digest: str) -> dict[str, File]:
    """The files that a job works on, by key; `digest` is in the parameters of the job.

    Raises ResultError if the list at `path` is damaged or newer than the job.
    """
    return FileList.read(Path(path)).with_digest(digest)


def states(files: dict[str, File]) -> dict[str, str]:
    """What a pack's output was made from, to find out what has changed since."""
    return {key: file.state for key, file in files.items()}


def _lines(files: Iterable[tuple[File, float]], loads: list[float]) -> Iterator[str]:
    for file, seconds in files:
        loads[packing.number_of(file.key, len(loads))] += seconds
        yield f"{packing.position(file.key):0{_NUMBER}x} {json.dumps(file)}\n"


def _pack_of(line: str, packs: int) -> int:
    return packing.number_at(int(line[:_NUMBER], 16), packs)


def _parts(lines: list[str], counts: list[int], body: bytes) -> dict[str, Part]:
    """Parts of the body, whose lines are ASCII: a character is a byte."""
    ends = list(accumulate(counts))
    places = [0, *accumulate(map(len, lines))]
    found = {}
    for number, (end, count) in enumerate(zip(ends, counts, strict=True)):
        if count:
            start, stop = places[end - count], places[end]
            part = Part(_digest(body[start:stop]), start, stop - start)
            found[packing.label(number, len(counts))] = part
    return found


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _is_there(path: Path, head: bytes, length: int) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline() == head and path.stat().st_size == len(head) + length
    except OSError:
        return False
