"""What the configuration asks for: one experiment on one dataset, checked as a whole."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.config import Dataset, Experiment, Library, Method, Settings, parse
from rootloom.errors import ConfigError, nearest
from rootloom.paths import Paths


class Selection:
    """The parsed configuration, and the names in it."""

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.settings = parse(Settings, settings, "config.yaml")
        self.root = Path(root)
        self.library = Library(self.root / "config")
        self.name = self.settings.experiment
        self.experiment: Experiment = self.library.experiment(self.name)
        self.dataset_name = self.experiment.dataset
        self.dataset: Dataset = self.library.dataset(self.dataset_name)
        self.paths = Paths(self.settings.results)
        self._check()

    @cached_property
    def representations(self) -> list[str]:
        """Names of the representations that the experiment needs."""
        names = {method.representation for method in self.experiment.methods.values()}
        if self.experiment.baselines:
            names.add(self.experiment.baseline_representation)
        if self.experiment.images:
            names |= {self.experiment.images.before, self.experiment.images.after}
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

    def parts(self) -> range:
        """Numbers of a file's shards."""
        return range(self.dataset.shards_per_file)

    def figures(self) -> list[str]:
        """Figures saved beside the report."""
        return ["roc.png", *(["images.png"] if self.experiment.images else [])]

    def properties(self, representation: dict[str, Any]) -> dict[str, Any]:
        """Schema of the fields of a representation's class."""
        kinds = self.library.schema["$defs"]["representations"]
        found: dict[str, Any] = kinds[representation["kind"]]["properties"]
        return found

    def auxiliary(self) -> list[str]:
        """Variables every shard carries beside its inputs."""
        return [self.dataset.reweight["variable"]] if self.dataset.reweight else []

    def _check(self) -> None:
        """Refuse here, before any job, what cannot fit together."""
        where = f"dataset '{self.dataset_name}'"
        for variable in self.auxiliary():
            if variable not in self.dataset.variables:
                raise ConfigError(
                    f"{where}: reweight.variable",
                    expected="a variable of the dataset",
                    found=f"'{variable}'",
                    fix=nearest(variable, self.dataset.variables),
                )
        signal = self.experiment.task.get("signal")
        if signal is not None and signal not in self.dataset.classes:
            raise ConfigError(
                f"experiment '{self.name}': task.signal",
                expected=f"a class of {where}",
                found=f"'{signal}'",
                fix=nearest(signal, self.dataset.classes),
            )
        for name in self.representations:
            self._check_representation(name, where)
        for name in self.experiment.methods:
            self._check_folds(name)

    def folds(self, method: str) -> int:
        """Folds of a method's cross-validation; 0 without one."""
        network = self.experiment.methods.get(method)
        options = self.library.training(self.experiment, network) if network else {}
        return int(options.get("folds", 0))

    def _check_folds(self, method: str) -> None:
        folds, members = self.folds(method), len(self.members(method))
        if folds and (folds != members or self.dataset.rows != "event"):
            raise ConfigError(
                f"experiment '{self.name}': methods.{method}: training.folds",
                expected="as many members as folds, and events as rows",
                found=f"{folds} folds, {members} members, rows: {self.dataset.rows}",
                fix=f"members: {folds}; rows of one event cannot be told apart by fold",
            )

    def _check_representation(self, name: str, where: str) -> None:
        section = self.library.representation(name)
        for variable in section.get("variables") or ():
            if variable not in self.dataset.variables:
                raise ConfigError(
                    f"representation '{name}': variables",
                    expected=f"variables of {where}",
                    found=f"'{variable}'",
                    fix=nearest(variable, self.dataset.variables),
                )
        for collection in objects_read(section, self.properties(section)):
            if collection not in self.dataset.objects:
                raise ConfigError(
                    f"representation '{name}': objects",
                    expected=f"objects of {where}",
                    found=f"'{collection}'",
                    fix=nearest(collection, self.dataset.objects),
                )


def objects_read(representation: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Collections that a representation reads: "constituents", or those of "constituents.pt", …."""
    default = properties.get("objects", {}).get("default")
    objects = representation.get("objects", default) or ()
    named = [objects] if isinstance(objects, str) else objects
    return list(dict.fromkeys(name.partition(".")[0] for name in named))
