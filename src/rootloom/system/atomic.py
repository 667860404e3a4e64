"""Files that are either complete or absent, and results whose damage is detected.

No incomplete file ever has its final name. A JSON result ends with a digest of all bytes before it;
an HDF5 result has a digest of its attributes, while the format itself checks arrays and structure.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rootloom.errors import (
    FAULTS,
    ConfigError,
    InputError,
    ResultError,
    StorageError,
    require_fault_of_file,
)
from rootloom.system import faults, scratch
from rootloom.system.faults import is_full

if TYPE_CHECKING:
    import h5py

REMAKE = "delete it and run snakemake again: it is made again"
_DIGEST = "digest"
_DIGITS = 32  # hexadecimal, of a digest
# The end of a JSON result. It has the fingerprint too, so that a plan need not read the rest.
_SEAL = re.compile(
    rb'\{?"digest": \{"fingerprint": "([^"\\]*)", "blake2b": "([0-9a-f]{%d})"\}\}\n' % _DIGITS
)
_SEAL_BYTES = 256  # no seal is longer

T = TypeVar("T")


@contextmanager
def atomic_path(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """A temporary name that becomes `path` when the block ends without an error.

    It is in the folder of `path`, or on scratch if the environment names one (see `scratch`).
    The content is synced to the disk of `path` before it is renamed; on any error the temporary
    file is removed and `path` stays as it was. `needed`: bytes to be written, if known.
    Raises StorageError when the disk, quota or file size limit is exhausted, and for a folder that
    cannot be written to; ResourceError for other faults of the machine.
    """
    with _draft(Path(path), needed) as draft:
        yield draft.path


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    On any error it is removed with its content. Raises ConfigError if `path` exists and is not an
    empty folder, and the errors of `atomic_path`.
    """
    path = Path(path)
    folder = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_dir() and not any(path.iterdir())):
            require_absent(path, "a new or empty folder")
        _remove_leftovers(path)
        folder.mkdir()
        yield folder
        os.replace(folder, path)
        _sync(path.parent)
    except Exception as error:
        _refuse(error, path, folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def working_folder(inside: Path) -> Iterator[Path]:
    """A folder inside another one, which is made, for what is needed until the block ends.

    What killed processes of this host left there is removed. Raises the errors of `atomic_path`.
    """
    folder = _beside(inside / "working")
    try:
        inside.mkdir(parents=True, exist_ok=True)
        sweep(inside)
        folder.mkdir()
        yield folder
    except OSError as error:
        _refuse(error, inside, folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_absent(path: Path, expected: str = "a new file") -> None:
    """Raise ConfigError if `path` exists."""
    if path.exists():
        raise ConfigError(
            str(path),
            expected=expected,
            found="something there already",
            fix="remove it, or choose another name",
        )


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[tuple[h5py.File, Sink]]:
    """An HDF5 file under construction that becomes `path` when the block ends without an error.

    Yields the open file and its sink; `sink.check()` after each write stops at once if the disk
    is full, instead of at the end. If scratch fills up, the file continues in the folder of `path`.
    Raises the errors of `atomic_path` if it cannot be written, and then leaves no file.
    """
    import h5py  # here, because this module is also imported where start-up time matters

    with _draft(Path(path), None) as draft, closing(Sink(draft)) as sink:
        try:
            # HDF5 1.10's metadata carries checksums (older layouts do not) and is widely readable.
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                yield file, sink
                _seal_attributes(file)
        finally:
            sink.check()


class Draft:
    """A file under construction.

    path: where to write. final: its final name. beside: the temporary name next to `final`.
    """

    def __init__(self, final: Path, folder: Path | None) -> None:
        self.final = final
        self.beside = _beside(final)
        self.path = folder / final.name if folder else self.beside

    @property
    def on_scratch(self) -> bool:
        """Whether it still has to be copied to the file system of its final name."""
        return self.path != self.beside

    def leave_scratch(self) -> None:
        """Continue in the folder of the final name."""
        # The path is set first, so that the file is removed if the copy fails.
        here, self.path = self.path, self.beside
        try:
            here.rename(self.beside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(here, self.beside)
            here.unlink()

    def publish(self) -> None:
        """Give the complete content its final name, in one step and on its own file system."""
        if self.on_scratch:
            self.leave_scratch()
        _sync(self.beside)
        os.replace(self.beside, self.final)
        _sync(self.final.parent)


@contextmanager
def _draft(path: Path, needed: int | None, *, small: bool = False) -> Iterator[Draft]:
    _require_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not small:
            _remove_leftovers(path)
    except OSError as error:
        _refuse(error, path, _beside(path), needed)
        raise
    with nullcontext() if small else scratch.folder(needed) as folder:
        draft = Draft(path, folder)
        try:
            yield draft
            draft.publish()
        except Exception as error:
            _refuse(error, path, draft.path, needed)
            raise
        finally:
            _remove(draft.beside)


def _require_replaceable(path: Path) -> None:
    """Refuse to replace a folder, pipe or device by a file; raises StorageError.

    Otherwise a folder would cause an error only after all work is done, and a device would be lost.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise StorageError(
            str(path),
            expected="the name of a file, which may be there already",
            found="a folder" if os.path.isdir(path) else "a pipe or device",
            fix="choose another name, or move it out of the way",
        )


def _refuse(error: Exception, path: Path, at: Path, needed: int | None = None) -> None:
    """Raise the error for an output that cannot be written `at` a place; return for a bug."""
    on_scratch = at.parent != path.parent
    advice = f"free space there, or leave {scratch.VARIABLE} unset" if on_scratch else ""
    refusal = faults.of_writing(error, path, at=at, needed=needed, advice=advice)
    if refusal is not None:
        raise refusal from error


def _remove(path: Path) -> None:
    """Remove a file if it exists; a disk that refuses this is reported by another error."""
    with suppress(OSError):
        path.unlink()


def _beside(final: Path) -> Path:
    # Host and process in the name: two jobs that write one path never share a temporary file.
    return final.with_name(f".{final.name}.{os.uname().nodename}-{os.getpid()}.partial")


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files that killed processes of this host left for `path`."""
    _sweep(path.parent, re.escape(path.name))


def sweep(folder: Path, *, alone: bool = False) -> None:
    """Remove temporary files that killed processes left in `folder`.

    alone: no other process on any host writes there now, so that all are removed; otherwise only
    those of ended processes of this host.
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
    """A file object for HDF5 that never raises: `check` raises the first error later.

    HDF5 cannot close a file that it cannot flush, and would crash the process at exit.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._error: OSError | None = None
        self._use(draft.path.open("w+b", buffering=0))

    def _use(self, raw: FileIO) -> None:
        self._raw = raw
        self.read, self.readinto, self.seek, self.tell = raw.read, raw.readinto, raw.seek, raw.tell

    def check(self) -> None:
        """Raise the first OSError of a write, if there was one."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file; the owner of the draft decides whether it is kept."""
        self._raw.close()

    def write(self, data: memoryview) -> int:
        """Write all of `data`, or keep the error."""
        view = memoryview(data).cast("B")
        size = len(view)
        while len(view) and self._error is None:
            try:
                view = view[self._raw.write(view) :]
            except OSError as error:
                self._recover(error)
        return size

    def truncate(self, size: int) -> int:
        """Set the file's length, or keep the error."""
        try:
            self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def flush(self) -> None:
        """Nothing is buffered here."""

    def _recover(self, error: OSError) -> None:
        """Leave scratch if it is full; keep any other error."""
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
    """Turn errors of reading a file in the block into errors that say what was `expected`.

    Raises ResultError for missing, truncated or wrong content, and ResourceError for an error of
    the machine, after which the file may be intact.
    """
    try:
        yield
    except FAULTS as error:
        faults.pass_on(error, str(path))
        found = f"{type(error).__name__}: {error}"
        raise ResultError(str(path), expected=expected, found=found, fix=fix) from None


@contextmanager
def of_result() -> Iterator[None]:
    """Raise ResultError in place of InputError in the block, for files written by a job."""
    try:
        yield
    except InputError as refusal:
        require_fault_of_file(refusal)
        raise ResultError(
            refusal.where, expected=refusal.expected, found=refusal.found, fix=REMAKE
        ) from None


def write_json(path: str | Path, content: Mapping[str, object], *, indent: int | None = 1) -> None:
    """Write a JSON result with its digest. content: with at least one entry.

    Raises the errors of `atomic_path`.
    """
    record = content.get("provenance")
    fingerprint = record.get("fingerprint", "") if isinstance(record, Mapping) else ""
    text = json.dumps(content, indent=indent)
    write_text(path, sealed(text, str(fingerprint)))


def read_json(
    path: str | Path, expected: str, parse: Callable[[Any], T], *, fix: str = REMAKE
) -> T:
    """Read a JSON result, verify its digest and return `parse` of its content.

    Raises ResultError, naming the file, if it is missing, if any of its bytes has changed
    since it was written, or if it is not what is `expected`.
    """
    with intact(path, expected, fix=fix):
        return parse(json.loads(unsealed(path)))


def sealed(text: str, fingerprint: str = "", *, lines: bool = False) -> str:
    """A JSON text with its digest as last entry.

    lines: the text has several JSON objects, one per line, and the digest is the last line.
    fingerprint: of the job that made it.
    """
    start = text + "{" if lines else f"{text.rstrip()[:-1].rstrip()},\n"
    start += f'"{_DIGEST}": {{"fingerprint": "{fingerprint}", "blake2b": "'
    return f'{start}{_digest(start.encode())}"}}}}\n'


def unsealed(path: str | Path) -> str:
    """The text of a JSON result without its digest.

    Raises ValueError, which `intact` translates, if the digest is missing or does not match.
    """
    faults.require_no_pipe(path)
    data = Path(path).read_bytes()
    found = _SEAL.search(data, max(0, len(data) - _SEAL_BYTES))
    if found is None or found.end() != len(data):
        raise ValueError("no digest at its end: it was truncated, or made by an earlier version")
    if _digest(data[: found.start(2)]) != found[2].decode():
        raise ValueError("content that does not match its digest: it has changed on the disk")
    rest = data[: found.start()].decode()
    return rest if found[0].startswith(b"{") else rest.removesuffix(",\n") + "}"


def fingerprint_at_end(path: Path) -> str | None:
    """The fingerprint of the job that made a JSON result; None if there is none.

    Reads only the last bytes and therefore does not notice damage before them.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_BYTES))
        end = file.read()
    found = _SEAL.search(end)
    return found[1].decode() if found and found.end() == len(end) else None


def attributes_of(file: h5py.File, *items: str) -> dict[str, Any]:
    """Attributes of an HDF5 result, by name.

    items: top-level groups or data sets whose attributes are checked as well. HDF5 itself has
    checksums for everything but texts of attributes. Raises ValueError if they have changed since
    they were written; a file of another program has no digest.
    """
    found = dict(file.attrs)
    digest = found.pop(_DIGEST, None)
    others = {name: dict(file[name].attrs) for name in items if name in file}
    if digest is not None and digest != _digest_of_attributes(found, others):
        raise ValueError("attributes that do not match their digest")
    return found if digest is None else {**found, _DIGEST: digest}


def _seal_attributes(file: h5py.File) -> None:
    root = {name: value for name, value in file.attrs.items() if name != _DIGEST}
    others = {name: dict(item.attrs) for name, item in file.items() if len(item.attrs)}
    file.attrs[_DIGEST] = _digest_of_attributes(root, others)


def _digest_of_attributes(root: Mapping[str, object], others: Mapping[str, object]) -> str:
    text = json.dumps([root, others], sort_keys=True, default=_plain)
    return _digest(text.encode())


def _plain(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_DIGITS // 2).hexdigest()


def date_back(paths: Iterable[str | Path], now: float) -> None:
    """Set the time of files that are dated later than `now` (seconds since 1970) to the present.

    If an input is newer than the output made from it, the engine assumes wrong clocks and deletes
    the output.
    """
    for path in paths:
        with suppress(OSError):  # missing, or of another user: the engine reports it
            if os.stat(path).st_mtime > now:
                os.utime(path)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically. Raises the errors of `atomic_path`."""
    # A single write gains nothing from scratch.
    with _draft(Path(path), len(data), small=True) as draft:
        draft.path.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically. Raises the errors of `atomic_path`."""
    write_bytes(path, text.encode())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
