"""The files that a dataset names: globs, paths, URLs and lists, each with a permanent key."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rootloom.errors import ConfigError, InputError, nearest
from rootloom.rootio.transport import checksums
from rootloom.system import faults, packing

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_STEM_LENGTH = 48
_LIST = ".txt"
_PLACEHOLDER = re.compile(r"\{(stem|folder|key|key_folder)\}")
_CHOICE = re.compile(r"\{[^{}]*,[^{}]*\}")
_COMMENT = re.compile(r"(?:^|\s)#")


class SourceFile(NamedTuple):
    """A ROOT file. key: safe as a file name, depends only on the path or URL.

    url: path or URL; a URL's expected size and checksums follow as a fragment (see `checksums`).
    """

    key: str
    url: str


def is_remote(url: str) -> bool:
    """Whether `url` has a scheme (`root://`, `https://`, …)."""
    return _URL.match(url) is not None


def key_of(url: str) -> str:
    """Stem of the path and eight hexadecimal digits of the hash of `url` as written.

    Expected checksums are not part of the key.
    """
    url, _ = checksums.split(url)
    stem = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    stem = _UNSAFE.sub("_", stem.removesuffix(".root"))[:_STEM_LENGTH].strip("_-") or "file"
    return f"{stem}-{hashlib.blake2b(url.encode(), digest_size=4).hexdigest()}"


def expand(
    patterns: str | Sequence[str], base: str | os.PathLike[str] | None = None
) -> list[SourceFile]:
    """Sorted files behind paths, globs (`*`, `?`, `[…]`, `**`), URLs and lists of these.

    If a file of exactly this name exists, it is taken, whatever characters are in it. Braces are
    ordinary characters: `{a,b}` is not a choice of two.

    base: folder relative patterns start from; keys are made from the paths as written, so that a
    project that moves keeps them. Globs do not work in URLs. A name that ends in `.txt` is
    a list: one path, glob or URL per line; checksums and size may follow a URL.
    Raises InputError for a pattern that matches nothing, a file that is listed twice and two files
    with the same key; ConfigError for a list that cannot be understood; ResourceError for a file or
    folder that cannot be accessed.
    """
    written = [patterns] if isinstance(patterns, str) else patterns
    written = [entry for pattern in written for entry in _entries(pattern, base)]
    found = sorted(name for pattern in written for name in _matches(pattern, base))
    if twice := next((a for a, b in pairwise(found) if a == b), None):
        entries = [f"'{pattern}'" for pattern in written if twice in _matches(pattern, base)]
        raise InputError(
            f"file {twice}",
            expected="each file listed once",
            found=f"two entries of `files` that name or match it: {' and '.join(entries[:2])}",
            fix="leave one of them out: its events would count twice",
        )
    files: dict[str, SourceFile] = {}
    for name in found:
        file = SourceFile(key_of(name), name if is_remote(name) else _located(name, base))
        if file.key in files:
            same = checksums.split(files[file.key].url)[0] == checksums.split(file.url)[0]
            raise InputError(
                f"files {files[file.key].url} and {file.url}",
                expected="different files, with different keys",
                found=f"'{file.key}' for both",
                fix="list it once" if same else "rename one of them",
            )
        files[file.key] = file
    return list(files.values())


def _entries(pattern: str, base: str | os.PathLike[str] | None) -> list[str]:
    """The patterns in a list, or the pattern itself."""
    if is_remote(pattern) or not pattern.endswith(_LIST):
        return [pattern]
    path = Path(_located(os.path.expanduser(pattern), base))
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start}",
            expected="a list of files in UTF-8",
            found=error.reason,
            fix="save the list as UTF-8",
        ) from None
    except OSError as error:
        faults.pass_on(error, str(path))
        raise InputError(
            f"files: '{pattern}'",
            expected="a list of files, one a line",
            found=f"{error.strerror or error}: {path}",
            fix=_nearest_path(str(path)),
        ) from None
    if "\0" in text:
        raise ConfigError(
            str(path),
            expected="a list of files, one a line",
            found=f"a character U+0000 after {text.index(chr(0))} others",
            fix="write the list again",
        )
    lines = enumerate(text.splitlines(), 1)
    numbered = [(f"{path}, line {n}", _COMMENT.split(line)[0].split()) for n, line in lines]
    found = [_entry(words, where) for where, words in numbered if words]
    if not found:
        raise InputError(
            str(path), expected="a file, one a line", found="none", fix="write the list again"
        )
    return found


def _entry(words: list[str], where: str) -> str:
    """A path (which may hold spaces) or URL, then words like `adler32:0a1b2c3d`."""
    known = []
    while len(words) > 1 and checksums.is_word(words[-1]):
        known.append(words.pop())
    url, content = " ".join(words), checksums.parse(known, where)
    if is_remote(url) and len(words) > 1:
        raise ConfigError(
            where,
            expected="an address, then words like adler32:0a1b2c3d or size:123",
            found=f"'{url}', which is not an address",
            fix="correct it; a space inside an address is written %20",
        )
    if content and not is_remote(url):
        raise ConfigError(
            where,
            expected="checksums of URLs only",
            found=f"{', '.join(known)} of the local file '{url}'",
            fix="leave them out: a local file is identified by its size and time",
        )
    return checksums.join(url, content)


def _matches(pattern: str, base: str | os.PathLike[str] | None) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    pattern = os.path.normpath(os.path.expanduser(pattern))
    if _is_file(_located(pattern, base)):
        return [pattern]
    names: list[str] = []
    if glob.has_magic(pattern):
        _require_listable(_located(pattern, base))
        # Of two `**` each finds the same files.
        names = list(dict.fromkeys(glob.glob(pattern, root_dir=base, recursive=True)))
        names = [name for name in names if _is_file(_located(name, base))]
    if not names:
        raise InputError(
            f"files: '{pattern}'",
            expected="at least one file",
            found=f"no match in {os.path.abspath(base or '.')}",
            fix=_instead_of(pattern, _located(pattern, base)),
        )
    for name in names:
        _require_text(name)
    return names


def _require_text(name: str) -> None:
    """Refuse a file whose name is not UTF-8, because keys and lists of files are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"file {os.fsencode(name)!r}",
            expected="a name in UTF-8",
            found="bytes that are not UTF-8",
            fix="rename it",
        ) from None


def _instead_of(pattern: str, path: str) -> str:
    """The fix for a pattern that matches nothing; path: where it was searched."""
    if os.path.isdir(path):
        deep = "" if glob.glob(f"{glob.escape(path)}/*.root") else "**/"
        return f"it is a folder: write '{pattern}/{deep}*.root' for the files in it"
    if _CHOICE.search(pattern):
        return "braces are ordinary characters: write one entry for each choice"
    return _nearest_path(path)


def matches(patterns: Sequence[str], url: str, base: str | os.PathLike[str] | None) -> list[str]:
    """The patterns, as `expand` takes them, that match the file at `url`."""
    return [p for p in patterns if any(file.url == url for file in expand(p, base))]


def beside(
    pattern: str, url: str, key: str, base: str | os.PathLike[str] | None, where: str
) -> str:
    """The file of a friend tree of the file at `url`, whose key is `key`.

    pattern: a path, glob or URL; in it `{stem}` is the file's name without ".root", `{folder}`
    where it lies, `{key}` its key, `{key_folder}` the folder of its results where there are many
    files.
    Raises InputError, naming `where`, unless it is one file.
    """
    folder, _, name = checksums.split(url)[0].partition("?")[0].rpartition("/")
    values = {"stem": name.removesuffix(".root"), "folder": folder or "."}
    values |= {"key": key, "key_folder": packing.folder(key)}
    plain = _PLACEHOLDER.sub(lambda found: values[found[1]], pattern)
    if is_remote(plain):
        return plain
    if os.path.isfile(_located(plain, base)):
        return _located(os.path.normpath(plain), base)
    # The value of a placeholder is not a pattern, whatever characters are in it.
    escaped = _PLACEHOLDER.sub(lambda found: glob.escape(values[found[1]]), pattern)
    try:
        names = _matches(escaped, base)
    except InputError as refusal:
        raise InputError(
            f"{where}: '{plain}'",
            expected=f"the file of the friend tree of {url}",
            found=refusal.found,
            fix=_nearest_path(_located(plain, base)),
        ) from None
    if len(names) > 1:
        raise InputError(
            f"{where}: '{plain}'",
            expected=f"one file, for {url}",
            found=", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else ""),
            fix="make the pattern more specific",
        )
    return _located(names[0], base)


def _is_file(path: str) -> bool:
    """Whether a path is a file, or a link to one.

    Raises InputError for a broken link, ResourceError for a path that cannot be accessed: a file
    must not drop out of a dataset silently.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        faults.pass_on(error, path)
        if not os.path.islink(path):
            return False  # missing, below a file, or with too long a name
        circle = error.errno == errno.ELOOP
        raise InputError(
            f"file {path}",
            expected="a file, or a link to one",
            found=f"a link to {os.readlink(path)}, "
            + ("which leads back to it" if circle else "where nothing is"),
            fix="remove it" if circle else "mount what it leads to, or remove it",
        ) from None


def _require_listable(pattern: str) -> None:
    """Raise ResourceError for a folder that cannot be listed, which a glob would skip."""

    def refuse(error: OSError) -> None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return
        raise faults.of_system(error, str(error.filename), writing=True) or error from None

    above, _, below = pattern.partition("**")
    if below:
        for _ in os.walk(os.path.dirname(above) or ".", onerror=refuse):
            pass
        return
    for folder in glob.glob(os.path.dirname(pattern)) or ["."]:
        try:
            os.scandir(folder).close()
        except OSError as error:
            refuse(error)


def _located(name: str, base: str | os.PathLike[str] | None) -> str:
    return os.path.join(base, name) if base else name


def _nearest_path(path: str) -> str:
    """Words on the files in the folder of `path`, or on the missing folder."""
    wanted = Path(path)
    # Not Path.is_dir, which raises for names that are too long.
    if not os.path.isdir(wanted.parent):
        return _absent_folder(wanted.parent)
    try:
        names = [name for name in os.listdir(wanted.parent) if not name.startswith(".")]
    except OSError as error:
        return f"in {wanted.parent}: {error.strerror}"
    return f"in {wanted.parent}: {nearest(wanted.name, names)}"


def _absent_folder(folder: Path) -> str:
    """The fix for a missing folder, with the nearest existing name."""
    first = folder
    while not os.path.isdir(first.parent):
        first = first.parent
    siblings: list[str] = []
    with suppress(OSError):
        siblings = [path.name for path in first.parent.iterdir() if path.is_dir()]
    close = get_close_matches(first.name, siblings, n=1)
    meant = f" (did you mean '{first.parent / close[0]}'?)" if close else ""
    return (
        f"no folder {folder}{meant}: correct the path, or put the files there; of a table "
        "`rootloom import` makes them"
    )
