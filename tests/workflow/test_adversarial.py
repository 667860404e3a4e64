"""An adversarial training with few showers: killed, trained on to the same bits, generating."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (reads the shards' compression)
import numpy as np
import uproot
import yaml

from rootloom.evaluation.generation.result import GenerationResult
from rootloom.evaluation.results import read_evaluation
from tests.workflow.project import Project, few_showers
from tests.workflow.test_interruption import kill_and_run_again

GAN = {
    "dataset": "calo",
    "task": {"kind": "adversarial"},
    "training": {
        "batch_size": 16, "epochs": 3, "learning_rate": 2.0e-3, "beta1": 0.5,
        "group_rates": {"discriminator": 0.1}, "tensorboard": False, "checkpoint_every_steps": 3,
        "early_stopping": {"patience": None},
    },
    "methods": {"calogan": {"model": "tiny-calogan", "representation": "calorimeter-cells"}},
}  # fmt: skip
TINY = {"kind": "calogan", "latent": 8, "depth": 2, "kernels": 3, "dimensions": 2, "group": 8}
MODEL = "results/gan/models/calogan/0/model.safetensors"
MADE = "results/gan/generated/calo/calogan/0.root"
SHOWERS, BRANCHES = 180, ("energy", "cell_id", "cell_layer", "cell_x", "cell_y", "cell_energy")


def test_an_adversarial_training(fresh: Project) -> None:
    few_showers(fresh, SHOWERS)
    for particle in ("gamma", "piplus"):
        fresh.edit("config/datasets/calo.yaml", f"  {particle}: {{process: {particle}}}\n", "")
    config = fresh.path / "config"
    (config / "models" / "tiny-calogan.yaml").write_text(yaml.safe_dump(TINY))
    (config / "experiments" / "gan.yaml").write_text(yaml.safe_dump(GAN, sort_keys=False))
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: gan")
    fresh.snakemake("results/datasets/calo/calorimeter-cells/statistics.json")
    kill_and_run_again(fresh, MODEL, "results/gan/training/calogan/0")
    (history,) = fresh.path.glob("results/gan/**/history.jsonl")
    *epochs, whole, _ = map(json.loads, history.read_text().splitlines())
    assert whole["epochs"] == len(epochs) == 3
    # The generator learns at least how much energy to make.
    assert epochs[-1]["energy_off"] < 0.9 * epochs[0]["energy_off"]
    fresh.snakemake()
    compares(fresh)
    generates(fresh)
    # What tells particles apart does not generate them, and the other way round.
    fresh.edit("config/experiments/gan.yaml", "model: tiny-calogan", "model: tiny-cnn")
    assert "role gan" in fresh.snakemake("--dry-run", check=False)


def generates(project: Project) -> None:
    """A complete run ends with a shower for each of the test split, and again with the same."""
    made, real = read(project.path / MADE), energies_of_the_test_split(project.path)
    assert 0 < len(real) < SHOWERS
    np.testing.assert_array_equal(made["energy"], real)
    cells = np.array([c.sum() for c in made["cell_energy"]])
    assert ((cells >= 0) & np.isfinite(cells)).all()
    assert cells.std() > 0
    assert "Nothing to be done" in project.snakemake()
    (project.path / MADE).unlink()
    assert set(project.planned()) == {"generate"}
    project.snakemake(MADE)
    again = read(project.path / MADE)
    for name in BRANCHES:
        assert all(map(np.array_equal, made[name], again[name])), name
    # Another threshold makes them again, and nothing else.
    project.edit(
        "config/experiments/gan.yaml", "dataset:", "generation: {threshold: 0.05}\ndataset:"
    )
    assert set(project.planned()) == {"generate", "evaluate", "report"}
    project.snakemake(MADE)
    cut = read(project.path / MADE)
    for whole, left in zip(made["cell_energy"], cut["cell_energy"], strict=True):
        np.testing.assert_array_equal(left, whole[whole > 0.05])


def compares(project: Project) -> None:
    """The generated showers beside the real ones, by the dataset's own expressions."""
    found = read_evaluation(project.path / "results/gan/evaluation/calo/calogan.json")
    result = found.of(GenerationResult)
    made = read(project.path / MADE)
    assert found.rows == {"eplus": len(made["energy"])}
    assert len(result.features) == 14
    assert set(result.values) == set(result.floor.values)
    # After a few steps anything can tell them from real ones, and still not real from real.
    high, floor = result.values["auc_high"], result.floor.values["auc_high"]
    assert high.value > 0.9
    assert abs(floor.value - 0.5) < 4 * floor.statistical
    total = [cells.sum() for cells in made["cell_energy"]]
    means = [np.sum(image.generated) for image in result.images]
    np.testing.assert_allclose(sum(means), np.mean(total), rtol=1e-3)
    page = (project.path / "results/gan/report.html").read_text()
    assert "real showers" in page
    assert (project.path / "results/gan/generated.png").read_bytes().startswith(b"\x89PNG")
    # Fewer features compare anew, with shards that hold what is compared.
    project.edit(
        "config/experiments/gan.yaml", "dataset:", "evaluation: {features: [total]}\ndataset:"
    )
    assert {"floor", "evaluate"} < set(project.planned())
    project.edit("config/experiments/gan.yaml", "[total]", "[totl]")
    assert "did you mean 'total'" in project.snakemake("--dry-run", check=False)
    project.edit("config/experiments/gan.yaml", "evaluation: {features: [totl]}\n", "")


def read(path: Path) -> dict[str, np.ndarray]:
    with uproot.open(path) as file:
        found: dict[str, np.ndarray] = file["showers"].arrays(BRANCHES, library="np")
    return found


def energies_of_the_test_split(path: Path) -> np.ndarray:
    """Of the test split, from its shard."""
    (shard,) = path.glob("results/datasets/calo/calorimeter-cells/shards/**/*.h5")
    with h5py.File(shard) as file:
        return np.asarray(file["test/shower.energy"])
