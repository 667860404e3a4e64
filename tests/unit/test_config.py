# ruff: noqa: E501 (a table of sections)
"""Configuration files: shipped ones are valid, wrong ones are refused with the nearest fix."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rootloom.config import schema
from rootloom.config.sections import Dataset, Experiment, Library, Settings, Splits, parse
from rootloom.errors import ConfigError
from rootloom.planning.plan import Plan
from rootloom.rootio.functions import reference
from rootloom.stages import make_plan

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Library(ROOT / "config")


def test_the_stored_schema_is_the_generated_one() -> None:
    text = schema.text()
    assert (ROOT / "config" / "schema.json").read_text() == text, "run rootloom schema"
    for path, page in reference.pages(ROOT, json.loads(text)).items():
        assert path.read_text() == page, f"{path.name}: run rootloom schema"


@pytest.mark.parametrize("name", [n for n in LIBRARY.names("experiments") if n != "default"])
@pytest.mark.parametrize("size", ["demo", "full"])
def test_shipped_experiments_have_a_complete_plan(name: str, size: str, tmp_path: Path) -> None:
    for part in ("config", "tests"):
        (tmp_path / part).symlink_to(ROOT / part)
    dataset = LIBRARY.dataset(LIBRARY.experiment(name).dataset)
    for of in (dataset, *dataset.samples.values()):
        for pattern in of.files:
            if pattern.startswith("data/"):  # files of others, and what `rootloom import` makes
                file = tmp_path / pattern.replace("*", "table-00000")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    plan = make_plan({"experiment": name, "size": size}, tmp_path)
    assert plan.targets()
    for method in plan.request.experiment.methods:
        assert plan.job("train", method=method, member="0")["fingerprint"]


@pytest.mark.parametrize("folder", ["models", "representations"])
def test_every_shipped_file_is_valid(folder: str) -> None:
    read = LIBRARY.model if folder == "models" else LIBRARY.representation
    for name in LIBRARY.names(folder):
        assert read(name)["kind"]


def test_a_larger_size_keeps_every_file_of_a_smaller_one() -> None:
    demo, full = (make_plan({"size": size}, ROOT) for size in ("demo", "full"))
    few, more = (
        {k for pack in p.files("w-jets").packs for k in p.files("w-jets").of_pack(pack)}
        for p in (demo, full)
    )
    assert few < more
    for key in few:
        assert demo.job("simulate", dataset="w-jets", file=key) == full.job(
            "simulate", dataset="w-jets", file=key
        )


@pytest.mark.parametrize("name", ["config/datasets/w-jets.yaml", "./w-jets.yaml"])
def test_the_path_of_a_file_is_no_name_but_shows_it(name: str) -> None:
    with pytest.raises(ConfigError, match=r"without folder and ending(.|\n)*mean 'w-jets'"):
        make_plan({"experiment": name}, ROOT)


def test_a_dataset_alone_is_an_experiment() -> None:
    assert make_plan({"experiment": "w-jets"}, ROOT).request.all_methods == ["dnn", "boosted-trees"]


@pytest.mark.parametrize(
    ("cls", "data", "message"),
    [
        (Settings, {"experimnt": "x"}, "did you mean 'experiment'"),
        (Settings, [], "a mapping of keys"),
        (Dataset, {"classes": {}, "simulate": {"source": {}, "files": {"demo": 1}, "rows_per_file": 1}}, "classes, each with a process"),
        (Dataset, {"classes": {"a": {"wher": "x"}}, "files": ["f"]}, "did you mean 'where'"),
        (Dataset, {"classes": {"a": {}}, "files": ["f"]}, "process, files, where"),
        (Dataset, {"classes": {"a": {"where": "x"}}}, "exactly one of"),
        (Dataset, {"classes": {"a": {"where": "x"}}, "files": ["f"], "splits": {"train": 0.9}}, "must be 1"),
        (Dataset, {"classes": {"a": {"where": "x"}}, "files": ["f"], "splits": {"test": "row > 5"}}, "train . validation must be 1"),
        (Dataset, {"classes": {"a": {"where": "x"}}, "files": ["f"], "splits": {"train": 0.8, "test": 0.2}}, r"left out: validation, which counts 0.1\); write all"),
        (Dataset, {"classes": {"a": "x == 5"}, "files": ["f"]}, r"a: {where: x == 5}\Z"),
        (Dataset, {"classes": {"a": 'x in (1, 2) & f("b")'}, "files": ["f"]}, r"""a: {where: 'x in \(1, 2\) & f\("b"\)'}\Z"""),
        (Dataset, {"classes": {"a": {"where": "x"}}, "files": ["f"], "splits": {"train": 1.5}}, "splits.train"),
        (Dataset, {"classes": {"a": {"where": "x"}}, "files": ["f"], "objects": {"target": {"pt": "pt"}}}, "that of the targets"),
        (Experiment, {"dataset": "d", "methods": {"m": {"model": "dnn"}}}, "no default"),
    ],
)  # fmt: skip
def test_wrong_sections_name_the_fix(cls: Any, data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(cls, data, "somewhere.yaml")


def test_columns_that_a_model_reads_are_those_of_its_representation(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    assert make_plan({"experiment": "higgs"}, tmp_path).request.all_methods
    file = tmp_path / "config" / "models" / "lorentz.yaml"
    file.write_text(file.read_text().replace("jet3_eta", "jet3_etta"))
    with pytest.raises(ConfigError, match=r"jet3_etta(.|\n)*did you mean 'jet3_eta'"):
        make_plan({"experiment": "higgs"}, tmp_path)


def test_splits_are_shares_or_expressions() -> None:
    splits = parse(Splits, {"train": 0.9, "validation": 0.1, "test": "row >= 10"}, "here")
    assert splits.shares() == {"train": 0.9, "validation": 0.1}
    assert splits.expressions() == {"test": "row >= 10"}
    official = {"train": "row < 8", "validation": "row == 8", "test": "row > 8"}
    assert parse(Splits, official, "here").shares() == {}


def test_fields_of_a_schedule_are_checked_too() -> None:
    section = {"kind": "training", "schedule": {"kind": "cosine", "fnal": 0.1}}
    with pytest.raises(ConfigError, match=r"schedule.fnal(.|\n)*did you mean 'final'"):
        LIBRARY.check("training", section, "here")


@pytest.mark.parametrize("folds", [3, 4])
def test_folds_need_as_many_members(tmp_path: Path, folds: int) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "experiments" / "higgs.yaml"
    experiment = yaml.safe_load(file.read_text())
    experiment["methods"]["resnet-bagged"]["members"] = 3
    experiment["methods"]["resnet-bagged"]["training"] = {"folds": folds}
    file.write_text(yaml.safe_dump(experiment))
    if folds != 3:
        with pytest.raises(ConfigError, match=r"resnet-bagged\.training\.folds\n.*as many members"):
            make_plan({"experiment": "higgs"}, tmp_path)
        return
    plan = make_plan({"experiment": "higgs"}, tmp_path)
    assert [path.split("/")[-2:] for path in plan.held_out("higgs", "resnet-bagged")] == [
        [str(member), "train.h5"] for member in range(3)
    ]
    assert plan.held_out("higgs", "resnet-all") == plan.held_out("higgs", "trees-all") == []


def test_objects_may_be_rows_of_a_cross_validation(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "experiments" / "nano-btag.yaml"
    experiment = yaml.safe_load(file.read_text())
    (method,) = list(experiment["methods"])[:1]
    experiment["methods"][method] |= {"members": 2, "training": {"folds": 2}}
    file.write_text(yaml.safe_dump(experiment))
    plan = make_plan({"experiment": "nano-btag"}, tmp_path)
    assert plan.data("nano-btag").dataset.rows == "Jet"
    assert len(plan.held_out("nano-btag", method)) == 2


def test_what_makes_examples_is_not_asked_for_scores(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    dataset = tmp_path / "config" / "datasets" / "calo.yaml"
    text = dataset.read_text().replace("  gamma: {process: gamma}\n", "")
    dataset.write_text(text.replace("  piplus: {process: piplus}\n", ""))
    experiment = tmp_path / "config" / "experiments" / "showers.yaml"
    method = "{model: calogan, representation: calorimeter-cells, members: 2}"
    text = f"dataset: calo\ntask: {{kind: adversarial}}\nmethods:\n  gan: {method}\n"
    experiment.write_text(text)
    plan = make_plan({"experiment": "showers"}, tmp_path)
    made = [f"results/showers/generated/calo/gan/{member}.root" for member in range(2)]
    of_experiment = [path for path in plan.targets() if "/showers/" in path]
    assert {"results/showers/report.html", *made} <= set(of_experiment)
    assert not [path for path in of_experiment if "predictions" in path or "friends" in path]
    first, second = (
        plan.job("generate", dataset="calo", method="gan", member=m)["section"] for m in "01"
    )
    assert first["tree"] == "showers"
    assert first["options"]["seed"] != second["options"]["seed"]
    experiment.write_text(text + "baselines: {total: {kind: cut, variable: total}}\n")
    with pytest.raises(ConfigError, match="which scores no rows"):
        make_plan({"experiment": "showers"}, tmp_path)


CELLS = "calorimeter-cells"


def test_generated_showers_are_compared_by_variables_of_the_dataset(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    experiment = tmp_path / "config" / "experiments" / "showers.yaml"
    text = (
        "dataset: calo-eplus\ntask: {kind: adversarial}\n"
        "methods:\n  gan: {model: calogan, representation: calorimeter-cells}\n"
    )
    experiment.write_text(text)
    plan = make_plan({"experiment": "showers"}, tmp_path)
    assert "energy" not in plan.data("calo-eplus").compared(CELLS)
    assert {"total", "depth", "width2", "active0"} <= set(plan.data("calo-eplus").compared(CELLS))
    section = plan.job("evaluate", dataset="calo-eplus", method="gan")["section"]["examples"]
    assert set(section["reader"]["variables"]) == {
        "energy",
        *plan.data("calo-eplus").compared(CELLS),
    }
    whole = plan.job(
        "preprocess",
        dataset="calo-eplus",
        representation="calorimeter-cells",
        pack=plan.files("calo-eplus").packs[0],
    )
    assert whole["section"]["auxiliary"] == plan.data("calo-eplus").compared(CELLS)

    experiment.write_text(text + "evaluation: {features: [depth]}\n")
    assert make_plan({"experiment": "showers"}, tmp_path).data("calo-eplus").compared(CELLS) == [
        "depth"
    ]
    for features, refusal in (("[dept]", "did you mean 'depth'"), ("[]", "at least one variable")):
        experiment.write_text(text + f"evaluation: {{features: {features}}}\n")
        with pytest.raises(ConfigError, match=refusal):
            make_plan({"experiment": "showers"}, tmp_path)
    # Nothing of this for what tells particles apart.
    assert make_plan({"experiment": "calo-identification"}, tmp_path).data("calo").auxiliary() == []


def test_alternatives_replace_each_other_whole() -> None:
    experiment = parse(
        Experiment,
        {
            "dataset": "d",
            "training": {"schedule": {"kind": "exponential", "decay": 0.5}},
            "methods": {
                "m": {
                    "model": "dnn",
                    "representation": "features",
                    "training": {"schedule": {"kind": "cosine"}},
                }
            },
        },
        "here",
    )
    merged = LIBRARY.training(experiment, experiment.methods["m"])
    assert merged == {"schedule": {"kind": "cosine"}}


def test_the_schema_says_what_fits_together() -> None:
    definitions = json.loads((ROOT / "config" / "schema.json").read_text())["$defs"]
    kinds = {d["x-kind"] for d in definitions["representations"].values()}
    for name, model in definitions["models"].items():
        assert set(model["x-consumes"]) <= kinds, name


def two_generators(root: Path, **fields: Any) -> Plan:
    """A GAN beside a flow, whose method is given `fields`."""
    shutil.copytree(ROOT / "config", root / "config", dirs_exist_ok=True)
    flow = {"model": "shower-flow", "representation": "calorimeter-cells"}
    experiment = {
        "dataset": "calo-eplus",
        "task": {"kind": "adversarial"},
        "methods": {
            "gan": {**flow, "model": "calogan"},
            "flow": {**flow, "task": {"kind": "flow_matching", "steps": 8}, **fields},
        },
    }
    (root / "config" / "experiments" / "two.yaml").write_text(yaml.safe_dump(experiment))
    return make_plan({"experiment": "two"}, root)


def test_a_method_may_have_a_task_of_its_own(tmp_path: Path) -> None:
    plan = two_generators(tmp_path)
    gan, flow = (plan.job("train", method=name, member="0") for name in ("gan", "flow"))
    assert gan["section"]["task"] == {"kind": "adversarial"}
    assert flow["section"]["task"] == {"kind": "flow_matching", "steps": 8}
    other = two_generators(tmp_path, task={"kind": "flow_matching", "steps": 9})
    assert other.job("train", method="gan", member="0") == gan
    assert other.job("train", method="flow", member="0")["fingerprint"] != flow["fingerprint"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "calogan"}, "a model of role velocity for task 'flow_matching'"),
        ({"task": {"kind": "flow_matching", "stps": 8}}, r"methods.flow: task(.|\n)*mean 'steps'"),
    ],
)  # fmt: skip
def test_a_methods_task_is_checked_like_the_experiments(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        two_generators(tmp_path, **fields)


def declare(root: Path, group: str, kind: str, what: str, value: str) -> None:
    """Let the schema say something else of a class."""
    file = root / "config" / "schema.json"
    known = json.loads(file.read_text())
    known["$defs"][group][kind][what] = value
    file.write_text(json.dumps(known))


def test_methods_are_evaluated_alike(tmp_path: Path) -> None:
    two_generators(tmp_path)
    declare(tmp_path, "tasks", "flow_matching", "x-evaluation", "other")
    with pytest.raises(ConfigError, match=r"methods.flow: task(.|\n)*with 'other'"):
        make_plan({"experiment": "two"}, tmp_path)


def test_a_task_yields_what_its_evaluation_evaluates(tmp_path: Path) -> None:
    two_generators(tmp_path)
    declare(tmp_path, "evaluations", "generation", "x-evaluates", "predictions")
    with pytest.raises(ConfigError, match=r"yields predictions(.|\n)*which yields examples"):
        make_plan({"experiment": "two"}, tmp_path)


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        ({"generation": {"treshold": 1}}, "mean 'threshold'"),
        ({"generation": {"threshold": -1}}, "generation.threshold"),
    ],
)
def test_options_of_generation_are_the_representations(
    tmp_path: Path, experiment: dict[str, Any], message: str
) -> None:
    two_generators(tmp_path)
    file = tmp_path / "config" / "experiments" / "two.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **experiment}))
    with pytest.raises(ConfigError, match=message):
        make_plan({"experiment": "two"}, tmp_path)
    file = tmp_path / "config" / "experiments" / "calo-identification.yaml"
    file.write_text(file.read_text() + "generation: {seed: 2}\n")
    with pytest.raises(ConfigError, match="which makes no examples"):
        make_plan({"experiment": "calo-identification"}, tmp_path)


def test_samples_of_a_learnt_class_may_have_cross_sections(tmp_path: Path) -> None:
    two_generators(tmp_path)
    samples = {}
    for cross_section, name in enumerate(("a", "b"), start=1):
        (tmp_path / f"{name}.root").touch()
        of = {"files": [f"{tmp_path}/{name}.root"], "class": "eplus"}
        samples[name] = {**of, "cross_section": float(cross_section)}
    dataset = {"like": "calo", "simulate": None, "classes": {"eplus": {}}, "samples": samples}
    file = tmp_path / "config" / "datasets" / "calo-eplus.yaml"
    file.write_text(yaml.safe_dump({**dataset, "luminosity": 1.0}))
    plan = make_plan({"experiment": "two"}, tmp_path)
    section = plan.job("evaluate", dataset="calo-eplus", method="gan")["section"]
    assert section["examples"]["samples"]["b"]["expected"] == pytest.approx(2000.0)


def test_a_generator_learns_one_class(tmp_path: Path) -> None:
    two_generators(tmp_path)
    file = tmp_path / "config" / "experiments" / "two.yaml"
    file.write_text(file.read_text().replace("calo-eplus", "calo"))
    with pytest.raises(ConfigError, match="at most 1, for the task 'adversarial'"):
        make_plan({"experiment": "two"}, tmp_path)


def test_a_dataset_like_another_replaces_whole_keys(tmp_path: Path) -> None:
    whole, part = (LIBRARY.dataset(name) for name in ("calo", "calo-gamma"))
    assert list(part.classes) == ["gamma"]
    assert part.classes["gamma"] == whole.classes["gamma"]
    kept = {"description", "classes", "like"}
    assert part.model_dump(exclude=kept) == whole.model_dump(exclude=kept)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for like, message in (("calo-gamma", "like: calo"), ("cal", "did you mean 'calo'")):
        file = tmp_path / "config" / "datasets" / "third.yaml"
        file.write_text(f"like: {like}\n")
        with pytest.raises(ConfigError, match=message):
            Library(tmp_path / "config").dataset("third")


@dataclasses.dataclass(frozen=True)
class Described:
    """Fields of which one list is cut by a line's end.

    one,
    two: of both. three: the last. Raises ConfigError for others.
    """

    one: int = 1
    two: int = 2
    three: int = 3


def test_descriptions_are_whole_sentences_without_what_is_raised() -> None:
    fields = schema.of_class(Described)["properties"]
    assert {name: field["description"] for name, field in fields.items()} == {
        "one": "of both", "two": "of both", "three": "the last",
    }  # fmt: skip
    described = re.findall(r'"description": "([^"]*)"', schema.text())
    # A list of names that a cut left behind, and what belongs to the class.
    assert [d for d in described if re.search(r",$|; \w+$|Raises ", d)] == []


def test_fields_of_a_base_class_are_described() -> None:
    fields = LIBRARY.schema["$defs"]["evaluations"]["classification"]["properties"]
    assert "target.NAME" in fields["profiles"]["description"]
