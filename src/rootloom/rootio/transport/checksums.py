"""Expected sizes and checksums of files, as lists, URLs and servers write them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rootloom.errors import ConfigError

# Name → hexadecimal digits. XRootD, EOS, dCache and Rucio keep adler32 of every file.
ALGORITHMS = {"adler32": 8, "md5": 32, "sha256": 64}
_BLOCK = 1 << 20
_WORD = re.compile(r"(adler32|md5|sha256|size)[:=](\w+)", re.IGNORECASE)
_PART = r"(?:adler32|md5|sha256|size)=\w+"
_FRAGMENT = re.compile(rf"#({_PART}(?:&{_PART})*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """size: bytes, None where unknown. digests: algorithm → lower-case hexadecimal digits."""

    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.size is not None or bool(self.digests)

    def __str__(self) -> str:
        words = [f"{name} {value}" for name, value in sorted(self.digests.items())]
        return ", ".join([*words, *([f"{self.size} bytes"] if self.size is not None else [])])

    def common(self, other: Content) -> tuple[Content, Content]:
        """Both contents, reduced to the checksums that both have."""
        names = sorted(self.digests.keys() & other.digests.keys())
        sized = self.size is not None and other.size is not None
        first, second = (
            Content(c.size if sized else None, {n: c.digests[n] for n in names})
            for c in (self, other)
        )
        return first, second


def parse(words: Iterable[str], where: str) -> Content:
    """The content that words like `adler32:0a1b2c3d` and `size:123` describe.

    Raises ConfigError naming `where` for another word or a value of the wrong form.
    """
    size, digests = None, {}
    for word in words:
        found = _WORD.fullmatch(word)
        if not found:
            raise _wrong(where, word)
        name, value = found[1].lower(), found[2].lower()
        if name == "size":
            if not value.isdecimal():
                raise _wrong(where, word)
            size = int(value)
            continue
        # Some tools drop the leading zeros of adler32.
        value = value.zfill(8) if name == "adler32" else value
        if not re.fullmatch(rf"[0-9a-f]{{{ALGORITHMS[name]}}}", value):
            raise _wrong(where, word)
        digests[name] = value
    return Content(size, digests)


def is_word(text: str) -> bool:
    """Whether `text` has the form of a checksum or size in a list of files."""
    return _WORD.fullmatch(text) is not None


def join(url: str, content: Content) -> str:
    """`url` with its expected content as a fragment, which is never sent to a server."""
    parts = [f"{name}={value}" for name, value in sorted(content.digests.items())]
    parts += [f"size={content.size}"] if content.size is not None else []
    return f"{url}#{'&'.join(parts)}" if parts else url


def split(url: str) -> tuple[str, Content]:
    """The URL without its fragment, and its expected content; the inverse of `join`."""
    found = _FRAGMENT.search(url)
    if not found:
        return url, Content()
    return url[: found.start()], parse(found[1].split("&"), url)


def of_header(text: str) -> dict[str, str]:
    """Digests in an HTTP `Digest` (RFC 3230) or `Repr-Digest` (RFC 9530) header."""
    digests = {}
    for item in text.split(","):
        name, _, value = item.strip().partition("=")
        name = name.lower().replace("-", "")
        digits = _digits(name, value.strip().strip(":")) if name in ALGORITHMS else ""
        if digits:
            digests[name] = digits
    return digests


def _digits(name: str, value: str) -> str:
    """A digest in hexadecimal digits; empty if `value` is not a digest.

    The standard requires base64 for md5 and SHA, but some servers send hexadecimal digits.
    """
    length = ALGORITHMS[name]
    if re.fullmatch(rf"[0-9a-fA-F]{{{1 if name == 'adler32' else length},{length}}}", value):
        return value.lower().zfill(length)
    try:
        found = base64.b64decode(value, validate=True).hex()
    except binascii.Error:
        return ""
    return found if len(found) == length else ""


def of_file(path: Path, algorithms: Iterable[str]) -> Content:
    """Size and digests of a local file."""
    sums: dict[str, _Sum] = {name: _new(name) for name in algorithms}
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            for one in sums.values():
                one.update(block)
    return Content(size, {name: one.hexdigest() for name, one in sums.items()})


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _new(name: str) -> _Sum:
    return _Adler32() if name == "adler32" else hashlib.new(name, usedforsecurity=False)


def _wrong(where: str, word: str) -> ConfigError:
    return ConfigError(
        where,
        expected="adler32:<8 hexadecimal digits>, md5:<32>, sha256:<64> or size:<bytes>",
        found=f"'{word}'",
        fix="correct it, or leave it out",
    )
