"""A regression through the workflow: muons are simulated, learned and predicted."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
import yaml

from tests.workflow.project import ROOT, Project, make_project

DETECTOR = {"rings": 16, "equator": 32}
ROWS, FILES = 400, 2
ENTRY = ["entry_x", "entry_y", "entry_z"]
DIRECTION = ["direction_x", "direction_y", "direction_z"]
CONFIG = {
    "representations/small-sphere.yaml": {
        "kind": "pmt_sphere", "unrolled": "stretched", "wrap": 2, **DETECTOR,
    },
    "models/small-cnn.yaml": {
        "kind": "cnn", "filters": [8, 16], "kernels": [3, 3], "pools": [2, 2],
        "hidden": [32, 16], "dropout": [0.0, 0.0], "normalise_response": False,
    },
    "experiments/small-muons.yaml": {
        "dataset": "small-muons",
        "task": {"kind": "regression", "directions": [ENTRY, DIRECTION]},
        "training": {"batch_size": 32, "epochs": 40, "tensorboard": False},
        "methods": {"cnn": {"model": "small-cnn", "representation": "small-sphere"}},
        "baselines": {
            "fit": {"kind": "track_fit", **DETECTOR, "splits": ["validation", "test"]},
            "straight": {"kind": "fastest_light", **DETECTOR},
        },
        "baseline_representation": "small-sphere",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def muons(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose network has learned a detector of a few hundred PMTs."""
    project = make_project(tmp_path_factory.mktemp("muons") / "project")
    dataset = yaml.safe_load((ROOT / "config/datasets/muons.yaml").read_text())
    # As much glass as in the whole detector, on fewer PMTs.
    source = {"kind": "muons", **DETECTOR, "pmt_radius": 1.87, "trigger": 5}
    dataset["simulate"] |= {"source": source, "files": {"demo": FILES}, "rows_per_file": ROWS}
    for name, content in {**CONFIG, "datasets/small-muons.yaml": dataset}.items():
        (project.path / "config" / name).write_text(yaml.safe_dump(content, sort_keys=False))
    project.snakemake("--until", "friends", "--config", "experiment=small-muons")
    return project


def found(project: Project, split: str, method: str = "cnn") -> Path:
    return project.path / f"results/small-muons/predictions/small-muons/{method}/0/{split}.h5"


@pytest.mark.parametrize(("method", "without"), [
    ("cnn", []), ("fit", ["train"]), ("straight", ["train", "validation"]),
])  # fmt: skip
def test_predictions_hold_every_target_and_its_truth(
    muons: Project, method: str, without: list[str]
) -> None:
    rows = 0
    for split in ("train", "validation", "test"):
        with h5py.File(found(muons, split, method)) as file:
            assert json.loads(file["scores"].attrs["columns"]) == [*ENTRY, *DIRECTION]
            scores = file["scores"][...]
            truth = np.stack([file[f"aux/target.{n}"][...] for n in [*ENTRY, *DIRECTION]], axis=1)
        rows += len(scores)
        np.testing.assert_allclose(np.linalg.norm(truth[:, :3], axis=1), 17.7, rtol=1e-4)
        if split in without:
            assert np.all(np.isnan(scores))
            continue
        np.testing.assert_allclose(np.linalg.norm(scores[:, :3], axis=1), 17.7, rtol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(scores[:, 3:], axis=1), 1.0, rtol=1e-4)
    assert rows == ROWS * FILES


def test_friend_trees_hold_the_predictions_in_the_files_order(muons: Project) -> None:
    simulated = sorted((muons.path / "results/datasets").rglob("muon-*.root"))
    friends = sorted((muons.path / "results/small-muons").rglob("muon-*.root"))
    assert len(simulated) == len(friends) == FILES
    angles = []
    for events, friend in zip(simulated, friends, strict=True):
        with uproot.open(events) as file:
            truth = np.stack([file["events"][n].array(library="np") for n in ENTRY], axis=1)
        with uproot.open(friend) as file:
            tree = file["events_small_muons_scores"]
            names = [f"small_muons__cnn__{n}" for n in ENTRY]
            both = [*ENTRY, *DIRECTION]
            methods = "cnn", "fit", "straight"
            predicted = {f"small_muons__{m}__{n}" for m in methods for n in both}
            assert set(tree.keys()) == predicted | {"small_muons_split"}
            fitted = np.isfinite(tree["small_muons__fit__entry_x"].array(library="np"))
            assert 0.2 < fitted.mean() < 0.4  # the validation and the test split
            entry = np.stack([tree[n].array(library="np") for n in names], axis=1)
        angles.append(np.degrees(np.arccos(np.sum(truth * entry, axis=1) / 17.7**2)))
    assert np.median(angles) < 30


def entry_angles(project: Project, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Degrees between true and predicted entry points of the test split, and the true ones."""
    with h5py.File(found(project, "test", method)) as file:
        predicted = file["scores"][:, :3]
        truth = np.stack([file[f"aux/target.{name}"][...] for name in ENTRY], axis=1)
    cosine = np.sum(predicted * truth, axis=1) / 17.7**2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))), truth


@pytest.mark.parametrize(("method", "most"), [("fit", 1.0), ("straight", 3.0)])
def test_the_entry_is_fitted(muons: Project, method: str, most: float) -> None:
    angle, _ = entry_angles(muons, method)
    # 330 PMTs of 1.9 m radius, on times that are those of points: a metre is 3.2 degrees. 560
    # muons' hits are 15 for each node of a correction.
    assert np.median(angle) < most


def test_the_entry_is_learned(muons: Project) -> None:
    angle, truth = entry_angles(muons, "cnn")
    # One guess for all, their mean, is some 50 degrees off.
    middle = truth.mean(axis=0) / np.linalg.norm(truth.mean(axis=0))
    guess = np.degrees(np.arccos(truth @ middle / 17.7))
    assert np.median(angle) < 0.6 * np.median(guess)
