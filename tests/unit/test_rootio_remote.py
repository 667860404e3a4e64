"""Reading through a local HTTP server that drops some connections."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("requests")

from rootloom.errors import (
    ConfigError,
    InputError,
    PackageError,
    ResourceError,
    RootloomError,
    StorageError,
    UnsteadyError,
)
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect
from rootloom.rootio.transport.remote import (
    COPIES,
    Retry,
    TransferError,
    address,
    scheme,
    timeout,
    unreadable,
)

FILE = Path(__file__).parents[1] / "data" / "uproot-HZZ-lzma.root"


class Flaky:
    """Counts the requests for content and says which to drop."""

    def __init__(self) -> None:
        self.requests = 0
        self.drop: set[int] = set()
        self.drop_all_after: int | None = None

    def drops(self) -> bool:
        self.requests += 1
        late = self.drop_all_after is not None and self.requests > self.drop_all_after
        return late or self.requests in self.drop


class Handler(BaseHTTPRequestHandler):
    def __init__(self, *args: object, flaky: Flaky) -> None:
        self.flaky = flaky
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(FILE.stat().st_size))
        self.end_headers()

    def do_GET(self) -> None:
        if self.path != "/hzz.root":
            self.send_error(404)
            return
        data = FILE.read_bytes()
        start, stop = 0, len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start, stop = int(asked[1]), min(int(asked[2] or stop - 1) + 1, stop)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        if self.flaky.drops():
            self.wfile.write(data[start : start + (stop - start) // 2])
            self.connection.close()
        else:
            self.wfile.write(data[start:stop])


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
def url(flaky: Flaky) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, flaky=flaky))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hzz.root"
    server.shutdown()
    server.server_close()


READER = RowReader(
    tree="events",
    variables={"px": "Muon_Px", "met": "MET_px"},
    rows="Muon",
    classes=(ClassRule("all"),),
    retry=Retry(attempts=4, wait=0.01),
)


def values(url: str) -> np.ndarray:
    blocks = list(READER.read(url, 0, 2421))
    return np.concatenate([np.stack([b.columns["px"], b.columns["met"]]) for b in blocks], axis=1)


def test_dropped_connections_change_nothing(url: str, flaky: Flaky) -> None:
    expected = values(str(FILE))
    np.testing.assert_array_equal(values(url), expected)
    requests = flaky.requests
    assert requests >= 3
    # The first request, one in the middle, the last one: each is made up for.
    flaky.requests, flaky.drop = 0, {1, requests // 2 + 1, requests + 2}
    np.testing.assert_array_equal(values(url), expected)
    assert flaky.requests > requests


def test_headers_survive_a_drop(url: str, flaky: Flaky) -> None:
    flaky.drop = {1, 2}
    header = inspect(url, "events", retry=Retry(attempts=4, wait=0.01))
    local = inspect(str(FILE), "events")
    assert (header.entries, header.clusters) == (local.entries, local.clusters)
    assert header.checksum == local.checksum


def test_a_dead_server_is_named_in_the_end(url: str, flaky: Flaky) -> None:
    flaky.drop_all_after = 2
    with pytest.raises(InputError, match=r"127\.0\.0\.1.*hzz\.root") as refusal:
        values(url)
    assert "4 attempts" in str(refusal.value)


def test_a_missing_remote_file_is_not_asked_for_again(url: str, flaky: Flaky) -> None:
    with pytest.raises(InputError, match=r"none\.root"):
        inspect(url.replace("hzz", "none"), "events", retry=Retry(attempts=3, wait=0.01))
    assert flaky.requests == 0


def test_waiting_doubles_and_differs_between_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    def fail() -> None:
        raise OSError("reset by peer")

    with pytest.raises(InputError, match="reset by peer"):
        Retry(attempts=9, wait=0.5).run("root://host//x.root", fail)
    least = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert all(a <= b <= 1.25 * a for a, b in zip(least, waits, strict=True))
    assert waits[:3] != least[:3]
    with pytest.raises(InputError):
        Retry(attempts=4).run("/local/x.root", fail)
    assert len(waits) == 8


def test_patience_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATTEMPTS", "WAIT", "TIMEOUT"):
        monkeypatch.delenv(f"ROOTLOOM_{name}", raising=False)
    assert (Retry(), timeout()) == (Retry(attempts=4, wait=1.0), 60)
    monkeypatch.setenv("ROOTLOOM_ATTEMPTS", "7")
    monkeypatch.setenv("ROOTLOOM_WAIT", "0.5")
    assert Retry() == Retry(attempts=7, wait=0.5)
    monkeypatch.setenv("ROOTLOOM_WAIT", "soon")
    with pytest.raises(ConfigError, match=r"ROOTLOOM_WAIT[\s\S]*'soon'"):
        Retry()


@pytest.mark.parametrize(
    ("error", "tried", "kind", "fix"),
    [
        (OSError("[ERROR] Server responded: [3011] no such file"), 1, InputError, "check the path"),
        (FileNotFoundError("file not found ([FATAL] Invalid address)"), 3, ResourceError, "server"),
        (FileNotFoundError("gone"), 1, InputError, "check the path"),
        (OSError("[FATAL] Auth failed: No protocols left"), 1, StorageError, "X509_USER_PROXY"),
        (OSError("[ERROR] Server responded: [3010] denied"), 1, StorageError, "credentials"),
        (PermissionError("HTTP 403 Forbidden"), 1, StorageError, "credentials"),
        (ModuleNotFoundError("No module named 'XRootD'"), 1, PackageError, r"rootloom\[remote\]"),
        (TimeoutError("[ERROR] Operation expired"), 3, ResourceError, "nothing is set aside"),
        (OSError("HTTP 503 Service Unavailable"), 3, ResourceError, "nothing is set aside"),
        (OSError("HTTP 500 Internal Server Error"), 3, UnsteadyError, "server"),
        (ConnectionResetError(104, "reset by peer"), 3, UnsteadyError, "server"),
        (ConnectionRefusedError(111, "refused"), 3, ResourceError, "nothing is set aside"),
        (OSError("[FATAL] Connection error"), 3, ResourceError, "nothing is set aside"),
        (OSError("host='h' (Caused by NameResolutionError('h'))"), 3, ResourceError, "network"),
        (OSError("[Errno 101] Network is unreachable"), 3, ResourceError, "network"),
        (OSError(24, "Too many open files"), 3, ResourceError, "ulimit -n"),
        (MemoryError(), 1, ResourceError, "mem_mb"),
        (RuntimeError("can't start new thread"), 3, ResourceError, "ulimit -u"),
        (TransferError("x", expected="a", found="b", fix="another copy"), 3, TransferError, "copy"),
        (InputError("x", expected="a", found="b", fix="no attempt"), 1, InputError, "no attempt"),
    ],
)
def test_only_what_may_pass_is_tried_again_and_whose_fault_it_is(
    error: Exception, tried: int, kind: type[RootloomError], fix: str
) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(RootloomError, match=fix) as refusal:
        Retry(attempts=3, wait=0.001).run("root://host//x.root", fail)
    assert len(calls) == tried
    assert type(refusal.value) is kind


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.EIO, "Input/output error"), "input"),  # a block of this file
        (ValueError("cannot decompress"), "input"),
        (FileNotFoundError(errno.ENOENT, "gone"), "input"),
        (PermissionError(errno.EACCES, "denied"), "machine"),
        (OSError(errno.ESTALE, "Stale file handle"), "machine"),
        (OSError(errno.ENOTCONN, "Transport endpoint is not connected"), "machine"),
        (OSError(errno.EMFILE, "Too many open files"), "machine"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), "machine"),
        (MemoryError(), "machine"),
    ],
)
def test_whose_fault_it_is_that_a_local_file_cannot_be_read(
    tmp_path: Path, error: Exception, fault: str
) -> None:
    (tmp_path / "other.root").touch()
    url = str(tmp_path / "x.root")
    for one in (error, wrapped(error)):
        refusal = unreadable(url, one)
        assert (refusal.fault, isinstance(refusal, InputError)) == (fault, fault == "input")
        assert url in str(refusal)


def wrapped(error: Exception) -> Exception:
    """As libraries between the system and us pass it on."""
    if isinstance(error, FileNotFoundError):
        return error
    try:
        try:
            raise error
        except Exception as inner:
            raise ValueError("while reading a basket") from inner
    except ValueError as outer:
        return outer


def test_a_folder_that_is_not_mounted_is_no_missing_file(tmp_path: Path) -> None:
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        refusal = unreadable(str(tmp_path / folder / "x.root"), gone)
        assert refusal.fault == "machine"
        assert "mount" in str(refusal)


def test_a_copy_that_is_gone_from_scratch_is_no_missing_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COPIES, "root://host//x.root", "/scratch/copy.root")
    refusal = unreadable("root://host//x.root", FileNotFoundError(errno.ENOENT, "gone"))
    assert refusal.fault == "machine"
    assert "ROOTLOOM_SCRATCH" in str(refusal)


def test_spellings_of_protocols() -> None:
    assert address("davs://h:2880/x.root#size=3") == "https://h:2880/x.root"
    assert address("XRoot://h//x.root") == "root://h//x.root"
    assert (scheme("davs://h/x"), scheme("root://h//x"), scheme("/x")) == ("https", "root", "")


def test_a_local_file_that_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "another.root").write_bytes(b"")
    for path, words in ((tmp_path / "gone.root", "check the path"), (tmp_path, "name the files")):
        with pytest.raises(InputError, match=words) as refusal:
            inspect(str(path), "events")
        assert "copy the file again" not in str(refusal.value)
