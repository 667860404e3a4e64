"""A generator of jet images in a package of the user's own: the library knows nothing of it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import uproot
import yaml

from rootloom.evaluation.generation.result import GenerationResult
from rootloom.evaluation.results import read_evaluation
from tests.workflow.project import ROOT, Project, make_project, noting, path_of
from tests.workflow.test_fingerprints import missing_of

EXPERIMENT = {
    "dataset": "toy",
    "task": {"kind": "flow_matching", "steps": 4},
    "generation": {"threshold": 0.1},
    "training": {"batch_size": 32, "epochs": 3, "learning_rate": 3.0e-3, "tensorboard": False},
    "methods": {"painter": {"model": "painter", "representation": "toy-image"}},
    "evaluation": {"bootstrap": 5, "trainings": 2, "bins": 10},
}
PAINTER = {"kind": "painting.flow:PixelFlow", "side": 15, "width": 16}


@pytest.fixture
def own(tmp_path) -> Project:
    """Jets of one class, and the generator."""
    project = make_project(tmp_path / "project", jets=250, files=1, experiment=EXPERIMENT)
    shutil.copytree(ROOT / "tests" / "packages", project.path / "packages")
    config = project.path / "config"
    (config / "models" / "painter.yaml").write_text(yaml.safe_dump(PAINTER))
    file = config / "datasets" / "toy.yaml"
    dataset = yaml.safe_load(file.read_text())
    del dataset["classes"]["qcd"], dataset["reweight"]
    dataset["splits"] = {"train": 0.5, "validation": 0.2, "test": 0.3}
    file.write_text(yaml.safe_dump(dataset, sort_keys=False))
    return project


def test_a_generator_of_jet_images_is_trained_compared_and_reported(own: Project) -> None:
    packages = own.path / "packages"
    noted = own.path.parent / "executed"
    own.snakemake(**noting(noted, packages))
    reports = [json.loads(path.read_text()) for path in noted.iterdir()]
    assert {report["rule"] for report in reports} >= {"train", "generate", "floor", "evaluate"}
    assert not [row for report in reports for row in missing_of(own, report)]
    results = own.path / "results" / "toy"
    found = read_evaluation(results / "evaluation" / "toy" / "painter.json")
    result = found.of(GenerationResult)
    assert [(f.name, f.unit) for f in result.features] == [
        ("sum", "GeV"), ("active", ""), ("pt", "GeV"), ("mass", "GeV"),
    ]  # fmt: skip
    assert (result.noun, result.conditions, result.response) == ("jet image", (), None)
    # What the file holds is what was compared.
    with uproot.open(results / "generated" / "toy" / "painter" / "0.root") as file:
        pixels = file["jets"].arrays()
    assert len(pixels) == found.rows["w"] > 50
    values = [np.asarray(v) for v in pixels.pixel_value]
    assert all((v > 0.1).all() for v in values)
    mean = np.sum([v.sum() for v in values]) / len(values)
    (image,) = result.images
    assert np.sum(image.generated) == pytest.approx(mean, rel=1e-3)  # stored with 12 bits
    assert image.panel.x_label == "rapidity Δy"
    page = (results / "report.html").read_text()
    assert "real jet images" in page
    assert not {"shower", "Response", "energy"} & set(page.replace("<", " ").split())
    assert (results / "generated.png").read_bytes().startswith(b"\x89PNG")
    # Options that images have not, and inputs that nothing makes rows of again.
    own.edit("config/experiments/toy.yaml", "threshold: 0.1", "treshold: 0.1")
    refused = own.snakemake("--dry-run", check=False, **path_of(packages))
    assert "did you mean 'threshold'" in refused
    own.edit("config/experiments/toy.yaml", "treshold: 0.1", "threshold: 0.1")
    own.edit("config/experiments/toy.yaml", "representation: toy-image", "representation: toy-tree")
    refused = own.snakemake("--dry-run", check=False, **path_of(packages))
    assert "a representation whose inputs can be generated" in refused
    assert "toy-image" in refused
