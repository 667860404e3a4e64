"""Shipped experiments on particle sets, on small files of their layouts: plan and inputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # Blosc
import numpy as np
import pytest
import uproot
import vector
import yaml
from safetensors.numpy import save_file
from tests.stages import ROOT, Run
from tests.toy import write_jets

from rootloom.config import registry
from rootloom.config.sections import Library
from rootloom.errors import ConfigError, InputError
from rootloom.evaluation.predictions import read_predictions
from rootloom.rootio.tables import import_table
from rootloom.shards.manifest import Manifest, all_shards
from rootloom.shards.moments import Moments
from rootloom.shards.reader import Shard
from rootloom.stages import make_plan, networks, predict, train
from rootloom.training import devices
from rootloom.types import ParticleSets

DATA = ROOT / "tests" / "data"
LIBRARY = Library(ROOT / "config")
LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
SPLITS = ("train", "validation", "test")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Seen = tuple[str, ParticleSets, np.ndarray, np.ndarray]


def inputs_of(run: Run) -> list[Seen]:
    """Of each split of each file, what a network sees of its rows, their entries and classes."""
    found: list[Seen] = []
    for pack in run.plan.files(run.dataset).packs:
        manifest = Path(run.preprocess(pack))
        for entry in Manifest.read(manifest).files.values():
            for name in entry.shards:
                with Shard(manifest.parent / name) as shard:
                    filled = [split for split in SPLITS if shard.rows(split)]
                    found += [seen(run.representation, shard, split) for split in filled]
    return found


def seen(name: str, shard: Shard, split: str) -> Seen:
    fields = dict(LIBRARY.representation(name))
    representation = registry.build("representations", fields)
    columns, rows = shard.read(split, shard.columns), shard.rows(split)
    raw = representation.collate(columns, np.arange(rows), rows)
    sample = representation.sample(columns)
    inputs = representation.normalise(raw, {key: Moments.of(x) for key, x in sample.items()})
    return split, inputs, np.asarray(columns["entry"]), np.asarray(columns["label"])


Parts = dict[str, tuple[int, int]]
ALL: Parts = {"train": (0, 60), "validation": (60, 80), "test": (80, 100)}


def jetclass(folder: Path, parts: Parts = ALL) -> np.ndarray:
    """Files of JetClass' layout with the genuine jets from one number to another, a split each.

    The jets are of the second JetClass: the classes (100,) of the first are made up.
    """
    with uproot.open(DATA / "jetclass2_100.root") as file:
        jets = file["tree"].arrays(filter_name=["jet_*", "part_*"])
    label = np.arange(100) % 10
    for name, (first, stop) in zip(
        ("train_100M", "val_5M", "test_20M"), parts.values(), strict=True
    ):
        path = folder / "data" / "jetclass" / name / "Any_000.root"
        path.parent.mkdir(parents=True)
        branches: dict[str, Any] = {name: jets[name][first:stop] for name in jets.fields}
        branches |= {f"label_{n}": 1 * (label[first:stop] == k) for k, n in enumerate(LABELS)}
        with uproot.recreate(path) as file:
            file["tree"] = branches
    return label


def test_jetclass_makes_the_inputs_of_its_authors(here: Path) -> None:
    label = jetclass(here)
    found = inputs_of(Run(here, None, representation="particles-full", experiment="jetclass"))
    with np.load(DATA / "oracles" / "jetclass2_inputs.npz") as stored:
        oracle = {name: stored[name] for name in stored.files}
    assert sorted(split for split, *_ in found) == sorted(ALL)
    for split, inputs, entries, classes in found:
        first, stop = ALL[split]
        rows = first + entries
        assert sorted(rows) == list(range(first, stop))
        np.testing.assert_array_equal(classes, label[rows])
        objects, mask = inputs.collections["particles"], oracle["mask"][rows].astype(bool)
        np.testing.assert_array_equal(objects.mask, mask)
        for field, name in (("x", "features"), ("points", "points"), ("momenta", "momenta")):
            expected = np.moveaxis(oracle[name][rows], 1, 2)
            got = np.asarray(getattr(objects, field))
            np.testing.assert_allclose(got[mask], expected[mask], rtol=2e-5, atol=2e-5)
            assert not got[~mask].any()


def test_published_weights_score_genuine_jets_without_training(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "PREDICT_ROWS", 1)  # on each of eight devices
    monkeypatch.setattr(devices, "configure", lambda **given: None)  # those of this process
    parts: Parts = {"train": (0, 8), "validation": (8, 16), "test": (16, 32)}
    jetclass(here, parts)
    with np.load(DATA / "oracles" / "particlenet_jetclass.npz") as stored:
        names = [name for name in stored.files if name.startswith("weight/")]
        arrays = {name.removeprefix("weight/"): stored[name] for name in names}
        logits = stored["logits"]
    save_file(arrays, here / "ParticleNet_full.safetensors")
    given = {"model": "particle-net", "representation": "particles-full"}
    experiment = {
        "dataset": "jetclass",
        "task": {"kind": "classification"},
        "training": {"tensorboard": False, "batch_size": 8},
        "methods": {"given": {**given, "weights": "ParticleNet_full.safetensors"}},
    }
    shutil.copytree(ROOT / "config", here / "config")
    (here / "config/experiments/published.yaml").write_text(yaml.safe_dump(experiment))
    run = Run(here, None, representation="particles-full", experiment="published")
    statistics, paths = run.statistics(), run.plan.paths
    manifests = [paths.manifest(*run.named, pack) for pack in run.plan.files("jetclass").packs]
    shards = all_shards(manifests, 3)
    model = paths.model("published", "given", "0")
    given_to = {
        "shards": shards,
        "statistics": statistics,
        "model": model,
        "history": paths.history("published", "given", "0"),
        "directory": str(here / "training"),
    }
    job = run.plan.job("train", method="given", member="0")
    save_file({"other": np.ones(3)}, here / "ParticleNet_full.safetensors")
    with pytest.raises(InputError, match="the file that the run was planned with"):
        train.run_process(job, **given_to)
    save_file(arrays, here / "ParticleNet_full.safetensors")
    train.run_process(job, **given_to)
    outputs = {split: str(here / f"{split}.h5") for split in (*SPLITS, "none")}
    predict.run(
        run.plan.job("predict", dataset="jetclass", method="given", member="0"),
        model=model,
        shards=shards,
        statistics=statistics,
        outputs=SimpleNamespace(**outputs),
    )
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for split, (first, stop) in parts.items():
        rows = read_predictions(outputs[split]).rows
        assert sorted(first + rows.entry) == list(range(first, stop))
        np.testing.assert_allclose(rows.scores, expected[first + rows.entry], atol=1e-4)


def test_given_weights_are_checked_in_the_plan_and_count_by_their_content(here: Path) -> None:
    jetclass(here)
    shutil.copytree(ROOT / "config", here / "config")
    given = {"model": "particle-net", "representation": "particles-full", "weights": "net.pt"}
    experiment = {"dataset": "jetclass", "task": {"kind": "classification"}}

    def fingerprint(**more: Any) -> str:
        content = {**experiment, "methods": {"given": {**given, **more}}}
        (here / "config/experiments/published.yaml").write_text(yaml.safe_dump(content))
        plan = make_plan({"experiment": "published"}, here)
        return plan.job("train", method="given", member="0")["fingerprint"]

    with pytest.raises(ConfigError, match=r"methods\.given\.weights: net\.pt(.|\n)*No such file"):
        fingerprint()
    (here / "net.pt").write_bytes(b"one")
    with pytest.raises(ConfigError, match="members must be 1"):
        fingerprint(members=2)
    full = yaml.safe_load((here / "config/representations/particles-full.yaml").read_text())
    file = here / "config/representations/unscaled.yaml"
    file.write_text(yaml.safe_dump({**full, "scaling": full["scaling"][1:]}))
    with pytest.raises(ConfigError, match=r"`scaling` of each(.|\n)*none of particles\.log_pt,"):
        fingerprint(representation="unscaled")
    first = fingerprint()
    os.utime(here / "net.pt", (1, 1))
    assert fingerprint() == first
    (here / "net.pt").write_bytes(b"other")
    assert fingerprint() != first


@pytest.mark.parametrize("signal", ["one", "two"])
def test_the_logit_of_two_given_outputs_is_that_of_the_signal(here: Path, signal: str) -> None:
    with np.load(DATA / "oracles" / "particlenet_jetclass.npz") as stored:
        names = [name for name in stored.files if name.startswith("weight/")]
        arrays = {name.removeprefix("weight/"): stored[name] for name in names}
    two = {n: np.ascontiguousarray(x[:2]) if n.startswith(("mod.fc.1.", "fc.1.")) else x
           for n, x in arrays.items()}  # fmt: skip
    save_file(two, here / "two.safetensors")
    network = SimpleNamespace(model={"kind": "particle_net"}, task={"signal": signal},
                              classes=["one", "two"])  # fmt: skip
    head = networks.published(network, "two.safetensors")["head"]
    weight = next(x for n, x in two.items() if n.endswith("fc.1.weight"))
    sign = 1 if signal == "two" else -1
    np.testing.assert_allclose(head["kernel"][:, 0], sign * (weight[1] - weight[0]), rtol=1e-6)
    three = SimpleNamespace(**vars(network) | {"classes": ["one", "two", "three"]})
    with pytest.raises(
        ConfigError, match=r"an output for each class: one, two, three(.|\n)*2 outputs"
    ):
        networks.published(three, "two.safetensors")


def kinematics(p: Any, jet: Any) -> np.ndarray:
    """The seven quantities of particles (n, 7), as the paper of ParticleNet defines them."""
    deta, dphi = (p.eta - jet.eta) * (1 if jet.eta >= 0 else -1), p.deltaphi(jet)
    logs = [np.log(p.pt), np.log(p.E), np.log(p.pt / jet.pt), np.log(p.E / jet.E)]
    shifted = [(x - c) * 0.7 for x, c in zip(logs, (1.7, 2.0, -4.7, -4.7), strict=True)]
    radius = (np.hypot(p.eta - jet.eta, dphi) - 0.2) * 4.0
    clipped = np.clip([*shifted, radius], -5, 5)
    return np.stack([*clipped, deta, dphi], axis=1)


def total(p: Any) -> Any:
    parts = {name: getattr(p, name).sum() for name in ("px", "py", "pz", "E")}
    return vector.obj(**parts)


def test_top_tagging_from_the_table_to_the_inputs(here: Path) -> None:
    source = DATA / "top_tagging_layout.h5"
    with h5py.File(source) as file:
        table = file["table/table"][:]
    truth = table["values_block_1"][:, 1]
    for number, part in enumerate(("train", "val", "test")):  # each file has its own checksum
        shutil.copy(source, here / f"{part}.h5")
        with h5py.File(here / f"{part}.h5", "r+") as file:
            file.attrs["part"] = number
        recipe = LIBRARY.table("top-tagging")
        import_table(here / f"{part}.h5", recipe, here / "data" / "top-tagging" / part)
    found = inputs_of(
        Run(here, None, representation="particles-kinematics", experiment="top-tagging")
    )
    assert sorted(split for split, *_ in found) == sorted(SPLITS)
    momenta = table["values_block_0"][:, :800].reshape(-1, 200, 4).astype(np.float64)
    for _, inputs, entries, classes in found:
        np.testing.assert_array_equal(classes, truth[entries])
        objects = inputs.collections["particles"]
        for row, entry in enumerate(entries):
            E, px, py, pz = momenta[entry][momenta[entry][:, 0] > 0].T
            p = vector.array({"px": px, "py": py, "pz": pz, "E": E})
            there = np.asarray(objects.mask[row])
            expected = kinematics(p, total(p))
            np.testing.assert_allclose(objects.x[row][there], expected, atol=2e-4)


def test_quark_gluon_from_the_table_to_the_inputs(here: Path) -> None:
    rng = np.random.default_rng(8)
    rows, slots = 40, 12
    X = np.stack([
        rng.exponential(20, (rows, slots)),
        rng.normal(-0.2, 0.3, (rows, slots)),
        rng.normal(6.2, 0.3, (rows, slots)) % (2 * np.pi),  # across 2π
        rng.choice([22, 211, -211, 321, 130, 2112, -2112, 2212, 11, -11, 13, -13], (rows, slots)),
    ], axis=2)  # fmt: skip
    X[np.arange(slots)[None] >= rng.integers(1, slots + 1, rows)[:, None]] = 0
    y = rng.integers(0, 2, rows)
    np.savez(here / "QG_jets.npz", X=X, y=y)
    recipe = LIBRARY.table("quark-gluon")
    import_table(here / "QG_jets.npz", recipe, here / "data" / "quark-gluon" / "0")
    found = inputs_of(
        Run(here, None, representation="particles-identified", experiment="quark-gluon")
    )
    assert sum(len(entries) for _, _, entries, _ in found) == rows
    charges = {22: 0, 211: 1, -211: -1, 321: 1, 130: 0, 2112: 0, -2112: 0, 2212: 1, 11: -1, -11: 1,
               13: -1, -13: 1}  # fmt: skip
    for _, inputs, entries, classes in found:
        np.testing.assert_array_equal(classes, y[entries])
        objects = inputs.collections["particles"]
        for row, entry in enumerate(entries):
            pt, eta, phi, pid = X[entry][X[entry][:, 0] > 0].T
            p = vector.array({"pt": pt, "eta": eta, "phi": phi, "M": 0 * pt})
            of, kind = kinematics(p, total(p)), np.abs(pid)
            flags = [np.isin(kind, k) for k in ((211, 321, 2212), (130, 2112), 22, 11, 13)]
            charge = [charges[int(n)] for n in pid]
            expected = np.concatenate([of[:, :5], np.stack([charge, *flags], axis=1), of[:, 5:]], 1)
            there = np.asarray(objects.mask[row])
            np.testing.assert_allclose(objects.x[row][there], expected, atol=2e-4)


def test_the_jets_of_the_main_job_as_sets(here: Path) -> None:
    shutil.copytree(ROOT / "config", here / "config")
    dataset = yaml.safe_load((here / "config/datasets/w-jets.yaml").read_text())
    del dataset["simulate"]
    dataset["classes"] = {name: {"files": [f"data/{name}.root"]} for name in ("qcd", "w")}
    (here / "config/datasets/w-jets.yaml").write_text(yaml.safe_dump(dataset))
    for number, name in enumerate(dataset["classes"]):
        write_jets(here / "data" / f"{name}.root", name == "w", 60, number)
    run = Run(here, None, representation="w-particles", experiment="w-tagging-sets")
    assert {run.plan.job("train", method=m, member="0")["section"]["model"]["kind"]
            for m in run.plan.request.experiment.methods} == {
        "recurrent", "deep_sets", "particle_net", "particle_transformer", "lorentz_net", "recnn",
    }  # fmt: skip
    trees = [uproot.open(here / "data" / f"{name}.root")["jets"] for name in dataset["classes"]]
    jets = [tree.arrays(filter_name="cons_*", library="np") for tree in trees]
    seen_jets = 0
    for _, inputs, entries, classes in inputs_of(run):
        objects = inputs.collections["particles"]
        for row, (entry, of) in enumerate(zip(entries, classes, strict=True)):
            parts = {n: jets[of][f"cons_{n}"][entry].astype(np.float64) for n in ("px", "py", "pz")}
            p = vector.array({**parts, "E": jets[of]["cons_e"][entry].astype(np.float64)})
            order = np.argsort(-p.pt)
            there = np.asarray(objects.mask[row])
            momenta = np.stack([p.px, p.py, p.pz, p.E], axis=1)[order]
            np.testing.assert_allclose(objects.momenta[row][there], momenta, rtol=1e-6)
            angles = kinematics(p, total(p))[order, 5:]
            np.testing.assert_allclose(objects.points[row][there], angles, atol=2e-5)
            seen_jets += 1
    assert seen_jets == 120
