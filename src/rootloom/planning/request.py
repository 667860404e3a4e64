"""What the configuration asks for: one experiment on one dataset, checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.config.parsing import parse
from rootloom.config.sections import Dataset, Experiment, Library, Method, Settings
from rootloom.errors import ConfigError, require_known
from rootloom.evaluation.classification.discriminants import Discriminant, check_discriminants
from rootloom.evaluation.classification.options import refuse_training_weights
from rootloom.rootio.names import identifier
from rootloom.system.paths import Paths, check_results, require_folder
from rootloom.types import TARGET


class Selection:
    """The parsed configuration, and the names in it."""

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
        self._check()

    @cached_property
    def representations(self) -> list[str]:
        """Names of the representations that the experiment needs."""
        names = {method.representation for method in self.experiment.methods.values()}
        if self.experiment.baselines:
            names.add(self.experiment.baseline_representation)
        names |= set(self.experiment.pictured().values())
        return sorted(names)

    def method(self, name: str) -> Method:
        """A network of the experiment."""
        return self.experiment.methods[name]

    def members(self, method: str) -> list[int]:
        """Member numbers of a method; a baseline has one."""
        network = self.experiment.methods.get(method)
        return list(range(network.members if network else 1))

    def representation_of(self, method: str) -> str:
        """The representation a method or baseline reads."""
        network = self.experiment.methods.get(method)
        return network.representation if network else self.experiment.baseline_representation

    @cached_property
    def all_methods(self) -> list[str]:
        """Networks first, then baselines."""
        return [*self.experiment.methods, *self.experiment.baselines]

    @cached_property
    def makes_examples(self) -> bool:
        """Whether the experiment's networks make new examples, in place of scoring those there."""
        return bool(self.library.of_task(self.experiment.task, "yields") == "examples")

    def parts(self) -> range:
        """Numbers of a file's shards."""
        return range(self.dataset.shards_per_file)

    def figures(self) -> list[str]:
        """Figures saved beside the report."""
        kind = self.library.evaluation(self.experiment)["kind"]
        shown = self.library.schema["$defs"]["evaluations"][kind]["x-shown"]
        return [*shown, *(["images.png"] if self.experiment.pictured() else [])]

    def can_be_drawn(self, representation: str) -> bool:
        """Whether its rows have images."""
        kind = self.library.representation(representation)["kind"]
        return bool(self.library.schema["$defs"]["representations"][kind].get("x-drawn"))

    def properties(self, representation: dict[str, Any]) -> dict[str, Any]:
        """Schema of the fields of a representation's class."""
        kinds = self.library.schema["$defs"]["representations"]
        found: dict[str, Any] = kinds[representation["kind"]]["properties"]
        return found

    def auxiliary(self) -> list[str]:
        """Variables and targets that every shard carries beside its inputs."""
        targets = (TARGET + name for name in self.dataset.targets)
        return list(dict.fromkeys((*self._reweighted(), *targets, *self.compared())))

    def compared(self) -> list[str]:
        """Variables that generated examples are compared by with those there."""
        if not self.makes_examples:
            return []
        asked = {v for name in self.representations for v in self._variables_of(name)}
        named = self.library.evaluation(self.experiment).get("features")
        return [v for v in self.dataset.variables if v not in asked] if named is None else named

    def _variables_of(self, representation: str) -> Sequence[str]:
        """Variables that a representation names."""
        section = self.library.representation(representation)
        default = self.properties(section).get("variables", {}).get("default")
        return section.get("variables", default) or ()

    def _reweighted(self) -> list[str]:
        return [self.dataset.reweight["variable"]] if self.dataset.reweight else []

    def _check(self) -> None:
        """Refuse here, before any job, what cannot fit together."""
        dataset, where = self.dataset, self.dataset_file
        self._check_tasks(where)
        self._check_baselines()
        self._check_discriminants()
        variable = (f"{where}: reweight.variable", "a variable of the dataset")
        require_known(self._reweighted(), dataset.variables, *variable)
        self._check_images()
        for name in self.representations:
            section = self.library.representation(name)
            of, variables = self.library.where("representations", name), self._variables_of(name)
            require_known(
                variables,
                dataset.variables,
                f"{of}: variables",
                f"variables of dataset '{self.dataset_name}'",
            )
            objects = objects_read(section, self.properties(section))
            require_known(
                objects,
                dataset.objects,
                f"{of}: objects",
                f"objects of dataset '{self.dataset_name}'",
            )
        self._check_samples(where)
        self._check_scales(where)
        self._check_weights()
        self._check_branches(where)
        self._check_compared(where)
        for name in self.experiment.methods:
            self._check_folds(name)

    def _check_images(self) -> None:
        """Refuse average images of what cannot be drawn."""
        for name in self.experiment.pictured().values():
            if not self.can_be_drawn(name):
                fitting = [n for n in self.library.names("representations") if self._drawable(n)]
                kind = self.library.representation(name)["kind"]
                raise ConfigError(
                    f"experiment '{self.name}': images",
                    expected="representations that can be drawn",
                    found=f"'{name}', which is of kind {kind}",
                    fix=f"one of: {', '.join(fitting) or 'none is there yet'}",
                )

    def _drawable(self, name: str) -> bool:
        """Whether a representation can be drawn, and of this dataset."""
        try:
            section = self.library.representation(name)
            objects = objects_read(section, self.properties(section))
            variables = self._variables_of(name)
            known = set(objects) <= set(self.dataset.objects)
            return (
                known and set(variables) <= set(self.dataset.variables) and self.can_be_drawn(name)
            )
        except ConfigError:  # a file that is no representation is no help either
            return False

    def _check_samples(self, where: str) -> None:
        """Refuse a sample of no class, or with an expression for what nobody asks of it."""
        dataset = self.dataset
        word = "samples" if dataset.samples else "classes"
        for name, source in dataset.sources().items():
            of = f"{where}: {word}.{name}"
            label = dataset.class_of(name)
            named = [] if label is None else [label]
            require_known(named, dataset.classes, f"{of}.class", "a class of the dataset")
            for key in ("define", "variables", "objects", "targets"):
                known = getattr(dataset, key)
                require_known(getattr(source, key), known, f"{of}.{key}", f"{key} of the dataset")
            for group, members in source.objects.items():
                known = dataset.objects[group]
                require_known(members, known, f"{of}.objects.{group}", f"quantities of '{group}'")

    def _check_branches(self, where: str) -> None:
        """Refuse names that friend trees would spell alike."""
        experiment = self.experiment
        for of, names in (
            (f"experiment '{self.name}': methods", [*experiment.methods, *experiment.baselines]),
            (
                f"{where}: classes",
                list(self.dataset.classes) if len(self.dataset.classes) > 2 else [],
            ),
            (f"{where}: targets", list(self.dataset.targets)),
        ):
            seen: dict[str, str] = {}
            for name in names:
                other = seen.setdefault(identifier(name), name)
                if other != name:
                    raise ConfigError(
                        of,
                        expected="names that differ in letters or digits: in friend trees, whose "
                        "branches are C++ identifiers, any other character is a '_'",
                        found=f"'{other}' and '{name}'",
                        fix="rename one of them",
                    )

    def _check_scales(self, where: str) -> None:
        """Refuse cross sections where showers are compared, which count by `weight` alone.

        A single sample's factor cancels.
        """
        sources = self.dataset.sources()
        scaled = [name for name, source in sources.items() if source.cross_section is not None]
        if self.makes_examples and scaled and len(sources) > 1:
            raise ConfigError(
                f"{where}: samples.{scaled[0]}.cross_section",
                expected="none beside generators, whose showers are compared by `weight` alone",
                found=f"{len(scaled)} samples with one",
                fix="write the normalisation into `weight`",
            )

    def _check_weights(self) -> None:
        """Refuse training weights that some samples have and others have not, and misused ones."""
        dataset = self.dataset
        sources = dataset.sources().items()
        own = {name: dataset.own(source, "training_weight") for name, source in sources}
        without = [name for name, text in own.items() if text is None]
        if without and len(without) < len(own):
            raise ConfigError(
                f"{self.dataset_file}: training_weight",
                expected="one for every sample, or for none",
                found=f"none for {', '.join(without)}",
                fix=f"training_weight: 1 of {without[0]}",
            )
        evaluation = self.library.evaluation(self.experiment)
        refuse_training_weights(
            evaluation.get("weights", "event"),
            evaluation.get("significances", {}),
            f"{self.where}: evaluation.significances",
        )

    def folds(self, method: str) -> int:
        """Folds of a method's cross-validation; 0 without one."""
        network = self.experiment.methods.get(method)
        options = self.library.training(self.experiment, network) if network else {}
        return int(options.get("folds", 0))

    def place_of_training(self, method: str, key: str) -> str:
        """Where a training option of a method stands: in its own section, or the experiment's."""
        own = key in self.experiment.methods[method].training
        return f"{self.where}: {f'methods.{method}.' if own else ''}training.{key}"

    def _check_folds(self, method: str) -> None:
        folds, members = self.folds(method), len(self.members(method))
        if folds and folds != members:
            raise ConfigError(
                self.place_of_training(method, "folds"),
                expected=f"as many members of '{method}' as folds",
                found=f"{folds} folds, {members} members",
                fix=f"members: {folds}",
            )

    def _check_tasks(self, where: str) -> None:
        of = self.where
        self._check_task(self.experiment.task, where, f"{of}: task")
        for name, method in self.experiment.methods.items():
            if method.task is not None:
                self._check_task(method.task, where, f"{of}: methods.{name}.task")

    def _check_discriminants(self) -> None:
        """Refuse discriminants of classes that are not there, or of fractions that are none."""
        sections = self.library.evaluation(self.experiment).get("discriminants", {})
        found = {name: Discriminant(**section) for name, section in sections.items()}
        where = f"{self.where}: evaluation.discriminants"
        check_discriminants(found, self.dataset.classes, where)

    def _check_compared(self, where: str) -> None:
        """Refuse a comparison of nothing, or by what is not there."""
        of = f"{self.where}: evaluation.features"
        require_known(
            self.compared(),
            self.dataset.variables,
            of,
            f"variables of dataset '{self.dataset_name}'",
        )
        if self.makes_examples and not self.compared():
            raise ConfigError(
                of,
                expected="at least one variable to compare showers by",
                found="none",
                fix=f"variables of dataset '{self.dataset_name}' beside the energy, such as "
                "total: sum(cell_energy)",
            )

    def _check_task(self, task: dict[str, Any], where: str, of: str) -> None:
        """Refuse a task whose truth the dataset does not declare."""
        dataset = self.dataset
        learns, least = (self.library.of_task(task, what) for what in ("learns", "least"))
        found = list(getattr(dataset, learns))
        most = self.library.of_task(task, "most") or len(found)
        if not least <= len(found) <= most:
            bound = f"at least {least}" if len(found) < least else f"at most {most}"
            raise ConfigError(
                f"{where}: {learns}",
                expected=f"{bound}, for the task '{task['kind']}'",
                found=", ".join(found) or "none",
            )
        named = [task["signal"]] if task.get("signal") is not None else []
        require_known(
            named, dataset.classes, f"{of}.signal", f"a class of dataset '{self.dataset_name}'"
        )
        directions = [name for direction in task.get("directions", []) for name in direction]
        require_known(
            directions,
            dataset.targets,
            f"{of}.directions",
            f"targets of dataset '{self.dataset_name}'",
        )

    def _check_baselines(self) -> None:
        """Refuse a baseline that predicts something else than the task, or where nothing does."""
        known, task = self.library.schema["$defs"]["baselines"], self.experiment.task["kind"]
        if self.makes_examples and self.experiment.baselines:
            raise ConfigError(
                f"{self.where}: baselines",
                expected=f"none beside the task '{task}', which scores no rows",
                found=", ".join(self.experiment.baselines),
                fix="give them an experiment of their own",
            )
        learns = self.library.of_task(self.experiment.task, "learns")
        for name, section in self.experiment.baselines.items():
            found = known[section["kind"]]["x-learns"]
            if found != learns:
                same = [k for k, v in known.items() if v["x-learns"] == learns]
                raise ConfigError(
                    f"{self.where}: baselines.{name}",
                    expected=f"a baseline that learns {learns}, as the task '{task}' does",
                    found=f"{section['kind']}, which learns {found}",
                    fix=f"kinds that do: {', '.join(sorted(same)) or 'none'}",
                )
            self._check_reads(name, known[section["kind"]], section)
            self._check_signed(name, section["kind"])
            self._check_requires(name, known[section["kind"]].get("x-requires", {}))

    def _check_signed(self, baseline: str, kind: str) -> None:
        """Refuse training weights of both signs for a baseline that cannot take them."""
        takes = self.library.schema["$defs"]["baselines"][kind].get("x-signed", True)
        if self.dataset.negative_weights == "keep" and not takes:
            raise ConfigError(
                f"{self.where}: baselines.{baseline}",
                expected="a baseline that takes weights of both signs, as the dataset "
                f"'{self.dataset_name}' has `negative_weights: keep`",
                found=f"{kind}, which takes none below zero",
                fix="negative_weights: absolute (evaluation keeps the signs), or no such baseline",
            )

    def _check_reads(self, baseline: str, schema: dict[str, Any], section: dict[str, Any]) -> None:
        """Refuse variables that the representation of baselines does not hold."""
        key = schema.get("x-reads")
        if key is None:
            return
        named = section.get(key, schema["properties"][key].get("default"))
        wanted = [named] if isinstance(named, str) else named or ()
        name = self.experiment.baseline_representation
        held = self._held_by(name)
        of = f"{self.where}: baselines.{baseline}.{key}"
        require_known(wanted, held, of, f"variables of the representation '{name}'")

    def _held_by(self, representation: str) -> Sequence[str]:
        """Variables that a representation holds: those it names, all of the dataset by default."""
        section = self.library.representation(representation)
        field = self.properties(section).get("variables")
        if field is None:
            return ()
        named = section.get("variables", field.get("default"))
        return list(self.dataset.variables) if named is None else named

    def _check_requires(self, baseline: str, requires: dict[str, Any]) -> None:
        """Refuse a representation that does not store what a baseline reads."""
        name = self.experiment.baseline_representation
        if not self._is(name, requires):
            fitting = [r for r in self.library.names("representations") if self._is(r, requires)]
            section = self.library.representation(name)
            raise ConfigError(
                f"{self.where}: baseline_representation",
                expected=f"{_fields(requires)}, for baselines.{baseline}",
                found=f"'{name}' with {_fields({k: section.get(k) for k in requires})}",
                fix=f"one of: {', '.join(fitting) or 'none is there yet'}",
            )

    def _is(self, representation: str, requires: dict[str, Any]) -> bool:
        """Whether fields of a representation are these, by default or as said."""
        section = self.library.representation(representation)
        if section["kind"] != requires.get("kind", section["kind"]):
            return False
        fields = self.properties(section)
        return all(
            section.get(key, fields.get(key, {}).get("default")) == value
            for key, value in requires.items()
            if key != "kind"
        )


def _fields(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items() if value is not None)


def objects_read(representation: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Collections that a representation reads: "constituents", or those of "constituents.pt", …."""
    default = properties.get("objects", {}).get("default")
    objects = representation.get("objects", default) or ()
    named = [objects] if isinstance(objects, str) else objects
    return list(dict.fromkeys(name.partition(".")[0] for name in named))
