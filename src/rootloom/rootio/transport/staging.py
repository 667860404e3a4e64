"""Copies of input files on scratch, and verification of sizes and checksums.

With `ROOTLOOM_SCRATCH` set, remote files are read from a verified copy. `ROOTLOOM_STAGE` "all"
also copies files named by paths, for a slow shared file system; "none" copies nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from rootloom.errors import ConfigError, InputError, ResourceError, nearest
from rootloom.rootio.transport.checksums import Content, of_file, split
from rootloom.rootio.transport.remote import (
    COPIES,
    HTTP,
    XROOTD,
    Retry,
    TransferError,
    WholeFilesOnlyError,
    address,
    scheme,
    unreadable,
)
from rootloom.system import scratch
from rootloom.system.faults import is_full

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")
VARIABLE = "ROOTLOOM_STAGE"
_CHOICES = ("urls", "all", "none")
_PROGRESS = 1 << 20  # bytes: an attempt that copied at least so much does not count as a failure


class Transport(Protocol):
    """A file that can be copied."""

    def facts(self, algorithms: Iterable[str]) -> Content:
        """The size and the stored checksums of the file."""

    def copy(self, sink: BinaryIO, start: int) -> None:
        """Write its bytes from `start` on to `sink`."""


class _Local:
    """A file on a shared file system that is slower than scratch."""

    def __init__(self, path: str) -> None:
        self._path = path

    def facts(self, algorithms: Iterable[str]) -> Content:
        return Content(os.path.getsize(self._path))

    def copy(self, sink: BinaryIO, start: int) -> None:
        with open(self._path, "rb") as file:
            file.seek(start)
            shutil.copyfileobj(file, sink, _PROGRESS)


class _ScratchError(ResourceError):
    """Scratch is full, or cannot be written or read; the caller continues without it."""


class _TooMuchError(TransferError):
    """More bytes than the server said the file has."""


class _Bounded:
    """A file that accepts at most `size` bytes from a server."""

    def __init__(self, url: str, sink: BinaryIO, size: int) -> None:
        self._url, self._sink, self._size = url, sink, size
        self.seek, self.truncate, self.tell = sink.seek, sink.truncate, sink.tell

    def write(self, data: bytes) -> int:
        """Raises _TooMuchError."""
        if self._sink.tell() + len(data) > self._size:
            raise _TooMuchError(
                address(self._url),
                expected=f"{self._size} bytes, as the server says",
                found="more",
                fix="check the file at its server, or leave it out of the dataset",
            )
        return self._sink.write(data)


class _Copy:
    """At most one copy of one file, with the number of blocks that use it."""

    def __init__(self, url: str) -> None:
        self.url, self.users, self.tried = url, 0, False
        self.stack = ExitStack()

    @property
    def there(self) -> bool:
        return address(self.url) in COPIES

    def make(self, retry: Retry) -> None:
        root, remote = scratch.location(), _transport(self.url)
        self.tried = True
        if root is None or remote is None:
            return
        expected = split(self.url)[1]
        # A given checksum is compared; without one the server's, to find errors of the transfer.
        algorithms = () if expected.digests else ("adler32",)
        facts = retry.run(self.url, lambda: remote.facts(algorithms))
        _compare(self.url, expected, facts, "at the server")
        if not facts.size:
            return
        folder = self.stack.enter_context(scratch.folder(facts.size))
        if folder is None:
            return
        path = folder / "copy.root"
        wanted = Content(facts.size, expected.digests or facts.digests)
        try:
            retry.run(self.url, lambda: _fetch(self.url, remote, path, wanted, retry))
        except _ScratchError as refusal:
            self.stack.close()
            scratch.note(refusal.found, root)
            return
        COPIES[address(self.url)] = str(path)
        self.stack.callback(COPIES.pop, address(self.url))


_copies: dict[str, _Copy] = {}


@contextmanager
def held(url: str) -> Iterator[_Copy]:
    """Keep a copy of `url` that is made in the block until the block ends.

    Several reads of one file in the block then need only one copy.
    """
    copy = _copies.setdefault(address(url), _Copy(url))
    copy.users += 1
    try:
        yield copy
    finally:
        copy.users -= 1
        if not copy.users:
            del _copies[address(url)]
            copy.stack.close()


@contextmanager
def staged(url: str, *, retry: Retry | None = None) -> Iterator[bool]:
    """Read `url` from a verified copy on scratch in the block; yields whether there is one.

    Without scratch, or without space on it, `url` is read directly. Raises InputError for a file
    that cannot be copied, or does not have the expected size or checksum.
    """
    with held(url) as copy:
        if not copy.tried:
            copy.make(retry or Retry())
        yield copy.there


@contextmanager
def verified(url: str, *, retry: Retry | None = None) -> Iterator[None]:
    """Refuse a file with a wrong size or checksum, before it is read in the block.

    The server is asked for its checksum. If it has none, a copy on scratch is verified; without
    scratch only the size is compared, and a message says so. Raises InputError.
    """
    retry = retry or Retry()
    expected, remote = split(url)[1], _transport(url, verify=True)
    if not expected or remote is None:
        yield
        return
    facts = retry.run(url, lambda: remote.facts(expected.digests))
    _compare(url, expected, facts, "at the server")
    if not expected.digests or expected.digests.keys() & facts.digests.keys():
        yield
        return
    with staged(url, retry=retry) as copied:
        if not copied:
            names = ", ".join(sorted(expected.digests))
            print(f"note: {address(url)}: the server has no {names}: only the size was compared")
        yield


def on_copy_if_needed(stack: ExitStack, url: str, retry: Retry, action: Callable[[], T]) -> T:
    """The result of `action`; on a copy, kept by `stack`, if a server sends only whole files."""
    try:
        return retry.run(url, action)
    except WholeFilesOnlyError:
        if not stack.enter_context(staged(url, retry=retry)):
            raise
        return retry.run(url, action)


def _transport(url: str, *, verify: bool = False) -> Transport | None:
    """The transport for `url`; None if it is not to be copied, or cannot be."""
    choice = os.environ.get(VARIABLE, "") or _CHOICES[0]
    if choice not in _CHOICES:
        raise ConfigError(
            f"environment variable {VARIABLE}",
            expected=" or ".join(_CHOICES),
            found=f"'{choice}'",
            fix=nearest(choice, _CHOICES),
        )
    kind = scheme(url)
    if (choice == "none" and not verify) or (not kind and choice != "all"):
        return None
    try:
        if kind in HTTP:
            from rootloom.rootio.transport.web import Web

            return Web(address(url))
        if kind in XROOTD:
            from rootloom.rootio.transport.xrootd import XRootD

            return XRootD(address(url))
    except ImportError as error:
        raise unreadable(url, error) from error
    return None if kind else _Local(url)


class _Sink(FileIO):
    """A copy on scratch. Its errors are not the fault of the file that is copied.

    Raises _ScratchError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _blaming_scratch(path):
            super().__init__(path, "wb")

    def write(self, data: Buffer) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        done = 0
        with _blaming_scratch(self._path):
            while done < len(view):
                done += super().write(view[done:]) or 0
        return done


@contextmanager
def _blaming_scratch(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _scratch_error(path, error) from error


def _scratch_error(path: Path, error: Exception) -> _ScratchError:
    found = str(getattr(error, "strerror", None) or error)
    if is_full(error):
        found = f"full, {shutil.disk_usage(path.parent).free} bytes free"
    return _ScratchError(str(path), expected="a copy on scratch", found=found)


def _fetch(url: str, remote: Transport, path: Path, wanted: Content, retry: Retry) -> None:
    """Copy, continuing after lost connections, and verify the copy."""
    with _Sink(path) as sink:
        reached = 0

        def go_on() -> int:
            start = sink.seek(0, os.SEEK_END)
            try:
                remote.copy(_Bounded(url, sink, wanted.size or 0), start)  # type: ignore[arg-type]
            except (_ScratchError, _TooMuchError):
                raise
            except Exception as error:
                if is_full(error):  # where a library writes by itself
                    raise _scratch_error(path, error) from error
                if sink.seek(0, os.SEEK_END) < reached + _PROGRESS:
                    raise
            return sink.seek(0, os.SEEK_END)

        while reached < (wanted.size or 0):
            now = retry.run(url, go_on)
            if now <= reached:
                break
            reached = now
    with _blaming_scratch(path):
        found = of_file(path, wanted.digests)
    _compare(url, wanted, found, "in the copy", TransferError)


def _compare(
    url: str, expected: Content, found: Content, where: str, kind: type[InputError] = InputError
) -> None:
    """Raise `kind` if a size or checksum that both have differs."""
    wanted, came = expected.common(found)
    if wanted != came:
        raise kind(
            address(url),
            expected=f"{wanted}",
            found=f"{came} {where}",
            fix="copy the file to its server again, correct the list, or leave the file out",
        )
