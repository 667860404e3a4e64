"""What a regression predicts: stored beside the inputs, never among them, and what batches hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import uproot
import yaml

from rootloom.batches.loader import Loader
from rootloom.representations.features import FeatureVector
from rootloom.rootio.header import inspect
from rootloom.shards.ids import event_ids, event_split
from rootloom.shards.moments import Moments
from rootloom.shards.reader import Shard
from tests.workflow.project import ROOT, Project, make_project

DATASET, STATISTICS = "config/datasets/toy.yaml", "results/datasets/toy/features/statistics.json"
TARGETS = "targets: {mass: trimmed_mass / 80, pt: log(trimmed_pt)}"
VARIABLES = set(yaml.safe_load((ROOT / "config/datasets/w-jets.yaml").read_text())["variables"])
SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with statistics, whose dataset has targets."""
    project = make_project(tmp_path_factory.mktemp("targets") / "project")
    project.edit(DATASET, "weight: weight", f"weight: weight\n{TARGETS}")
    project.snakemake(STATISTICS)
    return project


def shards(project: Project) -> list[Path]:
    return sorted((project.path / "results/datasets/toy/features/shards").rglob("*.h5"))


def expected(project: Project, path: Path) -> np.ndarray:
    """(E, 2): the targets of all entries of a shard's file, from the file."""
    with uproot.open(_source(project, path)) as file:
        mass, pt = (file["jets"][k].array(library="np") for k in ("trimmed_mass", "trimmed_pt"))
    return np.stack([mass / 80, np.log(pt)], axis=1)


def training(project: Project) -> np.ndarray:
    """(R, 2): the targets of all training rows, shard by shard."""
    found = []
    for path in shards(project):
        truth = expected(project, path)
        events = event_ids(inspect(_source(project, path), "jets").origin, np.arange(len(truth)))
        found.append(truth[event_split(events, SPLITS) == 0])
    return np.concatenate(found)


def test_targets_are_stored_beside_the_inputs(learned: Project) -> None:
    for path in shards(learned):
        with Shard(path) as shard:
            auxiliary = {name for name in shard.columns if name.startswith("aux.")}
            inputs = {name.removeprefix("x.") for name in shard.columns if name.startswith("x.")}
            stored = shard.read("train")
        assert auxiliary == {"aux.trimmed_pt", "aux.target.mass", "aux.target.pt"}
        assert inputs == VARIABLES
        truth = expected(learned, path)[stored["entry"]]
        np.testing.assert_allclose(stored["aux.target.mass"], truth[:, 0], rtol=1e-6)
        np.testing.assert_allclose(stored["aux.target.pt"], truth[:, 1], rtol=1e-6)


def test_batches_hold_the_targets_in_the_order_asked_for(learned: Project) -> None:
    loader = Loader(
        shards(learned), FeatureVector(), "train", 64, shuffle=False, targets=("pt", "mass")
    )
    batches = list(loader.epoch(0))
    found = np.concatenate([batch.target[0] for batch in batches])
    assert found.dtype == np.float32
    together = training(learned)[:, ::-1]
    np.testing.assert_allclose(found[: len(together)], together, rtol=1e-6)
    assert not found[len(together) :].any()  # padding
    assert batches[0].inputs.x.shape[-1] == len(VARIABLES)


def test_statistics_know_their_moments(learned: Project) -> None:
    moments = json.loads((learned.path / STATISTICS).read_text())["moments"]
    truth = training(learned)
    for number, name in enumerate(("target.mass", "target.pt")):
        found = Moments.from_json(moments[name])
        np.testing.assert_allclose(found.mean, truth[:, number].mean(), rtol=1e-6)
        np.testing.assert_allclose(found.std, truth[:, number].std(), rtol=1e-5)


def _source(project: Project, path: Path) -> str:
    """The ROOT file of a shard."""
    with Shard(path) as shard:
        name = str(shard.attributes["file_key"]).rpartition("-")[0]
    return str(project.path / "data" / f"{name}.root")
