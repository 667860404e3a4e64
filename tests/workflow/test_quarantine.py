"""Five bad files among two hundred: the others are processed, and nobody can overlook the five."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from rootloom.cli import main
from rootloom.shards.manifest import Manifest, shards_by_file
from rootloom.shards.reader import Shard
from rootloom.types import SPLITS
from tests.workflow.project import Project, add_file, make_project
from tests.workflow.test_refusals import garble_baskets

FILES, JETS = 200, 40
CONFIG = "experiment: toy\njob_minutes: 0.1\n"  # so that the files fall into a few packs
EXPERIMENT = """
dataset: toy
task: {kind: classification, signal: w}
baselines:
  mass: {kind: cut, variable: trimmed_mass}
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("many") / "project", jets=JETS, files=1)
    for label in ("qcd", "w"):
        for number in range(1, FILES // 2):
            add_file(project.path, label, number, JETS)
    (project.path / "config/config.yaml").write_text(CONFIG)
    (project.path / "config/experiments/toy.yaml").write_text(EXPERIMENT)
    project.edit(
        "config/datasets/toy.yaml", "weight: weight", "weight: weight\non_bad_file: quarantine"
    )
    return project


def spoil(data: Path) -> dict[str, bytes]:
    """Damage five files, each in its own way; what they held before."""
    names = ["qcd-7", "qcd-40", "w-3", "w-50", "w-99"]
    before = {name: (data / f"{name}.root").read_bytes() for name in names}
    (data / "qcd-7.root").write_bytes(before["qcd-7"][:9000])
    (data / "qcd-40.root").write_bytes(b"")
    (data / "w-3.root").write_text("a page that says the file is not here")
    garble_baskets(data / "w-50.root")
    (data / "w-99.root").write_bytes(before["w-99"].replace(b"trimmed_mass", b"trimmed_maff"))
    return before


def rows(project: Project) -> dict[str, int]:
    """Rows of each file, over all splits."""
    found = {}
    for key, shards in shards_by_file(manifests(project)).items():
        found[key] = 0
        for path in shards:
            with Shard(project.path / path) as shard:
                found[key] += sum(shard.rows(split) for split in SPLITS)
    return found


def manifests(project: Project) -> list[Path]:
    return sorted((project.path / "results/datasets/toy/features/packs").glob("*.json"))


def test_five_bad_files_of_two_hundred(many: Project) -> None:
    data = many.path / "data"
    good = spoil(data)
    many.snakemake()
    counts = rows(many)
    assert len(counts) == FILES
    assert {key.rpartition("-")[0] for key, n in counts.items() if n == 0} == set(good)
    assert sum(counts.values()) == (FILES - len(good)) * JETS
    assert len(manifests(many)) > 1

    listed = json.loads((many.path / "results/toy/quarantined.json").read_text())["files"]
    assert set(listed) == {f"data/{name}.root" for name in good}
    assert "'trimmed_mass'" in listed["data/w-99.root"]
    page = (many.path / "results/toy/report.html").read_text()
    assert re.search(r"5 of 200 files \(2\.50?\s%\)", page)
    assert all(f"data/{name}.root" in page for name in good)
    assert many.planned() == {}

    # One is mended; another is as it was, which only the user can know.
    (data / "w-3.root").write_bytes(good["w-3"])
    hidden = data / "w-50.root"
    written = hidden.stat().st_mtime_ns
    hidden.write_bytes(good["w-50"])
    os.utime(hidden, ns=(written, written))
    made = many.snakemake("--until", "preprocess").count("columns read")
    assert made == 1
    many.snakemake()
    assert sum(rows(many).values()) == (FILES - 4) * JETS
    here = Path.cwd()
    os.chdir(many.path)
    try:
        assert main(["retry", "--root", str(many.path)]) == 0
    finally:
        os.chdir(here)
    many.snakemake()
    assert sum(rows(many).values()) == (FILES - 3) * JETS
    assert many.planned() == {}
    entries = [entry for path in manifests(many) for entry in Manifest.read(path).files.values()]
    assert sum(entry.quarantined is not None for entry in entries) == 3
