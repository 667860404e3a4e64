"""Which files a dataset names: globs, paths and URLs, each with a key that never changes."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rootloom.errors import InputError, nearest

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_STEM_LENGTH = 48


class SourceFile(NamedTuple):
    """A ROOT file. key: safe as a file name, a function of `url` alone; url: path or URL."""

    key: str
    url: str


def is_remote(url: str) -> bool:
    """Whether `url` has a scheme (`root://`, `https://`, …)."""
    return _URL.match(url) is not None


def key_of(url: str) -> str:
    """Stem of the path and eight hexadecimal digits of the hash of `url` as written."""
    stem = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    stem = _UNSAFE.sub("_", stem.removesuffix(".root"))[:_STEM_LENGTH].strip("_-") or "file"
    return f"{stem}-{hashlib.blake2b(url.encode(), digest_size=4).hexdigest()}"


def expand(
    patterns: str | Sequence[str], base: str | os.PathLike[str] | None = None
) -> list[SourceFile]:
    """Sorted, unique files behind paths, globs (`*`, `?`, `[…]`, `**`) and URLs.

    base: folder relative patterns start from; keys are made from the paths as written, so that a
    project that moves keeps them. Globs are not followed inside URLs.
    Raises InputError for a pattern that matches nothing, and for two files with one key.
    """
    written = [patterns] if isinstance(patterns, str) else list(patterns)
    found = sorted({name for pattern in written for name in _matches(pattern, base)})
    files: dict[str, SourceFile] = {}
    for name in found:
        file = SourceFile(key_of(name), name if is_remote(name) else _located(name, base))
        if file.key in files:
            raise InputError(
                f"files {files[file.key].url} and {file.url}",
                expected="different keys",
                found=f"'{file.key}' for both",
                fix="rename one of them",
            )
        files[file.key] = file
    return list(files.values())


def _matches(pattern: str, base: str | os.PathLike[str] | None) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    pattern = os.path.normpath(os.path.expanduser(pattern))
    if not glob.has_magic(pattern):
        names = [pattern] if os.path.isfile(_located(pattern, base)) else []
    else:
        names = glob.glob(pattern, root_dir=base, recursive=True)
        names = [name for name in names if os.path.isfile(_located(name, base))]
    if not names:
        raise InputError(
            f"files: '{pattern}'",
            expected="at least one file",
            found=f"no match in {os.path.abspath(base or '.')}",
            fix=_nearest_path(_located(pattern, base)),
        )
    return names


def _located(name: str, base: str | os.PathLike[str] | None) -> str:
    return os.path.join(base, name) if base else name


def _nearest_path(path: str) -> str:
    """What lies in the deepest folder of `path` that exists."""
    wanted = Path(path)
    while not wanted.parent.is_dir():
        wanted = wanted.parent
    names = [entry.name for entry in wanted.parent.iterdir() if not entry.name.startswith(".")]
    return f"in {wanted.parent}: {nearest(wanted.name, names)}"
