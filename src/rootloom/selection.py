"""What the configuration asks for: one experiment on one dataset, checked as a whole."""

from __future__ import annotations

from collections.abc import Collection
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
        dataset, where = self.dataset, f"dataset '{self.dataset_name}'"
        variable = (f"{where}: reweight.variable", "a variable of the dataset")
        _require_known(self.auxiliary(), dataset.variables, *variable)
        signal = self.experiment.task.get("signal")
        named = [] if signal is None else [signal]
        task = (f"experiment '{self.name}': task.signal", f"a class of {where}")
        _require_known(named, dataset.classes, *task)
        for name in self.representations:
            section = self.library.representation(name)
            of = f"representation '{name}'"
            default = self.properties(section).get("variables", {}).get("default")
            variables = section.get("variables", default) or ()
            _require_known(
                variables, dataset.variables, f"{of}: variables", f"variables of {where}"
            )
            objects = objects_read(section, self.properties(section))
            _require_known(objects, dataset.objects, f"{of}: objects", f"objects of {where}")


def _require_known(
    names: Collection[str], known: Collection[str], where: str, expected: str
) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(where, expected=expected, found=f"'{name}'", fix=nearest(name, known))


def objects_read(representation: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Collections that a representation reads: "constituents", or those of "constituents.pt", …."""
    default = properties.get("objects", {}).get("default")
    objects = representation.get("objects", default) or ()
    named = [objects] if isinstance(objects, str) else objects
    return list(dict.fromkeys(name.partition(".")[0] for name in named))
