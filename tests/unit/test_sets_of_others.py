"""The shipped recipes of published data sets, on small files of their layouts: plan and inputs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # Blosc
import numpy as np
import pytest
import uproot
import vector
from tests.stages import ROOT, Run

from rootloom.config import registry
from rootloom.config.sections import Library
from rootloom.rootio.tables import import_table
from rootloom.shards.manifest import Manifest
from rootloom.shards.moments import Moments
from rootloom.shards.reader import Shard
from rootloom.types import ParticleSets

DATA = ROOT / "tests" / "data"
LIBRARY = Library(ROOT / "config")
LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
SPLITS = ("train", "validation", "test")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Seen = tuple[ParticleSets, np.ndarray, np.ndarray]


def inputs_of(run: Run) -> dict[str, Seen]:
    """Split → what a network sees of its rows, their entries and classes, after preprocessing."""
    found: dict[str, Seen] = {}
    for pack in run.plan.files(run.dataset).packs:
        manifest = Path(run.preprocess(pack))
        for entry in Manifest.read(manifest).files.values():
            for name in entry.shards:
                with Shard(manifest.parent / name) as shard:
                    filled = [split for split in SPLITS if shard.rows(split)]
                    found |= {split: seen(run.representation, shard, split) for split in filled}
    return found


def seen(name: str, shard: Shard, split: str) -> Seen:
    fields = dict(LIBRARY.representation(name))
    representation = registry.resolve("representations", fields.pop("kind"))(**fields)
    columns, rows = shard.read(split, shard.columns), shard.rows(split)
    raw = representation.collate(columns, np.arange(rows), rows)
    sample = representation.sample(columns)
    inputs = representation.normalise(raw, {key: Moments.of(x) for key, x in sample.items()})
    return inputs, np.asarray(columns["entry"]), np.asarray(columns["label"])


def test_jetclass_makes_the_inputs_of_its_authors(here: Path) -> None:
    with uproot.open(DATA / "jetclass2_100.root") as file:
        jets = file["tree"].arrays(filter_name=["jet_*", "part_*"])
    # These genuine jets are of the second JetClass: the classes of the first are made up.
    label = np.arange(100) % 10
    parts = {"train_100M": (0, 60), "val_5M": (60, 80), "test_20M": (80, 100)}
    for folder, (first, stop) in parts.items():
        path = here / "data" / "jetclass" / folder / "Any_000.root"
        path.parent.mkdir(parents=True)
        branches: dict[str, Any] = {name: jets[name][first:stop] for name in jets.fields}
        branches |= {f"label_{n}": 1 * (label[first:stop] == k) for k, n in enumerate(LABELS)}
        with uproot.recreate(path) as file:
            file["tree"] = branches
    found = inputs_of(Run.of_experiment(here, "jetclass", "particles-full"))
    with np.load(DATA / "oracles" / "jetclass2_inputs.npz") as stored:
        oracle = {name: stored[name] for name in stored.files}
    for split, (first, stop) in zip(SPLITS, parts.values(), strict=True):
        inputs, entries, classes = found[split]
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
    found = inputs_of(Run.of_experiment(here, "top-tagging", "particles-kinematics"))
    assert set(found) == set(SPLITS)
    momenta = table["values_block_0"][:, :800].reshape(-1, 200, 4).astype(np.float64)
    for inputs, entries, classes in found.values():
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
    found = inputs_of(Run.of_experiment(here, "quark-gluon", "particles-identified"))
    assert sum(len(entries) for _, entries, _ in found.values()) == rows
    charges = {22: 0, 211: 1, -211: -1, 321: 1, 130: 0, 2112: 0, -2112: 0, 2212: 1, 11: -1, -11: 1,
               13: -1, -13: 1}  # fmt: skip
    for inputs, entries, classes in found.values():
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
