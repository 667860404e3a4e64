"""The configuration: typed, no unknown keys, and refusals that name the nearest fix.

Sections owned by the workflow are the classes below. A section `{kind: name, …}` belongs to a class
of another room, whose fields are its configuration; it is checked against `config/schema.json`,
which `rootloom schema` generates from those classes, so that reading a configuration imports no
heavy package. Only classes of the user's own, "package.module:Class", are imported to be checked.
"""

from __future__ import annotations

import json
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
# Keys of a dataset of which one says where its rows come from, if its classes do not.
_SOURCES = {"simulate", "files", "samples"}
Share = Annotated[float, Field(ge=0, le=1)]
# A number is an expression as well: `weight: 1`.
ExpressionText = Annotated[
    str, BeforeValidator(lambda v: repr(v) if type(v) in (int, float) else v)
]


class Section(BaseModel):
    """Base of every section: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`members: true` would be one member."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = kinds_in(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("a number")
        return value


class Settings(Section):
    """`config/config.yaml` and `--config`: what to run and where results go."""

    experiment: str = Field("w-tagging", description="a file of config/experiments, or a dataset")
    size: str = Field("demo", description="how much an embedded source simulates")
    results: str = Field("results", description="directory of all outputs")
    job_minutes: float = Field(
        2,
        gt=0,
        le=1_000_000,
        description="what a job on many files should take; 20 or more on a busy cluster",
    )
    strict_versions: bool = Field(
        False,
        description="whether a result is made again when a package that its code imports has "
        "another version than when it was made",
    )


class Rates(Section):
    """`config/rates.yaml`: how long the work on a file takes, as `rootloom rates` measures it."""

    seconds_per_file: float = Field(gt=0, description="of one file, however small")
    seconds_per_megabyte: float = Field(gt=0, description="of ROOT, by the slowest representation")
    simulated_row_bytes: float = Field(gt=0, description="of one row in a simulated file")
    remote_megabytes: float = Field(gt=0, description="assumed of a file behind a URL")

    def seconds(self, size: float) -> float:
        """Expected duration for a file of `size` bytes."""
        return self.seconds_per_file + self.seconds_per_megabyte * size / 1e6


class Simulation(Section):
    """An embedded source of events."""

    source: dict[str, Any] = Field(description="kind of the source and its fields")
    files: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        description="files per class, by size"
    )
    rows_per_file: int = Field(gt=0, le=1_000_000_000)
    row_bytes: float | None = Field(
        None, gt=0, description="of one row in its files, when far from that of config/rates.yaml"
    )
    seed: int = Field(1, ge=0, description="with another one all events are others")


class SumOfWeights(Section):
    """Where a file keeps the sum of its event weights before any selection."""

    tree: str = Field(description="such as NanoAOD's Runs")
    branch: str = Field(description="such as genEventSumw; it is summed over the tree's entries")


class FriendTree(Section):
    """A tree beside the dataset's; its branches are called by its name before theirs."""

    file: str | None = Field(
        None,
        description="path or URL, in which {stem}, {folder} and {key} are those of the file it "
        "belongs to; by default that file itself",
    )
    tree: str | None = Field(None, description="name of the TTree or RNTuple; by default its own")
    by: list[str] | None = Field(
        None,
        description="branches of both trees, whole numbers that tell which entries match; "
        "without any, entry by entry",
    )


# A path is a friend as well: `friends: {tagger: scores.root}`.
Friend = Annotated[FriendTree, BeforeValidator(lambda v: {"file": v} if isinstance(v, str) else v)]


class FromFiles(Section):
    """What files of one kind have of their own; anything else is the dataset's."""

    files: list[str] | None = Field(None, description="paths, globs or URLs")
    tree: str | None = Field(None, description="name of the TTree or RNTuple")
    friends: dict[Name, Friend] = Field(
        {}, description="in place of the dataset's friends, as a whole"
    )
    select: ExpressionText | None = Field(None, description="expression, true for the rows to keep")
    weight: ExpressionText | None = Field(
        None, description="expression of the event weight; null: 1, as of data"
    )
    training_weight: ExpressionText | None = Field(
        None, description="in place of the dataset's training_weight; null: none"
    )
    define: dict[Name, ExpressionText] = Field(
        {}, description="expressions in place of the dataset's for definitions of these names"
    )
    variables: dict[Name, ExpressionText] = Field(
        {}, description="expressions in place of the dataset's for variables of these names"
    )
    objects: dict[Name, dict[Name, ExpressionText]] = Field(
        {}, description="expressions in place of the dataset's for quantities of these collections"
    )
    targets: dict[Name, ExpressionText] = Field(
        {}, description="expressions in place of the dataset's for targets of these names"
    )
    cross_section: float | None = Field(
        None, gt=0, description="pb; event weights are scaled to it times the luminosity"
    )
    sum_of_weights: SumOfWeights | float | None = Field(
        None,
        description="of all generated events before any selection; counted in the files by default",
    )

    @field_validator("sum_of_weights", mode="before")
    @classmethod
    def _number_or_place(cls, value: Any) -> Any:
        number = type(value) in (int, float) and value > 0
        if not (value is None or number or isinstance(value, dict | SumOfWeights)):
            raise ValueError("a positive number, or {tree: …, branch: …}")
        return float(value) if number else value

    @model_validator(mode="after")
    def _something_to_scale(self) -> FromFiles:
        if self.sum_of_weights is not None and self.cross_section is None:
            raise ValueError("sum_of_weights needs a cross_section, which it divides")
        return self


class Sample(FromFiles):
    """Files of one physics process."""

    label: str | None = Field(
        None, alias="class", description="class of all its rows; without one, `where` decides"
    )

    @model_validator(mode="after")
    def _has_files(self) -> Sample:
        if not self.files:
            raise ValueError("a sample needs files")
        return self


class ClassRule(FromFiles):
    """Which rows belong to a class: of a process, of some files, or where an expression holds."""

    alone: ClassVar[str] = "where"  # the key that a text in place of the section is meant for

    process: str | None = Field(None, description="process of the embedded source")
    where: ExpressionText | None = Field(None, description="expression, true for the class's rows")


class Splits(Section):
    """Which events train, validate and test.

    An expression says it outright, as official splits do; the numbers are shares of all other
    events, drawn by the hash of the event's identity. By default 70 % train, 10 % validate and
    20 % test. Of a dataset on which nothing is trained, all events may test: 0, 0 and 1.
    """

    train: Share | str = Field(
        default=0.7, description="a share, or an expression that is true for them"
    )
    validation: Share | str = Field(
        default=0.1, description="the same of those that choose the best epoch"
    )
    test: Share | str = Field(
        default=0.2, description="the same of those that every figure is about"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_as_text(cls, value: Any) -> Any:
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
        """What a sum of shares has in it that nobody wrote."""
        given = self.shares()
        left = [f"{n}, which counts {given[n]:g}" for n in given if n not in self.model_fields_set]
        return f" (left out: {', and '.join(left)}); write all of them" if left else ""

    def shares(self) -> dict[str, float]:
        """The splits drawn by hash."""
        return {name: share for name, share in self if isinstance(share, float)}

    def expressions(self) -> dict[str, str]:
        """The splits that an expression decides."""
        return {name: where for name, where in self if isinstance(where, str)}


class Dataset(Section):
    """A file of `config/datasets`: which rows, which quantities, which classes."""

    like: str | None = Field(
        None, description="a dataset whose keys hold, as wholes, where this file has none"
    )
    description: str = ""
    simulate: Simulation | None = None
    files: list[str] = Field([], description="paths, globs, root:// or https:// URLs")
    samples: dict[Name, Sample] = Field(
        {}, description="files by physics process, each with what it has of its own"
    )
    luminosity: float = Field(
        1.0, gt=0, description="fb⁻¹; with a cross section, what event weights are scaled to"
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
        {}, description="intermediate quantities, which every expression may name"
    )
    variables: dict[Name, ExpressionText] = Field({}, description="quantities of a row, by name")
    objects: dict[Name, dict[Name, ExpressionText]] = Field(
        {}, description="jagged quantities of a row"
    )
    targets: dict[Name, ExpressionText] = Field(
        {}, description="quantities of a row that a regression predicts; no network sees them"
    )
    classes: dict[Name, ClassRule] = Field(
        {}, description="which rows belong to which class; by default those that samples name"
    )
    weight: ExpressionText | None = Field(
        None, description="expression of the event weight, which evaluation and reports use"
    )
    training_weight: ExpressionText | None = Field(
        None,
        description="expression that takes the place of |event weight| in training, before balance "
        "and reweighting",
    )
    negative_weights: Literal["absolute", "keep"] = Field(
        "absolute", description="what training makes of them; evaluation keeps the sign"
    )
    reweight: dict[str, Any] | None = Field(None, description="kinematic reweighting of classes")
    balance: bool = Field(True, description="give every class the same sum of training weights")
    identity: list[ExpressionText] = Field(
        [], description="expressions, whole numbers that name an event: run, luminosityBlock, event"
    )
    splits: Splits = Field(
        Splits(), description="which events train, validate and test; by default 0.7, 0.1 and 0.2"
    )
    shards_per_file: int = Field(1, ge=1, le=10_000)
    on_bad_file: Literal["fail", "quarantine"] = "fail"
    step: int = Field(20_000, ge=1, le=1_000_000_000, description="entries read at a time")

    @model_validator(mode="before")
    @classmethod
    def _classes_of_samples(cls, data: Any) -> Any:
        """Classes without a rule, and those that only samples name, need not be written out."""
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
        """Given files by the sample that they belong to: "" where the dataset tells none apart."""
        if self.samples:
            return dict(self.samples)
        if self.files or self.simulate:
            return {"": FromFiles.model_validate({"files": self.files})}
        return dict(self.classes)

    def own(self, source: FromFiles, key: str) -> Any:
        """A key of a sample where it is given, also as null; else the dataset's."""
        return getattr(source if key in source.model_fields_set else self, key)

    def class_of(self, sample: str) -> str | None:
        """The class of all rows of a sample, if there is one."""
        if self.samples:
            return self.samples[sample].label
        return sample or None

    def by_files(self) -> set[str]:
        """Classes that files decide: only rows of their files can belong to them."""
        if self.simulate:
            return set(self.classes)
        return {label for label in map(self.class_of, self.sources()) if label is not None}


class Table(Section):
    """A file of `config/tables`: what the columns of a text table are, for `rootloom import`."""

    description: str = ""
    tree: str = Field("events", description="name of the TTree to be written")
    header: bool = Field(False, description="whether the first line names the columns")
    columns: dict[Name, Literal["float32", "float64", "int32", "int64"] | dict[str, int]] = Field(
        min_length=1, description="all of them in order: their type, or the number of each word"
    )
    missing: list[float] = Field([], description="values that mean there is none; stored as NaN")
    row_number: Name | None = Field("row", description="branch that counts the table's rows from 0")

    @model_validator(mode="after")
    def _row_number_is_new(self) -> Table:
        if self.row_number in self.columns:
            raise ValueError("row_number must not be one of the columns")
        return self

    def types(self) -> dict[str, str]:
        """Type of every branch."""
        kinds: dict[str, str] = {
            n: "int32" if isinstance(k, dict) else k for n, k in self.columns.items()
        }
        return {**kinds, self.row_number: "int64"} if self.row_number else kinds

    def to_text(self) -> str:
        """The recipe as it is kept beside the tree."""
        return self.model_dump_json()


class Method(Section):
    """A network of an experiment: a model on a representation."""

    model: str = Field(description="a file of config/models")
    representation: str = Field(description="a file of config/representations")
    members: int = Field(1, ge=1, le=10_000, description="trainings that differ by their seed only")
    training: dict[str, Any] = Field({}, description="fields that differ from the experiment's")
    task: dict[str, Any] | None = Field(
        None, description="in place of the experiment's, of the same kind of evaluation"
    )


class Expected(Section):
    """A published figure, for the reader to compare with."""

    method: str
    metric: str
    value: float
    error: float | None = None
    source: str


class Images(Section):
    """Average images shown in the report."""

    before: str | None = Field(None, description="representation before preprocessing")
    after: str | None = Field(None, description="representation after preprocessing")


class Datasets(Section):
    """Datasets of an experiment by their roles; each has one."""

    train: Name = Field(description="the one that trains, validates and is evaluated")
    evaluate: list[Name] = Field(
        [], description="evaluated as well, each by figures of its own: their splits `test`"
    )
    score: list[Name] = Field(
        [], description="scored only, such as data: they need no classes and no targets"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Datasets:
        name, times = Counter(self.names()).most_common(1)[0]
        if times > 1:
            raise ValueError(
                f"each dataset in one role: '{name}' is named {times} times (the one that trains "
                "is evaluated, and all are scored)"
            )
        return self

    def names(self) -> list[Name]:
        """All of them, the one that trains first, then those that are evaluated."""
        return [self.train, *self.evaluate, *self.score]


class Experiment(Section):
    """A file of `config/experiments`: which networks and baselines on which datasets."""

    title: str = ""
    description: str = ""
    command: str = Field("", description="the command that runs it")
    cost: str = Field("", description="what it takes, measured")
    dataset: Name | None = Field(None, description="a file of config/datasets: {train: …} alone")
    datasets: Datasets | None = Field(None, description="several of them, by their roles")
    task: dict[str, Any] = {"kind": "classification"}
    methods: dict[Name, Method] = {}
    baselines: dict[Name, dict[str, Any]] = {}
    baseline_representation: str = Field("features", description="where baselines find variables")
    training: dict[str, Any] = {}
    threads: int = Field(
        1,
        ge=1,
        le=65_536,
        description="CPU cores of each process of a training; decides the last bits",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=65_536,
        description="machines of a training, a process each; decides the last bits",
    )
    gpus_per_node: int = Field(
        0, ge=0, le=65_536, description="GPUs each of them must have; 0 takes what is there"
    )
    evaluation: dict[str, Any] = Field(
        {}, description="how results become figures: fields of the task's kind of evaluation"
    )
    generation: dict[str, Any] = Field(
        {},
        description="how examples like those of the test split are made: options of the "
        "representation that is generated",
    )
    images: Images | list[str] | None = Field(
        None, description="representations whose average images the report shows"
    )
    expected: list[Expected] = []

    @model_validator(mode="after")
    def _one_way_to_name_datasets(self) -> Experiment:
        if (self.dataset is None) == (self.datasets is None):
            raise ValueError("exactly one of: dataset, datasets")
        return self

    def roles(self) -> Datasets:
        """Its datasets by their roles."""
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
        self._sections: dict[tuple[str, str], dict[str, Any]] = {}
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
        """A dataset, whose refusals name the file that says the key: it may be like another."""
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

    def _completed(self, name: str) -> dict[str, Any]:
        """A dataset's keys with those of the one that it is like."""
        own = self._read("datasets", name)
        like = own.get("like")
        if like is None:
            return own
        other = self._read("datasets", like, f"{self.where('datasets', name)}: like")
        if other.get("like") is not None:
            raise ConfigError(
                f"{self.where('datasets', name)}: like",
                expected="a dataset that says all of itself",
                found=f"'{own['like']}', which is like '{other['like']}'",
                fix=f"like: {other['like']}",
            )
        if _SOURCES & own.keys():  # where the rows come from is said in one way
            other = {key: value for key, value in other.items() if key not in _SOURCES}
        return {**other, **own}

    def file_of(self, name: str, key: str) -> str:
        """The dataset's file that says a key: its own, or that of the one it is like."""
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
            # The page is about the user's dataset; what is done with it stands below.
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
        self._check_judged(experiment.task, f"{where}: task")
        self.check("training", {"kind": "training", **experiment.training}, f"{where}: training")
        for label, baseline in experiment.baselines.items():
            self.check("baselines", baseline, f"{where}: baselines.{label}")
        for label, method in experiment.methods.items():
            self._check_method(f"{where}: methods.{label}", experiment, method)
        return experiment

    def _is_dataset_alone(self, name: str) -> bool:
        """Whether a name is a dataset's, on which the default experiment runs."""
        return name not in self.names("experiments") and name in self.names("datasets")

    def _check_references(self, experiment: Experiment, where: str) -> None:
        """Refuse names of files that cannot be names, or are not there, where they stand."""
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
        """The recipe of a text table by name."""
        where = self.where("tables", name)
        table = parse(Table, self._read("tables", name), where)
        for column in table.types():
            check_name(column, f"{where}: columns")
        return table

    def rates(self) -> Rates:
        """How long work takes, for the size of jobs."""
        return parse(Rates, read_yaml(self.root / "rates.yaml"), f"{self.root.name}/rates.yaml")

    def model(self, name: str) -> dict[str, Any]:
        """The section of a model file, checked."""
        return self._kind_file("models", name)

    def representation(self, name: str) -> dict[str, Any]:
        """The section of a representation file, checked."""
        return self._kind_file("representations", name)

    def check(self, group: str, section: dict[str, Any], where: str) -> None:
        """Check a section `{kind: name, …}` against the schema of its class.

        That of a class of the user's own is made here, and stands in `schema` from then on.
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

    def training(self, experiment: Experiment, method: Method) -> dict[str, Any]:
        """The training section of a method: the experiment's, with the method's fields on top.

        Fields replace whole values; nothing is merged below the first level, so that no key of one
        schedule survives inside another.
        """
        return {**experiment.training, **method.training}

    def task(self, experiment: Experiment, method: Method | None) -> dict[str, Any]:
        """The task of a method, its own or the experiment's as a whole; without one, the latter."""
        return experiment.task if method is None or method.task is None else method.task

    def evaluation(self, experiment: Experiment) -> dict[str, Any]:
        """The evaluation section of an experiment, of the kind that its task names."""
        kind = self.of_task(experiment.task, "evaluation")
        return {"kind": kind, **experiment.evaluation}

    def of_task(self, task: dict[str, Any], what: str) -> Any:
        """What the class of a task declares, such as its "role"; None if it does not."""
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
                fix="choose one of: " + ", ".join(self._models_of(role)),
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

    def _check_judged(self, task: dict[str, Any], where: str) -> None:
        """Refuse a task that yields something else than what its kind of evaluation judges."""
        kind, yields = (self.of_task(task, what) for what in ("evaluation", "yields"))
        judges = self.schema["$defs"]["evaluations"][kind]["x-judges"]
        if judges != yields:
            raise ConfigError(
                where,
                expected=f"a task that yields {judges}, which its evaluation '{kind}' judges",
                found=f"'{task['kind']}', which yields {yields}",
                fix="give the task's class another `evaluation`",
            )

    def _check_generation(
        self, where: str, experiment: Experiment, method: Method, task: dict[str, Any]
    ) -> None:
        """Refuse a representation that no generator makes, and options that are not its own."""
        of = f"{where.partition(': methods.')[0]}: generation"
        if self.of_task(task, "yields") != "examples":
            if experiment.generation:
                raise ConfigError(
                    of,
                    expected=f"none beside the task '{task['kind']}', which makes no examples",
                    found=", ".join(experiment.generation),
                )
            return
        known = self.schema["$defs"]["representations"]
        options = known[self.representation(method.representation)["kind"]].get("x-generation")
        if options is None:
            raise ConfigError(
                where,
                expected="a representation whose inputs a generator can make, "
                f"for the task '{task['kind']}'",
                found=f"'{method.representation}', which has no way back to rows of a tree",
                fix="choose one of: " + ", ".join(self._generated()),
            )
        for error in Validator(options).iter_errors(experiment.generation):
            raise schema_refusal(error, of)

    def _generated(self) -> list[str]:
        """Representations whose inputs a generator can make."""
        known = self.schema["$defs"]["representations"]
        kinds = {n: self._kind_named("representations", n) for n in self.names("representations")}
        return [name for name, kind in kinds.items() if kind and known[kind].get("x-generated")]

    def _checked_task(self, where: str, experiment: Experiment, method: Method) -> dict[str, Any]:
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

    def _models_of(self, role: str) -> list[str]:
        known = self.schema["$defs"]["models"]
        kinds = {n: self._kind_named("models", n) for n in self.names("models")}
        roles = {n: known[kind]["x-role"] for n, kind in kinds.items() if kind}
        return [name for name, found in roles.items() if found == role]

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

    def _kind_file(self, folder: str, name: str) -> dict[str, Any]:
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

    def _read(self, folder: str, name: Any, where: str = "") -> dict[str, Any]:
        self._require_file(folder, name, where)
        return read_yaml(self.root / folder / f"{name}.yaml")

    def _require_file(self, folder: str, name: Any, where: str = "") -> None:
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
                fix=self._nearest_file(folder, name),
            )

    def _require_name(self, folder: str, name: Any, where: str, taken: tuple[str, ...]) -> None:
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
