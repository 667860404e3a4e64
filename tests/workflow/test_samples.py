"""Samples of unequal cross section and signed weights, to a report; numbers by uproot and NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
import yaml
from sklearn.metrics import roc_auc_score

from tests.workflow.project import Project, make_project

LUMINOSITY = 20.0  # fb⁻¹
CROSS_SECTIONS = {"ttbar": 831.8, "wjets": 61.5, "higgs": 0.5}  # pb
RUNS = 123_456.0  # sum of weights that the trees of `wjets` keep beside their events
METHODS = ("dense", "trees")
DATASET = {
    "samples": {
        "ttbar": {"files": ["data/tt-*.root"], "class": "background"},
        "wjets": {
            "files": ["data/w.root"],
            "class": "background",
            "tree": "nominal",
            "weight": "mcWeight",
            "variables": {"y": "2 * half"},
            "sum_of_weights": {"tree": "Runs", "branch": "genEventSumw"},
        },
        "higgs": {"files": ["data/h.root"], "class": "signal", "weight": None},
    },
    "luminosity": LUMINOSITY,
    "tree": "Events",
    "select": "x > -1",
    "weight": "genWeight",
    "variables": {"x": "x", "y": "y", "met": 'branch("MET_pt", "PFMET_pt")'},
    "splits": {"train": 0.5, "validation": 0.2, "test": 0.3},
}
EXPERIMENT = {
    "dataset": "toy",
    "task": {"kind": "classification", "signal": "signal"},
    "training": {"batch_size": 64, "epochs": 2, "tensorboard": False},
    "methods": {"dense": {"model": "tiny-dnn", "representation": "features"}},
    "baselines": {"trees": {"kind": "boosted_trees", "max_iter": 10}},
}


def columns(seed: int, rows: int, shift: float, negative: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {"x": rng.normal(shift, 1, rows), "y": rng.normal(0, 1, rows)}
    sign = rng.choice([-1.0, 1.0], rows, p=[negative, 1 - negative])
    return {**made, "genWeight": 137.5 * sign, "MET_pt": rng.exponential(30, rows)}


def write(path: Path, trees: dict[str, dict[str, np.ndarray]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with uproot.recreate(path) as file:
        for name, made in trees.items():
            typed = {k: np.asarray(v, np.float32) for k, v in made.items()}
            file.mktree(name, {k: v.dtype for k, v in typed.items()}).extend(typed)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = make_project(tmp_path_factory.mktemp("samples"), files=0, experiment=EXPERIMENT)
    data = found.path / "data"
    for number in range(2):
        write(data / f"tt-{number}.root", {"Events": columns(number, 800, -0.5, 0.2)})
    other = columns(7, 600, 0.8, 0.3)
    renamed = {
        "x": other["x"], "half": other["y"] / 2, "mcWeight": other["genWeight"],
        "PFMET_pt": other["MET_pt"],
    }  # fmt: skip
    write(data / "w.root", {"nominal": renamed, "Runs": {"genEventSumw": np.array([RUNS / 2] * 2)}})
    signal = columns(9, 700, 1.0, 0.0)
    write(data / "h.root", {"Events": {k: signal[k] for k in ("x", "y", "MET_pt")}})
    dataset = json.loads(json.dumps(DATASET))
    for name, cross_section in CROSS_SECTIONS.items():
        dataset["samples"][name]["cross_section"] = cross_section
    (found.path / "config/datasets/toy.yaml").write_text(yaml.safe_dump(dataset, sort_keys=False))
    found.snakemake("results/toy/report.html")
    return found


def rows_of(project: Project, method: str, split: str) -> dict[str, np.ndarray]:
    with h5py.File(project.path / f"results/toy/predictions/{method}/0/{split}.h5") as file:
        found = {name: file[name][...] for name in ("weight", "truth", "training_weight", "entry")}
        files = np.array(json.loads(file.attrs["files"]))
        return {**found, "score": file["scores"][:, 0], "file": files[file["file"][...]]}


def everything(project: Project) -> dict[str, np.ndarray]:
    parts = [rows_of(project, "dense", split) for split in ("train", "validation", "test")]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_event_weights_are_cross_section_times_luminosity_over_all_weights(
    project: Project,
) -> None:
    found = everything(project)
    for name, stem, seeds in (("ttbar", "tt", (0, 1)), ("wjets", "w", (7,)), ("higgs", "h", (9,))):
        weights, kept = [], []
        for seed in seeds:
            count, shift, negative = {0: (800, -0.5, 0.2), 1: (800, -0.5, 0.2), 7: (600, 0.8, 0.3),
                                      9: (700, 1.0, 0.0)}[seed]  # fmt: skip
            made = columns(seed, count, shift, negative)
            own = np.ones(count) if name == "higgs" else made["genWeight"]
            weights.append(own)
            kept.append(own[made["x"].astype(np.float32) > -1])
        before = RUNS if name == "wjets" else np.concatenate(weights).sum()
        expected = 1000 * CROSS_SECTIONS[name] * LUMINOSITY / before * np.concatenate(kept)
        here = np.array([key.startswith((f"{stem}-", f"{stem}_")) for key in found["file"]])
        assert here.sum() == len(expected)
        np.testing.assert_allclose(np.sort(found["weight"][here]), np.sort(expected), rtol=1e-5)


def test_classes_balance_in_training_and_signs_do_not_count_there(project: Project) -> None:
    found = rows_of(project, "dense", "train")
    assert (found["weight"] < 0).any()
    assert (found["training_weight"] > 0).all()
    sums = [found["training_weight"][found["truth"] == k].sum(dtype=np.float64) for k in (0, 1)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-4)
    ratio = found["training_weight"] / np.abs(found["weight"])
    for k in (0, 1):
        of_class = ratio[found["truth"] == k]
        np.testing.assert_allclose(of_class, of_class[0], rtol=1e-4)


def exact_auc(rows: dict[str, np.ndarray], weight: np.ndarray) -> float:
    """The sum over all pairs: scikit-learn's takes no negative weights."""
    score = rows["score"].astype(np.float64)
    s, b = rows["truth"] == 1, rows["truth"] == 0
    better = (score[s][:, None] > score[b]) + 0.5 * (score[s][:, None] == score[b])
    pairs = weight[s].astype(np.float64)[:, None] * weight[b].astype(np.float64)
    return float((better * pairs).sum() / pairs.sum())


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_is_by_event_weights_with_their_signs(project: Project, method: str) -> None:
    rows = rows_of(project, method, "test")
    path = project.path / f"results/toy/evaluation/{method}.json"
    found = json.loads(path.read_text())
    auc = found["result"]["discriminations"][0]["auc"]["value"]
    assert auc == pytest.approx(exact_auc(rows, rows["weight"]), abs=1e-6)
    unit = roc_auc_score(rows["truth"], rows["score"])
    assert abs(auc - unit) > 0.005  # ttbar is easy and common, W is neither
    for k, name in enumerate(("background", "signal")):
        weight = rows["weight"][rows["truth"] == k].astype(np.float64)
        assert found["weights"][name] == pytest.approx(weight.sum(), rel=1e-5)
        effective = weight.sum() ** 2 / (weight**2).sum()
        assert found["effective"][name] == pytest.approx(effective, rel=1e-5)
        assert found["negative"][name] == pytest.approx((weight < 0).mean())


def test_the_report_names_weights_samples_and_the_share_of_negative_ones(project: Project) -> None:
    page = (project.path / "results/toy/report.html").read_text()
    assert "times cross section × 20 fb⁻¹" in page
    assert "|event weight| × balance of the classes" in page
    for name, value in CROSS_SECTIONS.items():
        assert f'<th scope="row">{name}</th>' in page
        assert f"{value:g} pb" in page
    assert f"{RUNS:.6g}" in page


def test_a_figure_by_training_weights_says_so(project: Project) -> None:
    file = "config/experiments/toy.yaml"
    (project.path / file).write_text(
        yaml.safe_dump({**EXPERIMENT, "evaluation": {"weights": "training"}})
    )
    project.snakemake("results/toy/report.html")
    rows = rows_of(project, "dense", "test")
    found = json.loads((project.path / "results/toy/evaluation/dense.json").read_text())
    auc = found["result"]["discriminations"][0]["auc"]["value"]
    wanted = roc_auc_score(rows["truth"], rows["score"], sample_weight=rows["training_weight"])
    assert auc == pytest.approx(wanted, abs=1e-6)
    assert (
        "All metrics use training weights" in (project.path / "results/toy/report.html").read_text()
    )
