"""The command line: help everywhere, refusals without tracebacks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rootloom.cli import EXIT_PIPE, main
from rootloom.errors import ConfigError
from rootloom.planning.explain import settings
from rootloom.system.paths import Paths

DATA = Path(__file__).resolve().parents[1] / "data"
COMMANDS = (
    "apply", "doctor", "submit", "explain", "inspect", "import", "generate", "schema", "evaluate",
)  # fmt: skip


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    assert "usage: rootloom" in capsys.readouterr().out


def test_help_of_conversions(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["convert"], ["convert", "weaver"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--help"])
        assert stop.value.code == 0
    assert "--data-train" in capsys.readouterr().out


def test_inspect_lists_branches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DATA / "nano_tt_v12.root"), "--tree", "Events"]) == 0
    text = capsys.readouterr().out
    assert "200 entries" in text
    assert re.search(r"Jet_pt +float", text)


def test_inspect_shows_all_trees_of_a_file_and_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(DATA / "nano_dy.root")
    assert main(["inspect", file]) == 0
    text = capsys.readouterr().out
    assert re.search(r"Events +ttree +40 entries, \d+ branches", text)
    assert re.search(r"Runs +ttree +1 entries", text)
    (command,) = re.findall(r"rootloom (inspect .*)", text)
    assert main(command.split()) == 0
    assert re.search(r"Jet_pt +float", capsys.readouterr().out)
    assert main(["inspect", str(DATA / "bad_delphes.root")]) == 1
    assert "no TTree" in capsys.readouterr().out


def test_inspect_refuses_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(DATA / "nano_tt_v12.root"), "--tree", "Event"]) == 1
    assert "did you mean 'Events'" in capsys.readouterr().err


def test_schema_check_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--check"]) == 0
    assert "current" in capsys.readouterr().out


def test_doctor_finds_this_installation_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "packages" in text
    assert "devices" in text
    assert "canary" not in text


def test_doctor_sends_a_small_job_through_a_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--results", str(tmp_path), "--profile", "default"]) == 0
    text = capsys.readouterr().out
    for check in ("plugin", "canary", "node", "scratch", "environment", "clock", "files"):
        assert re.search(rf"^ok +{check} ", text, re.MULTILINE), text


def test_doctor_names_what_a_profile_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, executor in (("site", "rootloom-slurm"), ("other", "rootloom-nowhere")):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "profile.yaml").write_text(f"executor: {executor}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ["--root", str(tmp_path), "--results", str(tmp_path), "--profile"]
    assert main(["doctor", *options, "site"]) == 1
    assert re.search(r"problem +profile .*none in PATH.*SLURM's command", capsys.readouterr().out)
    assert main(["doctor", *options, "other"]) == 1
    assert re.search(
        r"problem +plugin .*rootloom-nowhere.*extra 'rootloom-nowhere'", capsys.readouterr().out
    )


def test_doctor_shows_why_a_small_job_did_not_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--results", str(tmp_path), "--profile", "default", "--patience", "0"]
    assert main(["doctor", *options]) == 1
    assert re.search(r"problem +canary .*did not come back", capsys.readouterr().out)


def test_only_submit_passes_unknown_arguments_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "--chek"])
    assert "--chek" in capsys.readouterr().err


def test_doctor_reports_an_unknown_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--results", str(tmp_path), "--profile", "nowhere"]) == 1
    assert re.search(
        r"problem +profile +profile 'nowhere'.*none at .*default", capsys.readouterr().out
    )


def test_patterns_hold_their_wildcards_and_names_fill_them() -> None:
    paths = Paths("out")
    pattern = paths.shard("{dataset}", "{representation}", "{file}", "{part}")
    assert set(re.findall(r"{(\w+)}", pattern)) == {
        "dataset", "representation", "folder", "file", "part"
    }  # fmt: skip
    filled = pattern.format(dataset="d", representation="r", folder="2e/9", file="f", part=3)
    assert filled == paths.shard("d", "r", "f", 3)
    assert re.fullmatch(r"out/datasets/d/r/shards/[0-9a-f]{2}/[0-9a-f]/f\.3\.h5", filled)
    assert json.dumps(filled)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As `rootloom inspect FILE | true`: nothing is said, and no traceback of a broken pipe."""
    file = DATA / "nano_dy.root"
    end, begin = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "rootloom.cli", "inspect", str(file), "--tree", "Events"]
    done = subprocess.run(command, stdout=begin, stderr=subprocess.PIPE, text=True)
    os.close(begin)
    assert (done.returncode, done.stderr) == (EXIT_PIPE, "")


def test_settings_may_come_from_the_command_line_alone(tmp_path: Path) -> None:
    given = ["experiment=muons", "job_minutes=20"]
    assert settings(tmp_path, given) == {"experiment": "muons", "job_minutes": 20}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("experiment: higgs\nsize: full\n")
    assert settings(tmp_path, given[:1]) == {"experiment": "muons", "size": "full"}
    with pytest.raises(ConfigError, match=r"--config size=\[(.|\n)*valid YAML"):
        settings(tmp_path, ["size=["])
