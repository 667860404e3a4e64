"""What the configuration asks for: one experiment on one dataset, and what the names in it mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.config.parsing import parse
from rootloom.config.sections import (
    Dataset,
    Experiment,
    FromFiles,
    Library,
    Method,
    Settings,
    SumOfWeights,
)
from rootloom.rootio.definitions import expressions, written_out
from rootloom.system.paths import Paths, check_results, require_folder
from rootloom.types import TARGET

Fields = dict[str, Any]  # of a section of the configuration
FB_PER_PB = 1000.0  # a cross section in pb times a luminosity in fb⁻¹ is this many events
_NOTHING_OWN = FromFiles.model_validate({})


class Request:
    """The parsed configuration.

    Whether its parts fit together is for `rootloom.planning.checks` to say, once a run: jobs ask
    for what was checked before.
    """

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.settings = parse(Settings, settings, "config/config.yaml")
        check_results(self.settings.results, "config/config.yaml: results")
        self.root = Path(root)
        self.library = Library(self.root / "config")
        self.name = self.settings.experiment
        self.experiment: Experiment = self.library.experiment(self.name)
        self.dataset_name = self.experiment.dataset
        self.dataset: Dataset = self.library.dataset(self.dataset_name)
        self.paths = Paths(self.settings.results)
        for folder in (self.name, f"datasets/{self.dataset_name}"):
            path = f"{self.settings.results}/{folder}"
            require_folder(path, f"config/config.yaml: results: {self.settings.results}")
        # What to call their files in messages.
        self.where = self.library.where("experiments", self.name)
        self.dataset_file = self.library.where("datasets", self.dataset_name)

    # -- methods ------------------------------------------------------------------------------

    @cached_property
    def all_methods(self) -> list[str]:
        """Networks first, then baselines."""
        return [*self.experiment.methods, *self.experiment.baselines]

    def method(self, name: str) -> Method:
        """A network of the experiment."""
        return self.experiment.methods[name]

    def members(self, method: str) -> list[int]:
        """Member numbers of a method; a baseline has one."""
        network = self.experiment.methods.get(method)
        return list(range(network.members if network else 1))

    def folds(self, method: str) -> int:
        """Folds of a method's cross-validation; 0 without one."""
        network = self.experiment.methods.get(method)
        options = self.library.training(self.experiment, network) if network else {}
        return int(options.get("folds", 0))

    def place_of_training(self, method: str, key: str) -> str:
        """Where a training option of a method stands: in its own section, or the experiment's."""
        own = key in self.experiment.methods[method].training
        return f"{self.where}: {f'methods.{method}.' if own else ''}training.{key}"

    @cached_property
    def makes_examples(self) -> bool:
        """Whether the experiment's networks make new examples, in place of scoring those there."""
        return bool(self.library.of_task(self.experiment.task, "yields") == "examples")

    def figures(self) -> list[str]:
        """Figures saved beside the report."""
        kind = self.library.evaluation(self.experiment)["kind"]
        shown = self.library.schema["$defs"]["evaluations"][kind]["x-shown"]
        return [*shown, *(["images.png"] if self.experiment.pictured() else [])]

    # -- representations ----------------------------------------------------------------------

    @cached_property
    def representations(self) -> list[str]:
        """Names of the representations that the experiment needs."""
        names = {method.representation for method in self.experiment.methods.values()}
        if self.experiment.baselines:
            names.add(self.experiment.baseline_representation)
        names |= set(self.experiment.pictured().values())
        return sorted(names)

    def representation_of(self, method: str) -> str:
        """The representation a method or baseline reads."""
        network = self.experiment.methods.get(method)
        return network.representation if network else self.experiment.baseline_representation

    def representation(self, name: str) -> Fields:
        """Name and fields of a representation."""
        return {"name": name, **self.library.representation(name)}

    def can_be_drawn(self, representation: str) -> bool:
        """Whether its rows have images."""
        return bool(self._schema(self.library.representation(representation)).get("x-drawn"))

    def is_expressed(self, representation: str) -> bool:
        """Whether the dataset's expressions read what is generated of a representation."""
        return bool(self._schema(self.library.representation(representation)).get("x-expressed"))

    def properties(self, representation: Fields) -> Fields:
        """Schema of the fields of a representation's class."""
        found: Fields = self._schema(representation)["properties"]
        return found

    def _schema(self, representation: Fields) -> Fields:
        found: Fields = self.library.schema["$defs"]["representations"][representation["kind"]]
        return found

    def variables_named(self, representation: Fields) -> Sequence[str]:
        """Variables that a representation names; none where it takes all there are."""
        return self._named(representation) or ()

    def variables_held(self, representation: Fields) -> Sequence[str]:
        """Variables that a representation holds: those it names, or all of the dataset."""
        if "variables" not in self.properties(representation):
            return ()
        named = self._named(representation)
        return list(self.dataset.variables) if named is None else named

    def _named(self, representation: Fields) -> Sequence[str] | None:
        default = self.properties(representation).get("variables", {}).get("default")
        named: Sequence[str] | None = representation.get("variables", default)
        return named

    def objects_read(self, representation: Fields) -> list[str]:
        """Collections that a representation reads: those of "constituents" or "constituents.pt"."""
        default = self.properties(representation).get("objects", {}).get("default")
        objects = representation.get("objects", default) or ()
        named = [objects] if isinstance(objects, str) else objects
        return list(dict.fromkeys(name.partition(".")[0] for name in named))

    # -- shards -------------------------------------------------------------------------------

    def parts(self) -> range:
        """Numbers of a file's shards."""
        return range(self.dataset.shards_per_file)

    def auxiliary(self) -> list[str]:
        """Variables and targets that every shard carries beside its inputs."""
        targets = (TARGET + name for name in self.dataset.targets)
        compared = (name for of in self.representations for name in self.compared(of))
        return list(dict.fromkeys((*self.reweighted(), *targets, *compared)))

    def compared(self, representation: str) -> list[str]:
        """Variables by which generated examples of a representation are compared with real ones.

        None where the dataset's expressions do not read what is generated.
        """
        if not (self.makes_examples and self.is_expressed(representation)):
            return []
        sections = map(self.library.representation, self.representations)
        asked = {name for section in sections for name in self.variables_named(section)}
        named = self.library.evaluation(self.experiment).get("features")
        wanted = [v for v in self.dataset.variables if v not in asked] if named is None else named
        return [name for name in wanted if name in self.dataset.variables]

    def reweighted(self) -> list[str]:
        """The variable of the kinematic reweighting, if there is one."""
        return [self.dataset.reweight["variable"]] if self.dataset.reweight else []

    @property
    def sets_aside(self) -> bool:
        """Whether the run goes on without files that cannot be read."""
        return self.dataset.on_bad_file == "quarantine"

    # -- how rows are read and weighted -------------------------------------------------------

    def readers(self, representation: Fields | None = None) -> dict[str, Fields]:
        """How the rows of each sample are read."""
        return {name: self.reader(representation, name) for name in self.dataset.sources()}

    def readers_to_check(self) -> dict[str, Fields]:
        """How the rows of each sample are read, with the names that stand for no branch."""
        defined = list(self.dataset.define)
        return {name: {**reader, "defined": defined} for name, reader in self.readers().items()}

    def reader(self, representation: Fields | None = None, sample: str = "") -> Fields:
        """How rows are read; only what a representation uses, so that others keep their shards.

        sample: whose own expressions take the place of the dataset's.
        """
        dataset = self.dataset
        own = dataset.sources().get(sample, _NOTHING_OWN)
        variables = {**dataset.variables, **own.variables}
        objects = {k: {**v, **own.objects.get(k, {})} for k, v in dataset.objects.items()}
        whole: Fields = {"variables": variables, "objects": objects}
        if representation is not None:
            wanted = {*self.auxiliary(), *self.variables_held(representation)}
            variables = {k: v for k, v in variables.items() if k in wanted}
            read = self.objects_read(representation)
            objects = {k: v for k, v in objects.items() if k in read}
        total = own.sum_of_weights
        elsewhere = [total.tree, total.branch] if isinstance(total, SumOfWeights) else None
        reader = {
            "tree": own.tree or dataset.tree,
            "friends": {
                name: {"tree": friend.tree or name, "by": friend.by}
                for name, friend in dataset.own(own, "friends").items()
            },
            "rows": dataset.rows,
            "select": dataset.own(own, "select"),
            "variables": variables,
            "objects": objects,
            "weight": dataset.own(own, "weight"),
            "training_weight": dataset.own(own, "training_weight"),
            "sum_of_weights": elsewhere,
            "splits": dataset.splits.expressions(),
            "targets": {**dataset.targets, **own.targets},
            "identity": dataset.identity,
            "classes": self._class_rules(),
        }
        definitions = {**dataset.define, **own.define}
        found = written_out(reader, definitions)
        return {**found, "mentions": mentions(written_out({**reader, **whole}, definitions), found)}

    def _class_rules(self) -> list[Fields]:
        """Class rules; never the files, so that one more of them changes no other's shard."""
        by_file = self.dataset.by_files()
        return [
            {"name": name, "where": rule.where, "by_file": name in by_file}
            for name, rule in self.dataset.classes.items()
        ]

    def weighting(self) -> Fields:
        """How event and training weights follow from what shards hold."""
        dataset = self.dataset
        samples = {}
        for name, source in dataset.sources().items():
            if source.cross_section is not None:
                given = source.sum_of_weights if isinstance(source.sum_of_weights, float) else None
                expected = source.cross_section * dataset.luminosity * FB_PER_PB
                samples[name] = {"expected": expected, "sum_of_weights": given}
        return {
            "balance": dataset.balance,
            "reweight": dataset.reweight,
            "negative": dataset.negative_weights,
            "own": any(r["training_weight"] for r in self.readers().values()),
            "samples": samples,
        }


def mentions(whole: Fields, part: Fields) -> list[str]:
    """Expressions of a dataset's reader that name its row collection, where no one of `part` does.

    So that rows are counted alike whichever variables a representation reads.
    """
    collection = re.compile(rf"(?<![\w.]){re.escape(whole['rows'])}(?![A-Za-z0-9])")

    def naming(reader: Fields) -> list[str]:
        return [text for _, text in expressions(reader) if collection.search(text)]

    return [] if whole["rows"] == "event" or naming(part) else naming(whole)
