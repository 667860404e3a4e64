"""The command line: help everywhere, refusals without tracebacks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rootloom.cli import main
from rootloom.paths import WILDCARDS, Paths

DATA = Path(__file__).resolve().parents[1] / "data"
COMMANDS = ("doctor", "explain", "inspect", "schema", "evaluate")


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    assert "usage: rootloom" in capsys.readouterr().out


def test_inspect_lists_branches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DATA / "nano_tt_v12.root"), "--tree", "Events"]) == 0
    text = capsys.readouterr().out
    assert "200 entries" in text
    assert re.search(r"Jet_pt +float", text)


def test_inspect_refuses_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DATA / "nano_tt_v12.root"), "--tree", "Event"]) == 1
    assert "did you mean 'Events'" in capsys.readouterr().err


def test_schema_check_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--check"]) == 0
    assert "current" in capsys.readouterr().out


def test_doctor_finds_this_installation_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--results", str(tmp_path), "--profile", "default"]) == 0
    text = capsys.readouterr().out
    assert "packages" in text
    assert "devices" in text


def test_doctor_reports_an_unknown_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--results", str(tmp_path), "--profile", "nowhere"]) == 1
    assert re.search(r"problem +profile +no profile in .*known: default", capsys.readouterr().out)


def test_patterns_hold_their_wildcards_and_names_fill_them() -> None:
    paths = Paths("out")
    pattern = paths.shard("{dataset}", "{representation}", "{file}", "{part}")
    assert set(re.findall(r"{(\w+)}", pattern)) <= set(WILDCARDS)
    filled = pattern.format(dataset="d", representation="r", folder="2e/9", file="f", part=3)
    assert filled == paths.shard("d", "r", "f", 3)
    assert re.fullmatch(r"out/datasets/d/r/shards/[0-9a-f]{2}/[0-9a-f]/f\.3\.h5", filled)
    assert json.dumps(filled)
