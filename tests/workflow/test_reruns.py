"""What runs again after a change, and what does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootloom.planning.explain import explain, settings
from rootloom.stages import make_plan
from rootloom.system import provenance
from rootloom.training import tensors, trained
from tests import warm
from tests.contents import content_digest
from tests.workflow.project import Project, add_file, environment

AFTER_TRAINING = {"predict", "export", "bundle", "evaluate", "friends", "report"}
DAYS = 2 * 86_400.0
IMAGE_CODE = "rootloom/representations/pixels.py"


def representations(outputs: list[str]) -> set[str]:
    return {output.split("/")[3] for output in outputs}


def methods(outputs: list[str]) -> set[str]:
    return {output.split("/")[3] for output in outputs}


def test_a_second_run_does_nothing(project: Project) -> None:
    assert "Nothing to be done" in project.snakemake()


def test_comments_and_unused_functions_run_nothing(project: Project) -> None:
    for name in (IMAGE_CODE, "rootloom/training/loop.py", "rootloom/stages/preprocess.py"):
        project.edit_code(name, "\n# a remark\n\n\ndef unused():\n    return 1\n")
    assert project.planned() == {}


def test_a_new_learning_rate_trains_again_and_what_follows(project: Project) -> None:
    project.edit("config/experiments/toy.yaml", "epochs: 2", "epochs: 2\n  learning_rate: 0.002")
    planned = project.planned()
    assert set(planned) == {"train", *AFTER_TRAINING}
    assert len(planned["train"]) == 4  # image, tree and two members of dense


def explained(project: Project) -> list[str]:
    """Lines about a complete run; the engine that is asked has imported before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", warm.python(environment()))
        return explain(make_plan(settings(project.path, []), project.path), "all", [])


def test_explain_names_the_changed_key(project: Project) -> None:
    assert explained(project) == ["all: nothing to do, everything is there and current"]
    project.edit("config/experiments/toy.yaml", "epochs: 2", "epochs: 2\n  learning_rate: 0.002")
    lines = explained(project)
    assert lines[0] == "all: 17 to run"
    assert lines[1] == "train: 4 jobs: training.learning_rate: null → 0.002"
    assert "predict: 4 jobs: follows from train" in lines
    assert "evaluate: 3 jobs: follows from predict" in lines


def test_explain_counts_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    add_file(project.path, "w", 7)
    lines = explained(project)
    assert lines[1].startswith("index: 1 job: files: 1 new, 0 changed, 0 gone (w-7-")
    assert "statistics: 4 jobs: follows from moments" in lines


def test_explain_names_the_changed_definition(project: Project) -> None:
    project.edit_code(IMAGE_CODE, "\n_ROUNDING = 2e-9\n")
    target = "results/datasets/toy/toy-image/statistics.json"
    done = subprocess.run(
        [sys.executable, "-m", "rootloom.cli", "explain", target],
        capture_output=True,
        text=True,
        env=environment() | {"PYTHONPATH": str(project.path / "src")},
        cwd=project.path,
        check=True,
    )
    changed = "code: rootloom.representations.pixels (_ROUNDING)"
    assert f"preprocess: 1 job: {changed}\n" in done.stdout
    assert f"moments: 1 job: {changed}\n" in done.stdout


def test_explain_names_other_versions(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda n: "99.9" if n == "optax" else real(n))
    first, *said = explained(project)
    assert "nothing to do" in first
    (line,) = (line for line in said if line.startswith("train: "))
    assert re.fullmatch(r"train: 4 made with optax [\d.]+, now 99.9; `strict_versions.*", line)


def test_another_tree_is_looked_at_anew(project: Project) -> None:
    project.edit("config/datasets/toy.yaml", "tree: jets", "tree: other")
    assert "'other'" in project.snakemake("--until", "index", check=False)


def test_a_change_of_one_method_leaves_the_others(project: Project) -> None:
    project.edit(
        "config/experiments/toy.yaml",
        "    representation: toy-tree",
        "    representation: toy-tree\n    training: {learning_rate: 0.002}",
    )
    assert methods(project.planned()["train"]) == {"tree"}


def test_an_edit_of_the_image_code_redoes_images_not_trees(project: Project) -> None:
    project.edit_code(IMAGE_CODE, "\n_ROUNDING = 2e-9\n")
    planned = project.planned()
    assert representations(planned["preprocess"]) == {"toy-image", "toy-image-raw"}
    assert methods(planned["train"]) == {"image"}
    assert not {"index", "export"} & set(planned)  # the tree is exported
    assert {"moments", "statistics", *AFTER_TRAINING} - {"export"} <= set(planned)


def test_one_more_file_adds_its_shards_and_what_follows(project: Project) -> None:
    add_file(project.path, "w", 7)
    ahead = time.time() + DAYS  # as from a machine whose clock is wrong
    os.utime(project.path / "data" / "w-7.root", (ahead, ahead))
    planned = project.planned()
    assert len(planned["index"]) == 1
    assert len(planned["preprocess"]) == 4  # one pack of each representation
    assert {"moments", "statistics", "train", *AFTER_TRAINING} <= set(planned)
    before = shards(project)
    text = project.snakemake("--until", "preprocess")
    assert len(re.findall(r"columns read", text)) == 4  # one shard a representation
    assert re.findall(r"data/(\S+): \d+ entries", text) == ["w-7.root"]
    after = shards(project)
    assert len(after) == len(before) + 4
    assert before.items() <= after.items()


def test_one_more_file_changes_one_pack(project: Project) -> None:
    project.edit("config/config.yaml", "experiment: toy", "experiment: toy\njob_minutes: 0.0012")
    before = shards(project)
    text = project.snakemake()
    assert "columns read" not in text  # another division into packs makes no shard again
    assert shards(project) == before
    later = "train|statistics|moments|axes|spectra|survey|report"
    assert not re.search(rf"^rule ({later}):", text, re.MULTILINE)
    assert project.planned() == {}
    add_file(project.path, "w", 7)
    planned = project.planned()
    assert len(planned["index"]) == 1
    assert len(planned["preprocess"]) == 4
    # The other packs' were not needed until now.
    assert len(planned["moments"]) == len(planned["spectra"]) == 4 + 4 * 3


def test_a_deleted_shard_comes_back_alone(project: Project) -> None:
    lost = first_shard(project)
    before = lost.read_bytes()
    report = project.path / "results/toy/report.html"
    written = report.stat().st_mtime_ns
    lost.unlink()
    planned = project.planned()
    assert {rule: len(jobs) for rule, jobs in planned.items()} == {"shard": 1}
    project.snakemake()
    assert lost.read_bytes() == before
    assert report.stat().st_mtime_ns == written
    assert project.planned() == {}


def test_a_deleted_friend_tree_comes_back_alone(project: Project) -> None:
    lost = next((project.path / "results/toy/friends/toy").glob("*.root"))
    lost.unlink()
    assert {rule: len(jobs) for rule, jobs in project.planned().items()} == {"friend": 1}
    project.snakemake()
    assert lost.exists()
    assert project.planned() == {}


def test_a_deleted_manifest_comes_back_and_keeps_its_shards(project: Project) -> None:
    manifest = next((project.path / "results/datasets/toy/toy-image/packs").glob("*.json"))
    manifest.unlink()
    before = shards(project)
    assert set(project.planned()) == {"preprocess"}
    text = project.snakemake()
    assert "columns read" not in text
    assert shards(project) == before
    assert project.planned() == {}


def test_times_of_results_decide_nothing(project: Project) -> None:
    shutil.rmtree(project.path / ".snakemake")  # nor does what the engine noted of them
    for number, path in enumerate(sorted((project.path / "results").rglob("*"))):
        moment = time.time() + DAYS * (number * 7 % 5 - 2)
        os.utime(path, (moment, moment))
    assert project.planned() == {}
    project.edit("config/experiments/toy.yaml", "epochs: 2", "epochs: 2\n  learning_rate: 0.002")
    assert set(project.planned()) == {"train", *AFTER_TRAINING}


def test_everything_deleted_comes_back_and_nothing_else(project: Project) -> None:
    toy = project.path / "results/toy"
    for path in (
        "models/tree/0/history.jsonl",
        "predictions/toy/mass/0/test.h5",
        "predictions/toy/dense/1/train.h5",
        "evaluation/toy/dense.json",
        "roc.png",
        "friends/toy/packs",
    ):
        (shutil.rmtree if (toy / path).is_dir() else os.remove)(toy / path)
    shutil.rmtree(project.path / "results/datasets")
    planned = project.planned()
    assert {rule: len(jobs) for rule, jobs in planned.items()} == {
        "index": 1, "preprocess": 4, "moments": 4, "statistics": 4, "axes": 4, "spectra": 4,
        "survey": 4, "train": 1, "baseline": 1, "predict": 1, "evaluate": 1, "report": 1,
        "friends": 1,
    }  # fmt: skip


def test_what_is_deleted_comes_back_in_one_run_with_the_same_content(project: Project) -> None:
    data = project.path / "results/datasets/toy"
    before = {path: digest(path) for path in data.rglob("*.*") if path.is_file()}
    shutil.rmtree(data / "toy-image")
    for name in ("moments", "spectra"):
        shutil.rmtree(data / "features" / name)
    (data / "features" / "axes.json").unlink()
    next((data / "features" / "shards").rglob("*.h5")).unlink()  # which these moments are of
    ahead = time.time() + DAYS
    for path in data.rglob("*.json"):
        os.utime(path, (ahead, ahead))
    text = project.snakemake()
    assert not re.search(r"^rule (train|predict|evaluate|report):", text, re.MULTILINE)
    assert {path: digest(path) for path in before} == before
    assert project.planned() == {}


def test_a_deleted_shard_does_not_hide_another_change(project: Project) -> None:
    first_shard(project).unlink()
    project.edit("config/experiments/toy.yaml", "epochs: 2", "epochs: 2\n  learning_rate: 0.002")
    planned = project.planned()
    assert len(planned["shard"]) == 1
    assert len(planned["train"]) == 4
    assert "preprocess" not in planned


def test_a_new_variable_computes_one_column(project: Project) -> None:
    project.edit(
        "config/datasets/toy.yaml", "  width: width\n", "  width: width\n  tau1: sqrt(tau1)\n"
    )
    planned = project.planned()
    assert representations(planned["preprocess"]) == {"features"}
    assert methods(planned["train"]) == {"dense"}
    assert "index" not in planned
    text = project.snakemake("--until", "preprocess")
    assert text.count(": 1 columns read") == text.count("columns read") == 4  # one a file


def test_a_touched_input_file_is_read_again(project: Project) -> None:
    file = project.path / "data" / "w-0.root"
    os.utime(file)  # now: the engine refuses an output older than its input
    planned = project.planned()
    assert len(planned["index"]) == 1
    before = shards(project)
    project.snakemake("--until", "preprocess")
    changed = {name for name, written in shards(project).items() if written != before[name]}
    assert len(changed) == 4
    assert all("/w-0-" in name for name in changed)


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        (("--forcerun", "train"), {"train", *AFTER_TRAINING}),
        (("-R", "evaluate"), {"evaluate", "report"}),
        (("-R", "preprocess"), {"preprocess"}),
        (("-R", "moments"), {"moments"}),
        (("-R", "axes"), {"axes"}),
        (("-R", "spectra"), {"spectra"}),
    ],
)
def test_forced_rules(finished: Project, arguments: tuple[str, ...], rules: set[str]) -> None:
    assert set(finished.planned(*arguments)) == rules


def test_what_is_exported_is_there_and_in_the_report(finished: Project) -> None:
    toy = finished.path / "results/toy"
    record = json.loads((toy / "exported/tree/0.json").read_text())
    assert set(record["formats"]) == {"onnx", "triton"}
    assert all(verdict["largest"]["size"] < 1e-5 for verdict in record["formats"].values())
    for name in record["files"]:
        assert (toy / "exported/tree/0" / name).stat().st_size, name
    signature = json.loads((toy / "exported/tree/0/onnx/signature.json").read_text())
    assert [one["name"] for one in signature["inputs"]] == ["nodes", "children"]
    assert "Exported networks" in (toy / "report.html").read_text()


def test_another_results_directory_starts_anew(finished: Project) -> None:
    planned = finished.planned("--config", "results=elsewhere")
    assert {"index", "preprocess", "train", "report"} <= set(planned)
    assert all(
        output.startswith("elsewhere/") for outputs in planned.values() for output in outputs
    )


def test_another_experiment_through_config_alone(finished: Project) -> None:
    planned = finished.planned("--config", "experiment=w-tagging")
    assert methods(planned["train"]) == {"cnn", "maxout", "dnn", "recnn-gated", "recnn-simple"}
    assert len(planned["simulate"]) == 8


def test_two_runs_from_scratch_agree(finished: Project, project: Project) -> None:
    shutil.rmtree(project.path / "results")
    shutil.rmtree(project.path / ".snakemake")
    for last in ("preprocess", "evaluate"):  # images that only the report shows are compared too
        project.snakemake("--until", last)
    for pattern in ("datasets/**/shards/**/*.h5", "toy/models/**/*.safetensors"):
        names = sorted(
            p.relative_to(finished.path) for p in finished.path.glob(f"results/{pattern}")
        )
        assert names
        for name in names:
            assert contents(project.path / name) == contents(finished.path / name), name
    for first in sorted((finished.path / "results/toy/evaluation/toy").glob("*.json")):
        second = project.path / first.relative_to(finished.path)
        assert metrics(second) == metrics(first)


def first_shard(project: Project) -> Path:
    return next((project.path / "results/datasets/toy/toy-image/shards").rglob("*.h5"))


def shards(project: Project) -> dict[str, int]:
    """Shards and when they were written."""
    found = (project.path / "results/datasets/toy").rglob("*.h5")
    return {str(path.relative_to(project.path)): path.stat().st_mtime_ns for path in found}


def digest(path: Path) -> str:
    """Of all that a result says but for when and how fast it was made."""
    if path.suffix == ".h5":
        return str(content_digest(path))
    content = json.loads(path.read_text())
    for entry in content["files"].values() if "files" in content else ():
        entry.pop("seconds", None)
    del content["digest"]
    return json.dumps(content)


def contents(path: Path) -> str:
    if path.suffix == ".h5":
        return str(content_digest(path))
    arrays = tensors.flatten(trained.load(path).params, "params")
    return repr({name: array.tobytes() for name, array in sorted(arrays.items())})


def metrics(path: Path) -> object:
    found = json.loads(path.read_text())
    return found["result"]
