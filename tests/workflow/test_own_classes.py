"""A model and a representation of the user's own package, through the whole chain."""

from __future__ import annotations

import json
import shutil

from tests.unit.test_own_classes import OWN, write
from tests.workflow.project import ROOT, Project
from tests.workflow.test_ntuples import link_data


def test_classes_of_ones_own_are_trained_and_followed(fresh: Project) -> None:
    link_data(fresh)
    packages = fresh.path / "packages"
    shutil.copytree(ROOT / "tests" / "packages", packages)
    for folder, files in OWN.items():
        for name, content in files.items():
            write(fresh.path, folder, name, content)
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: own")
    evaluation = "results/own/evaluation/nano-btag/own.json"
    fresh.snakemake(evaluation, PYTHONPATH=str(packages))
    found = json.loads((fresh.path / evaluation).read_text())
    assert 0 < found["result"]["discriminations"][0]["auc"]["value"] < 1

    def planned() -> set[str]:
        text = fresh.snakemake("--dry-run", evaluation, PYTHONPATH=str(packages))
        return {line.split()[1].rstrip(":") for line in text.splitlines() if "rule " in line}

    assert planned() == set()
    nets = packages / "weaving" / "nets.py"
    nets.write_text(nets.read_text().replace("nn.tanh(", "nn.sigmoid("))
    assert planned() == {"train", "predict", "evaluate"}
