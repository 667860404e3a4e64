"""`rootloom convert weaver`: a data configuration becomes dataset, representation, experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rootloom.config import registry
from rootloom.config.parsing import parse
from rootloom.config.sections import Dataset, Experiment, Library
from rootloom.convert.weaver import sections
from rootloom.convert.weaver.dataset import Quantities, dataset, needed, quantities, selection
from rootloom.convert.weaver.document import Document
from rootloom.convert.weaver.inputs import Inputs, read_inputs
from rootloom.convert.weaver.labels import Labels, read_labels
from rootloom.convert.weaver.standard import standardised
from rootloom.convert.weaver.translation import Translator
from rootloom.convert.weaver.weights import Weights, read_weights
from rootloom.convert.weaver.writing import text_of
from rootloom.errors import ConfigError, naming
from rootloom.rootio.header import survey
from rootloom.rootio.syntax import inlined
from rootloom.rootio.transport.source import expand
from rootloom.system.atomic import require_absent, write_text

_KEYS = (
    "treename", "selection", "new_variables", "preprocess", "inputs", "labels", "weights",
    "observers", "test_time_selection", "branch_magic", "file_magic", "monitor_variables",
    "bucketing",
)  # fmt: skip
# Keys without a counterpart, and what is in their place.
_REFUSED = {
    "test_time_selection": "; another dataset with its own `select`, see docs/datasets.md",
    "branch_magic": '; branch("one", "another") names the first branch that a file has',
    "file_magic": "; samples and classes have files of their own, see docs/weights.md",
    "monitor_variables": "; `observers` are stored with the predictions",
    "bucketing": "",
}
_GIVE_FILES = "give --data-train, or convert the .auto.yaml that weaver-core has written"
TO_FILL_IN = "FILL-IN/*.root"
_TREE = "tree"


@dataclass(frozen=True)
class Request:
    """What is asked of a conversion, besides the file.

    name: of the files that are written. train, test: patterns of files. tree: of the files.
    classes, numbers: see `read_labels`.
    """

    name: str
    train: Sequence[str] = ()
    test: Sequence[str] = ()
    tree: str | None = None
    classes: Sequence[str] = ()
    numbers: bool = False


@dataclass(frozen=True)
class Converted:
    """Sections by their path below `config/`. notes: for the user."""

    files: Mapping[str, dict[str, Any]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reading:
    """What a file says."""

    document: Document
    translator: Translator
    inputs: Inputs
    labels: Labels
    weights: Weights

    @classmethod
    def of(cls, path: Path, request: Request) -> _Reading:
        """The content of a file; problems are noted in the document."""
        document = Document.read(path)
        for key in document.section(keys=_KEYS):
            if key in _REFUSED and document.content[key]:
                document.refuse((key,), f"has no counterpart{_REFUSED[key]}")
        named = document.section("new_variables")
        texts = {name: document.expression("new_variables", name) for name in named}
        translator = Translator(texts)
        inputs = read_inputs(document, translator)
        labels = read_labels(document, translator, request.classes, request.numbers)
        weights = read_weights(document, translator, labels.classes)
        if weights.reweight and not labels.classes:
            document.refuse(("weights",), "expected classes to reweight, found numbers as labels")
        return cls(document, translator, inputs, labels, weights)

    def sections(self) -> tuple[Quantities, dict[str, Any]]:
        """The quantities and the dataset. Raises ConfigError with all problems, if there are."""
        found = quantities(self.document, self.translator, self.inputs)
        section = dataset(self.document, self.translator, found, self.labels, self.weights)
        for name, problem in self.translator.failed.items():
            self.document.refuse(("new_variables", name), problem)
        self.document.require_none()
        return found, section


def convert(path: Path, request: Request) -> Converted:
    """The sections of a data configuration.

    Raises ConfigError with every line of the file that has no counterpart, InputError for files
    that cannot be read.
    """
    reading = _Reading.of(path, request)
    unknown = () if request.train else tuple(_without_numbers(reading.document, reading.inputs))
    reading.sections()  # refuses before any file is read
    files = [file.url for file in expand(request.train)] if request.train else []
    tree = request.tree or reading.document.text("treename") or _only_tree(files)
    if files:
        reading = replace(reading, inputs=_with_numbers(reading, files, tree or ""))
    found, section = reading.sections()
    head = {
        "description": f"Converted from {path.name} of weaver-core.",
        **_source(reading.labels, request.train or [TO_FILL_IN]),
        "tree": tree or _TREE,
    }
    notes = (*reading.labels.notes, *reading.weights.notes, *unknown)
    notes = (*notes, *sections.unread(reading.inputs), *_missing(request, tree))
    return Converted(_files(request, reading, found, {**head, **section}), notes)


def _without_numbers(document: Document, inputs: Inputs) -> Iterator[str]:
    """What becomes of automatic standardisation if there are no files, in which to find medians."""
    for group in inputs.groups:
        for variable in group.variables:
            if variable.scaling.is_auto and group.role in ("points", "vectors"):
                document.refuse(variable.place, f"numbers of '{variable.name}': {_GIVE_FILES}")
    if any(variable.scaling.is_auto for variable in inputs.variables()):
        yield (
            "variables with automatic standardisation get mean and standard deviation of the "
            f"training split, not weaver-core's median and quantiles: for these {_GIVE_FILES}"
        )


def _only_tree(files: Sequence[str]) -> str | None:
    """The tree of the first file, which must have one alone; None without files."""
    if not files:
        return None
    names = [tree.name for tree in survey(files[0])]
    if len(names) != 1:
        raise ConfigError(
            files[0],
            expected="one tree, or --tree NAME",
            found=", ".join(names) or "no tree",
        )
    return names[0]


def _with_numbers(reading: _Reading, files: Sequence[str], tree: str) -> Inputs:
    """The inputs with centres and scales that are found in the files."""
    document, translator, inputs = reading.document, reading.translator, reading.inputs
    auto = {
        (variable.name, group.role == "row")
        for group in inputs.groups
        for variable in group.variables
        if variable.scaling.is_auto
    }
    if not auto:
        return inputs
    chosen = selection(document, translator)
    named = [translator.translated(name).text for name, _ in auto]
    texts = needed([*named, *([chosen] if chosen else [])], translator)

    def whole(text: str) -> str:
        return inlined(text, texts)

    found = standardised(
        files,
        tree,
        {name: whole(name) for name, of_row in sorted(auto) if of_row},
        {name: whole(name) for name, of_row in sorted(auto) if not of_row},
        select=None if chosen is None else whole(chosen),
        fraction=float(document.section("preprocess").get("data_fraction", 0.1)),
    )
    return inputs.with_numbers(found)


def _missing(request: Request, tree: str | None) -> list[str]:
    """What users must write themselves."""
    where = f"datasets/{request.name}.yaml"
    found = [] if request.train else [f"{where}: write the files in place of {TO_FILL_IN}"]
    return found if tree else [*found, f"{where}: write the name of the tree, if not '{_TREE}'"]


def _source(labels: Labels, files: Sequence[str]) -> dict[str, Any]:
    """Where rows come from: without classes, one class has all files."""
    return {"files": [*files]} if labels.classes else {"classes": {"all": {"files": [*files]}}}


def _files(
    request: Request, reading: _Reading, of: Quantities, section: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    name, inputs, labels = request.name, reading.inputs, reading.labels
    network, own = sections.model(inputs)
    found = {
        f"datasets/{name}.yaml": section,
        f"representations/{name}.yaml": sections.representation(inputs, of),
    }
    if own is not None:
        network = name
        found[f"models/{name}.yaml"] = own
    if request.test:
        found[f"datasets/{name}-test.yaml"] = {
            "like": name,
            **_source(labels, request.test),
            "splits": {"train": 0, "validation": 0, "test": 1},
        }
    tested = bool(request.test)
    found[f"experiments/{name}.yaml"] = sections.experiment(name, labels, network, tested=tested)
    return found


def write(converted: Converted, library: Library, output: Path, source: str) -> list[Path]:
    """Check the sections and write them below `output`; the paths of the files.

    Raises ConfigError if one of the files exists, before anything is written.
    """
    paths = {output / name: section for name, section in converted.files.items()}
    for path in paths:
        require_absent(path)
    for path, section in paths.items():
        _check(library, path, section)
    for path, section in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text_of(section, f"From {source}, by `rootloom convert weaver`."))
    return list(paths)


def _check(library: Library, path: Path, section: dict[str, Any]) -> None:
    folder = path.parent.name
    if folder == "datasets" and "like" not in section:
        parse(Dataset, section, str(path))
    elif folder == "experiments":
        parse(Experiment, section, str(path))
    elif folder in ("representations", "models"):
        library.check(folder, section, str(path))
        with naming(str(path)):
            registry.build(folder, section)  # refuses fields that do not go together
