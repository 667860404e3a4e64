"""A dataset in an experiment: its role, and how its rows are read, stored and weighted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cached_property

from rootloom.config.sections import Dataset, Fields, FromFiles, SumOfWeights
from rootloom.errors import require_known
from rootloom.planning.request import Request
from rootloom.rootio.definitions import expressions, written_out
from rootloom.types import TARGET

FB_PER_PB = 1000.0  # a cross section in pb times a luminosity in fb⁻¹ is this many events
_NOTHING_OWN = FromFiles.model_validate({})


class Role(Enum):
    """What an experiment does with a dataset; the values are the keys of its `datasets`."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    SCORE = "score"


class Data:
    """One dataset in an experiment.

    where: the name of its file in messages.
    """

    def __init__(self, request: Request, name: str, role: Role) -> None:
        self._request = request
        self.name, self.role = name, role
        self.dataset: Dataset = request.library.dataset(name)
        self.where = request.library.where("datasets", name)

    @property
    def trains(self) -> bool:
        """Whether methods learn from it."""
        return self.role is Role.TRAIN

    @property
    def evaluated(self) -> bool:
        """Whether its scores are evaluated."""
        return self.role is not Role.SCORE

    def place(self, key: str) -> str:
        """Name of the file that gives a key: its own, or that of the dataset that it is like."""
        return self._request.library.file_of(self.name, key)

    def variables_held(self, representation: Fields) -> Sequence[str]:
        """Variables of a representation: those that it names, or all of the dataset."""
        if "variables" not in self._request.properties(representation):
            return ()
        named = self._request.named_or_all(representation)
        return list(self.dataset.variables) if named is None else named

    @cached_property
    def representations(self) -> list[str]:
        """Names of the representations in which its rows are stored.

        Those of the report are included for the dataset that trains.
        """
        request = self._request
        if self.trains:
            return request.representations
        return sorted({request.representation_of(method) for method in request.all_methods})

    def parts(self) -> range:
        """Numbers of a file's shards."""
        return range(self.dataset.shards_per_file)

    def auxiliary(self) -> list[str]:
        """Variables and targets that every shard has in addition to its inputs."""
        targets = (TARGET + name for name in self.dataset.targets)
        compared = (name for of in self._request.representations for name in self.compared(of))
        return list(dict.fromkeys((*self.reweighted(), *targets, *compared)))

    def compared(self, representation: str) -> list[str]:
        """Variables by which generated examples of a representation are compared with real ones.

        None if the dataset's expressions cannot read generated files.
        """
        request = self._request
        if not (request.beside_real and request.is_expressed(representation)):
            return []
        sections = map(request.library.representation, request.representations)
        asked = {name for section in sections for name in request.variables_named(section)}
        named = request.library.evaluation(request.experiment).get("features")
        wanted = [v for v in self.dataset.variables if v not in asked] if named is None else named
        return [name for name in wanted if name in self.dataset.variables]

    def reweighted(self) -> list[str]:
        """The variables of the kinematic reweighting, if there is one."""
        section = self.dataset.reweight or {}
        alone = [section["variable"]] if section.get("variable") else []
        return [*alone, *section.get("edges", {})]

    @property
    def sets_aside(self) -> bool:
        """Whether files that cannot be read are set aside and the run goes on."""
        return self.dataset.on_bad_file == "quarantine"

    # -- how rows are read and weighted -------------------------------------------------------

    def readers(self, representation: Fields | None = None) -> dict[str, Fields]:
        """How the rows of each sample are read."""
        return {name: self.reader(representation, name) for name in self.dataset.sources()}

    def readers_to_check(self) -> dict[str, Fields]:
        """How the rows of each sample are read, with the names that are not branches."""
        defined = list(self.dataset.define)
        return {name: {**reader, "defined": defined} for name, reader in self.readers().items()}

    def reader(self, representation: Fields | None = None, sample: str = "") -> Fields:
        """How rows are read: only what one representation uses, so that others keep their shards.

        sample: its own expressions replace those of the dataset.
        """
        dataset = self.dataset
        own = dataset.sources().get(sample, _NOTHING_OWN)
        variables = {**dataset.variables, **own.variables}
        objects = {k: {**v, **own.objects.get(k, {})} for k, v in dataset.objects.items()}
        whole: Fields = {"variables": variables, "objects": objects}
        if representation is not None:
            wanted = {*self.auxiliary(), *self.variables_held(representation)}
            variables = {k: v for k, v in variables.items() if k in wanted}
            read = self._request.objects_read(representation)
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
            "gather": {k: v.rule(dataset.rows) for k, v in dataset.gather.items() if k in objects},
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
        """Class rules without their files, so that a new file changes no shard of the others."""
        by_file = self.dataset.by_files()
        return [
            {"name": name, "where": rule.where, "by_file": name in by_file}
            for name, rule in self.dataset.classes.items()
        ]

    def weighting(self) -> Fields:
        """How event and training weights are computed from the columns of shards."""
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
            "own": any(dataset.own(one, "training_weight") for one in dataset.sources().values()),
            "samples": samples,
        }


class DataOf:
    """The datasets of an experiment by name; the one that trains is the first."""

    def __init__(self, request: Request) -> None:
        self._roles = request.roles
        named = [(self._roles.train, Role.TRAIN)]
        named += [(name, Role.EVALUATE) for name in self._roles.evaluate]
        named += [(name, Role.SCORE) for name in self._roles.score]
        self._all = {name: Data(request, name, role) for name, role in named}
        self._where = request.where

    def __iter__(self) -> Iterator[Data]:
        return iter(self._all.values())

    def __getitem__(self, name: str) -> Data:
        """A dataset by name. Raises ConfigError if the experiment does not name it."""
        expected = f"one of: {', '.join(self._all)}"
        require_known([name], self._all, f"{self._where}: datasets", expected)
        return self._all[name]

    @cached_property
    def nominal(self) -> Data:
        """The dataset that trains."""
        return self._all[self._roles.train]

    @cached_property
    def evaluated(self) -> list[Data]:
        """The datasets that are evaluated, the nominal one first."""
        return [data for data in self if data.evaluated]


def mentions(whole: Fields, part: Fields) -> list[str]:
    """Expressions of a reader that use the row collection, if no expression of `part` does.

    With them the number of rows is the same for all representations.
    """
    collection = re.compile(rf"(?<![\w.]){re.escape(whole['rows'])}(?![A-Za-z0-9])")

    def naming(reader: Fields) -> list[str]:
        return [text for _, text in expressions(reader) if collection.search(text)]

    return [] if whole["rows"] == "event" or naming(part) else naming(whole)
