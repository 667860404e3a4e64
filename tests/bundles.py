"""Bundles of networks as they begin, made by the stages in this process and without a training."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import jax
import numpy as np
import uproot
import yaml

from rootloom.batches.loader import Loader
from rootloom.shards.manifest import all_shards
from rootloom.shards.statistics import Statistics
from rootloom.stages import bundle, predict, train
from rootloom.stages.networks import task_of
from rootloom.system import provenance
from rootloom.training import trained
from rootloom.types import GROUPS
from tests.stages import Run
from tests.toy import write_jets
from tests.workflow.project import make_project

TREE = "jets_toy_scores"
METHODS: dict[str, Any] = {
    "dense": {
        "model": "tiny-dnn", "representation": "features", "members": 3, "training": {"folds": 3},
    },
    "sets": {"model": "tiny-sets", "representation": "toy-sets"},
    "image": {"model": "tiny-cnn", "representation": "toy-image"},
}  # fmt: skip
SETS = {
    "kind": "particle_set", "objects": ["constituents.px", "constituents.py", "constituents.e"],
    "max_objects": 30, "groups": 3,
}  # fmt: skip
MODEL = {"kind": "deep_sets", "objects": [8], "row": [8]}
# Rows are some of the entries, and data have neither weights nor classes.
SELECT = "trimmed_pt > 260"
RUN = {"like": "toy", "files": ["data/run-*.root"], "classes": {}, "weight": None}
FILES = 2


@dataclass(frozen=True)
class Made:
    """A bundle, and what a run says of the rows of dataset `run`, member by member."""

    folder: Path
    bundle: Path
    predictions: Mapping[int, Path]


def project(folder: Path, jets: int = 120) -> Path:
    """A project with toy jets, and files of data without the branches of truth."""
    experiment = {
        "datasets": {"train": "toy", "score": ["run"]},
        "task": {"kind": "classification", "signal": "w"},
        "methods": METHODS,
    }
    made = make_project(folder, jets=jets, files=1, experiment=experiment)
    for number in range(FILES):
        write_jets(folder / "data/whole.root", bool(number), jets + 7 * number, 60 + number)
        without(folder / "data/whole.root", folder / f"data/run-{number}.root", "weight")
    (folder / "data/whole.root").unlink()
    write(folder, "datasets", "run", RUN)
    write(folder, "representations", "toy-sets", SETS)
    write(folder, "models", "tiny-sets", MODEL)
    made.edit("config/datasets/toy.yaml", "tree: jets", f"tree: jets\nselect: {SELECT}")
    return folder


def without(source: Path, target: Path, *branches: str, cluster: int = 1000) -> None:
    """A copy of a file of jets that lacks branches, in clusters of so many entries."""
    with uproot.open(source) as file:
        arrays = file["jets"].arrays()
    kept = [name for name in arrays.fields if name not in {*branches, "ncons"}]
    jagged = {n.removeprefix("cons_"): arrays[n] for n in kept if n.startswith("cons_")}
    flat = {n: arrays[n] for n in kept if not n.startswith("cons_")}
    content = {**flat, "cons": ak.zip(jagged)}
    with uproot.recreate(target) as file:
        tree = file.mktree("jets", {n: ak.type(a).content for n, a in content.items()})
        for first in range(0, len(arrays), cluster):
            tree.extend({n: a[first : first + cluster] for n, a in content.items()})


def write(folder: Path, kind: str, name: str, content: Mapping[str, Any]) -> None:
    (folder / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(dict(content)))


def make(folder: Path, method: str) -> Made:
    """The bundle of a method of a project; its results are in this folder."""
    with contextlib.chdir(folder):
        representation = METHODS[method]["representation"]
        run = Run(folder, None, representation=representation, experiment="toy")
        data = {name: _shards(run, name) for name in ("toy", "run")}
        members = run.plan.request.members(method)
        for member in members:
            _start(run, method, member, *data["toy"])
            for name, (statistics, shards) in data.items():
                named = {"dataset": name, "method": method, "member": str(member)}
                paths = {g: _predictions(run, name, method, member, g) for g in GROUPS}
                predict.run(
                    run.plan.job("predict", **named),
                    model=run.plan.paths.model("toy", method, member),
                    shards=shards,
                    statistics=statistics,
                    outputs=SimpleNamespace(**paths),
                )
        output = run.plan.paths.bundle("toy", method)
        bundle.run(
            run.plan.job("bundle", method=method),
            models=run.plan.models(method),
            predictions=[_predictions(run, "toy", method, m, "validation") for m in members],
            shards=data["toy"][1],
            output=output,
        )
        scored = {m: folder / _predictions(run, "run", method, m, "none") for m in members}
        return Made(folder, folder / output, scored)


def _predictions(run: Run, dataset: str, method: str, member: int, group: str) -> str:
    return run.plan.paths.predictions("toy", dataset, method, member, group)


def _shards(run: Run, dataset: str) -> tuple[str, list[str]]:
    """Statistics and shards of a dataset."""
    run.dataset, run.named = dataset, (dataset, run.representation)
    files = run.plan.files(dataset)
    files.note()
    statistics = run.statistics()
    manifests = [run.plan.paths.manifest(*run.named, pack) for pack in files.packs]
    return statistics, all_shards(manifests, files.listing.files)


def _start(run: Run, method: str, member: int, statistics: str, shards: list[str]) -> None:
    """A model with the parameters that a training begins with."""
    job = run.plan.job("train", method=method, member=str(member))
    section, sums = train.Section(**job["section"]), Statistics.read(statistics)
    task = task_of(section, section, sums.moments)
    batch = next(Loader(shards, task.representation, "train", 16, shuffle=False).epoch(0))
    params = task.init(jax.random.key(member), jax.tree.map(lambda leaf: leaf[0], batch))
    path = run.plan.paths.model("toy", method, member)
    trained.save(
        path,
        trained.Trained(
            params=jax.tree.map(np.asarray, params),
            model=section.model,
            representation=section.representation,
            task=section.task,
            statistics=sums.content(),
            classes=section.classes,
            metrics={"parameters": 7, "seconds": 1.5},
            provenance=provenance.record("train", dict(job)),
        ),
    )
