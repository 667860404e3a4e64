"""Files that are either whole or absent: nothing partial ever bears a final name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from rootloom.errors import InputError

if TYPE_CHECKING:
    import h5py

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS = tuple(f"errno = {code}" for code in _FULL) + tuple(os.strerror(c) for c in _FULL)


@contextmanager
def atomic_path(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends without an error.

    The content is synced to disk before it is renamed; on any error the temporary file is removed
    and `path` stays as it was. `needed`: bytes to be written, where known, for the message.
    Raises InputError when the disk, quota or file size limit is exhausted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Host and process in the name: two jobs that write the same path never share a temporary file.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.partial")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except Exception as error:
        if is_full(error):
            raise _no_space(path, temporary, needed) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[tuple[h5py.File, Sink]]:
    """An HDF5 file under construction that becomes `path` when the block ends without an error.

    Yields the open file and its sink; `sink.check()` after each write stops at once when the disk
    is full instead of at the end. Raises InputError when there is no room, and then leaves nothing.
    """
    import h5py  # here, because this module is also imported where start-up time matters

    with atomic_path(path) as temporary, temporary.open("w+b", buffering=0) as raw:
        sink = Sink(raw)
        try:
            # HDF5 1.10's metadata carries checksums (older layouts do not) and is widely readable.
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                yield file, sink
        finally:
            sink.check()


class Sink:
    """A file for HDF5 to write to that never fails: the first error is kept for `check` to raise.

    HDF5 cannot close a file that it cannot flush, and crashes the process at exit instead.
    """

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None
        self.read, self.readinto, self.seek, self.tell = raw.read, raw.readinto, raw.seek, raw.tell

    def check(self) -> None:
        """Raise the OSError that a write met, if one did."""
        if self._error is not None:
            raise self._error

    def write(self, data: memoryview) -> int:
        """Write all of `data`, or remember why not."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self._error is None:
                view = view[self._raw.write(view) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int) -> int:
        """Set the file's length, or remember why not."""
        try:
            self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def flush(self) -> None:
        """Nothing is buffered here."""


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a whole file atomically. Raises InputError when there is no room for it."""
    with atomic_path(path, needed=len(data)) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file atomically. Raises InputError when there is no room for it."""
    write_bytes(path, text.encode())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, a quota or a file size limit is exhausted."""
    # HDF5 reports a full disk as text inside OSError or RuntimeError, without an errno.
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return isinstance(error, OSError | RuntimeError) and any(t in str(error) for t in _FULL_TEXTS)


def _no_space(path: Path, temporary: Path, needed: int | None) -> InputError:
    written = temporary.stat().st_size if temporary.exists() else 0
    free = shutil.disk_usage(path.parent).free
    return InputError(
        str(path),
        expected=f"room for {needed} bytes" if needed else f"room for more than {written} bytes",
        found=f"{free} bytes free on the file system of {path.parent}, or a quota or limit reached",
        fix="free space there, or point the output folder at another disk, and run again",
    )
