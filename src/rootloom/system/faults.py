"""Errors of the operating system: what is at fault, and the RootloomError that says so.

The same errors reach us as OSError, as text (HDF5, XRootD, requests), and wrapped in errors of
other libraries.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from rootloom.errors import PackageError, ResourceError, RootloomError, StorageError

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# The process or the node has used up a resource.
_EXHAUSTED_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK})
# A file system or a network is not available.
_UNAVAILABLE_ERRNOS = frozenset({
    errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNREFUSED,
    errno.ENONET, errno.EREMOTEIO, errno.ENOMEDIUM,
})  # fmt: skip
_MACHINE_ERRNOS = _FULL_ERRNOS | _DENIED_ERRNOS | _EXHAUSTED_ERRNOS | _UNAVAILABLE_ERRNOS
_NUMBERS = re.compile(r"errno = (\d+)|\[Errno (\d+)\]")
_TEXTS = {
    os.strerror(code): code for code in (*_FULL_ERRNOS, errno.EMFILE, errno.ESTALE, errno.EROFS)
}
# Messages of requests and XRootD if a server cannot be reached or does not answer.
_UNREACHED_TEXT = re.compile(
    r"\[FATAL\]|NameResolutionError|Name or service not known|getaddrinfo failed"
    r"|Temporary failure in name resolution|Cannot connect to proxy"
    r"|timed out|Operation expired|^HTTP 50[234]\b"
)
_NO_THREAD = "can't start new thread"
_MAX_CAUSES = 10  # of errors that wrap each other


def errno_of(error: BaseException) -> int | None:
    """The errno behind `error`; None if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if not isinstance(error, OSError | RuntimeError):
        return None
    text = str(error)
    if found := _NUMBERS.search(text):
        return int(found[1] or found[2])
    return next((code for words, code in _TEXTS.items() if words in text), None)


def is_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a file size limit is exhausted."""
    return errno_of(error) in _FULL_ERRNOS


def is_of_machine(error: BaseException, *, writing: bool = False) -> bool:
    """Whether the machine or the account is at fault, and not the content of a file.

    A block that cannot be read (EIO) is a damaged file; one that cannot be written is not.
    """
    # Only the outermost error: libraries try imports and continue without them.
    return isinstance(error, ImportError) or any(_is_lack(one, writing) for one in _chain(error))


def _is_lack(error: BaseException, writing: bool) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return True
    code = errno_of(error)
    return code in _MACHINE_ERRNOS or (writing and code == errno.EIO)


def is_unreached(error: BaseException) -> bool:
    """Whether a server, or the network, did not answer at all.

    A server that answers 500, or breaks the connection, has at least looked for the file.
    """
    return any(
        type(one).__name__.endswith(("Timeout", "TimeoutError"))
        or (
            isinstance(one, OSError)
            and (errno_of(one) in _UNAVAILABLE_ERRNOS or _UNREACHED_TEXT.search(str(one)))
        )
        for one in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that caused it."""
    one: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def require_no_pipe(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a pipe or a device, from which a read may never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError("a pipe, socket or device, which is no file")


def obstacle(folder: str | os.PathLike[str]) -> Path | None:
    """The path, `folder` or above it, that exists and is not a folder; None if there is none.

    For example a file or a broken link.
    """
    places = (Path(folder), *Path(folder).parents)
    return next((one for one in places if os.path.lexists(one) and not os.path.isdir(one)), None)


def of_writing(
    error: BaseException, path: Path, *, at: Path, needed: int | None = None, advice: str = ""
) -> RootloomError | None:
    """The RootloomError for an output at `path` that cannot be written; None for a bug.

    at: where
    it is being written, next to it or on scratch. needed: bytes, if known. advice: what else helps
    against a full disk.
    """
    if isinstance(error, RootloomError) or not _concerns(error, path, at):
        return None
    code = errno_of(error)
    if code in _FULL_ERRNOS:
        return _no_room(path, at, needed, advice)
    if code in _DENIED_ERRNOS:
        return StorageError(
            str(path),
            expected="a place to write to",
            found=f"{_words(code)}: {at.parent}, {_room(at.parent)}",
            fix="make the folder writable for you (a mount may have become read-only), or choose "
            "another `results` folder; then start again",
        )
    if code == errno.ENAMETOOLONG:
        return StorageError(
            str(path),
            expected="a name that a file can have",
            found=_words(code),
            fix="choose a shorter one",
        )
    if code in (errno.EEXIST, errno.ENOTDIR) and (there := obstacle(at.parent)):
        return StorageError(
            str(path),
            expected=f"a folder {at.parent}, or that it can be made",
            found=f"{there}, which is none",
            fix="name another place, or move that out of the way",
        )
    return of_system(error, str(path), writing=True) if code is not None else None


def of_system(error: BaseException, where: str, *, writing: bool = False) -> RootloomError | None:
    """The RootloomError for an error of the machine; None for any other.

    where: the file or job at work.
    """
    if not is_of_machine(error, writing=writing):
        return None
    behind = next((one for one in _chain(error) if _is_lack(one, writing)), error)
    code, named = errno_of(behind), getattr(behind, "filename", None)
    where = str(named or where)
    if code in _FULL_ERRNOS:
        return _no_room(Path(where), Path(where), None, "")
    if code in _DENIED_ERRNOS:
        return StorageError(
            where,
            expected="the right to use this file",
            found=_words(code),
            fix="ask for the right, or renew your ticket or token; then start again",
        )
    if isinstance(behind, ImportError):
        return PackageError(
            where,
            expected="the packages that this needs",
            found=str(behind),
            fix="install them; what remote files need: pip install 'rootloom[remote]'",
        )
    return ResourceError(
        where,
        expected="a machine with memory, open files and file systems to spare",
        found=_words(code) if code else f"{type(behind).__name__}: {behind}".rstrip(": "),
        fix=_fix_of(code, behind),
    )


def pass_on(error: BaseException, where: str) -> None:
    """Raise the RootloomError for an error while reading a result, if it is the machine's.

    The result may be intact; it must not be deleted or made again.
    """
    refusal = of_system(error, where, writing=True)
    if refusal is not None:
        raise refusal from error


def _fix_of(code: int | None, error: BaseException) -> str:
    if code in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files (ulimit -n), then start again"
    if code == errno.ENOMEM or isinstance(error, MemoryError):
        return "ask for more memory (`mem_mb`, or fewer jobs at a time), then start again"
    if _NO_THREAD in str(error):
        return "raise the limit of processes (ulimit -u), then start again"
    return "start again once the disk, the file server and the network answer: all is kept"


def _no_room(path: Path, at: Path, needed: int | None, advice: str) -> StorageError:
    written = at.stat().st_size if at.is_file() else 0
    return StorageError(
        str(path),
        expected=f"room for {needed} bytes" if needed else f"room for more than {written} bytes",
        found=f"{_room(at.parent)} on the file system of {at.parent}, or a quota or limit reached",
        fix=(advice or "free space there, or point the output folder at another disk")
        + ", and run again",
    )


def _room(folder: Path) -> str:
    """How much space is free where a folder is, or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f"{shutil.disk_usage(folder).free} bytes free"
    except OSError as error:
        return f"room unknown ({error.strerror})"


def _words(code: int | None) -> str:
    return os.strerror(code) if code else "no reason given"


def _concerns(error: BaseException, path: Path, at: Path) -> bool:
    """Whether the files that an error names are those being written; True if it names none."""
    names = [getattr(error, name, None) for name in ("filename", "filename2")]
    named = [Path(os.path.abspath(n)) for n in names if isinstance(n, str | os.PathLike)]
    folders = [Path(os.path.abspath(one.parent)) for one in (path, at)]
    pairs = [(one, folder) for one in named for folder in folders]
    return not named or any(o.is_relative_to(f) or f.is_relative_to(o) for o, f in pairs)
