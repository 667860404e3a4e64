"""Files that are either whole or absent: nothing partial ever bears a final name."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from rootloom import scratch
from rootloom.errors import InputError

if TYPE_CHECKING:
    import h5py

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS = tuple(f"errno = {code}" for code in _FULL) + tuple(os.strerror(c) for c in _FULL)


@contextmanager
def atomic_path(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """A temporary name that becomes `path` when the block ends without an error.

    It lies beside `path`, or on scratch where the environment names one (see `rootloom.scratch`).
    The content is synced to the disk of `path` before it is renamed; on any error the temporary
    file is removed and `path` stays as it was. `needed`: bytes to be written, where known.
    Raises InputError when the disk, quota or file size limit is exhausted.
    """
    with _draft(Path(path), needed) as draft:
        yield draft.path


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    On any error it is removed with all that is in it. Raises InputError when `path` is there
    already and is not an empty folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.is_dir() and not any(path.iterdir())):
        require_absent(path, "a new or empty folder")
    _remove_leftovers(path)
    folder = _beside(path)
    folder.mkdir()
    try:
        yield folder
        os.replace(folder, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_absent(path: Path, expected: str = "a new file") -> None:
    """Raises InputError when something is there already."""
    if path.exists():
        raise InputError(
            str(path),
            expected=expected,
            found="something there already",
            fix="remove it, or choose another name",
        )


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[tuple[h5py.File, Sink]]:
    """An HDF5 file under construction that becomes `path` when the block ends without an error.

    Yields the open file and its sink; `sink.check()` after each write stops at once when the disk
    is full instead of at the end. Should scratch fill, the file goes on where `path` will be.
    Raises InputError when there is no room, and then leaves nothing.
    """
    import h5py  # here, because this module is also imported where start-up time matters

    with _draft(Path(path), None) as draft, closing(Sink(draft)) as sink:
        try:
            # HDF5 1.10's metadata carries checksums (older layouts do not) and is widely readable.
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                yield file, sink
        finally:
            sink.check()


class Draft:
    """A file under construction: where it is now, and what it will be.

    path: where to write. final: the name it gets. beside: the temporary name next to `final`.
    """

    def __init__(self, final: Path, folder: Path | None) -> None:
        self.final = final
        self.beside = _beside(final)
        self.path = folder / final.name if folder else self.beside

    @property
    def on_scratch(self) -> bool:
        """Whether it has yet to be brought to the file system of its final name."""
        return self.path != self.beside

    def leave_scratch(self) -> None:
        """Go on beside the final name."""
        try:
            self.path.rename(self.beside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(self.path, self.beside)
            self.path.unlink()
        self.path = self.beside

    def publish(self) -> None:
        """Give the complete content its final name, in one step and on its own file system."""
        if self.on_scratch:
            self.leave_scratch()
        _sync(self.beside)
        os.replace(self.beside, self.final)
        _sync(self.final.parent)


@contextmanager
def _draft(path: Path, needed: int | None, *, small: bool = False) -> Iterator[Draft]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not small:
        _remove_leftovers(path)
    with nullcontext() if small else scratch.folder(needed) as folder:
        draft = Draft(path, folder)
        try:
            yield draft
            draft.publish()
        except Exception as error:
            if is_full(error):
                raise _no_space(draft, needed) from error
            raise
        finally:
            draft.beside.unlink(missing_ok=True)


def _beside(final: Path) -> Path:
    # Host and process in the name: two jobs that write one path never share a temporary file.
    return final.with_name(f".{final.name}.{os.uname().nodename}-{os.getpid()}.partial")


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes of this host left under temporary names beside `path`."""
    _sweep(path.parent, re.escape(path.name))


def sweep(folder: Path, *, alone: bool = False) -> None:
    """Remove what killed processes left under temporary names in `folder`.

    alone: nobody else writes there now, on any host; otherwise it is known of this host's only.
    """
    if folder.is_dir():
        _sweep(folder, ".+", alone=alone)


def _sweep(folder: Path, name: str, *, alone: bool = False) -> None:
    """name: pattern of final names."""
    host = ".+" if alone else re.escape(os.uname().nodename)
    owned = re.compile(rf"\.{name}\.{host}-(\d+)\.partial")
    for old in folder.iterdir():
        found = owned.fullmatch(old.name)
        if found and (alone or not _is_running(int(found[1]))):
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


class Sink:
    """A file for HDF5 to write to that never fails: the first error is kept for `check` to raise.

    HDF5 cannot close a file that it cannot flush, and crashes the process at exit instead.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._error: OSError | None = None
        self._use(draft.path.open("w+b", buffering=0))

    def _use(self, raw: FileIO) -> None:
        self._raw = raw
        self.read, self.readinto, self.seek, self.tell = raw.read, raw.readinto, raw.seek, raw.tell

    def check(self) -> None:
        """Raise the OSError that a write met, if one did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file; whoever made the draft says what becomes of it."""
        self._raw.close()

    def write(self, data: memoryview) -> int:
        """Write all of `data`, or remember why not."""
        view = memoryview(data).cast("B")
        size = len(view)
        while len(view) and self._error is None:
            try:
                view = view[self._raw.write(view) :]
            except OSError as error:
                self._recover(error)
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

    def _recover(self, error: OSError) -> None:
        """Leave a full scratch; remember any other error."""
        if not (is_full(error) and self._draft.on_scratch):
            self._error = error
            return
        position = self._raw.tell()
        try:
            print(f"note: scratch is full: {self._draft.final} is written in place", flush=True)
            self._draft.leave_scratch()
            self._raw.close()
            self._use(self._draft.path.open("r+b", buffering=0))
            self.seek(position)
        except OSError as another:
            self._error = another


@contextmanager
def intact(path: str | Path, expected: str, *, fix: str) -> Iterator[None]:
    """Refuse a file that turns out not to be what is `expected` while the block reads it.

    Raises InputError in place of what missing, cut or foreign content of JSON leads to.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(str(path), expected=expected, found=found, fix=fix) from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a whole file atomically. Raises InputError when there is no room for it."""
    # What is written in one go gains nothing by way of scratch.
    with _draft(Path(path), len(data), small=True) as draft:
        draft.path.write_bytes(data)


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


def _no_space(draft: Draft, needed: int | None) -> InputError:
    """The refusal for a full disk: scratch, or that of the final name."""
    written = draft.path.stat().st_size if draft.path.exists() else 0
    folder, fix = draft.path.parent, "free space there, or point the output folder at another disk"
    if draft.on_scratch:
        fix = f"free space there, or leave {scratch.VARIABLE} unset"
    return InputError(
        str(draft.final),
        expected=f"room for {needed} bytes" if needed else f"room for more than {written} bytes",
        found=f"{shutil.disk_usage(folder).free} bytes free on the file system of {folder}, "
        "or a quota or limit reached",
        fix=f"{fix}, and run again",
    )
