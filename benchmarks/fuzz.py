"""Whatever is damaged, misspelt or cut short is refused by name: a seeded fuzzer.

    python benchmarks/fuzz.py --cases 2000 --seed 1
    python benchmarks/fuzz.py --kinds yaml,expressions --cases 200
    python benchmarks/fuzz.py --seed 1 --only yaml:17     # one case again, with its traceback

A case is a genuine input with something wrong in it. It may be read, to the same values where they
are checked, or be refused. A traceback, a crash, a hang and a silent difference are faults. Cases
follow from the seed and their number alone. The exit code is the number of kinds of faults, at
most 100.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from rootloom.errors import RootloomError  # noqa: E402

HANG_SECONDS = 60.0
Kind = Callable[[random.Random, Path], str]


class SilentError(Exception):
    """What was damaged was taken, and is not what was written."""


class Fault(NamedTuple):
    """kind, number: which case. what: the last line of it. where: the line of ours it came from."""

    kind: str
    number: int
    what: str
    where: str


# -- damage ----------------------------------------------------------------------------------------


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes lost, repeated or exchanged, or the end cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if not found:
            break
        at, length = rng.randrange(len(found)), rng.choice((1, 1, 2, 4, 16, 256))
        match rng.randrange(7):
            case 0 | 1:
                found[at] ^= 1 << rng.randrange(8)
            case 2:
                found[at] = rng.randrange(256)
            case 3:
                del found[at : at + length]
            case 4:
                found[at:at] = found[at : at + length]
            case 5:
                found[at : at + length] = bytes(len(found[at : at + length]))
            case 6:
                del found[at:]
    return bytes(found)


# -- YAML ------------------------------------------------------------------------------------------

_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**12, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "x",
    "..", "a/b", "{x}", "$(id)", "nan", "1e400", "http://x/y", "831.8 pb", "é", "a" * 5000, [], {},
    [[]], [None], {"kind": None}, {"kind": ["a"]}, {"kind": "dnn"}, [1, "a", {}], "(" * 200,
    "x +", "1 +* 2", "branch(", {"a": {"b": {"c": {}}}},
)  # fmt: skip
_LAUGHS = "".join(
    f"{name}: &{name} [{', '.join([f'*{of}'] * 9 if of else ['x'] * 9)}]\n"
    for of, name in zip(["", *"abcdefgh"], "abcdefghi", strict=True)
)
_TEXTS: tuple[tuple[str, str], ...] = (
    ("\n", "\n\t"), (": ", ":\t"), ("", "\ufeff"), ("\n", "\r"), (": ", ": &a "), (": ", ": *a "),
    (": ", ": !!binary "), (": ", ": !!python/name:os.system "), (": ", ": ["), ("", "- "),
    (": ", ": {<<: *b, "), ("\n", "\n<<: {x: 1}\n"), ("\n", "\n--- \n"), (": ", ": 2001-99-99 "),
    ("\n", "\n? [a, b]\n: c\n"), ("\n", "\nyes: 1\n"), ("\n", "\n1: 1\n"), ("", "\x00"),
    (": ", ": " + "[" * 3000), ("\n", "\n" + _LAUGHS), ("", '"\\ud800": 1\n'), (": ", ": !!int x "),
    ("\n", "\na: &a [*a]\n"), (": ", ": " + "9" * 6000 + " #"), (": ", ": 0x_ #"), (" ", "  "),
)  # fmt: skip


def _value(rng: random.Random) -> Any:
    """A value that fits nowhere; a copy, as later cases must not find what this one does to it."""
    return copy.deepcopy(rng.choice(_VALUES))


def _nodes(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from _nodes(data[key])


def _mutated_tree(text: str, rng: random.Random) -> str:
    data = yaml.safe_load(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_nodes(data))
        if not places:
            break
        inside, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice((f"{key}s", str(key)[1:], "x", "kind", "a b"))] = inside.pop(key)
            case 2 if isinstance(inside, dict):
                inside[rng.choice(("x", "kind", "files", "select"))] = _value(rng)
            case 3:
                inside[key] = rng.choice(places)[0]
                return str(yaml.safe_dump(data, sort_keys=False))
            case _:
                inside[key] = _value(rng)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _mutated_yaml(text: str, rng: random.Random) -> bytes:
    choice = rng.randrange(10)
    if choice < 6:
        return _mutated_tree(text, rng).encode()
    if choice < 8:
        old, new = rng.choice(_TEXTS)
        places = [i for i in range(len(text)) if text.startswith(old, i)] if old else [0]
        at = rng.choice(places or [0])
        return (text[:at] + new + text[at + len(old) :]).encode("utf-8", "surrogatepass")
    if choice == 8:
        lines = text.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
        return "".join(lines).encode(rng.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig")))
    return damaged(text.encode(), rng)


def yaml_case(rng: random.Random, folder: Path) -> str:
    """A shipped configuration with something wrong in one of its files, as a plan."""
    from rootloom.config.documents import read_yaml
    from rootloom.stages import make_plan

    if not (folder / "config").exists():
        shutil.copytree(ROOT / "config", folder / "config")
        (folder / "tests").symlink_to(ROOT / "tests")
    files = sorted((folder / "config").rglob("*.yaml"))
    file = rng.choice(files)
    pristine = (ROOT / file.relative_to(folder)).read_text()
    file.write_bytes(_mutated_yaml(pristine, rng))
    try:
        if file.parent.name == "tables":
            from rootloom.config.sections import Library

            Library(folder / "config").table(file.stem)
            return "read"
        settings = {**read_yaml(folder / "config" / "config.yaml")}
        if file.name != "config.yaml":
            settings["experiment"] = _experiment_with(file)
        plan = make_plan(settings, folder)
        plan.targets()
        for data in plan.datasets:
            named = {"dataset": data.name, "representation": data.representations[0]}
            plan.job("statistics", **named)
    except RootloomError as refusal:
        if not any(word in str(refusal) for word in (".yaml", "schema.json", "files", ".root")):
            raise SilentError(f"a refusal that names no file: {refusal}") from refusal
        raise
    finally:
        file.write_text(pristine)
    return "read"


def weaver_case(rng: random.Random, folder: Path) -> str:
    """A data configuration of weaver-core with something wrong in it, converted."""
    from rootloom.config.sections import Library
    from rootloom.convert.weaver.convert import Request, convert, write

    file, data = folder / "wide.yaml", ROOT / "tests" / "data"
    file.write_bytes(_mutated_yaml((data / "weaver" / "wide.yaml").read_text(), rng))
    train = [str(data / "jetclass2_100.root")] if rng.random() < 0.2 else []
    classes = ["a", "b", "c"] if rng.random() < 0.2 else []
    output = folder / "converted"
    shutil.rmtree(output, ignore_errors=True)
    found = convert(file, Request("wide", train, classes=classes))
    write(found, Library(ROOT / "config"), output, file.name)
    return "read"


def _experiment_with(file: Path) -> str:
    """An experiment that reads a file of the configuration."""
    folder, name = file.parent.name, file.stem
    if folder == "experiments":
        return name if name != "default" else "w-jets"
    key = {"models": "model", "representations": "representation", "datasets": "dataset"}
    for path in sorted((ROOT / "config" / "experiments").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        methods = (content.get("methods") or {}).values()
        named = [content.get("dataset"), *(m.get(key.get(folder, "")) for m in methods)]
        if name in named and path.stem != "default":
            return path.stem
    return name if folder == "datasets" else "w-tagging"


# -- expressions -----------------------------------------------------------------------------------


def _columns() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1)
    return {
        "pt": noise.exponential(50, 40),
        "eta": noise.normal(0, 2, 40),
        "mass": noise.normal(0, 9, 40),
    }


def _expression(rng: random.Random, values: dict[str, Any], depth: int) -> tuple[str, Any]:
    """A random expression, and its value by NumPy."""
    if depth == 0:
        name = rng.choice((*values, "number"))
        if name in values:
            return name, values[name]
        number = rng.choice((0.5, 2.0, 3.25, 1e-3))
        return repr(number), number
    (a, x), (b, y) = (_expression(rng, values, depth - 1) for _ in "ab")
    match rng.randrange(8):
        case 0:
            return f"({a} + {b})", x + y
        case 1:
            return f"({a} - {b})", x - y
        case 2:
            return f"({a} * {b})", x * y
        case 3:
            return f"({a} / {b})", np.divide(x, y)
        case 4:
            return f"maximum({a}, {b})", np.maximum(x, y)
        case 5:
            return f"abs({a})", np.abs(x)
        case 6:
            return f"where(({a}) > ({b}), {a}, {b})", np.where(x > y, x, y)
        case _:
            return f"-({a})", -x


_PIECES = (
    "(", ")", "[", "]", "[:, 0]", "[:, ::0]", "[::]", " & ", " | ", "~", "not ", " < ", " == ",
    " << 99999", " ** 9 ** 9 ** 9", " // 0", " % 0", ".", "..", ",", "=", ":=", "lambda: 0", "'a'",
    '"', "\n", "\\", "\x00", "é", "1e999", "0x", "9" * 5000, "__import__('os')", "branch()",
    "branch('pt', 'x')", "sum(", "sum(pt)", "x.y.z", "pt.__class__", "[i for i in pt]", "{}", "*",
    "f'{pt}'", "await pt", "yield", "True", "None", "...", "-" * 300, "(" * 300, "pt[" * 100,
)  # fmt: skip


def expression_case(rng: random.Random, folder: Path) -> str:
    """An expression with a known value, or one that is nonsense."""
    from rootloom.rootio.expressions import Expression

    values = _columns()
    with np.errstate(all="ignore"):
        text, expected = _expression(rng, values, rng.randrange(1, 5))
    if rng.random() < 0.4:
        found = np.asarray(Expression(text).evaluate(values), np.float64)
        if not np.allclose(found, expected, rtol=1e-12, atol=0, equal_nan=True):
            raise SilentError(f"{text}: {found} in place of {expected}")
        return "read"
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(_PIECES) + text[at + rng.randrange(3) :]
    Expression(text).evaluate(values)
    return "read"


# -- files of ours ---------------------------------------------------------------------------------


def _rows(number: int = 300) -> Any:
    from rootloom.evaluation.predictions import Rows

    noise = np.random.default_rng(3)
    truth = np.arange(number) % 2
    return Rows(
        id=np.arange(number, dtype=np.uint64) + 2**63,
        weight=noise.normal(1, 1, number),
        truth=truth,
        scores=noise.random((number, 1)),
        file=truth,
        entry=np.arange(number),
        object=np.zeros(number),
        aux={"pt": noise.exponential(50, number)},
    )


def _write_predictions(path: Path) -> None:
    from rootloom.evaluation.predictions import Header, Predictions, write_predictions

    named = {"method": "cnn", "classes": ("qcd", "w"), "signal": "w", "columns": ("score",)}
    header = Header(
        **named, files=("q", "w"), experiment="e", probability=True, provenance={"code": "0"}
    )
    write_predictions(path, Predictions(header, _rows()))


def _read_predictions(path: Path) -> Any:
    from rootloom.evaluation.predictions import read_predictions

    found = read_predictions(path)
    rows = {k: np.asarray(v) for k, v in vars(found.rows).items() if k not in ("aux",)}
    aux = {k: np.asarray(v) for k, v in found.rows.aux.items()}
    return {**rows, **aux, "classes": found.header.classes, "signal": found.header.signal}


def _write_shard(path: Path) -> None:
    from rootloom.shards.writer import ShardWriter
    from rootloom.types import Ragged, RowBlock

    noise, number = np.random.default_rng(4), 300
    counts = noise.integers(0, 5, number)
    objects = Ragged(noise.normal(size=counts.sum()), np.concatenate([[0], counts.cumsum()]))
    label, weight = noise.integers(0, 2, number), noise.normal(1, 1, number)
    columns = {"x.pt": noise.exponential(50, number).astype(np.float32), "x.jets": objects}
    block = RowBlock(np.arange(number), np.zeros(number, np.int32), label, weight, {})
    shares = {"train": 0.5, "validation": 0.3, "test": 0.2}
    with ShardWriter(path, file_key="f", splits=shares) as writer:
        writer.append(block, columns)


def _read_shard(path: Path) -> Any:
    from rootloom.shards.reader import Shard
    from rootloom.types import SPLITS, Ragged

    found: dict[str, Any] = {}
    with Shard(path) as shard:
        found["attributes"] = dict(shard.attributes)
        for split in SPLITS:
            for name, column in shard.read(split, None, 0, shard.rows(split)).items():
                parts = (column.values, column.offsets) if isinstance(column, Ragged) else (column,)
                for part, values in enumerate(parts):
                    found[f"{split}/{name}/{part}"] = np.asarray(values)
    return found


def _write_catalogue(path: Path) -> None:
    from rootloom.rootio.catalogue import Catalogue
    from rootloom.rootio.header import inspect

    catalogue = Catalogue()
    source = ROOT / "tests" / "data" / "nano_dy.root"
    catalogue.add("a", "1", inspect(str(source), "Events"))
    catalogue.set_aside("b", "2", "damaged")
    catalogue.write(path, {"code": "0"})


def _read_catalogue(path: Path) -> Any:
    from rootloom.rootio.catalogue import Catalogue

    found = Catalogue.read(path)
    return {"header": found.header("a"), "reason": found.reason("b"), "aside": found.header("b")}


def _write_manifest(path: Path) -> None:
    from rootloom.shards.manifest import Entry, Manifest

    entries = {name: Entry(f"{name}.root", 7, (f"{name}.h5",), ("f" * 16,), 0.5) for name in "abc"}
    Manifest(entries).write(path, {"code": "0"})


def _read_manifest(path: Path) -> Any:
    from rootloom.shards.manifest import Manifest

    return dict(Manifest.read(path).files)


def _write_statistics(path: Path) -> None:
    from rootloom.planning.stage import Job
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.sums import UNBINNED, SampleSums, training_sums
    from rootloom.stages.shared import write_sums

    noise = np.random.default_rng(5)
    label, weight = noise.integers(0, 2, 90), noise.normal(1, 1, 90)
    sums = SampleSums.of_rows(("a", "b"), "train", label, weight)
    sums.training[UNBINNED] = training_sums(weight, label, 2, 1)  # type: ignore[index]
    content = json.loads(Statistics(("a", "b"), {"": sums}).to_json())
    job: Job = {"section": {}, "code": "0", "upstream": "0", "fingerprint": "0"}
    write_sums(str(path), content, "statistics", job)


def _read_statistics(path: Path) -> Any:
    from rootloom.shards.statistics import Statistics

    return json.loads(Statistics.read(str(path)).to_json())


def _write_model(path: Path) -> None:
    from rootloom.training.trained import Trained, save

    arrays = {"dense": {"kernel": np.random.default_rng(6).normal(size=(5, 3)).astype(np.float32)}}
    sections = {"model": {"kind": "dnn"}, "representation": {"kind": "features"}}
    rest = {"task": {}, "statistics": {}, "classes": ["a", "b"], "metrics": {"auc": 0.5}}
    save(path, Trained(params=arrays, **sections, **rest, provenance={"code": "0"}))


def _read_model(path: Path) -> Any:
    from rootloom.training.trained import load

    found = load(path)
    rest = {k: v for k, v in vars(found).items() if k not in ("params", "provenance")}
    return {"kernel": np.asarray(found.params["dense"]["kernel"]), **rest}


_READER: dict[str, Any] = {
    "tree": "t", "rows": "Jet", "variables": {"pt": "Jet_pt / 1000"}, "select": "Jet_pt > 20",
    "objects": {}, "gather": {}, "weight": "w", "training_weight": None, "targets": {},
    "sum_of_weights": ["Runs", "sum"], "splits": {"test": "n % 2 == 0"}, "mentions": [],
    "identity": ["run", "event"], "friends": {"f": {"tree": "g", "by": ["run", "event"]}},
    "classes": [{"name": "a", "where": "x > 0", "by_file": False}],
}  # fmt: skip


def _write_bundle(path: Path) -> None:
    from rootloom.export.bundle import (
        Bundle,
        CheckSample,
        Metric,
        Partition,
        Source,
        WorkingPoint,
        save,
    )
    from rootloom.shards.ids import HASH
    from rootloom.types import Ragged

    rng = np.random.default_rng(7)
    point = {"by": "signal_efficiency", "target": 0.5, "threshold": 0.7, "error": None}
    shares = {"signal_efficiency": 0.5, "background_efficiency": 0.1}
    offsets = np.array([0, 2, 2, 5])
    columns = {
        "id": np.arange(3, dtype=np.uint64),
        "x.pt": rng.normal(size=3).astype(np.float32),
        "parts.px": Ragged(rng.normal(size=5).astype(np.float32), offsets),
    }
    save(
        path,
        Bundle(
            experiment="e",
            method="m",
            dataset="d",
            members=[0, 3],
            sources={"": Source(reader=_READER, friends={"f": "{stem}.root"})},
            partition=Partition(shares={"train": 1.0}, folds=0, simulated=False, hash=HASH),
            representation={"kind": "features", "name": "f", "variables": ["pt"]},
            model={"kind": "dnn"},
            task={},
            classes=["a", "b"],
            targets=[],
            columns=["score"],
            statistics={},
            trainings=[{"parameters": 3}, {"parameters": 3}],
            working_points=[WorkingPoint(**point, **shares, signal="b", column="score")],
            metrics={"auc": Metric(value=0.5, error=0.1)},
            device="cpu",
            provenance={"code": "0"},
            params=[{"w": rng.normal(size=(5, 3)).astype(np.float32)} for _ in range(2)],
            check=CheckSample(columns, rng.random((2, 3, 1)).astype(np.float32)),
        ),
    )


def _read_bundle(path: Path) -> Any:
    from rootloom.export.bundle import load

    found = load(path)
    rest = {k: v for k, v in vars(found).items() if k not in ("params", "check", "provenance")}
    parts = found.check.columns["parts.px"]
    arrays = {str(k): np.asarray(params["w"]) for k, params in enumerate(found.params)}
    sample = {"values": parts.values, "offsets": parts.offsets, "scores": found.check.scores}
    return {"arrays": arrays, "sample": sample, **rest}


class Format(NamedTuple):
    """name of a file, how it is written, and what is read of it."""

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]


_JSON = (
    Format("index.json", _write_catalogue, _read_catalogue),
    Format("manifest.json", _write_manifest, _read_manifest),
    Format("statistics.json", _write_statistics, _read_statistics),
)
_HDF5 = (
    Format("predictions.h5", _write_predictions, _read_predictions),
    Format("shard.h5", _write_shard, _read_shard),
)
_MODELS = (
    Format("model.safetensors", _write_model, _read_model),
    Format("bundle.safetensors", _write_bundle, _read_bundle),
)


def _is_checked(data: bytes, name: str) -> bool:
    """Whether a file says by a digest what it holds; HDF5 data sets are summed by HDF5."""
    return name.endswith(".h5") or b"digest" in data


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and bool(
            np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
        )
    return bool(a == b)


def _write_pristine(chosen: Format, path: Path) -> None:
    try:
        chosen.write(path)
        chosen.read(path)
    except RootloomError as refusal:
        raise SilentError(f"{chosen.name} is refused as it was written: {refusal}") from refusal


def _damaged_file(formats: Sequence[Format]) -> Kind:
    def case(rng: random.Random, folder: Path) -> str:
        chosen = rng.choice(formats)
        path, pristine = folder / chosen.name, folder / f"pristine-{chosen.name}"
        if not pristine.exists():
            _write_pristine(chosen, pristine)
        data = pristine.read_bytes()
        path.write_bytes(_damaged_json(data, rng) if path.suffix == ".json" else damaged(data, rng))
        found = chosen.read(path)
        if _is_checked(data, chosen.name) and not _same(found, chosen.read(pristine)):
            raise SilentError(f"{chosen.name} is read, and other than it was written")
        return "read"

    return case


def stranger_case(rng: random.Random, folder: Path) -> str:
    """A bundle that somebody changed, checksum and all: how rows are read, and what is stored."""
    from rootloom.export.bundle import load
    from rootloom.stages.readings import Readings
    from rootloom.training import tensors

    path, pristine = folder / "changed.safetensors", folder / "pristine.safetensors"
    if not pristine.exists():
        _write_bundle(pristine)
        Readings(load(pristine), str(pristine)).of()
    arrays, content = tensors.read(pristine)
    if rng.random() < 0.3:
        name = rng.choice(list(arrays))
        shapes = [np.zeros(2), np.zeros((2, 2), np.int32), arrays[name][:1], arrays[name].T]
        arrays[rng.choice((name, f"{name}/x", "x"))] = rng.choice(shapes)
    else:
        inside, key = rng.choice(list(_nodes(content)))
        if rng.random() < 0.2:
            del inside[key]
        else:
            inside[key] = _value(rng)
    tensors.write(path, arrays, content)
    found = load(path)
    Readings(found, str(path)).of()
    return "read"


def _damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Half of them as a disk damages files, half as an editor does."""
    if rng.random() < 0.5:
        return damaged(data, rng)
    content = json.loads(data)
    inside, key = rng.choice(list(_nodes(content)))
    if rng.random() < 0.2:
        del inside[key]
    else:
        inside[key] = _value(rng)
    return json.dumps(content).encode()


# -- ROOT ------------------------------------------------------------------------------------------

_ROOT_FILES = (
    ("nano_dy.root", "Events", "MET_pt", "Jet_pt"),
    ("nano_dy_rntuple.root", "Events", "MET_pt", "Jet_pt"),
    ("uproot-HZZ-lzma.root", "events", "MET_px", "Jet_Px"),
)


def root_case(rng: random.Random, folder: Path) -> str:
    """A ROOT file with damage, from its trees to its rows."""
    from rootloom.rootio.dataset import ClassRule, RowReader
    from rootloom.rootio.header import inspect, trees

    name, tree, variable, objects = rng.choice(_ROOT_FILES)
    path = folder / "input.root"
    path.write_bytes(damaged((ROOT / "tests" / "data" / name).read_bytes(), rng))
    trees(str(path))
    header = inspect(str(path), tree)
    rule = ClassRule(name="a", where=f"{variable} == {variable}")
    reader = RowReader(tree, {"x": variable}, {"jets": {"pt": objects}}, classes=(rule,))
    reader = reader.fitted(header.branches)
    for _ in reader.read(str(path), 0, min(header.entries, 10_000)):
        pass
    return "read"


# -- machines --------------------------------------------------------------------------------------

_WRITTEN = (*_JSON, *_HDF5, *_MODELS)


def full_case(rng: random.Random, folder: Path) -> str:
    """No room from some byte on: a refusal, and what was there stays whole."""
    chosen = rng.choice(_WRITTEN)
    path = folder / "full" / chosen.name
    chosen.write(path)
    before, limit = path.read_bytes(), rng.randrange(path.stat().st_size)
    code = _in_child(lambda: _with_limit(limit, lambda: chosen.write(path)))
    if code != 1:
        raise SilentError(f"{chosen.name}: no refusal with room for {limit} bytes, but {code}")
    if path.read_bytes() != before:
        raise SilentError(f"{chosen.name}: changed where there was no room")
    if left := [p.name for p in path.parent.iterdir() if ".partial" in p.name]:
        raise SilentError(f"left behind: {left}")
    return "refused"


def kill_case(rng: random.Random, folder: Path) -> str:
    """SIGKILL at any time: the name holds a whole file or none, and writing goes on."""
    chosen = rng.choice(_WRITTEN)
    path = folder / "kill" / chosen.name
    path.unlink(missing_ok=True)
    pristine = folder / "kill" / f"pristine-{chosen.name}"
    if not pristine.exists():
        chosen.write(pristine)

    def write() -> None:
        while True:
            chosen.write(path)

    child = os.fork()
    if child == 0:
        _quietly(write)
    time.sleep(rng.random() * 0.06)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if path.exists() and not _same(chosen.read(path), chosen.read(pristine)):
        raise SilentError(f"{chosen.name}: not what was written")
    chosen.write(path)
    chosen.read(path)
    return "read"


def _with_limit(limit: int, action: Callable[[], None]) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    action()


def _in_child(action: Callable[[], None]) -> int:
    """0: done; 1: refused; 2: anything else; negative: the signal that ended it."""
    child = os.fork()
    if child == 0:
        _quietly(action)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _quietly(action: Callable[[], None]) -> None:
    code = 2
    try:
        action()
        code = 0
    except RootloomError:
        code = 1
    finally:
        os._exit(code)


KINDS: dict[str, Kind] = {
    "yaml": yaml_case,
    "weaver": weaver_case,
    "expressions": expression_case,
    "json": _damaged_file(_JSON),
    "hdf5": _damaged_file(_HDF5),
    "models": _damaged_file(_MODELS),
    "strangers": stranger_case,
    "root": root_case,
    "full": full_case,
    "kill": kill_case,
}


# -- the run ---------------------------------------------------------------------------------------


def run_case(kind: str, number: int, seed: int, folder: Path) -> tuple[str, Fault | None]:
    """What became of a case: "read" or "refused", or a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed}/{kind}/{number}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return KINDS[kind](rng, folder), None
    except RootloomError:
        return "refused", None
    except (Exception, RecursionError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return "fault", Fault(kind, number, what, _place(error))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "rootloom" in f.filename]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def run(
    cases: Sequence[tuple[str, int]], seed: int, folder: Path, seconds: float = HANG_SECONDS
) -> tuple[Counter[str], list[Fault]]:
    """All cases in a process of their own, which is started again after one that ended it."""
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    done = 0
    while done < len(cases):
        end, begin = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end)
            _work(cases[done:], seed, folder, begin)
        os.close(begin)
        for outcome, fault in _answers(end, seconds, len(cases) - done):
            counts[f"{cases[done][0]}: {outcome}"] += 1
            faults += [fault] if fault else []
            done += 1
        os.close(end)
        with_signal = _ended(child)
        if done < len(cases):  # it neither answered nor goes on
            kind, number = cases[done]
            what = "hang" if with_signal is None else f"ended by signal {with_signal}"
            faults.append(Fault(kind, number, what, ""))
            counts[f"{kind}: fault"] += 1
            done += 1
    return counts, faults


def _work(cases: Sequence[tuple[str, int]], seed: int, folder: Path, answers: int) -> None:
    with os.fdopen(answers, "w") as stream:
        for kind, number in cases:
            print(json.dumps(run_case(kind, number, seed, folder / kind)), file=stream, flush=True)
    os._exit(0)


def _answers(end: int, seconds: float, cases: int) -> Iterator[tuple[str, Fault | None]]:
    held = b""
    while cases:
        ready, _, _ = select.select([end], [], [], seconds)
        data = os.read(end, 65_536) if ready else b""
        if not data:
            return
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            outcome, fault = json.loads(line)
            cases -= 1
            yield outcome, Fault(*fault) if fault else None


def _ended(child: int) -> int | None:
    """The signal that ended a child; None for one that had to be ended here."""
    found, status = os.waitpid(child, os.WNOHANG)
    if not found:
        time.sleep(0.2)
        found, status = os.waitpid(child, os.WNOHANG)
    if found:
        return -os.waitstatus_to_exitcode(status)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def fuzz(
    kinds: Sequence[str], cases: int, seed: int, folder: Path
) -> tuple[Counter[str], list[Fault]]:
    """`cases` of these kinds, in turn."""
    return run([(kinds[n % len(kinds)], n // len(kinds)) for n in range(cases)], seed, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one case, with its traceback")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder = Path(temporary)
        if options.only:
            kind, _, number = options.only.partition(":")
            rng = random.Random(f"{options.seed}/{kind}/{number}")
            (folder / kind).mkdir()
            print(KINDS[kind](rng, folder / kind))
            return 0
        started = time.monotonic()
        counts, faults = fuzz(options.kinds.split(","), options.cases, options.seed, folder)
        for name, count in sorted(counts.items()):
            print(f"{count:6} {name}")
        return _report(faults, time.monotonic() - started)


def _report(faults: Sequence[Fault], seconds: float) -> int:
    by_place: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in faults:
        by_place.setdefault((fault.kind, fault.what.partition(":")[0], fault.where), []).append(
            fault
        )
    for (kind, _, where), found in sorted(by_place.items()):
        numbers = ", ".join(str(fault.number) for fault in found[:5])
        print(f"{kind}: {len(found)} × {found[0].what}\n    at {where}; cases {numbers}")
    print(f"{len(faults)} faults of {len(by_place)} kinds, {seconds:.0f} s")
    return min(len(by_place), 100)


if __name__ == "__main__":
    sys.exit(main())
