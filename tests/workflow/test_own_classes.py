"""A class of the user's own of every kind, together through the whole chain."""

from __future__ import annotations

import json
import shutil

import h5py
import pytest
from sklearn.metrics import roc_auc_score

from tests.unit.test_own_classes import OWN, write
from tests.workflow.project import ROOT, Project, path_of

WOVEN = {
    "datasets": {
        "woven": {
            "simulate": {
                "source": {"kind": "weaving.sources:Loom", "shift": 1.5},
                "files": {"demo": 1},
                "rows_per_file": 300,
                "row_bytes": 24,
                "seed": 5,
            },
            "tree": "jets",
            "rows": "event",
            "classes": {"light": {"process": "light"}, "b": {"process": "b"}},
            "variables": {name: name for name in ("pt", "eta", "muons")},
            "splits": {"train": 0.5, "validation": 0.2, "test": 0.3},
        }
    },
    "experiments": {
        "own": {
            "dataset": "woven",
            "task": {"kind": "weaving.tasks:Tempered", "signal": "b", "power": 1.5},
            "training": {
                "batch_size": 32,
                "epochs": 20,
                "learning_rate": 0.02,
                "tensorboard": False,
            },
            "methods": {"sines": {"model": "sines", "representation": "ratios"}},
            "baselines": {
                "furthest": {"kind": "weaving.fits:Furthest", "variables": ["eta", "pt", "muons"]}
            },
            "evaluation": {"most": 1.0},
        }
    },
}


def test_classes_of_ones_own_are_run_and_followed(fresh: Project) -> None:
    packages = fresh.path / "packages"
    shutil.copytree(ROOT / "tests" / "packages", packages)
    for folder, files in {**OWN, **WOVEN}.items():
        for name, content in files.items():
            write(fresh.path, folder, name, content)
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: own")
    fresh.snakemake("--until", "evaluate", **path_of(packages))
    for method in ("sines", "furthest"):
        predicted = [p for p in fresh.path.rglob("test.h5") if method in p.parts]
        with h5py.File(predicted[0]) as file:
            truth, scores, weight = (file[name][:] for name in ("truth", "scores", "weight"))
            signal = json.loads(file.attrs["classes"]).index("b")
        area = roc_auc_score(truth == signal, scores[:, 0], sample_weight=weight)
        assert area > 0.7  # the one variable that differs was found
        found = json.loads(next(fresh.path.rglob(f"evaluation/**/{method}.json")).read_text())
        judged = found["result"]["discriminations"][0]["auc"]["value"]
        assert judged == pytest.approx(1 - area, abs=1e-6)  # the evaluation turns scores round

    def planned() -> set[str]:
        text = fresh.snakemake("--dry-run", "--until", "evaluate", **path_of(packages))
        return {line.split()[1].rstrip(":") for line in text.splitlines() if "rule " in line}

    def edited(name: str, old: str, new: str) -> set[str]:
        file = packages / "weaving" / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
        return planned()

    assert planned() == set()
    assert edited("judges.py", "self.most -", "self.most + 0 -") == {"evaluate"}
    assert edited("fits.py", "argmax", "argmin") == {"evaluate", "baseline"}
    after = {"evaluate", "baseline", "train", "predict"}
    assert edited("tasks.py", "1e-6", "1e-5") == after
    assert edited("sources.py", "normal(5, 1", "normal(6, 1") > after | {"simulate"}
