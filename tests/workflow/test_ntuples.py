"""Somebody else's files: the shipped example datasets run through the whole chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from rootloom.shards.statistics import Statistics
from tests.contents import content_digest
from tests.workflow.project import ROOT, Project
from tests.workflow.test_interruption import LONG, kill_and_run_again


def link_data(project: Project) -> None:
    (project.path / "tests").mkdir()
    (project.path / "tests" / "data").symlink_to(ROOT / "tests" / "data")


def test_nanoaod_jets(fresh: Project) -> None:
    link_data(fresh)
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: nano-btag")
    fresh.edit("config/experiments/nano-btag.yaml", "epochs: 20", LONG)
    fresh.snakemake("--until", "statistics")
    model = "results/nano-btag/models/dnn/0/model.safetensors"
    kill_and_run_again(fresh, model, "results/nano-btag/training/dnn/0")
    fresh.snakemake()
    results = fresh.path / "results" / "nano-btag"
    evaluation = json.loads((results / "evaluation" / "nano-btag" / "deepjet.json").read_text())
    # DeepJet was made for exactly this: far from chance even in a few hundred jets.
    assert evaluation["result"]["discriminations"][0]["auc"]["value"] > 0.9
    friend = next((results / "friends" / "nano-btag").glob("nano_tt_v12-*.root"))
    with uproot.open(ROOT / "tests/data/nano_tt_v12.root") as file:
        jets = file["Events"].arrays(
            ["Jet_pt", "Jet_eta", "Jet_hadronFlavour", "Jet_btagDeepFlavB"]
        )
    with uproot.open(friend) as file:
        tree = file["Events_nano_btag_scores"]
        scores = tree.arrays()
        legend = json.loads(str(file["legend"]))
    assert set(legend) | {"nnano_btag"} == set(tree.keys())
    deepjet, split = scores["nano_btag__deepjet"], scores["nano_btag_split"]
    assert ak.all(ak.num(deepjet) == ak.num(jets["Jet_pt"]))
    assert ak.all(scores["nnano_btag"] == ak.num(jets["Jet_pt"]))
    used = (jets["Jet_pt"] > 20) & (abs(jets["Jet_eta"]) < 2.5)
    charm = (jets["Jet_hadronFlavour"] != 0) & (jets["Jet_hadronFlavour"] != 5)
    assert ak.all((split == -1) == ~used)
    assert ak.all((split == 3) == (used & charm))
    assert ak.sum(used & charm) > 0
    branches = [name for name in scores.fields if name.startswith("nano_btag__")]
    assert any("__dnn" in name for name in branches)
    for name in branches:
        assert ak.all(np.isnan(scores[name]) == ~used), name
    ours, theirs = deepjet[used], jets["Jet_btagDeepFlavB"][used]
    np.testing.assert_allclose(ak.flatten(ours), ak.flatten(theirs), rtol=1e-6)


def test_a_copied_file_has_the_same_rows_in_the_same_splits(fresh: Project) -> None:
    link_data(fresh)
    fresh.edit("config/config.yaml", "experiment: toy", "experiment: nano-btag")
    statistics = "results/datasets/nano-btag/features/statistics.json"
    found = []
    for name in ("tests/data/nano_tt_v12.root", str(fresh.path / "eos" / "copy.root")):
        (fresh.path / "eos").mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "tests/data/nano_tt_v12.root", fresh.path / "eos/copy.root")
        fresh.edit("config/datasets/nano-btag.yaml", "tests/data/nano_tt_v12.root", name)
        fresh.snakemake(statistics)
        stem = Path(name).stem
        (shard,) = (fresh.path / "results/datasets/nano-btag").rglob(f"{stem}-*.h5")
        rows = Statistics.from_json((fresh.path / statistics).read_text()).rows
        found.append((content_digest(shard), rows.tolist()))
    assert found[0] == found[1]


def test_flat_lzma_file_with_the_default_experiment(fresh: Project) -> None:
    link_data(fresh)
    fresh.edit(
        "config/experiments/default.yaml", "dataset: any", "dataset: any\ntraining: {epochs: 2}"
    )
    fresh.snakemake("--config", "experiment=hzz")
    assert (fresh.path / "results/hzz/report.html").stat().st_size > 10_000
