"""What the configuration asks for: one experiment, with the sections that it names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.config.parsing import parse
from rootloom.config.sections import Datasets, Experiment, Fields, Library, Method, Settings
from rootloom.errors import require_known
from rootloom.planning.products import PRODUCTS, Product
from rootloom.rootio.syntax import Signature
from rootloom.system.paths import Paths, check_results, require_folder


class Request:
    """The parsed configuration; what it asks of each dataset is in `planning.data`.

    Whether its parts fit together is for `rootloom.planning.checks` to say, once a run: jobs ask
    for what was checked before.
    """

    def __init__(self, settings: Fields, root: Path) -> None:
        self.settings = parse(Settings, settings, "config/config.yaml")
        check_results(self.settings.results, "config/config.yaml: results")
        self.root = Path(root)
        self.library = Library(self.root / "config")
        self.name = self.settings.experiment
        self.experiment: Experiment = self.library.experiment(self.name)
        self.roles: Datasets = self.experiment.roles()
        self.paths = Paths(self.settings.results)
        for folder in (self.name, *(f"datasets/{name}" for name in self.roles.names())):
            path = f"{self.settings.results}/{folder}"
            require_folder(path, f"config/config.yaml: results: {self.settings.results}")
        # What to call its file in messages.
        self.where = self.library.where("experiments", self.name)

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
    def product(self) -> Product:
        """The output of the experiment's networks."""
        yields = self.library.of_task(self.experiment.task, "yields")
        require_known([yields], PRODUCTS, f"{self.where}: task", "what a task may yield")
        return PRODUCTS[yields]

    @cached_property
    def beside_real(self) -> bool:
        """Whether the evaluation compares with real rows, and needs the floor: real with real rows.

        It may then use variables of the dataset.
        """
        return bool(self.of_evaluation("reference"))

    def of_evaluation(self, what: str) -> Any:
        """A property that the class of the evaluation declares, such as `shown`, its plots."""
        kind = self.library.evaluation(self.experiment)["kind"]
        return self.library.schema["$defs"]["evaluations"][kind][f"x-{what}"]

    def plots(self) -> list[str]:
        """Names of the plots of the nominal dataset that are saved beside the report."""
        shown: list[str] = self.of_evaluation("shown")
        return [*shown, *(["images.png"] if self.experiment.pictured() else [])]

    @cached_property
    def functions(self) -> dict[str, Signature]:
        """The functions that expressions may call, by name."""
        known = self.library.schema["$defs"]["functions"]
        return {name: Signature(**signature) for name, signature in known.items()}

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
        """Whether a dataset's expressions can read generated files of a representation."""
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
        return self.named_or_all(representation) or ()

    def takes_all(self, representation: Fields) -> bool:
        """Whether a representation takes all variables that a dataset has."""
        known = "variables" in self.properties(representation)
        return known and self.named_or_all(representation) is None

    def named_or_all(self, representation: Fields) -> Sequence[str] | None:
        """Variables that a representation names; None if it takes all of a dataset."""
        default = self.properties(representation).get("variables", {}).get("default")
        named: Sequence[str] | None = representation.get("variables", default)
        return named

    def objects_read(self, representation: Fields) -> list[str]:
        """Collections that a representation reads: those of "constituents" or "constituents.pt"."""
        default = self.properties(representation).get("objects", {}).get("default")
        objects = representation.get("objects", default) or ()
        named = [objects] if isinstance(objects, str) else objects
        return list(dict.fromkeys(name.partition(".")[0] for name in named))
