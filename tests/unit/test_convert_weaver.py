"""`rootloom convert weaver`: tensors and weights against weaver-core's own, refusals by line.

weaver-core 0.5.3 made the stored values, see tests/data/README.md. `wide.yaml` has everything that
can be converted; the other files here are JetClass's configurations as their users have them.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.stages import ROOT, Run

from rootloom.cli import main
from rootloom.config import registry
from rootloom.config.parsing import parse
from rootloom.config.sections import Dataset, Library
from rootloom.convert.weaver.convert import Converted, Request, convert, write
from rootloom.errors import ConfigError
from rootloom.planning.explain import settings
from rootloom.representations.particle_set import ParticleSet
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.expressions import Expression
from rootloom.rootio.syntax import inlined
from rootloom.shards.manifest import Manifest
from rootloom.shards.moments import Moments
from rootloom.shards.reader import Shard
from rootloom.shards.statistics import Statistics
from rootloom.shards.sums import SampleSums, training_sums
from rootloom.shards.weights import Weighting, WeightTable
from rootloom.stages import make_plan
from rootloom.types import SPLITS, Ragged

DATA = ROOT / "tests/data"
JETS = DATA / "jetclass2_100.root"
WIDE = DATA / "weaver/wide.yaml"
COLUMNS = {
    "kin": (),
    "kinpid": ("charge", "isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon"),
}
LABELS = ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"]


def jetclass(kind: str) -> dict[str, Any]:
    """The configuration of JetClass with these features."""
    new = {
        "part_mask": "ak.ones_like(part_energy)",
        "part_pt": "np.hypot(part_px, part_py)",
        "part_pt_log": "np.log(part_pt)",
        "part_e_log": "np.log(part_energy)",
        "part_logptrel": "np.log(part_pt/jet_pt)",
        "part_logerel": "np.log(part_energy/jet_energy)",
        "part_deltaR": "np.hypot(part_deta, part_dphi)",
    }
    features: list[list[Any]] = [
        ["part_pt_log", 1.7, 0.7],
        ["part_e_log", 2.0, 0.7],
        ["part_logptrel", -4.7, 0.7],
        ["part_logerel", -4.7, 0.7],
        ["part_deltaR", 0.2, 4.0],
        *([f"part_{name}", None] for name in COLUMNS.get(kind, COLUMNS["kinpid"])),
    ]
    if kind == "full":
        new |= {"part_d0": "np.tanh(part_d0val)", "part_dz": "np.tanh(part_dzval)"}
        features += [["part_d0", None], ["part_d0err", 0, 1, 0, 1]]
        features += [["part_dz", None], ["part_dzerr", 0, 1, 0, 1]]
    features += [["part_deta", None], ["part_dphi", None]]
    vectors = [[f"part_{name}", None] for name in ("px", "py", "pz", "energy")]

    def group(variables: list[list[Any]], mode: str = "wrap") -> dict[str, Any]:
        return {"length": 128, "pad_mode": mode, "vars": variables}

    return {
        "selection": None,
        "new_variables": new,
        "preprocess": {"method": "manual", "data_fraction": 0.5},
        "inputs": {
            "pf_points": group([["part_deta", None], ["part_dphi", None]]),
            "pf_features": group(features),
            "pf_vectors": group(vectors),
            "pf_mask": group([["part_mask", None]], "constant"),
        },
        "labels": {"type": "simple", "value": [f"label_{name}" for name in LABELS]},
        "observers": ["jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_sdmass"],
        "weights": None,
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "DATA.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def oracle(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / "oracles" / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def normalised(representation: Any, columns: dict[str, Any], moments: Any = None) -> Any:
    shard = representation.encode(columns)
    rows = np.arange(len(next(iter(columns.values()))))
    if moments is None:
        moments = {name: Moments.of(x) for name, x in representation.sample(shard).items()}
    return representation.normalise(representation.collate(shard, rows, len(rows)), moments)


def particles(found: Converted) -> Any:
    """The tensors of the collection `pf` of all jets."""
    section = found.files["datasets/jets.yaml"]
    objects = {
        name: inlined(text, section["define"]) for name, text in section["objects"]["pf"].items()
    }
    reader = RowReader("tree", {}, {"pf": objects}, classes=(ClassRule("all"),))
    (block,) = reader.read(str(JETS), 0, 100)
    representation = registry.build("representations", found.files["representations/jets.yaml"])
    return normalised(representation, dict(block.columns)).collections["pf"]


@pytest.mark.parametrize("kind", ["full", "kin", "kinpid"])
def test_jetclass_files_give_the_tensors_of_weaver(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, jetclass(kind))
    found = convert(path, Request("jets", train=[str(JETS)]))
    section = found.files["datasets/jets.yaml"]
    assert list(section["classes"]) == [f"label_{name}" for name in LABELS]
    assert section["classes"]["label_Hbb"] == {"where": "label_Hbb == 1"}
    assert section["tree"] == "tree"
    assert section["targets"]["jet_sdmass"] == "jet_sdmass"
    pf = particles(found)
    stored = oracle("jetclass2_inputs")
    names = [name for name, *_ in jetclass("full")["inputs"]["pf_features"]["vars"]]
    kept = [names.index(name) for name, *_ in jetclass(kind)["inputs"]["pf_features"]["vars"]]
    np.testing.assert_array_equal(pf.mask, stored["mask"])
    counts = stored["mask"].sum(axis=1)
    again = np.arange(128) % counts[:, None]  # what weaver-core's pad_mode wrap puts in a slot
    for name, values in (
        ("features", pf.x),
        ("points", pf.points),
        ("momenta", pf.momenta),
    ):
        of = stored[name][:, kept] if name == "features" else stored[name]
        expected = np.take_along_axis(of, again[:, None], axis=2)
        np.testing.assert_allclose(np.moveaxis(values, 2, 1), expected, atol=1e-6, rtol=1e-7)


def test_a_feature_that_is_called_like_a_momentum_does_not_replace_it(tmp_path: Path) -> None:
    content = jetclass("kin")
    content["new_variables"]["e"] = "np.log(part_energy)"
    features = content["inputs"]["pf_features"]["vars"]
    features[1] = ["e", 2.0, 0.7]  # in place of part_e_log, which has the same values
    pf = particles(convert(written(tmp_path, content), Request("jets", train=[str(JETS)])))
    stored = oracle("jetclass2_inputs")
    again = np.arange(128) % stored["mask"].sum(axis=1)[:, None]
    momenta = np.take_along_axis(stored["momenta"], again[:, None], axis=2)
    np.testing.assert_allclose(np.moveaxis(pf.momenta, 2, 1), momenta, atol=1e-6, rtol=1e-7)
    energy = np.take_along_axis(stored["features"][:, 1], again, axis=1)
    np.testing.assert_allclose(pf.x[:, :, 1], energy, atol=1e-6)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any], dict[str, Any]]:
    """A run of the converted `wide.yaml` up to the statistics, and its rows in the file's order."""
    folder = tmp_path_factory.mktemp("wide")
    shutil.copytree(ROOT / "config", folder / "config")
    asked = ["--name", "mine", "--data-train", f"jets:{JETS}", "--root", str(folder)]
    assert main(["convert", "weaver", str(WIDE), *asked]) == 0
    run = Run(folder, None, representation="mine")
    statistics = run.statistics()
    (pack,) = run.plan.files("mine").packs
    manifest = Path(run.plan.paths.manifest("mine", "mine", pack))
    (entry,) = Manifest.read(manifest).files.values()
    (shard,) = entry.shards
    with Shard(manifest.parent / shard) as opened:
        parts = [opened.read(split) for split in SPLITS]
    order = np.argsort(np.concatenate([part["entry"] for part in parts]))
    columns = {name: in_order([part[name] for part in parts], order) for name in parts[0]}
    return run, columns, {"statistics": Statistics.read(statistics)}


def in_order(parts: list[Any], order: np.ndarray) -> Any:
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)[order]
    rows = [row for part in parts for row in np.split(part.values, part.offsets[1:-1])]
    chosen = [rows[n] for n in order]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in chosen])])
    return Ragged(np.concatenate(chosen), offsets)


def test_everything_that_converts_gives_the_tensors_of_weaver(wide: Any) -> None:
    run, columns, made = wide
    stored = oracle("weaver_wide")
    representation = registry.build(
        "representations", run.plan.request.library.representation("mine")
    )
    rows = np.arange(len(stored["truth"]))
    raw = representation.collate(columns, rows, len(rows) + 3)
    found = representation.normalise(raw, made["statistics"].moments)
    np.testing.assert_array_equal(columns["label"], stored["truth"])
    pf, far, gen = (found.collections[name] for name in ("pf", "far", "gen"))
    np.testing.assert_array_equal(pf.mask[:-3], stored["pf_mask"][:, 0] > 0)
    for name, values in (
        ("pf_features", pf.x),
        ("pf_points", pf.points),
        ("far_features", far.x),
        ("gen_features", gen.x),
    ):
        expected = np.moveaxis(stored[name], 1, 2)
        np.testing.assert_allclose(values[:-3], expected, atol=2e-6, rtol=2e-6, err_msg=name)
        assert not np.any(values[-3:]), "padding of the batch"
    np.testing.assert_allclose(found.scalars[:-3], stored["jet"], atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("method", ["flat", "ref"])
def test_training_weights_are_those_of_weaver_up_to_a_factor(wide: Any, method: str) -> None:
    run, columns, _ = wide
    section = run.plan.data("mine").weighting()
    classes = tuple(run.plan.data("mine").dataset.classes)
    target = {"flat": "flat", "ref": classes[0]}[method]
    section = {**section, "reweight": {**section["reweight"], "target": target}}
    weighting = Weighting.of(section)
    assert weighting.reweight is not None
    label, base = columns["label"], columns["training_weight"]
    values = [columns[f"aux.{name}"] for name in weighting.reweight.variables]
    cells = weighting.reweight.cell_of(values, label)
    sums = training_sums(base, cells, len(classes), weighting.reweight.cells)
    counted = SampleSums.of_rows(classes, "train", label, columns["weight"])
    statistics = Statistics(
        classes, {"": replace(counted, training={weighting.reweight.key: sums})}
    )
    table = WeightTable.from_statistics(statistics, dataset="mine", weighting=weighting)
    found = table.training(columns)
    expected = oracle("weaver_wide")[f"weights_{method}"]
    assert (expected == 0).sum() >= 20, "values beyond the edges"
    factor = found.sum() / expected.sum()
    np.testing.assert_allclose(found, factor * expected, rtol=2e-6)


BAD = """selection: jet_pt >
new_variables:
  a: ak.cartesian([x, y])
  part_mask: part_pt > 0
  unused: lambda x
inputs:
  pf_points:
    length: 64
    vars: [[x, null]]
  pf_features:
    length: 128
    pad_mode: reflect
    vars: [a, [b, 1, 2, 5, -5], [c, low], d, d]
  pf_vectors: {length: 128, vars: [px, py]}
  pf_mask: {length: 128, vars: [part_mask]}
  sv_points: {length: 5, vars: [z]}
labels: {type: simple, value: [one]}
observers: [np.sum(x)]
weights:
  reweight_method: flatt
  reweight_vars: {jet_pt: [3, 2]}
  reweight_classes: [two]
  class_weights: [1, 2]
bucketing: {var: n}
treenam: tree
"""


def test_all_that_cannot_be_converted_is_refused_at_once_by_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as refusal:
        convert(path, Request("bad"))
    lines = re.findall(r"line (\d+): ([\w.]+):", str(refusal.value))
    assert [(int(line), key) for line, key in lines] == [
        (1, "selection"),
        (3, "new_variables.a"),
        (8, "inputs.pf_points.length"),
        (12, "inputs.pf_features.pad_mode"),
        (13, "inputs.pf_features.vars"),
        (13, "inputs.pf_features.vars.1"),
        (13, "inputs.pf_features.vars.2"),
        (14, "inputs.pf_vectors.vars"),
        (15, "inputs.pf_mask.vars.0"),
        (16, "inputs.sv_points"),
        (17, "labels.value"),
        (18, "observers.0"),
        (20, "weights.reweight_method"),
        (21, "weights.reweight_vars.jet_pt"),
        (22, "weights.reweight_classes.0"),
        (23, "weights.class_weights"),
        (24, "bucketing"),
        (25, "treenam"),
    ]
    assert "did you mean 'treename'" in str(refusal.value)


@pytest.mark.parametrize(
    ("labels", "request_", "classes", "targets"),
    [
        (
            {"type": "custom", "value": {"truth": "np.where(jet_pt > 500, 1, 0) + (jet_eta > 0)"}},
            {},
            {"truth-0": "truth == 0", "truth-1": "truth == 1", "truth-2": "truth == 2"},
            {},
        ),
        (
            {"type": "custom", "value": {"truth": "jet_label"}},
            {"classes": ("qcd", "top")},
            {"qcd": "jet_label == 0", "top": "jet_label == 1"},
            {},
        ),
        (
            {"type": "custom", "value": {"mass": "np.log(jet_sdmass)", "eta": "jet_eta"}},
            {},
            {},
            {"mass": "log(jet_sdmass)", "eta": "jet_eta"},
        ),
        (
            {"type": "custom", "value": {"truth": "np.where(jet_pt > 500, 1, 0)"}},
            {"numbers": True},
            {},
            {"truth": "where(jet_pt > 500, 1, 0)"},
        ),
    ],
)
def test_custom_labels_are_classes_or_targets(
    labels: Any, request_: Any, classes: dict[str, str], targets: dict[str, str], tmp_path: Path
) -> None:
    content = {**jetclass("kin"), "labels": labels}
    if "truth-0" in classes:  # a name of the file is used in all conditions
        content["new_variables"]["truth"] = content["labels"]["value"]["truth"]
        content["labels"] = {"type": "custom", "value": {"truth": "truth"}}
    found = convert(written(tmp_path, content), Request("jets", **request_))
    section = found.files["datasets/jets.yaml"]
    found_classes = {name: of["where"] for name, of in section["classes"].items() if "where" in of}
    assert found_classes == classes
    assert {n: t for n, t in section["targets"].items() if classes or n in targets} == (
        {name: name for name in content["observers"]} if classes else targets
    )
    task = found.files["experiments/jets.yaml"].get("task")
    signal = {"kind": "classification", "signal": "qcd"} if "qcd" in classes else None
    assert task == (signal if classes else {"kind": "regression"})


@pytest.mark.parametrize("form", ["{}", "{} > 0"])
def test_the_largest_of_several_labels_is_the_first_of_equal_ones(
    form: str, tmp_path: Path
) -> None:
    parts = ", ".join(f"ak.to_numpy({form.format(name)})" for name in "abc")
    value = {"_label_": f"np.argmax(np.stack([{parts}], axis=1), axis=1)"}
    content = {**jetclass("kin"), "labels": {"type": "complex", "value": value}}
    found = convert(written(tmp_path, content), Request("jets"))
    rules = found.files["datasets/jets.yaml"]["classes"].values()
    a, b, c = np.array(list(np.ndindex(3, 3, 3))).T
    flags = [Expression(rule["where"]).evaluate({"a": a, "b": b, "c": c}) for rule in rules]
    label = np.argmax([a, b, c] if form == "{}" else [a > 0, b > 0, c > 0], axis=0)
    np.testing.assert_array_equal(np.stack(flags), label == np.arange(3)[:, None])


@pytest.mark.parametrize("kind", ["classes", "numbers", "rows"])
def test_the_plan_accepts_what_is_written_and_nothing_is_overwritten(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = jetclass("kin")
    if kind == "rows":
        content["inputs"] = {
            "jet": {"length": None, "vars": ["jet_mass", ["jet_pt", 500, 0.01], ["jet_eta", 0]]}
        }
        content["new_variables"] = {"jet_mass": "np.log(jet_sdmass)"}
        content["weights"] = {"use_precomputed_weights": True, "weight_branches": ["w", "v"]}
    if kind == "numbers":
        content["labels"] = {"type": "custom", "value": {"mass": "jet_sdmass"}}
    (tmp_path / "config").symlink_to(ROOT / "config")
    output = tmp_path / "out"
    asked = ["--root", str(tmp_path), "--output", str(output), "--data-train", str(JETS)]
    asked = [*asked, "--data-test", f"test:{JETS}", "--name", "jets"]
    assert main(["convert", "weaver", str(written(tmp_path, content)), *asked]) == 0
    capsys.readouterr()
    for folder in ("models", "representations"):
        (output / folder).mkdir(exist_ok=True)
        for file in (ROOT / "config" / folder).iterdir():
            (output / folder / file.name).symlink_to(file)
    for file in ("schema.json", "config.yaml", "rates.yaml"):
        (output / file).symlink_to(ROOT / "config" / file)
    test = output / "datasets/jets-test.yaml"  # the same file twice would be refused
    test.write_text(test.read_text().replace("jetclass2_100", "other"))
    (tmp_path / "config").unlink()
    (tmp_path / "config").symlink_to(output)
    assert main(["convert", "weaver", str(tmp_path / "DATA.yaml"), *asked]) == 1
    assert "something there already" in capsys.readouterr().err
    plan = make_plan(settings(tmp_path, ["experiment=jets"]), tmp_path)
    assert [data.name for data in plan.datasets] == ["jets", "jets-test"]
    assert plan.data("jets").weighting()["own"] is (kind == "rows")


def test_variables_of_rows_alone_are_scaled_as_given(tmp_path: Path) -> None:
    content = jetclass("kin")
    variables = [["jet_pt", 500, 0.01, -1, 2], ["jet_eta", None], ["jet_phi", 0, 2], "jet_energy"]
    content["inputs"] = {"jet": {"length": None, "vars": variables}}
    content["preprocess"] = {"method": "auto"}
    found = convert(written(tmp_path, content), Request("jets"))
    assert any("mean and standard deviation" in note for note in found.notes)
    representation = registry.build("representations", found.files["representations/jets.yaml"])
    rng = np.random.default_rng(3)
    names = ["jet_pt", "jet_eta", "jet_phi", "jet_energy"]
    columns = {name: rng.normal(400, 300, 50) for name in names}
    x = normalised(representation, columns).x
    energy = columns["jet_energy"]
    expected = [
        np.clip((columns["jet_pt"] - 500) * 0.01, -1, 2),
        columns["jet_eta"],
        np.clip(columns["jet_phi"] * 2, -5, 5),
        np.clip((energy - energy.mean()) / energy.std(), -5, 5),
    ]
    np.testing.assert_allclose(x, np.stack(expected, axis=1), rtol=1e-5, atol=1e-6)


def test_numbers_that_weaver_has_found_are_taken(tmp_path: Path) -> None:
    content = jetclass("kin")
    content["preprocess"] = {"method": "auto", "params": {}}
    content["inputs"]["pf_features"]["vars"] = ["part_pt", "part_deltaR"]
    content["inputs"]["pf_points"]["vars"] = ["part_deta"]
    params = {"length": 128, "pad_mode": "wrap", "min": -5, "max": 5, "pad_value": 0}
    content["preprocess"]["params"] = {
        "part_pt": {**params, "center": 3.5, "scale": 0.25},
        "part_deltaR": {**params, "center": None, "scale": 1},
        "part_deta": {**params, "center": 0.5, "scale": 2.0},
    }
    found = convert(written(tmp_path, content), Request("jets"))
    representation = found.files["representations/jets.yaml"]
    assert representation["scaling"] == [["pf.part_pt", 3.5, 0.25], ["pf.part_deltaR", 0, 1]]
    assert representation["bounds"] == [["pf.part_pt", -5, 5]]
    points = found.files["datasets/jets.yaml"]["objects"]["pf"]["part_deta"]
    assert points == "clip((part_deta - 0.5) * 2, -5, 5)"
    assert ParticleSet(**{k: v for k, v in representation.items() if k != "kind"}).wrap == ["pf"]


WEIGHTS = {
    "reweight_method": "flat",
    "reweight_vars": {"jet_pt": [500, 600], "jet_eta": [-2, 2]},
    "reweight_classes": ["label_QCD", "label_Hbb"],
}


def of_row(*names: Any, **more: Any) -> dict[str, Any]:
    return {"length": None, "vars": [*names], **more}


def refusals(content: dict[str, Any], folder: Path, **asked: Any) -> list[str]:
    """The keys that a conversion refuses."""
    with pytest.raises(ConfigError) as refusal:
        convert(written(folder, content), Request("jets", **asked))
    return re.findall(r"line \d+: ([^ ]+):", str(refusal.value))


@pytest.mark.parametrize(
    ("labels", "asked", "key"),
    [
        ({"type": "simple", "value": ["jet_pt>5", "a", "jet_pt<5"]}, {}, "labels.value.2"),
        (
            {"type": "custom", "value": {"t": "np.argmax(np.stack([a>1, a<1], axis=1), axis=1)"}},
            {},
            "labels.value.t",
        ),
        (
            {"type": "custom", "value": {"t": "jet_label"}},
            {"classes": ("b", "b")},
            "labels.value.t",
        ),
        ({"type": "custom", "value": {"m-a": "jet_pt", "m+a": "jet_eta"}}, {}, "labels.value.m+a"),
    ],
)
def test_labels_of_one_name_are_refused(
    labels: Any, asked: dict[str, Any], key: str, tmp_path: Path
) -> None:
    assert refusals({**jetclass("kin"), "labels": labels}, tmp_path, **asked) == [key]


PT, ETA = np.meshgrid([-1, 1], [-1, 1])


@pytest.mark.parametrize(
    ("text", "computed"),
    [
        (
            "np.where(jet_pt > 0, 2, 0) | np.where(jet_eta > 0, 1, 0)",
            np.where(PT > 0, 2, 0) | np.where(ETA > 0, 1, 0),
        ),
        (
            "np.where(jet_pt > 0, 3, 0) & np.where(jet_eta > 0, 1, 0)",
            np.where(PT > 0, 3, 0) & np.where(ETA > 0, 1, 0),
        ),
        (
            "np.where(jet_pt > 0, 3, 1) ^ np.where(jet_eta > 0, 1, 0)",
            np.where(PT > 0, 3, 1) ^ np.where(ETA > 0, 1, 0),
        ),
        ("(jet_pt > 0) + (jet_eta > 0)", (PT > 0) + (ETA > 0)),
        ("np.add(jet_pt > 0, jet_eta > 0)", np.add(PT > 0, ETA > 0)),
        ("np.where(jet_pt > 0, 1, 0) + (jet_eta > 0)", np.where(PT > 0, 1, 0) + (ETA > 0)),
    ],
)
def test_a_label_has_a_class_for_every_value(text: str, computed: Any, tmp_path: Path) -> None:
    values = np.unique(computed).astype(int)
    labels = {"type": "custom", "value": {"truth": text}}
    found = convert(written(tmp_path, {**jetclass("kin"), "labels": labels}), Request("jets"))
    classes = found.files["datasets/jets.yaml"].get("classes", {})
    assert [*classes] == [f"truth-{value}" for value in values]


def test_given_weights_are_probabilities_as_weaver_draws_rows(tmp_path: Path) -> None:
    weights = {"use_precomputed_weights": True, "weight_branches": ["w", "v + 1"]}
    found = convert(written(tmp_path, {**jetclass("kin"), "weights": weights}), Request("jets"))
    text = found.files["datasets/jets.yaml"]["training_weight"]
    w, v = np.array([[-1, 0.5, 2, 0.25], [3, 0.2, 5, -0.5]])
    drawn = np.clip(w * v + 1, 0, 1)  # joined as weaver-core does, without parentheses
    np.testing.assert_allclose(Expression(text).evaluate({"w": w, "v": v}), drawn)
    weights["weight_branches"] = []
    bad = {**jetclass("kin"), "weights": weights}
    assert refusals(bad, tmp_path) == ["weights.weight_branches"]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"reweight_classes": []}, "weights.reweight_classes"),
        ({"reweight_classes": ["label_QCD", "label_QCD"]}, "weights.reweight_classes.1"),
        ({"class_weights": [0, 0]}, "weights.class_weights"),
    ],
)
def test_weights_that_leave_no_row_are_refused(
    more: dict[str, Any], key: str, tmp_path: Path
) -> None:
    content = {**jetclass("kin"), "weights": {**WEIGHTS, **more}}
    assert refusals(content, tmp_path) == [key]


@pytest.mark.parametrize("balance", [{}, {"a": 0}])
def test_a_balance_without_a_positive_number_is_refused(balance: dict[str, float]) -> None:
    section = {"files": ["x.root"], "classes": {"a": {"where": "x"}, "b": {"where": "y"}}}
    assert parse(Dataset, {**section, "balance": {"a": 0, "b": 1}}, "d").balance
    with pytest.raises(ConfigError, match="positive number for one class"):
        parse(Dataset, {**section, "balance": balance}, "d")


def test_an_empty_expression_is_refused_by_line(tmp_path: Path) -> None:
    content = jetclass("kin")
    content["new_variables"] |= {"jet_weight": None, "other": " "}
    content["labels"] = {"type": "custom", "value": {"mass": ""}}
    expected = ["new_variables.jet_weight", "new_variables.other", "labels.value.mass"]
    assert refusals(content, tmp_path) == expected


def test_users_are_told_what_is_not_read_and_what_is_weighted_otherwise(tmp_path: Path) -> None:
    notes = convert(WIDE, Request("wide", train=[str(JETS)])).notes
    (unread,) = [note for note in notes if "does not read" in note]
    assert "particle-net" in unread
    assert "far, gen, jet;" in unread
    assert "deep_sets and gn2" in unread
    assert any(note.startswith("weights.reweight_basewgt") for note in notes)
    content = jetclass("kin")
    assert not any(
        "not read" in note for note in convert(written(tmp_path, content), Request("jets")).notes
    )
    content["inputs"] = {"pf_features": content["inputs"]["pf_features"], "jet": of_row("jet_pt")}
    assert not any(  # `pfn` reads variables of the row
        "not read" in note for note in convert(written(tmp_path, content), Request("jets")).notes
    )


def test_a_variable_of_several_groups_of_rows_is_one(tmp_path: Path) -> None:
    content = jetclass("kin")
    content["inputs"] = {
        "jet": of_row(["jet_pt", 1, 2], "jet_eta"),
        "more": of_row(["jet_pt", 1, 2]),
    }
    found = convert(written(tmp_path, content), Request("jets"))
    section = found.files["representations/jets.yaml"]
    assert section["variables"] == ["jet_pt", "jet_eta"]
    assert section["scaling"] == [["jet_pt", 1, 2], ["jet_eta", 0, 1]]
    content["inputs"]["more"] = of_row(["jet_pt", 1, 3])
    assert refusals(content, tmp_path) == ["inputs.more.vars.0"]


def test_nothing_is_written_if_a_representation_cannot_be_made(tmp_path: Path) -> None:
    found = convert(written(tmp_path, jetclass("kin")), Request("jets"))
    section = found.files["representations/jets.yaml"]
    section["objects"].append(section["objects"][0])
    with pytest.raises(ConfigError, match=r"representations/jets\.yaml"):
        write(found, Library(ROOT / "config"), tmp_path / "out", "DATA.yaml")
    assert not (tmp_path / "out").exists()


def test_masks_are_not_standardised_by_the_name_of_the_variable(tmp_path: Path) -> None:
    content = {**jetclass("kin"), "preprocess": {"method": "auto"}}
    content["inputs"] = {"jet_mask": of_row("jet_pt"), "jet": of_row("jet_mask")}
    found = convert(written(tmp_path, content), Request("jets"))
    assert found.files["representations/jets.yaml"]["scaling"] == [["jet_mask", 0, 1]]


def test_numbers_of_a_wrong_kind_say_what_is_expected(tmp_path: Path) -> None:
    content = {**jetclass("kin"), "preprocess": {"method": "auto", "data_fraction": 2}}
    content["inputs"]["pf_points"]["length"] = 128.0
    with pytest.raises(ConfigError) as refusal:
        convert(written(tmp_path, content), Request("jets"))
    assert "expected a number above 0, at most 1, found 2" in str(refusal.value)
    assert "expected a whole number above 0, or null, found 128.0" in str(refusal.value)
