"""Five bad files among forty: the others are processed, and nobody can overlook the five."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import uproot

from rootloom.cli import main
from rootloom.shards.manifest import Manifest, shards_by_file
from rootloom.shards.reader import Shard
from rootloom.types import SPLITS
from tests.workflow.project import Project, add_file, make_project
from tests.workflow.test_refusals import garble_baskets

FILES, JETS = 40, 40
CONFIG = "experiment: toy\njob_minutes: 0.4\n"  # so that the files fall into a few packs
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
    names = ["qcd-7", "qcd-14", "w-3", "w-15", "w-19"]
    before = {name: (data / f"{name}.root").read_bytes() for name in names}
    (data / "qcd-7.root").write_bytes(before["qcd-7"][:9000])
    (data / "qcd-14.root").write_bytes(b"")
    (data / "w-3.root").write_text("a page that says the file is not here")
    garble_baskets(data / "w-15.root")
    (data / "w-19.root").write_bytes(before["w-19"].replace(b"trimmed_mass", b"trimmed_maff"))
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


def test_five_bad_files_of_forty(many: Project) -> None:
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
    assert "'trimmed_mass'" in listed["data/w-19.root"]
    page = (many.path / "results/toy/report.html").read_text()
    assert re.search(r"5 of 40 files \(12\.50?\s%\)", page)
    assert all(f"data/{name}.root" in page for name in good)
    assert many.planned() == {}
    # None of them has a shard, and no friend tree without a single good entry pretends to be one.
    for name in good:
        assert not list((many.path / "results/datasets/toy/features/shards").rglob(f"{name}-*.h5"))
        assert len(list((many.path / "results").rglob(f"{name}-*.aside.json"))) == 1
    unread = {"qcd-7", "qcd-14", "w-3", "w-19"}  # but for the one whose header is good
    friends = {
        p.name.rpartition("-")[0] for p in (many.path / "results/toy/friends/toy").glob("*.root")
    }
    assert len(friends) == FILES - len(unread)
    assert not unread & friends
    for path in manifests(many):
        path.unlink()
    many.snakemake()
    again = json.loads((many.path / "results/toy/quarantined.json").read_text())["files"]
    assert again == listed

    # One is mended; another is as it was, which only the user can know.
    (data / "w-3.root").write_bytes(good["w-3"])
    hidden = data / "w-15.root"
    written = hidden.stat().st_mtime_ns
    hidden.write_bytes(good["w-15"])
    os.utime(hidden, ns=(written, written))
    made = many.snakemake("--until", "preprocess").count("columns read")
    assert made == 1
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


def test_a_file_replaced_behind_the_index_is_indexed_by_the_next_run(tmp_path: Path) -> None:
    """Of the same size and time: the plan cannot see it, the job that opens the file does."""
    project = make_project(tmp_path / "project", jets=JETS, files=1)
    (project.path / "config/experiments/toy.yaml").write_text(EXPERIMENT)
    project.edit(
        "config/datasets/toy.yaml", "weight: weight", "weight: weight\non_bad_file: quarantine"
    )
    project.snakemake("--until", "index")
    file = project.path / "data/w-0.root"
    status, content = file.stat(), file.read_bytes()
    uuid = uuid_of(file)
    file.write_bytes(content.replace(uuid, uuid[::-1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    text = project.snakemake("--retries", "2", check=False)
    assert re.search(r"data/w-0\.root(.|\n)*the file that was indexed(.|\n)*start again", text), (
        text
    )
    assert "Trying to restart" not in text
    assert not list((project.path / "results").rglob("*.aside.json"))
    project.snakemake()
    assert rows(project) == dict.fromkeys(rows(project), JETS)
    assert json.loads((project.path / "results/toy/quarantined.json").read_text())["files"] == {}
    assert project.planned() == {}


def uuid_of(file: Path) -> bytes:
    with uproot.open(file) as opened:
        return bytes(opened.file.uuid.bytes)
