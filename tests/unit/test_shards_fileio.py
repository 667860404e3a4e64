"""Files are whole or absent, and a full disk is said plainly."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from rootloom.errors import ResourceError, RootloomError, StorageError
from rootloom.evaluation.predictions import read_predictions
from rootloom.rootio.header import inspect
from rootloom.system import provenance, scratch
from rootloom.system.atomic import (
    atomic_folder,
    atomic_path,
    new_hdf5,
    read_json,
    write_bytes,
    write_text,
)
from rootloom.training import tensors


def test_content_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "η before")

    def fail() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (tmp_path / "a.txt").read_text() == "η before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Unable to write: errno = 28, error message = 'No space left on device'"),
    ],
)
def test_a_full_disk_names_file_need_and_room(tmp_path: Path, error: OSError) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.bin", needed=12345):
            raise error

    with pytest.raises(StorageError, match=r"a\.bin[\s\S]*12345 bytes[\s\S]*\d+ bytes free"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", [atomic_path, atomic_folder, new_hdf5])
@pytest.mark.parametrize("name", ["taken/a", "taken/deep/a", "gone/a"])
def test_an_output_below_a_file_names_what_is_in_its_way(
    tmp_path: Path, writer: Any, name: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(StorageError, match=r"a\n.*a folder.*\n.*(taken|gone), which is none"):
        writer(tmp_path / name).__enter__()
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.EACCES, StorageError, r"place to write to[\s\S]*Permission denied: .*bytes free"),
        (errno.EPERM, StorageError, "Operation not permitted"),
        (errno.EROFS, StorageError, "Read-only file system"),
        (errno.EFBIG, StorageError, "limit reached"),
        (errno.EIO, ResourceError, "Input/output error"),
        (errno.ESTALE, ResourceError, r"Stale file handle[\s\S]*all is kept"),
        (errno.EMFILE, ResourceError, "ulimit -n"),
        (errno.ENOMEM, ResourceError, "mem_mb"),
        (errno.ENOTCONN, ResourceError, "file server"),
    ],
)
def test_an_output_that_cannot_be_written_is_no_fault_of_any_input(
    tmp_path: Path, code: int, kind: type[ResourceError], words: str
) -> None:
    """Whichever way the system, HDF5 or a wrapping library says so."""
    text = f"Unable to write (errno = {code}, error message = '{os.strerror(code)}')"
    wrapped = ValueError("cannot write")
    wrapped.__cause__ = OSError(code, os.strerror(code))
    for error in (OSError(code, os.strerror(code)), OSError(text), RuntimeError(text)):
        with pytest.raises(kind, match=words) as refusal, atomic_path(tmp_path / "a.bin"):
            raise error
        assert (refusal.value.fault, refusal.value.where) == ("machine", str(tmp_path / "a.bin"))
        assert refusal.value.passes == (kind is ResourceError)
        with pytest.raises(kind), atomic_folder(tmp_path / "folder"):
            raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "found"), [(os.mkdir, "a folder"), (os.mkfifo, "a pipe or device")]
)
def test_what_is_no_file_is_not_replaced(
    tmp_path: Path, make: Callable[[Path], None], found: str
) -> None:
    path = tmp_path / "out"
    make(path)
    for write in (lambda: write_text(path, "x"), new_hdf5(path).__enter__):
        with pytest.raises(StorageError, match=rf"out\n.*name of a file.*\n.*{found}"):
            write()
    assert list(tmp_path.iterdir()) == [path]
    assert not path.is_file()


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="choose a shorter one"):
        write_text(tmp_path / ("a" * 300), "x")


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    os.mkfifo(path)
    assert provenance.read(path) is provenance.fingerprint(path) is None
    readers = (
        lambda: read_json(path, "a result", dict),
        lambda: read_predictions(path),
        lambda: tensors.read(path),
        lambda: inspect(str(path), "t"),
    )
    for read in readers:
        with pytest.raises(RootloomError, match="a pipe, socket or device"):
            read()


def test_a_place_that_takes_nothing_is_named(tmp_path: Path) -> None:
    """The folder for the results cannot be made: a file is in its way, or it is of the system."""
    for path in (Path("/proc/none/a.json"), Path("/sys/kernel/a.json")):
        with pytest.raises((StorageError, FileNotFoundError)) as refusal:
            write_text(path, "x")
        if isinstance(refusal.value, StorageError):
            assert str(path) in str(refusal.value)


def test_errors_of_something_else_keep_their_type(tmp_path: Path) -> None:
    """A defect, and a file elsewhere that was read on the way."""
    elsewhere = PermissionError(errno.EACCES, "denied", "/elsewhere/input.root")
    for error in (FileNotFoundError(errno.ENOENT, "gone"), KeyError("x"), elsewhere):
        with pytest.raises(type(error)), atomic_path(tmp_path / "a.bin"):
            raise error


def test_bytes_are_written_and_replaced(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"one")
    write_bytes(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"


def test_hdf5_survives_a_disk_that_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 3000

    def limited(path: Path, mode: str, buffering: int):
        raw = real(path, mode, buffering)

        class Limited(type(raw)):
            def write(self, data):
                if self.tell() + len(data) > room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(data)

        raw.close()
        return Limited(path, mode.replace("b", ""))

    real = Path.open
    monkeypatch.setattr(Path, "open", limited)
    steps = []

    def fill() -> None:
        with new_hdf5(tmp_path / "a.h5") as (file, sink):
            for k in range(100):
                file[f"x{k}"] = list(range(100))
                file.flush()
                sink.check()
                steps.append(k)

    with pytest.raises(StorageError, match="bytes free"):
        fill()
    assert 0 < len(steps) < 99
    assert list(tmp_path.iterdir()) == []


def test_hdf5_appears_whole(tmp_path: Path) -> None:
    with new_hdf5(tmp_path / "a.h5") as (file, _):
        file["x"] = [1, 2, 3]
        assert not (tmp_path / "a.h5").exists()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"][:].tolist() == [1, 2, 3]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setenv(scratch.VARIABLE, str(folder))
    return folder


def test_content_is_written_on_scratch_and_brought_home(tmp_path: Path, node: Path) -> None:
    path = tmp_path / "results" / "a.bin"
    with atomic_path(path) as temporary:
        assert temporary.name == path.name
        assert temporary.is_relative_to(node)
        temporary.write_bytes(b"whole")
        assert list(path.parent.iterdir()) == []
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]
    assert not temporary.parent.exists()


def test_an_error_on_scratch_keeps_what_was_there(tmp_path: Path, node: Path) -> None:
    write_text(tmp_path / "a.txt", "before")
    folders = []

    def fail() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            folders.append(temporary.parent)
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (tmp_path / "a.txt").read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "node"]
    assert not folders[0].exists()


def test_a_full_scratch_is_named(tmp_path: Path, node: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(StorageError, match=rf"{node}[\s\S]*{scratch.VARIABLE}"),
        atomic_path(tmp_path / "a.bin"),
    ):
        raise full


def test_what_killed_writers_left_is_removed_and_no_more(tmp_path: Path) -> None:
    host = os.uname().nodename
    done = subprocess.Popen(["true"])
    done.wait()
    dead, living = (f".a.bin.{host}-{pid}.partial" for pid in (done.pid, os.getppid()))
    others = [living, f".b.bin.{host}-{done.pid}.partial", f".a.bin.far-{done.pid}.partial"]
    for name in (dead, *others):
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "a.bin") as temporary:
        temporary.touch()
    assert {p.name for p in tmp_path.iterdir()} == {"a.bin", *others}
