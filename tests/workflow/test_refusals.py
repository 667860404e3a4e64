# ruff: noqa: E501 (tables of files, edits and the messages they bring)
"""Bad input: a clear error, an exit code other than 0, and nothing partial under a final name."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

from tests.workflow.project import Project, environment
from tests.workflow.test_reruns import first_shard

DATASET = "config/datasets/toy.yaml"
EXPERIMENT = "config/experiments/toy.yaml"


def assert_nothing_partial(project: Project) -> None:
    leftovers = [p for p in (project.path / "results").rglob("*") if ".partial" in p.name]
    assert leftovers == []


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (EXPERIMENT, "epochs: 2", "epochs: 2\n  learning_rat: 1", r"learning_rat\n.*known field\n.*\n.*did you mean 'learning_rate'"),
        (EXPERIMENT, "  members: 2", "  member: 2", r"methods.dense.member\n.*\n.*\n.*'members'"),
        (EXPERIMENT, "model: tiny-cnn", "model: tiny-cn", r"model 'tiny-cn'\n.*\n.*no such file\n.*'tiny-cnn'"),
        (EXPERIMENT, "representation: toy-tree", "representation: toy-image", r"methods.tree\n.*kind tree for model 'tiny-recnn'\n.*'toy-image', which is of kind image\n.*toy-tree"),
        (EXPERIMENT, "signal: w", "signal: z", r"task.signal\n.*a class of dataset 'toy'\n.*'z'"),
        ("config/models/tiny-dnn.yaml", "kind: dnn", "kind: dn", r"tiny-dnn.yaml: kind\n.*\n.*'dn'\n.*'dnn'"),
        ("config/models/tiny-dnn.yaml", "hidden:", "hiden:", r"hiden\n.*\n.*\n.*'hidden'"),
        ("config/representations/toy-image.yaml", "pixels: 15", "pixels: fine", r"pixels\n.*a whole number\n.*'fine'"),
        (DATASET, "variable: trimmed_pt", "variable: trimed_pt", r"reweight.variable\n.*\n.*'trimed_pt'\n.*'trimmed_pt'"),
        (DATASET, "data/w-*.root", "data/x-*.root", r"config/datasets/\S+\.yaml: .*files: 'data/x-\*.root'\n.*at least one file\n.*no match"),
        (DATASET, "  w:\n    files:\n    - data/w-*.root\n", "", r"datasets/toy.yaml: classes\n.*at least 2, for the task 'classification'\n.*qcd"),
        (DATASET, "train: 0.6", "train: 0.7", r"splits\n.*must be 1"),
        ("config/config.yaml", "experiment: toy", "experiment: toi", r"experiment 'toi'\n.*\n.*no such file\n.*'toy'"),
    ],
)  # fmt: skip
def test_configuration_is_refused_before_any_job(
    fresh: Project, name: str, old: str, new: str, expected: str
) -> None:
    fresh.edit(name, old, new)
    text = fresh.snakemake("--dry-run", check=False)
    assert re.search(expected, text), text
    # The refusal's own words are the last on the screen.
    assert re.search(r"\nerror: \S.*\n  expected: .*\n  found: .*(\n  fix: .*)?\n$", text), text
    assert not (fresh.path / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "until", "expected"),
    [
        ("ptd: ptd", "ptd: ptdd", "index", r"'ptdd', of variables.ptd\n.*\n.*did you mean 'ptd'"),
        ("ptd: ptd", "ptd: log(ptd - 5)", "preprocess", r"'ptd'\n.*a finite number\n.*nan"),
        ("tree: jets", "tree: jet", "index", r"'jet'(.|\n)*'jets'"),
        ("rows: event", "rows: event\nselect: trimmed_pt > 1000", "statistics", r"dataset 'toy'\n.*rows that pass the selection.*\n.*none"),
    ],
)  # fmt: skip
def test_data_is_refused_by_name(
    small: Project, old: str, new: str, until: str, expected: str
) -> None:
    small.edit(DATASET, old, new)
    text = small.snakemake("--until", until, check=False)
    assert re.search(expected, text), text
    end = rf"a job of rule '{until}' failed.*\nerror: (?:.|\n)*\nlog: results/logs/{until}/\S+\n$"
    assert re.search(end, text), text
    assert_nothing_partial(small)


def test_one_class_is_refused(small: Project) -> None:
    small.edit(DATASET, "weight: weight", "weight: weight\nselect: tau2 > 0.1")  # no W passes
    text = small.snakemake("results/toy/models/dense/0/model.safetensors", check=False)
    assert re.search(r"classes.w\n.*rows that pass the selection", text), text
    assert re.search(r"rule 'statistics' failed", text), text
    assert "Trying to restart" not in text
    assert not list((small.path / "results/toy").rglob("model.safetensors"))


def test_a_truncated_root_file_is_refused_at_index(fresh: Project) -> None:
    file = fresh.path / "data" / "w-0.root"
    file.write_bytes(file.read_bytes()[:20_000])
    text = fresh.snakemake("--until", "index", check=False)
    assert re.search(r"data/w-0\.root(.|\n)*truncated", text), text
    assert not list((fresh.path / "results/datasets/toy/index").glob("*.json"))


def test_all_bad_files_are_refused_at_once(fresh: Project) -> None:
    for name in ("w-0", "qcd-1"):
        damage(fresh.path / "data" / f"{name}.root")
    text = fresh.snakemake("--until", "index", check=False)
    assert re.search(r"2 of 4 files\n(.|\n)*(w-0|qcd-1)\.root(.|\n)*(w-0|qcd-1)\.root", text), text
    assert "on_bad_file: quarantine" in text


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:20_000])


def test_bad_files_can_be_set_aside(small: Project) -> None:
    """One that cannot be opened, one with a damaged basket: the rest goes on, and nothing hides."""
    small.edit(DATASET, "weight: weight", "weight: weight\non_bad_file: quarantine")
    damage(small.path / "data" / "w-0.root")
    garble_baskets(small.path / "data" / "qcd-1.root")
    small.snakemake("results/toy/evaluation/toy/mass.json")
    small.snakemake("results/toy/report.html", "--config", "experiment=toy")
    listed = json.loads((small.path / "results/toy/quarantined.json").read_text())["files"]
    assert list(listed) == ["data/qcd-1.root", "data/w-0.root"]
    assert "truncated" in listed["data/w-0.root"]
    page = (small.path / "results/toy/report.html").read_text()
    assert "2 of 4 files" in page
    assert small.planned("results/toy/report.html") == {}


def garble_baskets(file: Path, name: str = "multiplicity") -> None:
    """Overwrite half of the compressed bytes of a branch; headers stay as they are."""
    with uproot.open(file) as opened:
        branch = next(b for b in opened["jets"].branches if b.name == name)
        seek, size = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
    with file.open("r+b") as raw:
        raw.seek(seek + size // 2)
        raw.write(b"\xff" * (size // 2))


def test_a_corrupt_shard_is_refused(project: Project) -> None:
    shard = first_shard(project)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2 :] = b"\0" * (len(content) - len(content) // 2)
    shard.write_bytes(content)
    text = project.snakemake(
        "results/toy/models/image/0/model.safetensors",
        "--forcerun", "train", "--retries", "3", check=False,
    )  # fmt: skip
    assert re.search(re.escape(shard.name) + r"(.|\n)*delete", text), text
    assert "Trying to restart" not in text


def test_no_space_left(project: Project) -> None:
    """A limit on file sizes stands in for a full disk: both end in the same place."""
    code = """
import resource, sys
from pathlib import Path
from rootloom.stages import make_plan, preprocess
from rootloom.cluster.running import running
plan = make_plan({"experiment": "toy", "results": "results"}, Path.cwd())
(pack,) = plan.files("toy").packs
job = plan.job("preprocess", dataset="toy", representation="features", pack=pack)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with running("results/full.log"):
    preprocess.run(
        job,
        listing=plan.files("toy").list_path,
        index=plan.paths.index("toy", pack),
        shards="results/full-{file}.h5",
        changed="results/changed-{file}.json",
        output="results/full.json",
    )
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.path,
        env={**environment(), "PYTHONPATH": str(project.path / "src")},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    assert done.returncode != 0
    assert "free space there" in done.stderr, done.stderr
    assert not list((project.path / "results").glob("full*.[hj]*"))
    assert_nothing_partial(project)


def test_friend_trees_follow_the_input(finished: Project) -> None:
    for friend in sorted((finished.path / "results/toy/friends/toy").glob("*.root")):
        with uproot.open(friend) as file:
            tree = file["jets_toy_scores"]
            parts = "image", "tree", "mass", "trees", "dense__0", "dense__1", "dense__mean"
            parts += "dense__left_out", "dense__fold"
            assert set(tree.keys()) >= {"toy_split", *(f"toy__{part}" for part in parts)}
            found = tree.arrays(library="np")
            assert set(found["toy_split"]) <= {0, 1, 2}
            members = np.stack([found["toy__dense__0"], found["toy__dense__1"]])
            np.testing.assert_array_equal(
                found["toy__dense__left_out"],
                members[found["toy__dense__fold"], np.arange(len(found["toy_split"]))],
            )
            source = Path(friend.stem.rsplit("-", 1)[0]).name
            original = uproot.open(finished.path / f"data/{source}.root")["jets"]
            assert tree.num_entries == original.num_entries
