from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rootloom.system import scratch


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path))
    return tmp_path


def test_without_the_variable_there_is_no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(scratch.VARIABLE, raising=False)
    assert scratch.location() is None
    with scratch.folder() as folder:
        assert folder is None


def test_folders_are_private_and_go_with_their_use(node: Path) -> None:
    with scratch.folder(10) as one, scratch.folder(10) as two:
        assert one is not None
        assert two is not None
        assert one != two
        (one / "x").write_text("x")
        assert one.parent == node / f"rootloom-{os.getuid()}"
        assert one.parent.stat().st_mode & 0o077 == 0
    assert not one.exists()
    assert not two.exists()


def test_variables_of_the_node_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(scratch.VARIABLE, "$TMPDIR/here")
    assert scratch.location() == tmp_path / "here"


@pytest.mark.parametrize("named", ["/no/such/folder", "relative", "$NOT_SET_ANYWHERE/x"])
def test_a_place_that_is_not_there_is_done_without(
    named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(scratch.VARIABLE, named)
    with scratch.folder() as folder:
        assert folder is None
    assert "continuing without it" in capsys.readouterr().out


def test_no_room_is_said(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scratch.folder(1 << 60) as folder:
        assert folder is None
    assert str(1 << 60) in capsys.readouterr().out


def test_the_folder_of_somebody_else_is_not_used(
    node: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (node / f"rootloom-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with scratch.folder() as folder:
        assert folder is None
    assert "another user" in capsys.readouterr().out


def test_folders_of_the_dead_are_removed_and_of_the_living_are_kept(node: Path) -> None:
    code = (
        "import os, sys; from rootloom.system.scratch import folder\n"
        "with folder() as f: (f / 'big').write_text('x'); print(f, flush=True); os._exit(9)"
    )
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    left = Path(dead.stdout.strip())
    assert (left / "big").exists()
    with scratch.folder() as living:
        assert living is not None
        assert not left.exists()
        with scratch.folder():
            assert living.exists()
