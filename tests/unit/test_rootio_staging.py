"""Staging without a network: a slow disk stands in for it."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pytest

from rootloom.errors import ConfigError, InputError
from rootloom.rootio.header import inspect
from rootloom.rootio.transport import remote, staging
from rootloom.rootio.transport.checksums import Content
from rootloom.rootio.transport.remote import Retry
from rootloom.rootio.transport.staging import held, staged, verified
from rootloom.system import scratch

FILE = Path(__file__).parents[1] / "data" / "uproot-HZZ-lzma.root"
DATA = bytes(range(256)) * 20_000  # 5 MB
ADLER = f"adler32={zlib.adler32(DATA):08x}"
QUICK = Retry(attempts=3, wait=0.001)


class Far:
    """A server in this process; `fail` says what each attempt to copy meets."""

    def __init__(self) -> None:
        self.fail: list[Exception | int] = []
        self.starts: list[int] = []
        self.asked: list[str] = []

    def facts(self, algorithms: Iterable[str]) -> Content:
        self.asked += algorithms
        return Content(len(DATA))

    def copy(self, sink: BinaryIO, start: int) -> None:
        self.starts.append(start)
        problem = self.fail.pop(0) if self.fail else len(DATA)
        if isinstance(problem, Exception):
            raise problem
        sink.write(DATA[start : start + problem])
        if start + problem < len(DATA):
            raise ConnectionResetError("reset by peer")


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Far:
    server = Far()
    monkeypatch.setattr(staging, "_transport", lambda url, verify=False: server)
    return server


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))
    monkeypatch.delenv(staging.VARIABLE, raising=False)
    return tmp_path


def copied() -> Path:
    (path,) = remote.COPIES.values()
    return Path(path)


def test_a_lost_connection_goes_on_where_it_was(far: Far) -> None:
    # More losses than attempts: each brought a megabyte, so none of them was a failure.
    far.fail = [1_100_000] * 4
    with staged("root://far//a.root", retry=QUICK) as there:
        assert there
        assert copied().read_bytes() == DATA
    assert far.starts == [0, 1_100_000, 2_200_000, 3_300_000, 4_400_000]
    assert remote.COPIES == {}


def test_a_server_that_brings_nothing_is_given_up(far: Far) -> None:
    far.fail = [10] * 9
    with (
        pytest.raises(InputError, match="reset by peer, 3 attempts"),
        staged("root://far//a.root", retry=QUICK),
    ):
        pass
    assert len(far.starts) == 3


def test_a_copy_is_made_once_and_kept_while_it_is_held(far: Far) -> None:
    url = "root://far//a.root"
    with held(url):
        assert far.starts == []  # not before it is read
        for name in (url, f"{url}#{ADLER}"):
            with staged(name, retry=QUICK) as there:
                assert there
        assert copied().exists()
    assert far.starts == [0]
    with staged(url, retry=QUICK), staged(url, retry=QUICK):
        pass
    assert far.starts == [0, 0]


def test_a_wrong_checksum_is_named_after_all_attempts(far: Far) -> None:
    with (
        pytest.raises(InputError, match=r"adler32 00000001[\s\S]*in the copy") as refusal,
        staged("root://far//a.root#adler32=00000001", retry=QUICK),
    ):
        pass
    assert refusal.value.where == "root://far//a.root"
    assert far.starts == [0, 0, 0]
    assert far.asked == []  # the list decides; the server is not made to compute


def test_a_disk_that_fills_is_done_without(far: Far, capsys: pytest.CaptureFixture[str]) -> None:
    far.fail = [OSError(errno.ENOSPC, "No space left on device")]
    with staged("root://far//a.root", retry=QUICK) as there:
        assert not there
    assert far.starts == [0]
    assert "full" in capsys.readouterr().out


def test_an_index_asks_the_server_and_then_a_copy(far: Far) -> None:
    with verified("root://far//a.root", retry=QUICK):
        assert far.asked == []
    with verified(f"root://far//a.root#size={len(DATA)}", retry=QUICK):
        assert far.starts == []
    with verified(f"root://far//a.root#{ADLER}", retry=QUICK):
        assert copied().read_bytes() == DATA
    assert far.asked == ["adler32"]


@pytest.mark.parametrize(("choice", "there"), [("all", True), ("urls", False), ("none", False)])
def test_paths_are_copied_from_a_slow_disk_where_asked_for(
    choice: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(staging.VARIABLE, choice)
    with staged(str(FILE), retry=QUICK) as found:
        assert found == there
        assert not there or copied().read_bytes() == FILE.read_bytes()
        assert inspect(str(FILE), "events").entries == 2421


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(staging.VARIABLE, "al")
    with pytest.raises(ConfigError, match="did you mean 'all'"), staged("root://far//a.root"):
        pass
