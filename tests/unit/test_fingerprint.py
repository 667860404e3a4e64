"""Fingerprints: what a job's entry reaches by name counts, and nothing else does."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

from rootloom.cluster.running import Preempted, progress
from rootloom.config.registry import REGISTRY
from rootloom.planning import fingerprint
from rootloom.stages import STAGES
from rootloom.system.hashing import of_value

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "src/rootloom"

PACKAGE = {
    "__init__.py": "",
    "stage.py": """
        '''A stage.'''
        from __future__ import annotations
        import math
        from typing import TYPE_CHECKING
        from toy.numbers import SCALE, scaled
        from toy import shapes, transport
        from toy.relayed import relayed
        if TYPE_CHECKING:
            from toy.unused import Unused

        LIMIT = 3

        def run(values: list[Unused], power=LIMIT) -> float:
            '''What it does.'''
            from toy.inside import inside
            transport.fetch(values)
            total = sum(scaled(value) for value in values)
            return inside(total) + shapes.Square(2).area() + relayed(total) + math.sqrt(power)

        def another():
            return 1
        """,
    "numbers.py": """
        OFFSET = 1
        SCALE = 2 * OFFSET
        UNUSED = 7
        FACTORS = {"a": SCALE}

        def scaled(value, by=FACTORS["a"]):
            return helper(value) * by

        def helper(value):
            return value + OFFSET

        def idle(value):
            return value
        """,
    "shapes.py": """
        import toy.registry
        from toy.registry import shape

        class Shape:
            sides = 0
            def area(self):
                return self.size() ** 2
            def size(self):
                return 1

        class Square(Shape):
            sides = 4
            def __init__(self, length):
                self.length = length

        class Circle(Shape):
            pass

        @shape
        class Star:
            points = 5
        """,
    "registry.py": """
        KNOWN = []
        def shape(cls):
            KNOWN.append(cls)
            return cls
        """,
    "inside.py": """
        import toy.effects
        def inside(x):
            inner = outer
            return inner(x)
        def outer(x):
            return x
        def inner(x):
            return x
        """,
    "effects.py": """
        import sys
        DEPTH = 100
        def depth():
            return DEPTH
        sys.setrecursionlimit(max(sys.getrecursionlimit(), depth()))
        """,
    "relayed.py": """
        try:
            from toy.fast import relayed
        except ImportError:
            from toy.slow import relayed
        """,
    "fast.py": "def relayed(x):\n    return x\n",
    "slow.py": "def relayed(x):\n    return x + 0\n",
    "transport.py": """
        DECIDES_NO_VALUE = "a test"
        from toy.numbers import idle
        def fetch(values):
            return idle(values)
        """,
    "unused.py": "class Unused:\n    pass\n",
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user's own, on the path, whose source may be edited."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fingerprint, "_FOLLOWED", {"rootloom"})
    return folder


def of_code(*targets: str) -> str:
    """Of the source as it is now: a process remembers what it has read."""
    for cached in vars(fingerprint).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    return fingerprint.of_code(*targets)


CHANGES = [
    ("stage.py", "sum(scaled(", "min(scaled(", "the entry"),
    ("stage.py", "LIMIT = 3", "LIMIT = 4", "the default of an argument"),
    ("stage.py", "import math", "import cmath as math", "where a name of another package leads"),
    ("stage.py", "import SCALE, scaled", "import SCALE, helper as scaled", "where a name leads"),
    ("stage.py", "from toy.inside import inside", "from toy.inside import outer as inside",
     "where a name leads inside a function"),
    ("numbers.py", "value + OFFSET", "value - OFFSET", "a function two calls deep"),
    ("numbers.py", "OFFSET = 1", "OFFSET = 2", "a constant two calls deep"),
    ("numbers.py", '{"a": SCALE}', '{"a": 1}', "what a default is taken from"),
    ("numbers.py", "2 * OFFSET", "3 * OFFSET", "a constant that a constant is made from"),
    ("shapes.py", "** 2", "** 3", "a method of a base class"),
    ("shapes.py", "sides = 4", "sides = 5", "a field of a class"),
    ("shapes.py", "Square(Shape)", "Square", "its bases"),
    ("shapes.py", "points = 5", "points = 6", "a class that a decorator may register"),
    ("registry.py", "KNOWN.append(cls)", "KNOWN.insert(0, cls)", "how it is registered"),
    ("inside.py", "inner = outer", "inner = abs", "what is called under a local name"),
    ("effects.py", "DEPTH = 100", "DEPTH = 200", "what a module does when it is loaded"),
    ("fast.py", "return x", "return -x", "one of two imports"),
    ("slow.py", "x + 0", "x + 1", "the other one"),
]  # fmt: skip
SAME = [
    ("stage.py", "'''What it does.'''", "'''What it does, and why.'''", "a docstring"),
    ("stage.py", "LIMIT = 3", "LIMIT = 3  # at most", "a comment"),
    ("stage.py", "return 1", "return 2", "another function of the entry's module"),
    ("stage.py", "list[Unused]", "list[int]", "an annotation of a function"),
    ("stage.py", "power=LIMIT)", "power = (LIMIT))", "formatting"),
    ("numbers.py", "UNUSED = 7", "UNUSED = 8", "a constant that nobody uses"),
    ("numbers.py", "return value\n", "return -value\n", "what only transport uses"),
    ("numbers.py", "UNUSED = 7", "UNUSED = 7\nclass More:\n    pass\n", "a new class"),
    ("shapes.py", "    pass", "    sides = 1", "another class of a module"),
    ("inside.py", "def inner(x):\n    return x", "def inner(x):\n    return -x",
     "what has the name of a local variable"),
    ("transport.py", "idle(values)", "idle(list(values))", "what declares that it decides nothing"),
    ("unused.py", "pass", "more = 1", "what only type checkers import"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "what"), CHANGES, ids=[row[3] for row in CHANGES])
def test_what_decides_a_value_counts(toy: Path, file: str, old: str, new: str, what: str) -> None:
    before = of_code("toy.stage:run")
    edit(toy / file, old, new)
    assert of_code("toy.stage:run") != before


@pytest.mark.parametrize(("file", "old", "new", "what"), SAME, ids=[row[3] for row in SAME])
def test_nothing_else_counts(toy: Path, file: str, old: str, new: str, what: str) -> None:
    before = of_code("toy.stage:run")
    edit(toy / file, old, new)
    assert of_code("toy.stage:run") == before


def edit(path: Path, old: str, new: str) -> None:
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("entry", ["run", "another"])
def test_the_toy_runs(toy: Path, entry: str) -> None:
    """Its statements are those of real modules: they execute."""
    try:
        from importlib import import_module

        module = import_module("toy.stage")
        assert module.run([1, 2]) > 0
        assert module.another() == 1
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
            del sys.modules[name]


def test_a_module_used_in_a_way_that_cannot_be_followed_counts_as_a_whole(toy: Path) -> None:
    edit(toy / "stage.py", "shapes.Square(2)", "getattr(shapes, 'Square')(2)")
    before = of_code("toy.stage:run")
    edit(toy / "shapes.py", "    pass", "    sides = 1")
    assert of_code("toy.stage:run") != before


def test_what_registers_entries_counts_where_it_is_named(toy: Path) -> None:
    def found() -> list[str]:
        return [of_code("toy.stage:run", *more) for more in ((), ("toy.shapes:Star",))]

    edit(toy / "registry.py", "KNOWN = []", 'KNOWN = []\nREGISTERS_ENTRIES = "a test"')
    before = found()
    edit(toy / "shapes.py", "points = 5", "points = 6")
    after = found()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False]


def test_modules_may_use_each_others_decorators(toy: Path) -> None:
    text = "from toy.shapes import Shape\n@Shape.register\nclass Cube:\n    sides = 6\n"
    edit(toy / "registry.py", "    return cls", f"    return cls\n{text}")
    before = of_code("toy.stage:run")
    edit(toy / "registry.py", "sides = 6", "sides = 7")
    assert of_code("toy.stage:run") != before


def test_relative_imports_are_followed(toy: Path) -> None:
    edit(toy / "stage.py", "from toy.numbers import", "from .numbers import")
    before = of_code("toy.stage:run")
    edit(toy / "numbers.py", "OFFSET = 1", "OFFSET = 2")
    assert of_code("toy.stage:run") != before


@pytest.mark.parametrize("line", ["from . import shapes", "from toy import shapes"])
def test_a_package_may_import_its_own_modules(toy: Path, line: str) -> None:
    (toy / "__init__.py").write_text(f"{line}\n")
    before = of_code("toy.stage:run")
    edit(toy / "shapes.py", "sides = 4", "sides = 5")
    assert of_code("toy.stage:run") != before


def test_definitions_say_what_has_changed(toy: Path) -> None:
    def found() -> fingerprint.Definitions:
        of_code("toy.stage:run")
        return fingerprint.definitions("toy.stage:run")

    before = found()
    edit(toy / "numbers.py", "OFFSET = 1", "OFFSET = 2")
    after = found()
    differ = {(m, n) for m in after for n in after[m] if after[m][n] != before[m].get(n)}
    assert differ == {("toy.numbers", "OFFSET")}


@pytest.mark.parametrize(
    "target", ["rootloom.stages.train:nothing", "rootloom.nothing", "nothing:x"]
)
def test_an_unknown_definition_is_an_error(target: str) -> None:
    with pytest.raises(AttributeError, match="no such"):
        fingerprint.of_code(target)


def test_values_do_not_depend_on_the_order_of_keys() -> None:
    assert of_value({"a": 1, "b": [2]}) == of_value({"b": [2], "a": 1})
    assert of_value({"a": 1}) != of_value({"a": 2})


# What jobs of each stage reach in the library, for one choice of classes.
JOBS: dict[str, list[str]] = {
    "simulate": ["simulate.w_jets:WJets"],
    "index": [],
    "preprocess": ["representations.image:JetImage"],
    "moments": ["representations.image:JetImage"],
    "train": [
        "models.cnn:CNN",
        "tasks.classification:Classification",
        "representations.image:JetImage",
    ],
    "predict": [
        "models.cnn:CNN",
        "tasks.classification:Classification",
        "representations.image:JetImage",
    ],
    "baseline": [
        "baselines.boosted_trees:BoostedTrees",
        "representations.features:FeatureVector",
    ],
    "friends": [],
    "evaluate": ["evaluation.classification.evaluator:Classification"],
    "report": [],
}
NEW = "\n\nclass New:\n    pass\n\n\ndef new():\n    return New\n"
# File, and what is replaced by what (nothing: added at its end).
WITHOUT_EFFECT = [
    ("types.py", "", NEW),
    ("rootio/transport/web.py", "", NEW),
    ("rootio/transport/remote.py", "_LONGEST_WAIT = 60.0", "_LONGEST_WAIT = 90.0"),
    ("rootio/dataset.py", "", NEW),
    ("training/log.py", "np.ones((32, 32))", "np.ones((16, 16))"),
    ("training/progress.py", "_LINE_SECONDS = 30.0", "_LINE_SECONDS = 60.0"),
    ("baselines/base.py", "", NEW),
    ("config/registry.py", '"dnn": "rootloom', '"mlp": "rootloom'),
    ("system/atomic.py", "", NEW),
    ("planning/plan.py", "", NEW),
    ("report/theme.py", "", NEW),
    ("models/maxout.py", "", "\nPIECES = 5\n"),
    ("training/step.py", "", NEW),
    ("representations/sphere.py", "", NEW),
]
# The same, and stages that follow.
WITH_EFFECT = [
    ("report/rounding.py", "leading >= 355", "leading >= 350", "report"),
    ("models/layers.py", "he_uniform()", "he_normal()", "train predict"),
    ("models/convolution.py", "PATCH_BYTES = 1_500_000", "PATCH_BYTES = 1_000",
     "train predict"),
    ("training/feed.py", "_CALL_SECONDS = 0.5", "_CALL_SECONDS = 1.0", "train"),
    ("physics/jets/clustering.py", "RADIUS_OF_ALL = 2.0**300", "RADIUS_OF_ALL = 2.0**200",
     "simulate preprocess moments train predict"),
    ("representations/pixels.py", "_ROUNDING = 1e-9", "_ROUNDING = 1e-8",
     "preprocess moments train predict"),
    ("shards/ids.py", "_OBJECT_BITS = 20", "_OBJECT_BITS = 24",
     "preprocess moments train predict baseline"),
    ("shards/ids.py", "0x466F6C6473", "0x466F6C6472", "train evaluate friends"),
    ("simulate/pythia.py", "_FAILURES_IN_A_ROW = 100", "_FAILURES_IN_A_ROW = 99", "simulate"),
    ("evaluation/uncertainties.py", "CONFIDENCE = 0.6827", "CONFIDENCE = 0.9",
     "evaluate report"),
    ("evaluation/predictions.py", "CHUNK = 65536", "CHUNK = 32768", "predict baseline"),
]  # fmt: skip

PARSED = cache(ast.parse)  # the files that are not edited need not be parsed each time


def codes() -> dict[str, str]:
    of_code("rootloom.types")  # forgets what was read before
    return {
        stage: fingerprint.of_code(STAGES[stage].run, *(f"rootloom.{place}" for place in places))
        for stage, places in JOBS.items()
    }


@pytest.fixture(scope="module")
def unchanged() -> dict[str, str]:
    return codes()


class Edited:
    """Files of the library as they would read with some texts replaced."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.real, self.files = folder, fingerprint._source, dict[Path, Path]()
        monkeypatch.setattr(fingerprint, "_source", self.source)
        monkeypatch.setattr(ast, "parse", PARSED)

    def source(self, module: str) -> Path:
        return self.files.get(self.real(module), self.real(module))

    def edit(self, name: str, old: str, new: str) -> None:
        file = LIBRARY / name
        text = file.read_text()
        assert old in text
        self.files[file] = self.folder / name.replace("/", "-")
        self.files[file].write_text(text.replace(old, new) if old else text + new)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    return Edited(tmp_path, monkeypatch)


def test_edits_of_the_library_that_rerun_nothing(edited: Edited, unchanged: dict[str, str]) -> None:
    for name, old, new in WITHOUT_EFFECT:
        edited.edit(name, old, new)
    assert codes() == unchanged


@pytest.mark.parametrize(
    ("name", "old", "new", "stages"), WITH_EFFECT, ids=[row[1] for row in WITH_EFFECT]
)
def test_what_an_edit_of_the_library_reruns(
    edited: Edited, unchanged: dict[str, str], name: str, old: str, new: str, stages: str
) -> None:
    edited.edit(name, old, new)
    after = codes()
    assert {stage for stage in JOBS if after[stage] != unchanged[stage]} == set(stages.split())


def test_packages_are_those_that_code_imports() -> None:
    places = [f"rootloom.{place}" for place in JOBS["simulate"]]
    found = fingerprint.packages(STAGES["simulate"].run, *places)
    assert found >= {"pythia8mc", "numpy", "awkward", "uproot"}
    assert not found & {"jax", "flax", "json", "rootloom"}
    assert {"jax", "optax"} <= fingerprint.packages(STAGES["train"].run)


def declarations(name: str = "DECIDES_NO_VALUE") -> dict[str, str]:
    """Files of the library that decide no value, and the tests that hold them to it.

    name: of another declaration.
    """
    found = {}
    for file in sorted(LIBRARY.rglob("*.py")):
        match = re.search(rf'^{name} = \(?\s*"(.*)"', file.read_text(), re.MULTILINE)
        if match:
            found[str(file.relative_to(LIBRARY))] = match[1]
    return found


@pytest.mark.parametrize("declared", ["DECIDES_NO_VALUE", "REGISTERS_ENTRIES"])
def test_what_is_declared_is_held_to_by_a_test(declared: str) -> None:
    for file, test in declarations(declared).items():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), file


# All that jobs execute of these rooms. A name that is added here gives back what was written, or
# says who made it: nothing that a result is calculated from.
USED = {
    # See `test_identity.py`: names of jobs are in no number. The other is an error.
    "planning": {"overlap:refusal", "stage:job_of"},
    "cluster": {"running:Preempted", "running:progress"},
    "system": {
        # Files as they were written: `test_digests.py`.
        "atomic:REMAKE", "atomic:atomic_path", "atomic:attributes_of", "atomic:intact",
        "atomic:new_hdf5", "atomic:of_result", "atomic:read_json", "atomic:sealed", "atomic:sweep",
        "atomic:unsealed", "atomic:write_bytes", "atomic:write_json", "atomic:write_text",
        "hdf5:StrangeError", "hdf5:child", "hdf5:numbers", "hdf5:require_sound_heaps",
        "hdf5:subgroup",
        # The files of a job, by a digest in its section, which has their order: `test_filelist.py`.
        "filelist:files_of_job", "filelist:states", "packing:position",
        # Where things lie.
        "kernels:keep_apart", "paths:of_file", "paths:plot_on", "scratch:VARIABLE",
        # What made a result, and what is at fault.
        "faults:pass_on", "faults:require_no_pipe", "hashing:of_value",
        "provenance:fingerprint", "provenance:other_versions", "provenance:read",
        "provenance:record",
    },
}  # fmt: skip


def test_jobs_use_nothing_else_of_these_rooms() -> None:
    """They decide no value: jobs take nothing from them to calculate with."""
    classes = [path for group in REGISTRY.values() for path in group.values()]
    entries = [entry for stage in STAGES.values() for entry in (stage.run, *stage.script_calls)]
    found: dict[str, set[str]] = {room: set() for room in USED}
    for one in fingerprint._reached(*entries, *classes).values():
        for module, name in one.uses:
            room, _, place = f"{module.removeprefix('rootloom.')}.{name}".partition(".")
            if room in found:
                found[room].add(":".join(place.rsplit(".", 1)))
    assert found == USED
    assert issubclass(Preempted, Exception)
    assert progress("index", "rows")(1, 1) is None


def test_what_decides_no_value_handles_no_arrays() -> None:
    named = "test_what_decides_no_value_handles_no_arrays"
    for file in (file for file, test in declarations().items() if test.endswith(named)):
        place = LIBRARY / file
        for one in place.parent.rglob("*.py") if place.name == "__init__.py" else [place]:
            tree = ast.parse(one.read_text())
            imports = (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
            for node in imports:
                named_here = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                roots = {str(name).partition(".")[0] for name in named_here}
                assert not roots & {"numpy", "awkward", "jax", "numba", "scipy", "h5py"}, one
