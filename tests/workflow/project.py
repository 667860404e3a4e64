"""A copy of the project with a toy dataset and small networks, and how to run Snakemake in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import COMPILE_FAST, warm
from tests.toy import write_jets

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config", "envs", "profiles", "rules", "scripts", "src", "workflow")
JETS = 150
FAST = " ".join(COMPILE_FAST)
EXECUTED = ROOT / "tests" / "executed"  # on its path, jobs note which code they execute
NOTED = "ROOTLOOM_EXECUTED"  # environment variable: the folder in which they do
COMPILED = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")

TOY_EXPERIMENT = {
    "dataset": "toy",
    "task": {"kind": "classification", "signal": "w"},
    "training": {"batch_size": 32, "epochs": 2, "tensorboard": False},
    "methods": {
        "image": {"model": "tiny-cnn", "representation": "toy-image"},
        "tree": {"model": "tiny-recnn", "representation": "toy-tree", "export": ["onnx", "triton"]},
        "dense": {
            "model": "tiny-dnn",
            "representation": "features",
            "members": 2,
            "training": {"folds": 2},
        },
    },
    "baselines": {
        "mass": {"kind": "cut", "variable": "trimmed_mass"},
        "trees": {"kind": "boosted_trees", "max_iter": 10},
    },
    "images": {"before": "toy-image-raw", "after": "toy-image"},
}
# What is enough where it does not matter which networks there are.
SMALL_EXPERIMENT = {
    **{key: TOY_EXPERIMENT[key] for key in ("dataset", "task", "training")},
    "methods": {"dense": {"model": "tiny-dnn", "representation": "features"}},
    "baselines": {"mass": TOY_EXPERIMENT["baselines"]["mass"]},
}
MODELS = {
    "tiny-cnn": {
        "kind": "cnn", "filters": [4, 4], "kernels": [3, 3], "pools": [2, 2], "hidden": 8,
        "dropout": [0.1, 0.1],
    },
    "tiny-recnn": {"kind": "recnn", "hidden": 6, "head": [6]},
    "tiny-dnn": {"kind": "dnn", "hidden": [16]},
}  # fmt: skip
REPRESENTATIONS = {
    "toy-image": {"kind": "jet_image", "pixels": 15},
    "toy-image-raw": {
        "kind": "jet_image", "pixels": 15, "centre": "jet_axis", "rotate": False, "flip": False,
    },
    "toy-tree": {"kind": "clustering_tree", "algorithm": "kt"},
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A checkout of its own, with results of its own."""

    path: Path

    def snakemake(self, *arguments: str, check: bool = True, **setting: str) -> str:
        """Run Snakemake; its output. Raises AssertionError with that output when it fails.

        setting: further variables of its environment, such as those of `noting`.
        """
        surroundings = environment() | setting
        done = subprocess.run(
            [_python(surroundings), "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            env=surroundings,
        )
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output
        assert check or done.returncode != 0, output
        return output

    def planned(self, *arguments: str) -> dict[str, list[str]]:
        """Jobs of a dry run: rule → first outputs."""
        text = self.snakemake("--dry-run", *arguments)
        jobs: dict[str, list[str]] = {}
        for block in re.split(r"^(?:local)?rule ", text, flags=re.MULTILINE)[1:]:
            rule = block.partition(":")[0]
            output = re.search(r"^    output: ([^,\n]+)", block, re.MULTILINE)
            if rule != "all":
                jobs.setdefault(rule, []).append(output[1] if output else "")
        return jobs

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        file = self.path / name
        text = file.read_text()
        assert old in text, f"{old!r} is not in {name}"
        file.write_text(text.replace(old, new, 1))

    def edit_code(self, name: str, text: str) -> None:
        """Append to a file of the library, in a copy of it that belongs to this project."""
        source = self.path / "src"
        if source.is_symlink():
            original = source.resolve()
            source.unlink()
            shutil.copytree(original, source, ignore=shutil.ignore_patterns("__pycache__"))
        file = source / name
        file.write_text(file.read_text() + text)

    def copy(self, path: Path) -> Project:
        """The same with all its results, times of files included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)


def environment() -> dict[str, str]:
    """The surroundings of a user without a GPU: nothing of the test run's JAX settings.

    But for the store of compiled programs, so that each is compiled once for all projects; for
    programs that are not optimised, as most compile longer than they run; and for one thread of
    linear algebra, as all cores are busy with tests.
    """
    dropped = ("XLA_FLAGS", "JAX_", "PJRT_", "PYTHONPATH", "SNAKEMAKE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    stored = {name: os.environ[name] for name in COMPILED if name in os.environ}
    return kept | stored | {"JAX_PLATFORMS": "cpu", "OPENBLAS_NUM_THREADS": "1", "XLA_FLAGS": FAST}


def path_of(*folders: Path) -> dict[str, str]:
    """The setting in which a run finds Python modules in folders, and the tests' own library."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT / "src")))}


def noting(folder: Path, *packages: Path) -> dict[str, str]:
    """The setting in which each job of a run writes into a folder which code it executes."""
    folder.mkdir()
    return {**path_of(EXECUTED, *packages), NOTED: str(folder)}


def _python(surroundings: dict[str, str]) -> str:
    """The warm Python of a run: one that has loaded the library with notes, if they are wanted."""
    if NOTED in surroundings:
        return warm.python(environment() | path_of(EXECUTED), "noting")
    return warm.python(environment())


def make_project(
    path: Path,
    jets: int = JETS,
    files: int = 2,
    experiment: dict[str, object] | None = None,
) -> Project:
    """A project with `files` toy ROOT files a class; without `experiment`, with all methods."""
    path.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if part == "src":
            # The same place for all projects: kernels are compiled once for each place.
            (path / part).symlink_to(source)
        elif source.is_dir():
            shutil.copytree(source, path / part)
        else:
            shutil.copy2(source, path / part)
    for number in range(files):
        add_file(path, "qcd", number, jets)
        add_file(path, "w", number, jets)
    _write_config(path / "config", experiment or TOY_EXPERIMENT)
    return Project(path)


def shrink(
    project: Project, name: str, methods: Sequence[str], *, rows: int, training: dict[str, object]
) -> None:
    """Make a shipped experiment small: one file of `rows` rows a class, and only some methods.

    training: fields that replace the experiment's, and those that the first method has of its own.
    No method trains for more epochs than these.
    """
    config = project.path / "config"
    file = config / "experiments" / f"{name}.yaml"
    experiment = yaml.safe_load(file.read_text())
    for kind in ("methods", "baselines"):
        experiment[kind] = {n: m for n, m in experiment.get(kind, {}).items() if n in methods}
    experiment["training"] |= training
    for number, method in enumerate(experiment["methods"].values()):
        own = method.get("training", {})
        if number == 0:
            method["training"] = {**own, **training}
        elif "epochs" in own:
            own["epochs"] = min(own["epochs"], training["epochs"])
    file.write_text(yaml.safe_dump(experiment, sort_keys=False))
    file = config / "datasets" / f"{experiment['dataset']}.yaml"
    dataset = yaml.safe_load(file.read_text())
    if "like" in dataset:
        file = file.with_stem(dataset["like"])
        dataset = yaml.safe_load(file.read_text())
    dataset["simulate"] |= {"files": {"demo": 1}, "rows_per_file": rows}
    file.write_text(yaml.safe_dump(dataset, sort_keys=False))
    (config / "config.yaml").write_text(f"experiment: {name}\nsize: demo\nresults: results\n")


def few_showers(project: Project, rows: int = 300) -> None:
    """Make the dataset `calo` small: one file of `rows` showers a particle."""
    project.edit("config/datasets/calo.yaml", "rows_per_file: 2000", f"rows_per_file: {rows}")
    project.edit("config/datasets/calo.yaml", "files: {demo: 5,", "files: {demo: 1,")


def add_file(path: Path, label: str, number: int, jets: int = JETS) -> None:
    """One more ROOT file of a class."""
    seed = 1000 * (label == "w") + number
    write_jets(path / "data" / f"{label}-{number}.root", label == "w", jets, seed)


def _write_config(config: Path, experiment: dict[str, object]) -> None:
    real = yaml.safe_load((config / "datasets" / "w-jets.yaml").read_text())
    toy = {k: v for k, v in real.items() if k not in ("simulate", "description")}
    toy["classes"] = {label: {"files": [f"data/{label}-*.root"]} for label in ("qcd", "w")}
    toy["splits"] = {"train": 0.6, "validation": 0.2, "test": 0.2}
    toy["reweight"]["bins"] = 4
    folders = {
        "datasets": {"toy": toy},
        "experiments": {"toy": experiment},
        "models": MODELS,
        "representations": REPRESENTATIONS,
    }
    for folder, files in folders.items():
        for name, content in files.items():
            (config / folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (config / "config.yaml").write_text("experiment: toy\nsize: demo\nresults: results\n")
