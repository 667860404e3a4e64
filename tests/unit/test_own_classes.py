"""Members that classes must have, and classes of a package of the user's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from rootloom.config import registry
from rootloom.config.members import lacking
from rootloom.config.sections import Library
from rootloom.errors import ConfigError
from rootloom.representations.base import Representation
from rootloom.representations.image import JetImage
from rootloom.stages import make_plan
from rootloom.stages.networks import task_of
from rootloom.testing import MODEL_CHECKS, Memory, case_of
from rootloom.training.loop import fit
from rootloom.training.options import TrainingOptions
from rootloom.training.predict import predict

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    "models": {"sines": {"kind": "weaving.nets:Sines", "width": 6}},
    "representations": {
        "ratios": {"kind": "weaving.ratios:Ratios", "variables": ["pt", "eta", "muons"]}
    },
    "experiments": {
        "own": {
            "dataset": "nano-btag",
            "task": {"kind": "classification", "signal": "b"},
            "methods": {"own": {"model": "sines", "representation": "ratios"}},
        }
    },
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path, which no later test sees."""
    folder = tmp_path / "packages" / "weaving"
    shutil.copytree(ROOT / "tests" / "packages" / "weaving", folder)
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "needy.py").write_text("import nonesuch_package\n")
    monkeypatch.syspath_prepend(folder.parent)
    for name in [name for name in sys.modules if name.partition(".")[0] == "weaving"]:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "weaving"]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, package: Path) -> Path:
    """A configuration with classes of the package."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for folder, files in OWN.items():
        for name, content in files.items():
            write(tmp_path, folder, name, content)
    return tmp_path


def write(project: Path, folder: str, name: str, content: dict[str, Any]) -> None:
    (project / "config" / folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("group", registry.REGISTRY)
def test_classes_of_the_library_are_whole(group: str) -> None:
    base = registry.load(registry.BASES[group])
    for name in registry.names(group):
        cls = registry.resolve(group, name)
        assert issubclass(cls, base), name
        assert not lacking(cls, base), name


def test_reading_a_configuration_imports_no_heavy_package() -> None:
    heavy = ("jax", "flax", "numba", "awkward", "uproot", "sklearn", "matplotlib")
    code = (
        "import sys; from pathlib import Path; from rootloom.config.sections import Library\n"
        f"library = Library(Path({str(ROOT)!r}) / 'config')\n"
        "for name in set(library.names('experiments')) - {'default'}: library.experiment(name)\n"
        f"print(*[name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_classes_of_ones_own_are_planned_like_others(project: Path) -> None:
    plan = make_plan({"experiment": "own"}, project)
    request = plan.request
    assert request.all_methods == ["own"]
    assert plan.datasets.nominal.auxiliary() == ["pt"]
    assert request.properties(request.representation("ratios"))["floor"]["default"] == 1e-3


@pytest.mark.parametrize(
    ("folder", "section", "message"),
    [
        ("models", {"kind": "weaving.nets:Sinus"}, r"no 'Sinus'(.|\n)*did you mean 'Sines'"),
        (
            "models",
            {"kind": "weaving.net:Sines"},
            r"no module 'weaving.net'(.|\n)*mean 'weaving.nets'",
        ),
        ("models", {"kind": "weavin.nets:Sines"}, r"no module 'weavin'(.|\n)*PYTHONPATH"),
        ("models", {"kind": "weaving.needy:Sines"}, r"it imports 'nonesuch_package'"),
        ("models", {"kind": "weaving.broken:Sines"}, r"ZeroDivisionError"),
        ("models", {"kind": "weaving.nets:"}, r"'package.module:Class'"),
        ("models", {"kind": "weaving.nets:Headless"}, r"'__call__' of Headless: Normalised inputs"),
        ("models", {"kind": "weaving.nets:Greedy"}, r"'consumes' of Greedy: the `kind`s of"),
        ("models", {"kind": "weaving.nets:Odd"}, r"fields of 'weaving.nets:Odd' of types"),
        ("models", {"kind": "weaving.ratios:Ratios"}, r"derived from rootloom.models.base.Model"),
        ("models", {"kind": "os:system", "command": "false"}, r"derived from rootloom.models"),
        ("models", {"kind": "weaving.nets:Sines", "widht": 3}, r"widht(.|\n)*did you mean 'width'"),
        ("models", {"kind": "weaving.nets:Sines", "width": 0}, r"width\n.*at least 1"),
        ("representations", {"kind": "weaving.ratios:Ratios", "flor": 1}, r"did you mean 'floor'"),
    ],
)
def test_what_is_wrong_with_ones_own_is_refused_by_name(
    project: Path, folder: str, section: dict[str, Any], message: str
) -> None:
    name = next(iter(OWN[folder]))
    write(project, folder, name, section)
    with pytest.raises(ConfigError, match=message) as refused:
        make_plan({"experiment": "own"}, project)
    assert refused.value.where.startswith(f"config/{folder}/{name}.yaml: ")


@pytest.mark.parametrize(
    ("group", "section"),
    [
        ("tasks", {"kind": "weaving.tasks:Tempered", "power": 2.0}),
        ("baselines", {"kind": "weaving.fits:Furthest", "variables": ["pt", "eta"]}),
        ("simulations", {"kind": "weaving.sources:Loom", "shift": 0.5}),
        ("evaluations", {"kind": "weaving.judges:Upside", "most": 2.0}),
    ],
)
def test_every_other_kind_of_class_is_checked_field_by_field(
    project: Path, group: str, section: dict[str, Any]
) -> None:
    library = Library(project / "config")
    library.check(group, section, "here")
    name, value = list(section.items())[1]
    with pytest.raises(ConfigError, match=f"did you mean '{name}'"):
        library.check(group, {"kind": section["kind"], f"{name}s": value}, "here")
    with pytest.raises(ConfigError, match=f"here: {name}"):
        library.check(group, {**section, name: {"no": "such value"}}, "here")
    if group != "tasks":  # one is given its model as well
        built = registry.parse(group, section)
        assert getattr(built, name) == (tuple(value) if isinstance(value, list) else value)


def test_columns_that_an_evaluation_of_ones_own_reads_are_checked_in_the_plan(
    project: Path,
) -> None:
    task = {"kind": "weaving.tasks:Tempered", "signal": "b"}
    own = {**OWN["experiments"]["own"], "task": task, "evaluation": {"profiles": ["eta"]}}
    write(project, "experiments", "own", own)
    with pytest.raises(ConfigError, match=r"evaluation.profiles(.|\n)*profiles: \[target.eta\]"):
        make_plan({"experiment": "own"}, project)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def sample(", "def sampled(", "'sample' of Ratios: Values to take moments of"),
        ("same_shape", "drawn", r"'panels' of Ratios: The axes of the images of a row.*`drawn`"),
        ("same_shape", "generated", r"'restore' of Ratios: The inverse of `normalise`"),
        ("same_shape: ClassVar[bool] = True", "not_encoded: ClassVar[tuple] = ()", "'only'"),
        ("@dataclass(frozen=True)", "", "a dataclass, whose fields"),
    ],
)
def test_a_member_that_is_missing_is_refused_with_its_purpose(
    project: Path, package: Path, old: str, new: str, message: str
) -> None:
    file = package / "ratios.py"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message):
        Library(project / "config").representation("ratios")


def test_a_member_asked_for_by_two_flags_is_wanted_where_both_are_set() -> None:
    class Drawn(JetImage):
        images = Representation.images

    class Flat(Drawn):
        drawn = False

    assert "`generated` and `drawn`" in lacking(Drawn, Representation)["images"]
    assert not lacking(Flat, Representation)


def test_ones_own_train_to_a_prediction(project: Path) -> None:
    from weaving.samples import ratios

    library = Library(project / "config")
    network = SimpleNamespace(
        representation=library.representation("ratios"),
        model=library.model("sines"),
        task={"kind": "classification"},
    )
    sample = ratios()
    assert sample.representation == registry.build("representations", network.representation)
    task = task_of(network, SimpleNamespace(classes=["light", "b"]), sample.moments)
    for check in MODEL_CHECKS[:2]:
        check(case_of(task.model))
    columns = sample.columns
    batches = Memory(columns, task.representation, 32)
    options = TrainingOptions(batch_size=32, epochs=2, tensorboard=False)
    found = fit(task, batches, batches, options, project / "fit", fingerprint="own", progress=False)
    ordered = Memory(columns, task.representation, 32, shuffle=False)
    scores = np.concatenate([c["score"] for c, _ in predict(task, found.params, ordered)])
    assert scores.shape == (200,)
    assert np.ptp(scores) > 0
