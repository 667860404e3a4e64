"""The profile for sites with a submit command of their own, against stand-ins for its commands."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster.heads import Head
from tests.workflow.project import ROOT

# Jobs are files: <number>.asked holds the arguments, <number>.status the exit status at the end.
COMMANDS = {
    "qsub": """
number=$(ls "$JOBS" | grep -c asked)
echo "$@" > "$JOBS/$number.asked"
for script; do :; done
(sh "$script" > "$JOBS/$number.log" 2>&1; echo $? > "$JOBS/$number.status") > /dev/null 2>&1 &
echo "$number"
""",
    "qstat": """
for number; do :; done
[ -e "$JOBS/$number.asked" ] || exit 1
if [ -s "$JOBS/$number.status" ]; then
echo "    job_state = F"
echo "    Exit_status = $(cat "$JOBS/$number.status")"
else
echo "    job_state = R"
fi
""",
}
SNAKEFILE = """
rule all:
    input:
        "good.txt",


rule good:
    output:
        "good.txt",
    threads: 2
    resources:
        mem_mb=700,
        runtime=5,
        attempt=lambda wildcards, attempt: attempt,
    shell:
        "[ {resources.attempt} -gt 1 ] && echo {resources.attempt} > {output}"
"""


@pytest.fixture
def head(tmp_path: Path) -> Head:
    """A workflow whose job fails once, on a batch system made of files."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in COMMANDS.items():
        command = tmp_path / "bin" / name
        command.write_text(f"#!/bin/sh\n{text}")
        command.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return Head(tmp_path, "profiles/generic", {"PATH": path, "JOBS": str(tmp_path / "jobs")})


def test_jobs_are_submitted_watched_and_retried_in_the_site_s_words(head: Head) -> None:
    head.run()
    assert (head.path / "good.txt").read_text() == "2\n"
    asked = [file.read_text() for file in sorted((head.path / "jobs").glob("*.asked"))]
    assert len(asked) == 2
    for words in asked:
        assert "-N rootloom-good" in words
        assert "select=1:ncpus=2:mem=700mb:ngpus=0 -l walltime=300" in words
