"""The head as a batch job: what is handed to the batch system, and when nothing is."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from rootloom.cli import main
from rootloom.cluster.head import Lease
from rootloom.cluster.ledger import FOLDER
from rootloom.cluster.submit import Profile, _quoted, read_profile
from rootloom.errors import ConfigError

RECORDER = """#!{python}
import json, os, sys
name = os.path.basename(sys.argv[0])
text = "" if sys.stdin.isatty() else sys.stdin.read()
with open({record!r}, "a") as file:
    print(json.dumps([name, sys.argv[1:], text]), file=file)
print(os.environ.get("ANSWER_" + name, ""))
sys.exit(int(os.environ.get("CODE_" + name, "0")))
"""


class Calls:
    """Commands of both batch systems that only write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "calls.jsonl"
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        python = subprocess.run(["which", "python3"], capture_output=True, text=True).stdout.strip()
        for name in ("sbatch", "squeue", "scancel", "condor_submit", "condor_q", "condor_rm"):
            file = bin_folder / name
            file.write_text(RECORDER.format(python=python, record=str(self.record)))
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        self.path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"

    def of(self, name: str) -> list[tuple[list[str], str]]:
        """Arguments and standard input of each call of a command."""
        if not self.record.exists():
            return []
        calls = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [(arguments, text) for n, arguments, text in calls if n == name]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with one profile for each batch system, and one for none."""
    slurm = {
        "executor": "rootloom-slurm",
        "default-resources": {"slurm_partition": "long", "slurm_account": "'my group'"},
    }
    profiles = {
        "slurm": slurm,
        "listed": {**slurm, "default-resources": ["slurm_partition=short"]},
        "htcondor": {"executor": "rootloom-htcondor"},
        "default": {"cores": "all"},
    }
    for name, content in profiles.items():
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "profile.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


@pytest.fixture
def calls(root: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    found = Calls(root)
    monkeypatch.setenv("PATH", found.path)
    return found


def run(root: Path, *arguments: str) -> int:
    return main(["submit", "--root", str(root), *arguments])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("executor: [", r"error: \S+/profiles/slurm/profile.yaml: line \d(.|\n)*valid YAML"),
        ("- a", r"error: \S+/profile.yaml\n.*a mapping of keys"),
        ("jobs: 1\njobs: 2", "each key once"),
        ("# nothing but a comment", "a profile whose executor is"),
        ("default-resources: [mem_mb]", "a profile whose executor is"),
    ],
)
def test_a_broken_profile_is_refused_by_name(
    root: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "profiles" / "slurm" / "profile.yaml").write_text(text)
    assert run(root, "--profile", "slurm") == 1
    assert re.search(message, capsys.readouterr().err)


def test_resources_may_be_written_in_three_ways(root: Path) -> None:
    for written in ({"a": "1"}, ["a=1", "b"], "b=2 a=1"):
        assert Profile(root, {"default-resources": written}).default_resource("a") == "1"
    (root / "empty").mkdir()
    with pytest.raises(ConfigError, match="a folder with a profile"):
        read_profile(root / "empty", "slurm")


def test_slurm_gets_every_argument_whole(
    root: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANSWER_sbatch", "42;lab")
    asked = ["--config", "experiment=w-tagging", "a; touch b", "--until", "$(train)"]
    assert run(root, "--profile", "slurm", *asked) == 0
    ((arguments, script),) = calls.of("sbatch")
    assert arguments[arguments.index("-m") :] == [
        "-m", "snakemake", "--profile", str(root / "profiles/slurm"), *asked,
    ]  # fmt: skip
    assert {"--partition=long", "--account=my group", "--requeue"} <= set(arguments)
    assert script.startswith("#!/bin/bash\n")
    assert 'export ROOTLOOM_BATCH_JOB="SLURM $SLURM_JOB_ID"' in script
    assert "touch b" not in script
    printed = capsys.readouterr().out
    assert "SLURM job 42\n" in printed
    assert "head-42.log" in printed
    assert "scancel 42" in printed


def test_default_resources_may_be_a_list(root: Path, calls: Calls) -> None:
    assert run(root, "--profile", "listed") == 0
    assert "--partition=short" in calls.of("sbatch")[0][0]


def test_htcondor_gets_every_argument_whole(
    root: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANSWER_condor_submit", "7.0 - 7.0")
    assert run(root, "--profile", "htcondor", "--config", 'a=it\'s "b"') == 0
    ((arguments, text),) = calls.of("condor_submit")
    assert arguments == ["-terse", "-"]
    description = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    assert description["universe"] == "scheduler"
    assert description["arguments"].endswith("""'--config' 'a=it''s ""b""'\"""")
    assert "HTCondor $(ClusterId)" in description["environment"]
    assert "condor_rm 7" in capsys.readouterr().out


def test_quoting_splits_and_loses_nothing() -> None:
    assert _quoted(["a b", "it's", 'say "x"', ""]) == """"'a b' 'it''s' 'say ""x""' ''\""""


@pytest.mark.parametrize(("profile", "query"), [("slurm", "squeue"), ("htcondor", "condor_q")])
def test_a_head_in_the_queue_is_not_submitted_twice(
    root: Path,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    profile: str,
    query: str,
) -> None:
    monkeypatch.setenv(f"ANSWER_{query}", "41")
    assert run(root, "--profile", profile) == 0
    assert not calls.of("sbatch")
    assert not calls.of("condor_submit")
    printed = capsys.readouterr().out
    assert "queued already" in printed
    assert "nothing was submitted" in printed


def test_a_head_that_works_is_not_submitted_twice(
    root: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = Lease(root / FOLDER)
    lease.take()
    try:
        assert run(root, "--profile", "slurm") == 0
    finally:
        lease.release()
    assert not calls.of("sbatch")
    assert f"process {os.getpid()}" in capsys.readouterr().out


def test_refusals_name_the_fix(
    root: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--profile", "default") == 1
    assert "tmux" in capsys.readouterr().err
    assert run(root, "--profile", "slrm") == 1
    assert "did you mean 'slurm'" in capsys.readouterr().err
    monkeypatch.setenv("CODE_sbatch", "1")
    assert run(root, "--profile", "slurm") == 1
    assert "the batch system answers" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(root))
    assert run(root, "--profile", "slurm") == 1
    assert "SLURM's command sbatch" in capsys.readouterr().err
