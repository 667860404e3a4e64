"""The configuration: typed, without unknown keys; errors name the nearest fix.

The classes below are the sections that the workflow itself uses. A section `{kind: name, …}`
belongs to a class in another room, whose fields are its configuration. It is checked against
`config/schema.json`, which `rootloom schema` generates from those classes, so that reading a
configuration imports no heavy package. Only users' own classes, "package.module:Class", are
imported for the check.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rootloom.config import classes, own
from rootloom.config.documents import read_yaml, shown
from rootloom.config.parsing import Validator, kinds_in, parse, schema_refusal
from rootloom.errors import ConfigError, nearest, require_known
from rootloom.system.paths import TAKEN_BY_DATASETS, TAKEN_BY_EXPERIMENTS, check_name
from rootloom.types import TARGET

Name = str
Fields = dict[str, Any]  # of a section whose class its `kind` names
# One of these keys of a dataset says where its rows come from, unless its classes do.
_SOURCES = {"simulate", "files", "samples"}
Share = Annotated[float, Field(ge=0, le=1)]
# A number is an expression as well: `weight: 1`.
ExpressionText = Annotated[
    str, BeforeValidator(lambda v: repr(v) if type(v) in (int, float) else v)
]


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false for numbers: `members: true` would be one member."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = kinds_in(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("a number")
        return value


class Settings(Section):
    """`config/config.yaml` and `--config`: what to run and where results go."""

    experiment: str = Field("w-tagging", description="a file of config/experiments, or a dataset")
    size: str = Field("demo", description="amount of simulated events: a key of `files`")
    results: str = Field("results", description="directory of all outputs")
    job_minutes: float = Field(
        2,
        gt=0,
        le=1_000_000,
        description="target duration of a job on many files; 20 or more on a busy cluster",
    )
    strict_versions: bool = Field(
        False,
        description="whether a result is computed again if a package that its code imports has "
        "changed its version",
    )


class Rates(Section):
    """`config/rates.yaml`: the time that a file takes, as measured by `rootloom rates`."""

    seconds_per_file: float = Field(gt=0, description="time per file, whatever its size")
    seconds_per_megabyte: float = Field(gt=0, description="with the slowest representation")
    simulated_row_bytes: float = Field(gt=0, description="size of one row in a simulated file")
    remote_megabytes: float = Field(gt=0, description="assumed size of a file with a URL")

    def seconds(self, size: float) -> float:
        """Expected duration for a file of `size` bytes."""
        return self.seconds_per_file + self.seconds_per_megabyte * size / 1e6


class Simulation(Section):
    """An embedded source of events."""

    source: Fields = Field(description="kind of the source and its fields")
    files: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        description="number of files per class, for each `size`"
    )
    rows_per_file: int = Field(gt=0, le=1_000_000_000, description="rows in each file")
    row_bytes: float | None = Field(
        None, gt=0, description="size of a row in its files, if far from that in config/rates.yaml"
    )
    seed: int = Field(1, ge=0, description="random seed; another one gives other events")


class SumOfWeights(Section):
    """Where a file stores the sum of its event weights before any selection."""

    tree: str = Field(description="name of the tree, such as Runs in NanoAOD")
    branch: str = Field(description="such as genEventSumw; summed over the tree's entries")


class FriendTree(Section):
    """A further tree; `NAME.branch` is a branch of the friend called NAME."""

    file: str | None = Field(
        None,
        description="path or URL; {stem}, {folder} and {key} stand for those of the dataset's "
        "file; default: that file itself",
    )
    tree: str | None = Field(None, description="name of the TTree or RNTuple; default: its own")
    by: list[str] | None = Field(
        None,
        description="integer branches of both trees whose values identify matching entries; "
        "default: trees are matched entry by entry",
    )


# A path is a friend as well: `friends: {tagger: scores.root}`.
Friend = Annotated[FriendTree, BeforeValidator(lambda v: {"file": v} if isinstance(v, str) else v)]


class FromFiles(Section):
    """Keys for some of the files; all other keys are taken from the dataset."""

    files: list[str] | None = Field(None, description="paths, globs or URLs")
    tree: str | None = Field(None, description="name of the TTree or RNTuple")
    friends: dict[Name, Friend] = Field({}, description="replaces all `friends` of the dataset")
    select: ExpressionText | None = Field(None, description="expression, true for the rows to keep")
    weight: ExpressionText | None = Field(
        None, description="expression of the event weight; null: 1, as for data"
    )
    training_weight: ExpressionText | None = Field(
        None, description="replaces the dataset's training_weight; null: none"
    )
    define: dict[Name, ExpressionText] = Field(
        {}, description="replaces the dataset's expressions of the definitions with these names"
    )
    variables: dict[Name, ExpressionText] = Field(
        {}, description="replaces the dataset's expressions of the variables with these names"
    )
    objects: dict[Name, dict[Name, ExpressionText]] = Field(
        {}, description="replaces the dataset's expressions of these quantities of objects"
    )
    targets: dict[Name, ExpressionText] = Field(
        {}, description="replaces the dataset's expressions of the targets with these names"
    )
    cross_section: float | None = Field(
        None, gt=0, description="pb; event weights are scaled to cross section × luminosity"
    )
    sum_of_weights: SumOfWeights | float | None = Field(
        None,
        description="sum of weights of all generated events before any selection, or where to find "
        "it; default: it is counted in the files",
    )

    @field_validator("sum_of_weights", mode="before")
    @classmethod
    def _number_or_place(cls, value: object) -> object:
        if value is None or isinstance(value, dict | SumOfWeights):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ValueError("a positive number, or {tree: …, branch: …}")
        return float(value)

    @model_validator(mode="after")
    def _something_to_scale(self) -> FromFiles:
        if self.sum_of_weights is not None and self.cross_section is None:
            raise ValueError("sum_of_weights needs a cross_section, which is divided by it")
        return self


class Sample(FromFiles):
    """Files of one physics process."""

    label: str | None = Field(
        None,
        alias="class",
        description="class of all its rows; default: by `where` of the classes",
    )

    @model_validator(mode="after")
    def _has_files(self) -> Sample:
        if not self.files:
            raise ValueError("a sample needs files")
        return self


class ClassRule(FromFiles):
    """Which rows belong to a class: those of a process, of some files, or of an expression."""

    alone: ClassVar[str] = "where"  # the key that a text in place of the section is meant for

    process: str | None = Field(None, description="process of the embedded source")
    where: ExpressionText | None = Field(None, description="expression, true for rows of the class")


class Splits(Section):
    """Which events are used for training, validation and testing.

    A split is an expression, such as that of an official split, or a share of all other events,
    which are chosen by the hash of the event's identity. By default 70 % are for training, 10 % for
    validation and 20 % for testing. In a dataset without training the shares may be 0, 0 and 1.
    """

    train: Share | str = Field(
        default=0.7, description="share of events, or expression that is true for them"
    )
    validation: Share | str = Field(
        default=0.1, description="likewise, for the events that decide which epoch is best"
    )
    test: Share | str = Field(default=0.2, description="likewise, for the events of the evaluation")

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_as_text(cls, value: object) -> object:
        try:
            number = float(value) if isinstance(value, str) else None
        except ValueError:
            return value
        if number is not None:
            raise ValueError("a share of all events, or an expression of branches")
        return value

    @model_validator(mode="after")
    def _sum_to_one(self) -> Splits:
        shares = self.shares()
        if shares and abs(sum(shares.values()) - 1) > 1e-9:
            raise ValueError(f"{' + '.join(shares)} must be 1{self._left_out()}")
        return self

    def _left_out(self) -> str:
        """Defaults that the sum of shares contains, in words."""
        given = self.shares()
        left = [f"{n}, which counts {given[n]:g}" for n in given if n not in self.model_fields_set]
        return f" (left out: {', and '.join(left)}); write all of them" if left else ""

    def shares(self) -> dict[str, float]:
        """Shares of the splits that are chosen by hash."""
        return {name: share for name, share in self if isinstance(share, float)}

    def expressions(self) -> dict[str, str]:
        """Expressions of the splits that have one."""
        return {name: where for name, where in self if isinstance(where, str)}


class Index(Section):
    """Where a file says which row each object, or each link to one, belongs to."""

    row: ExpressionText = Field(description="index of the row, negative for none")
    object: ExpressionText | None = Field(
        None,
        description="index of the object, if `row` is a branch of a table of links; default: `row` "
        "is a branch of the objects themselves",
    )


class Gather(Section):
    """Which objects of another collection belong to a row that is itself an object."""

    of: str = Field(description="the collection, such as PFCands, whose objects are gathered")
    index: Index | None = Field(None, description="by indices, as in NanoAOD")
    links: ExpressionText | None = Field(
        None, description="by a branch of the rows with ElementLinks, as in PHYSLITE"
    )
    references: ExpressionText | None = Field(
        None,
        description="by a branch of the rows with a TRefArray, as in Delphes; refers to branch "
        "fUniqueID of `of`, references to other collections do not count",
    )
    within: float | None = Field(None, gt=0, description="by distance: ΔR below this")
    shared: bool = Field(
        True,
        description="whether an object within the distance of several rows belongs to all of them, "
        "or to the nearest alone",
    )
    direction: tuple[ExpressionText, ExpressionText] | None = Field(
        None, description="η and φ of the objects; default: their branches eta and phi"
    )
    row_direction: tuple[ExpressionText, ExpressionText] | None = Field(
        None, description="η and φ of the rows; default: their branches eta and phi"
    )
    select: ExpressionText | None = Field(None, description="true for the objects to keep")
    sort: ExpressionText | None = Field(
        None, description="the object with the largest value first; default: the file's order"
    )
    most: int | None = Field(None, ge=1, description="objects kept of each row, the first ones")

    @model_validator(mode="after")
    def _one_way(self) -> Gather:
        ways = ("index", "links", "references", "within")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of: {', '.join(ways)}")
        near = {"shared", "direction", "row_direction"} & self.model_fields_set
        if near and self.within is None:
            raise ValueError(f"'{min(near)}' belongs to `within`")
        return self

    def rule(self, rows: str) -> Fields:
        """Fields of the rule of a reader; rows: the collection of the rows."""
        found = self.model_dump(include={"of", "links", "references", "select", "sort", "most"})
        found |= self.index.model_dump() if self.index else {"row": None, "object": None}
        found["lists"] = None
        if self.within is None:
            return found
        objects = ", ".join(self.direction or (f"{self.of}_eta", f"{self.of}_phi"))
        of_rows = ", ".join(self.row_direction or (f"{rows}_eta", f"{rows}_phi"))
        if self.shared:
            return found | {"lists": f"neighbours({of_rows}, {objects}, within={self.within})"}
        return found | {"row": f"nearest({objects}, {of_rows}, within={self.within})"}


class Dataset(Section):
    """A file of `config/datasets`: rows, quantities and classes."""

    like: str | None = Field(
        None, description="another dataset; keys that this file does not give are taken from it"
    )
    description: str = Field("", description="a sentence for the report")
    simulate: Simulation | None = Field(
        None, description="simulate the events with an embedded source, in place of `files`"
    )
    files: list[str] = Field([], description="paths, globs, root:// or https:// URLs")
    samples: dict[Name, Sample] = Field(
        {}, description="files by physics process, each with its own keys"
    )
    luminosity: float = Field(
        1.0, gt=0, description="fb⁻¹; event weights are scaled to cross section × luminosity"
    )
    tree: str = Field("Events", description="name of the TTree or RNTuple")
    friends: dict[Name, Friend] = Field(
        {},
        description="further trees with values for the same entries, by name: `tagger.score` in an "
        "expression is branch `score` of friend `tagger`",
    )
    rows: str = Field("event", description="'event', or the collection whose objects are rows")
    select: ExpressionText | None = Field(None, description="expression, true for the rows to keep")
    define: dict[Name, ExpressionText] = Field(
        {}, description="intermediate quantities, by name, for use in all expressions"
    )
    variables: dict[Name, ExpressionText] = Field({}, description="quantities of a row, by name")
    objects: dict[Name, dict[Name, ExpressionText]] = Field(
        {},
        description="collections of objects by name, each with its quantities",
    )
    gather: dict[Name, Gather] = Field(
        {},
        description="for rows that are objects: which objects of another collection belong to "
        "each, for collections of `objects` by name",
    )
    targets: dict[Name, ExpressionText] = Field(
        {}, description="quantities of a row that a regression predicts; never inputs of a network"
    )
    classes: dict[Name, ClassRule] = Field(
        {}, description="which rows belong to which class; default: the classes of the samples"
    )
    weight: ExpressionText | None = Field(
        None, description="expression of the event weight, for evaluation and reports"
    )
    training_weight: ExpressionText | None = Field(
        None,
        description="expression that replaces |event weight| in training, before `balance` and "
        "`reweight`",
    )
    negative_weights: Literal["absolute", "keep"] = Field(
        "absolute", description="how training treats them; evaluation keeps the sign"
    )
    reweight: Fields | None = Field(None, description="kinematic reweighting of classes")
    balance: bool | dict[Name, Annotated[float, Field(ge=0)]] = Field(
        True,
        description="give every class the same sum of training weights, or sums in the proportions "
        "given by class, 0 for classes that are not named",
    )
    identity: list[ExpressionText] = Field(
        [], description="integer expressions that identify an event: run, luminosityBlock, event"
    )
    splits: Splits = Field(
        Splits(), description="events for training, validation and test; default: 0.7, 0.1 and 0.2"
    )
    shards_per_file: int = Field(
        1, ge=1, le=10_000, description="entry ranges into which each file is divided, one a shard"
    )
    on_bad_file: Literal["fail", "quarantine"] = Field(
        "fail", description="stop at a file that cannot be read, or set it aside and go on"
    )
    step: int = Field(20_000, ge=1, le=1_000_000_000, description="entries read at a time")

    @field_validator("balance")
    @classmethod
    def _some_weight(cls, value: object) -> object:
        if isinstance(value, dict) and not any(value.values()):
            raise ValueError("true, false, or a positive number for one class or more")
        return value

    @model_validator(mode="before")
    @classmethod
    def _classes_of_samples(cls, data: object) -> object:
        """Fill in classes without a rule and classes that only samples name."""
        if not isinstance(data, dict):
            return data
        classes, samples = data.get("classes") or {}, data.get("samples") or {}
        if not (isinstance(classes, dict) and isinstance(samples, dict)):
            return data
        named = [s.get("class") for s in samples.values() if isinstance(s, dict)]
        rules = {name: {} if rule is None else rule for name, rule in classes.items()}
        if not rules:
            rules = {name: {} for name in dict.fromkeys(named) if name is not None}
        return {**data, "classes": rules}

    @model_validator(mode="after")
    def _one_source(self) -> Dataset:
        if self.simulate is not None and not self.classes:
            raise ValueError("classes, each with a process of the embedded source")
        by_class = any(rule.files for rule in self.classes.values())
        given = (self.simulate is not None, bool(self.files), by_class, bool(self.samples))
        if sum(given) != 1:
            raise ValueError(
                "give exactly one of: simulate, files, samples, or files in every class"
            )
        if by_class and not all(rule.files for rule in self.classes.values()):
            raise ValueError("either every class has files or none has")
        return self

    @model_validator(mode="after")
    def _every_class_has_a_rule(self) -> Dataset:
        named = {sample.label for sample in self.samples.values()}
        for name, sample in self.samples.items():
            if sample.label is not None and sample.label not in self.classes:
                hint = nearest(sample.label, self.classes)
                raise ValueError(f"a class of the dataset for sample '{name}' ({hint})")
        for name, rule in self.classes.items():
            if not (rule.files or rule.process or rule.where) and name not in named:
                raise ValueError(f"class '{name}' needs one of: process, files, where, a sample")
            own = rule.model_fields_set - {"files", "process", "where"}
            if own and not rule.files:
                raise ValueError(f"class '{name}': {min(own)} needs files of its own, or a sample")
        return self

    @model_validator(mode="after")
    def _simulated_events_have_no_name(self) -> Dataset:
        if self.simulate is not None and self.identity:
            raise ValueError("'identity' is for given files: recipe and number name simulated ones")
        return self

    @model_validator(mode="after")
    def _friends_of_files(self) -> Dataset:
        if self.simulate is not None and self.friends:
            raise ValueError("'friends' are for given files: simulated ones have one tree")
        return self

    @model_validator(mode="after")
    def _gathers_to_objects(self) -> Dataset:
        for name, rule in self.gather.items():
            if name not in self.objects:
                hint = nearest(name, self.objects)
                raise ValueError(f"a collection of `objects` for gather.{name} ({hint})")
            if self.rows == "event":
                raise ValueError(f"rows that are objects, not events, for gather.{name}")
            if rule.of == self.rows:
                raise ValueError(f"gather.{name}.of: a collection other than that of the rows")
        return self

    @model_validator(mode="after")
    def _targets_apart(self) -> Dataset:
        if TARGET.rstrip(".") in self.objects:
            raise ValueError("'target' is no name for objects: it is that of the targets")
        inside = [f"{name}.{part}" for name, parts in self.objects.items() for part in parts]
        columns = Counter([*self.variables, *(TARGET + name for name in self.targets), *inside])
        name, times = max(columns.items(), key=lambda item: item[1], default=("", 0))
        if times > 1:
            raise ValueError(
                f"one quantity a name: '{name}' is a variable and also a target, or a quantity of "
                "objects, in whose columns that is its name: call the variable otherwise"
            )
        return self

    def sources(self) -> dict[str, FromFiles]:
        """Files by their sample: "" if the dataset has no samples or classes of files."""
        if self.samples:
            return dict(self.samples)
        if self.files or self.simulate:
            return {"": FromFiles.model_validate({"files": self.files})}
        return dict(self.classes)

    def own(self, source: FromFiles, key: str) -> Any:
        """A key of a sample if it is given, even as null; else that of the dataset."""
        return getattr(source if key in source.model_fields_set else self, key)

    def class_of(self, sample: str) -> str | None:
        """The class of all rows of a sample; None if its rows may have several."""
        if self.samples:
            return self.samples[sample].label
        return sample or None

    def by_files(self) -> set[str]:
        """Classes that are defined by files: only rows of their files can belong to them."""
        if self.simulate:
            return set(self.classes)
        return {label for label in map(self.class_of, self.sources()) if label is not None}


Number = Literal["float32", "float64", "int32", "int64"]
# Where a quantity of objects is in a table: NAME, NAME[3], or a name with {slot} in it.
_PLACE = re.compile(r"(?P<name>[^\[\]{}]+)(\[(?P<place>\d+)\])?")
SLOT = "{slot}"


class TableObjects(Section):
    """A collection of objects in each row of a table: lists, or a fixed number of slots."""

    columns: dict[Name, str] = Field(
        min_length=1,
        description="where each quantity is: `NAME`, a list or an array (rows, slots); `NAME[k]`, "
        "place k of the last axis of an array (rows, slots, quantities); `NAME_{slot}`, a column "
        "for each slot, numbered from 0",
    )
    slots: int | None = Field(None, ge=1, description="number of columns that `{slot}` stands for")
    present: Name | None = Field(
        None,
        description="quantity that is 0 in empty slots, which are removed (zero padding); without "
        "it every slot is an object",
    )
    type: Number = Field("float32", description="type of the quantities")
    types: dict[Name, Number] = Field({}, description="types of single quantities, if another")

    @model_validator(mode="after")
    def _fits(self) -> TableObjects:
        for quantity, text in self.columns.items():
            if SLOT not in text and not _PLACE.fullmatch(text):
                raise ValueError(f"{quantity}: NAME, NAME[k] or NAME_{SLOT}, not '{text}'")
        if any(SLOT in text for text in self.columns.values()) != (self.slots is not None):
            raise ValueError(f"slots is the number of columns that {SLOT} stands for: both or none")
        for quantity in (*self.types, *([self.present] if self.present else [])):
            if quantity not in self.columns:
                fix = nearest(quantity, self.columns)
                raise ValueError(f"'{quantity}' is not one of the columns" + (fix and f"; {fix}"))
        return self

    def names(self, quantity: str) -> list[str]:
        """The table's columns that hold a quantity: one, or one a slot."""
        text = self.columns[quantity]
        if self.slots is not None and SLOT in text:
            return [text.replace(SLOT, str(slot)) for slot in range(self.slots)]
        return [str(self._parts(text)["name"])]

    def place(self, quantity: str) -> int | None:
        """Its place on the last axis of an array (rows, slots, quantities); None without one."""
        text = self.columns[quantity]
        found = None if SLOT in text else self._parts(text)["place"]
        return None if found is None else int(found)

    def kind(self, quantity: str) -> str:
        """The type of a quantity."""
        return self.types.get(quantity, self.type)

    @staticmethod
    def _parts(text: str) -> dict[str, str | None]:
        found = _PLACE.fullmatch(text)
        assert found is not None  # see `_fits`
        return found.groupdict()


class Table(Section):
    """A file of `config/tables`: the columns of a table, for `rootloom import`.

    Text (CSV, TSV) has exactly the columns of the recipe, in its order. Of a Parquet, HDF5 or NumPy
    file (.npz) those are read that the recipe names.
    """

    description: str = Field("", description="a sentence for the reader")
    tree: str = Field("events", description="name of the TTree to be written")
    header: bool = Field(False, description="whether the first line of a text names the columns")
    path: str = Field(
        "", description="group or data set of an HDF5 file with the columns; pandas: `KEY/table`"
    )
    columns: dict[Name, Number | dict[str, int]] = Field(
        {}, description="columns: their type, or the number of each word; of a text all, in order"
    )
    objects: dict[Name, TableObjects] = Field(
        {},
        description="collections of objects by name, which become jagged branches "
        "`NAME_QUANTITY` and their number `nNAME`; not of a text",
    )
    missing: list[float] = Field([], description="numbers that mean a missing value; stored as NaN")
    row_number: Name | None = Field("row", description="branch with the number of the row, from 0")

    @model_validator(mode="after")
    def _branches_are_new(self) -> Table:
        if not self.columns and not self.objects:
            raise ValueError("columns or objects are needed")
        if self.row_number in self.columns:
            raise ValueError("row_number must not be one of the columns")
        twice = [name for name, count in Counter(self._branches()).items() if count > 1]
        if twice:
            raise ValueError(f"two branches would be called '{twice[0]}'")
        return self

    def types(self) -> dict[str, str]:
        """Type of every branch of one number a row."""
        kinds: dict[str, str] = {
            n: "int32" if isinstance(k, dict) else k for n, k in self.columns.items()
        }
        return {**kinds, self.row_number: "int64"} if self.row_number else kinds

    def lists(self) -> list[str]:
        """Every branch of lists."""
        return [
            f"{name}_{quantity}" for name, one in self.objects.items() for quantity in one.columns
        ]

    def _branches(self) -> list[str]:
        return [*self.types(), *self.lists(), *(f"n{name}" for name in self.objects)]

    def to_text(self) -> str:
        """The section as JSON, which is stored beside the tree."""
        return self.model_dump_json()


Exported = Literal["onnx", "cmssw", "athena", "triton"]


class Method(Section):
    """A network of an experiment: a model on a representation."""

    model: str = Field(description="a file of config/models")
    representation: str = Field(description="a file of config/representations")
    members: int = Field(1, ge=1, le=10_000, description="trainings with different seeds")
    weights: str | None = Field(
        None,
        description="a safetensors file with the parameters of a published network (weaver-core, "
        "salt), which is used as it is: nothing is trained",
    )
    training: Fields = Field({}, description="replaces fields of the experiment's")
    task: Fields | None = Field(
        None, description="replaces the experiment's task; its kind of evaluation must be the same"
    )
    export: list[Exported] | dict[Exported, Fields] = Field(
        [],
        description="formats in which trained networks are written, or their options by format; "
        "see docs/export.md",
    )

    @model_validator(mode="after")
    def _one_of_given_weights(self) -> Method:
        if self.weights is not None and self.members > 1:
            raise ValueError("members must be 1 with `weights`: all would be the same")
        return self

    def formats(self) -> dict[str, Fields]:
        """Options of the formats in which it is exported, by name."""
        given = self.export if isinstance(self.export, dict) else {name: {} for name in self.export}
        return {str(name): dict(fields) for name, fields in given.items()}


class Expected(Section):
    """A published value, for comparison in the report."""

    method: str = Field(description="a method or baseline of the experiment")
    metric: str = Field(description="name of a metric of the evaluation")
    value: float = Field(description="the published value")
    error: float | None = Field(None, description="its error, if published")
    source: str = Field(description="where it is published")


class Images(Section):
    """Average images in the report, before and after preprocessing."""

    before: str | None = Field(None, description="representation before preprocessing")
    after: str | None = Field(None, description="representation after preprocessing")


class Datasets(Section):
    """Datasets of an experiment by their role; each has one role."""

    train: Name = Field(description="the dataset for training, validation and evaluation")
    evaluate: list[Name] = Field(
        [], description="evaluated too, on their splits `test`, each with its own metrics"
    )
    score: list[Name] = Field(
        [], description="only scored, such as data; they need no classes and no targets"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Datasets:
        name, times = Counter(self.names()).most_common(1)[0]
        if times > 1:
            raise ValueError(
                f"each dataset once: '{name}' is named {times} times (the one in `train` is also "
                "evaluated, and all are scored)"
            )
        return self

    def names(self) -> list[Name]:
        """All names: the dataset that trains, those that are evaluated, those that are scored."""
        return [self.train, *self.evaluate, *self.score]


class WorkingPoints(Section):
    """Cuts on scores that bundles of methods list, from the validation split."""

    signal_efficiency: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99],
        description="the tightest cuts with at least these shares of signal",
    )
    background_rejection: list[Annotated[float, Field(ge=1)]] = Field(
        [10, 30, 100, 300, 1000, 3000, 10_000],
        description="the loosest cuts that leave at most one row of background in so many",
    )
    input_rate: float | None = Field(
        None, gt=0, description="of background before a cut, Hz, for a trigger"
    )
    rate: list[Annotated[float, Field(gt=0)]] = Field(
        [], description="the loosest cuts with at most these rates of background, Hz"
    )

    @model_validator(mode="after")
    def _rates_of_a_rate(self) -> WorkingPoints:
        most = self.input_rate
        if self.rate and (most is None or max(self.rate) > most):
            raise ValueError("rates below the input_rate, which has to be given")
        return self


class Experiment(Section):
    """A file of `config/experiments`: networks, baselines, and the datasets that they use."""

    title: str = Field("", description="title of the report")
    description: str = Field("", description="a sentence below the title")
    command: str = Field("", description="the command that runs it")
    cost: str = Field("", description="measured run time")
    dataset: Name | None = Field(
        None, description="a file of config/datasets; short for `datasets: {train: NAME}`"
    )
    datasets: Datasets | None = Field(None, description="several datasets, by their role")
    task: Fields = Field(
        {"kind": "classification"}, description="what the networks learn: kind and its fields"
    )
    methods: dict[Name, Method] = Field({}, description="networks, by the name of the method")
    baselines: dict[Name, Fields] = Field(
        {}, description="baselines, by the name of the method: kind and its fields"
    )
    baseline_representation: str = Field(
        "features", description="representation with the variables of the baselines"
    )
    training: Fields = Field({}, description="options of the training, see Training")
    threads: int = Field(
        1,
        ge=1,
        le=65_536,
        description="CPU cores of each process of a training; changes the last bits of results",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=65_536,
        description="machines of a training, one process on each; changes the last bits of results",
    )
    gpus_per_node: int = Field(
        0, ge=0, le=65_536, description="GPUs that each machine must have; 0: use those it has"
    )
    evaluation: Fields = Field({}, description="options of the evaluation that belongs to the task")
    working_points: WorkingPoints = Field(
        WorkingPoints.model_validate({}), description="cuts on scores that bundles list"
    )
    generation: Fields = Field(
        {},
        description="options for generating examples like those of the test split, of the "
        "representation that is generated",
    )
    images: Images | list[str] | None = Field(
        None, description="representations whose average images the report shows"
    )
    expected: list[Expected] = Field([], description="published values for comparison")

    @model_validator(mode="after")
    def _one_way_to_name_datasets(self) -> Experiment:
        if (self.dataset is None) == (self.datasets is None):
            raise ValueError("exactly one of: dataset, datasets")
        return self

    def roles(self) -> Datasets:
        """The datasets by their role."""
        if self.datasets is not None:
            return self.datasets
        assert self.dataset is not None
        return Datasets(train=self.dataset, evaluate=[], score=[])

    def pictured(self) -> dict[str, str]:
        """Representations whose average images are shown, by their titles."""
        if isinstance(self.images, Images):
            words = {"before": self.images.before, "after": self.images.after}
            return {
                f"{when.capitalize()} preprocessing": name for when, name in words.items() if name
            }
        return {name: name for name in self.images or ()}


class Library:
    """The files of one `config/` directory, read on demand, once, and checked."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._files: dict[tuple[str, str], Fields] = {}  # as they are written
        self._sections: dict[tuple[str, str], Fields] = {}
        schema = self.root / "schema.json"
        if not schema.exists():
            raise ConfigError(
                str(schema), expected="the generated schema", found="no file", fix="rootloom schema"
            )
        self.schema = json.loads(schema.read_text())

    def names(self, folder: str) -> list[str]:
        """Names of the files in one folder of the configuration."""
        return sorted(path.stem for path in (self.root / folder).glob("*.yaml"))

    def dataset(self, name: str) -> Dataset:
        """A dataset by name."""
        where, dataset = self.where("datasets", name), self._parsed(name)
        for section in ("classes", "samples", "variables", "objects", "targets", "friends"):
            for key in getattr(dataset, section):
                check_name(key, f"{where}: {section}")
        for group, members in dataset.objects.items():
            for key in members:
                check_name(key, f"{where}: objects.{group}")
        for name, source in dataset.sources().items():
            for key in source.friends:
                check_name(key, f"{where}: friends of {name}")
        if dataset.simulate:
            self.check("simulations", dataset.simulate.source, f"{where}: simulate.source")
        if dataset.reweight is not None:
            self.check("reweight", {"kind": "reweight", **dataset.reweight}, f"{where}: reweight")
        return dataset

    def _parsed(self, name: str) -> Dataset:
        """A dataset; errors name the file that gives the key, which may be the one it is like."""
        where, content = self.where("datasets", name), self._completed(name)
        try:
            return parse(Dataset, content, where)
        except ConfigError as refusal:
            key = refusal.where.removeprefix(f"{where}: ").partition(".")[0]
            if key not in content:
                raise
            words = {"expected": refusal.expected, "found": refusal.found, "fix": refusal.fix}
            place = refusal.where.removeprefix(where)
            raise ConfigError(f"{self.file_of(name, key)}{place}", **words) from None

    def _completed(self, name: str) -> Fields:
        """A dataset's keys, completed by those of the dataset that it is like."""
        own = self._read("datasets", name)
        like = own.get("like")
        if like is None:
            return own
        other = self._read("datasets", like, f"{self.where('datasets', name)}: like")
        if other.get("like") is not None:
            raise ConfigError(
                f"{self.where('datasets', name)}: like",
                expected="a dataset without `like`",
                found=f"'{own['like']}', which is like '{other['like']}'",
                fix=f"like: {other['like']}",
            )
        if _SOURCES & own.keys():  # only one of these keys may be given
            other = {key: value for key, value in other.items() if key not in _SOURCES}
        return {**other, **own}

    def file_of(self, name: str, key: str) -> str:
        """The file that gives a key of a dataset: its own, or that of the one it is like."""
        own = self._read("datasets", name)
        like = None if key in own else own.get("like")
        return self.where("datasets", name if like is None else like)

    def experiment(self, name: str) -> Experiment:
        """An experiment by name; a dataset's name alone means the default experiment on it."""
        where = self.where("experiments", name)
        self._require_name(
            "experiments", name, "config/config.yaml: experiment", TAKEN_BY_EXPERIMENTS
        )
        if self._is_dataset_alone(name):
            default = self._read("experiments", "default")
            # The title is the user's dataset; what is done with it is said below.
            about = {"title": name, "description": default.get("title", "")}
            data = {**default, **about, "dataset": name}
            data.pop("datasets", None)
        else:
            data = self._read("experiments", name, "config/config.yaml: experiment")
        experiment = parse(Experiment, data, where)
        for section in ("methods", "baselines"):
            for key in getattr(experiment, section):
                check_name(key, f"{where}: {section}")
        self._check_references(experiment, where)
        twice = set(experiment.methods) & set(experiment.baselines)
        if twice:
            raise ConfigError(
                where,
                expected="one method or baseline a name",
                found=f"'{min(twice)}' in both methods and baselines",
                fix="rename one of them",
            )
        self.check("tasks", experiment.task, f"{where}: task")
        self.check("evaluations", self.evaluation(experiment), f"{where}: evaluation")
        self._check_evaluated(experiment.task, f"{where}: task")
        self.check("training", {"kind": "training", **experiment.training}, f"{where}: training")
        for label, baseline in experiment.baselines.items():
            self.check("baselines", baseline, f"{where}: baselines.{label}")
        for label, method in experiment.methods.items():
            self._check_method(f"{where}: methods.{label}", experiment, method)
        return experiment

    def _is_dataset_alone(self, name: str) -> bool:
        """Whether a name is that of a dataset, on which the default experiment runs."""
        return name not in self.names("experiments") and name in self.names("datasets")

    def _check_references(self, experiment: Experiment, where: str) -> None:
        """Refuse names of files that are invalid or do not exist, naming the key."""
        self._check_datasets(experiment, where)
        for name, method in experiment.methods.items():
            self._require_file("models", method.model, f"{where}: methods.{name}.model")
            self._require_file(
                "representations",
                method.representation,
                f"{where}: methods.{name}.representation",
            )
        if experiment.baselines:
            key = "baseline_representation"
            self._require_file("representations", getattr(experiment, key), f"{where}: {key}")
        for name in experiment.pictured().values():
            self._require_file("representations", name, f"{where}: images")

    def _check_datasets(self, experiment: Experiment, where: str) -> None:
        if experiment.datasets is None:
            self._require_file("datasets", experiment.dataset, f"{where}: dataset")
            return
        self._require_file("datasets", experiment.datasets.train, f"{where}: datasets.train")
        for role in ("evaluate", "score"):
            for name in getattr(experiment.datasets, role):
                self._require_file("datasets", name, f"{where}: datasets.{role}")

    def table(self, name: str) -> Table:
        """The recipe of a table by name."""
        where = self.where("tables", name)
        table = parse(Table, self._read("tables", name), where)
        for column in (*table.types(), *table.lists()):
            check_name(column, f"{where}: columns")
        return table

    def rates(self) -> Rates:
        """How long work takes, for the size of jobs."""
        return parse(Rates, read_yaml(self.root / "rates.yaml"), f"{self.root.name}/rates.yaml")

    def model(self, name: str) -> Fields:
        """The section of a model file, checked."""
        return self._kind_file("models", name)

    def representation(self, name: str) -> Fields:
        """The section of a representation file, checked."""
        return self._kind_file("representations", name)

    def check(self, group: str, section: Fields, where: str) -> None:
        """Check a section `{kind: name, …}` against the schema of its class.

        The schema of a user's own class is made here and added to `schema`.
        """
        known = self.schema["$defs"][group]
        kind = section.get("kind")
        if isinstance(kind, str) and own.is_path(kind) and kind not in known:
            known[kind] = classes.of_own(group, kind, f"{where}: kind")
        if not isinstance(kind, str) or kind not in known:
            raise ConfigError(
                f"{where}: kind",
                expected=f"a known kind of {group}, or 'package.module:Class' of your own",
                found="no such key" if "kind" not in section else shown(kind),
                fix=f"{nearest(str(kind), known)} (a new class also needs: rootloom schema)",
            )
        fields = {key: value for key, value in section.items() if key != "kind"}
        errors = Validator(known[kind]).iter_errors(fields)
        for error in sorted(errors, key=lambda e: list(map(str, e.path))):
            raise schema_refusal(error, where)

    def training(self, experiment: Experiment, method: Method) -> Fields:
        """The training section of a method: the experiment's, with the method's fields on top.

        Fields replace whole values; nothing is merged below the first level, so that no key of one
        schedule survives inside another.
        """
        return {**experiment.training, **method.training}

    def task(self, experiment: Experiment, method: Method | None) -> Fields:
        """The task of a method, its own or the experiment's as a whole; without one, the latter."""
        return experiment.task if method is None or method.task is None else method.task

    def evaluation(self, experiment: Experiment) -> Fields:
        """The evaluation section of an experiment, of the kind that its task names."""
        kind = self.of_task(experiment.task, "evaluation")
        return {"kind": kind, **experiment.evaluation}

    def of_task(self, task: Fields, what: str) -> Any:
        """A property that the class of a task declares, such as its "role"; None if it does not."""
        return self.schema["$defs"]["tasks"][task["kind"]].get(f"x-{what}")

    def _check_method(self, where: str, experiment: Experiment, method: Method) -> None:
        model = self.model(method.model)
        representation = self.representation(method.representation)
        self.check("training", {"kind": "training", **method.training}, f"{where}.training")
        kind = self.schema["$defs"]["representations"][representation["kind"]]["x-kind"]
        known = self.schema["$defs"]["models"]
        consumes = known[model["kind"]]["x-consumes"]
        task = self._checked_task(where, experiment, method)
        self._check_generation(where, experiment, method, task)
        role = self.of_task(task, "role")
        if known[model["kind"]]["x-role"] != role:
            raise ConfigError(
                where,
                expected=f"a model of role {role} for task '{task['kind']}'",
                found=f"'{method.model}', which is another kind of network",
                fix="choose one of: " + ", ".join(self._declaring("models", "role", role)),
            )
        if kind not in consumes:
            fitting = [n for n in self.names("representations") if self._kind_of(n) in consumes]
            raise ConfigError(
                where,
                expected=f"a representation of kind {' or '.join(consumes)} "
                f"for model '{method.model}'",
                found=f"'{method.representation}', which is of kind {kind}",
                fix=f"choose one of: {', '.join(fitting)}",
            )
        if reads := known[model["kind"]]["x-reads"]:
            wanted = [name for names in model.get(reads, []) for name in names]
            expected = f"columns of '{method.representation}' in {reads} of '{method.model}'"
            require_known(wanted, representation.get("variables") or (), where, expected)
        self._check_labels(where, task, method, representation)

    def _check_labels(
        self, where: str, task: Fields, method: Method, representation: Fields
    ) -> None:
        """Refuse a task whose truth of objects, or whose heads for them, are not there."""
        kind, kinds = self.model(method.model)["kind"], self.of_task(task, "models")
        if kinds and kind not in kinds and not own.is_path(kind):
            raise ConfigError(
                where,
                expected=f"a model of kind {' or '.join(kinds)} for task '{task['kind']}'",
                found=f"'{method.model}', of kind {kind}",
            )
        fields = self.schema["$defs"]["tasks"][task["kind"]].get("properties", {})
        for field in self.of_task(task, "labels") or ():
            named = task.get(field, fields[field].get("default"))
            expected = f"one of the `labels` of '{method.representation}' in {field} of the task"
            require_known([named], representation.get("labels") or (), where, expected)

    def _check_evaluated(self, task: Fields, where: str) -> None:
        """Refuse a task whose evaluation is of something else than what the task yields."""
        kind, yields = (self.of_task(task, what) for what in ("evaluation", "yields"))
        evaluated = self.schema["$defs"]["evaluations"][kind]["x-evaluates"]
        if evaluated != yields:
            raise ConfigError(
                where,
                expected=f"a task that yields {evaluated}, which its evaluation '{kind}' needs",
                found=f"'{task['kind']}', which yields {yields}",
                fix="give the task's class another `evaluation`",
            )

    def _check_generation(
        self, where: str, experiment: Experiment, method: Method, task: Fields
    ) -> None:
        """Refuse a representation that cannot be generated, and options that it does not have."""
        of = f"{where.partition(': methods.')[0]}: generation"
        if self.of_task(task, "yields") != "examples":
            if experiment.generation:
                raise ConfigError(
                    of,
                    expected=f"no section with the task '{task['kind']}', which makes no examples",
                    found=", ".join(experiment.generation),
                )
            return
        known = self.schema["$defs"]["representations"]
        options = known[self.representation(method.representation)["kind"]].get("x-generation")
        if options is None:
            raise ConfigError(
                where,
                expected="a representation whose inputs can be generated, "
                f"for the task '{task['kind']}'",
                found=f"'{method.representation}', which does not define how inputs become rows "
                "of a tree",
                fix="choose one of: "
                + ", ".join(self._declaring("representations", "generated", True)),
            )
        for error in Validator(options).iter_errors(experiment.generation):
            raise schema_refusal(error, of)

    def _declaring(self, folder: str, what: str, value: object) -> list[str]:
        """Names of the files of a folder whose class declares this value."""
        known = self.schema["$defs"][folder]
        kinds = {name: self._kind_named(folder, name) for name in self.names(folder)}
        return [n for n, kind in kinds.items() if kind and known[kind].get(f"x-{what}") == value]

    def _checked_task(self, where: str, experiment: Experiment, method: Method) -> Fields:
        task = self.task(experiment, method)
        self.check("tasks", task, f"{where}: task")
        kinds = [self.of_task(one, "evaluation") for one in (experiment.task, task)]
        if kinds[0] != kinds[1]:
            raise ConfigError(
                f"{where}: task",
                expected=f"a task with the evaluation '{kinds[0]}' of the experiment's",
                found=f"'{task['kind']}', with '{kinds[1]}'",
                fix="compare in one experiment what is evaluated alike",
            )
        return task

    def _kind_of(self, representation: str) -> str:
        kind = self._kind_named("representations", representation)
        return self.schema["$defs"]["representations"][kind].get("x-kind", "") if kind else ""

    def _kind_named(self, folder: str, name: str) -> str:
        """The kind that a file names; "" for a file that nobody asked for and that is wrong."""
        try:
            kind = self._read(folder, name).get("kind")
        except ConfigError:
            return ""
        known = isinstance(kind, str) and kind in self.schema["$defs"][folder]
        return str(kind) if known else ""

    def _kind_file(self, folder: str, name: str) -> Fields:
        if (folder, name) not in self._sections:
            section = self._read(folder, name)
            self.check(folder, section, self.where(folder, name))
            self._sections[folder, name] = section
        return dict(self._sections[folder, name])

    def where(self, folder: str, name: str) -> str:
        """What to call a file of the configuration in messages."""
        if folder == "experiments" and self._is_dataset_alone(name):
            return f"{self.root.name}/experiments/default.yaml on dataset '{name}'"
        return f"{self.root.name}/{folder}/{name}.yaml"

    def _read(self, folder: str, name: object, where: str = "") -> Fields:
        self._require_file(folder, name, where)
        known = folder, str(name)
        if known not in self._files:
            self._files[known] = read_yaml(self.root / folder / f"{name}.yaml")
        return dict(self._files[known])

    def _require_file(self, folder: str, name: object, where: str = "") -> None:
        """Refuse what names no file of the configuration. where: the key that names it."""
        of = f"{where}: " if where else ""
        taken = TAKEN_BY_DATASETS if folder == "representations" else ()
        self._require_name(folder, name, where or folder[:-1], taken)
        if not (self.root / folder / f"{name}.yaml").exists():
            alone = f", or {self.root.name}/datasets/{name}.yaml for the default experiment on it"
            raise ConfigError(
                f"{of}{folder[:-1]} '{name}'",
                expected=f"a file {self.root.name}/{folder}/{name}.yaml"
                + (alone if folder == "experiments" else ""),
                found="no such file",
                fix=self._nearest_file(folder, str(name)),
            )

    def _require_name(self, folder: str, name: object, where: str, taken: tuple[str, ...]) -> None:
        """Refuse what can be no name; one that is a file's path is shown the name in it."""
        try:
            check_name(name, where, taken)
        except ConfigError as refusal:
            path = Path(str(name))
            if path.suffix != ".yaml":
                raise
            raise ConfigError(
                refusal.where,
                expected=f"a file of {self.root.name}/{folder} by name, without folder and ending",
                found=refusal.found,
                fix=nearest(path.stem, self._known(folder)),
            ) from None

    def _known(self, folder: str) -> list[str]:
        """Names that stand for files of a folder; a dataset's stands for an experiment, too."""
        return self.names(folder) + (self.names("datasets") if folder == "experiments" else [])

    def _nearest_file(self, folder: str, name: str) -> str:
        """What may have been meant by a name that no file in one folder has."""
        known = self._known(folder)
        for other in ("datasets", "experiments", "representations", "models"):
            if other != folder and name in self.names(other):
                kind = f"{'an' if other == 'experiments' else 'a'} {other[:-1]}"
                return f"'{name}' is {kind}; of {folder}, {nearest(name, known)}"
        return nearest(name, known)
