"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration; no ROOT file is opened for it. Every rule asks here
for its `job`: the section of the configuration it uses, and a fingerprint of that section, of the
code it executes and of everything upstream: that, not a file's time, decides what is stale.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom import provenance, registry
from rootloom.config import Dataset, Experiment, Library, Method, Settings, parse
from rootloom.errors import ConfigError, nearest
from rootloom.fingerprint import of_code, of_value
from rootloom.paths import Paths
from rootloom.rootio.source import expand, is_remote

Job = dict[str, Any]
MAX_SEED = 900_000_000  # the largest that Pythia 8 accepts


@dataclass(frozen=True)
class Source:
    """One ROOT file of the dataset. `label` is its class when the file decides it."""

    key: str
    url: str
    label: str | None = None
    number: int = 0
    simulated: bool = False

    @property
    def remote(self) -> bool:
        """Whether the workflow engine cannot see it as a file."""
        return is_remote(self.url)


class Plan:
    """One experiment on one dataset, as files and jobs."""

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

    # -- nouns ----------------------------------------------------------------------------------
    @cached_property
    def sources(self) -> dict[str, Source]:
        """The dataset's files by key, sorted."""
        found = self._simulated() if self.dataset.simulate else self._given()
        return {source.key: source for source in sorted(found, key=lambda s: s.key)}

    def _simulated(self) -> list[Source]:
        simulate = self.dataset.simulate
        assert simulate is not None
        size = self.settings.size
        if size not in simulate.files:
            raise ConfigError(
                "config.yaml: size",
                expected=f"a size of dataset '{self.dataset_name}'",
                found=f"'{size}'",
                fix=nearest(size, simulate.files),
            )
        found = []
        for label in self.dataset.classes:
            for number in range(simulate.files[size]):
                key = f"{label}-{number:05d}"
                url = self.paths.simulated(self.dataset_name, key)
                found.append(Source(key, url, label, number, simulated=True))
        return found

    def _given(self) -> list[Source]:
        # Paths stay as written where that works, so that a checkout that moves keeps its results.
        base = None if Path.cwd() == self.root else self.root
        if self.dataset.files:
            return [Source(s.key, s.url) for s in expand(self.dataset.files, base=base)]
        return [
            Source(s.key, s.url, label)
            for label, rule in self.dataset.classes.items()
            for s in expand(rule.files or [], base=base)
        ]

    @cached_property
    def groups(self) -> list[list[str]]:
        """Files whose statistics one job sums."""
        keys, n = list(self.sources), self.dataset.files_per_group
        return [keys[i : i + n] for i in range(0, len(keys), n)]

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

    # -- files ----------------------------------------------------------------------------------
    def shards(self, representation: str, files: list[str] | None = None) -> list[str]:
        """Shards of a representation, in file order."""
        return [
            self.paths.shard(self.dataset_name, representation, key, part)
            for key in (self.sources if files is None else files)
            for part in self.parts()
        ]

    def indices(self, files: list[str] | None = None) -> list[str]:
        """Index files, in file order."""
        keys = self.sources if files is None else files
        return [self.paths.index(self.dataset_name, key) for key in keys]

    def root_inputs(self, key: str) -> list[str]:
        """The ROOT file as an input the engine can watch: none for a URL."""
        source = self.sources[key]
        return [] if source.remote else [source.url]

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        return [self.paths.predictions(self.name, method, m, split) for m in self.members(method)]

    def shards_read(self, **wildcards: str) -> list[str]:
        """Shards that a job of a method, or of a group's statistics, reads."""
        if "method" in wildcards:
            return self.shards(self.representation_of(wildcards["method"]))
        return self.shards(wildcards["representation"], self.groups[int(wildcards["group"])])

    def is_current(self, rule: str, output: str, **wildcards: str) -> bool:
        """Whether an output exists and was made by exactly the job that would make it now."""
        made_by = provenance.read(Path(output))
        now = self.job(rule, **wildcards)
        return made_by is not None and made_by["fingerprint"] == now["fingerprint"]

    def figures(self) -> list[str]:
        """Figures saved beside the report."""
        return ["roc.png", *(["images.png"] if self.experiment.images else [])]

    def targets(self) -> list[str]:
        """Everything a complete run leaves behind."""
        kept = [self.paths.report(self.name)]
        kept += [self.paths.friend(self.name, key) for key in self.sources]
        for representation in self.representations:
            kept += self.shards(representation)
        return kept

    # -- jobs -----------------------------------------------------------------------------------
    def job(self, rule: str, **wildcards: str) -> Job:
        """What a rule's job is given: its section and the fingerprint that decides its fate."""
        describe: Callable[..., tuple[Job, list[str], list[str]]] = getattr(self, f"_{rule}")
        relevant = {k: v for k, v in wildcards.items() if k not in ("experiment", "dataset")}
        section, modules, upstream = describe(**relevant)
        code = of_code(f"rootloom.stages:{rule}", *modules)
        job = {"section": section, "code": code, "upstream": of_value(upstream)}
        return {**job, "fingerprint": of_value(job)}

    def _fingerprint(self, rule: str, **wildcards: str) -> str:
        known = (rule, *sorted(wildcards.items()))
        if known not in self._fingerprints:
            self._fingerprints[known] = self.job(rule, **wildcards)["fingerprint"]
        return self._fingerprints[known]

    @cached_property
    def _fingerprints(self) -> dict[tuple, str]:
        return {}

    def _simulate(self, file: str) -> tuple[Job, list[str], list[str]]:
        source, simulate = self.sources[file], self.dataset.simulate
        assert simulate is not None
        assert source.label is not None
        process = self.dataset.classes[source.label].process
        section = {
            "source": simulate.source,
            "process": process,
            "rows": simulate.rows_per_file,
            "seed": seed_of(simulate.seed, str(process), str(source.number)),
        }
        return section, [_module("simulations", simulate.source)], []

    def _index(self, file: str) -> tuple[Job, list[str], list[str]]:
        source = self.sources[file]
        section = {
            "file": file,
            "url": source.url,
            "tree": self.dataset.tree,
            "on_bad_file": self.dataset.on_bad_file,
        }
        return section, [], self._source_fingerprint(file)

    def _preprocess(
        self, representation: str, file: str, part: str
    ) -> tuple[Job, list[str], list[str]]:
        fields = self.library.representation(representation)
        section = {
            "dataset": self.dataset_name,
            "representation": {"name": representation, **fields},
            "file": file,
            "url": self.sources[file].url,
            "file_class": self.sources[file].label,
            "part": int(part),
            "parts": self.dataset.shards_per_file,
            "reader": self.reader(fields),
            "splits": self.dataset.splits.model_dump(),
            "step": self.dataset.step,
            "auxiliary": self._auxiliary(),
        }
        return section, [_module("representations", fields)], self._source_fingerprint(file)

    def _moments(self, representation: str, group: str) -> tuple[Job, list[str], list[str]]:
        fields = self.library.representation(representation)
        section = {
            "representation": {"name": representation, **fields},
            "classes": list(self.dataset.classes),
            "reweight": self.dataset.reweight,
        }
        shards = [
            self._fingerprint("preprocess", representation=representation, file=key, part=str(part))
            for key in self.groups[int(group)]
            for part in self.parts()
        ]
        return section, [_module("representations", fields)], shards

    def _statistics(self, representation: str) -> tuple[Job, list[str], list[str]]:
        section = {"dataset": self.dataset_name, "classes": list(self.dataset.classes)}
        upstream = [
            self._fingerprint("moments", representation=representation, group=str(group))
            for group in range(len(self.groups))
        ]
        return section, [], upstream

    def _train(self, method: str, member: str) -> tuple[Job, list[str], list[str]]:
        network = self.method(method)
        section = self._scored(method)
        section |= {
            "member": int(member),
            "model": self.library.model(network.model),
            "training": self.library.training(self.experiment, network),
            "threads": self.experiment.threads,
        }
        code = [
            _module("models", section["model"]),
            _module("tasks", section["task"]),
            _module("representations", section["representation"]),
        ]
        upstream = self._fingerprint("statistics", representation=network.representation)
        return section, code, [upstream]

    def _predict(self, method: str, member: str) -> tuple[Job, list[str], list[str]]:
        section, code, _ = self._train(method, member)
        section = {key: section[key] for key in section if key not in ("model", "training")}
        return section, code, [self._fingerprint("train", method=method, member=member)]

    def _baseline(self, method: str) -> tuple[Job, list[str], list[str]]:
        section = self._scored(method)
        section |= {"member": 0, "baseline": self.experiment.baselines[method]}
        code = [
            _module("baselines", section["baseline"]),
            _module("representations", section["representation"]),
        ]
        upstream = self._fingerprint("statistics", representation=section["representation"]["name"])
        return section, code, [upstream]

    def _friends(self) -> tuple[Job, list[str], list[str]]:
        reader = {**self.reader(), "variables": {}, "objects": {}}
        section = {"files": list(self.sources), "reader": reader}
        return section, [], self._all_predictions()

    def _evaluate(self, method: str) -> tuple[Job, list[str], list[str]]:
        section = {"method": method, "evaluation": self.experiment.evaluation.model_dump()}
        return section, [], self._predictions_of(method)

    def _report(self) -> tuple[Job, list[str], list[str]]:
        experiment = self.experiment
        section = {
            "experiment": self.name,
            "title": experiment.title or self.name,
            "description": experiment.description,
            "dataset": self.dataset_name,
            "dataset_description": self.dataset.description,
            "size": self.settings.size if self.dataset.simulate else None,
            "methods": self.all_methods,
            "networks": {name: self.members(name) for name in experiment.methods},
            "images": experiment.images.model_dump() if experiment.images else None,
            "representations": self.representations,
            "image_half_width": self._of_images("half_width"),
            "image_channels": {k: len(v) for k, v in self._of_images("channels").items()},
            "expected": [entry.model_dump() for entry in experiment.expected],
        }
        return section, [], [self._fingerprint("evaluate", method=m) for m in self.all_methods]

    # -- pieces of sections ---------------------------------------------------------------------
    def _scored(self, method: str) -> Job:
        """What training, prediction and baselines share: inputs, classes and weights."""
        representation = self.representation_of(method)
        return {
            "experiment": self.name,
            "dataset": self.dataset_name,
            "task": self.experiment.task,
            "method": method,
            "classes": list(self.dataset.classes),
            "representation": {
                "name": representation,
                **self.library.representation(representation),
            },
            "reweight": self.dataset.reweight,
            "balance": self.dataset.balance,
        }

    def reader(self, representation: dict[str, Any] | None = None) -> Job:
        """How rows are read; only what a representation uses, so that others keep their shards."""
        dataset = self.dataset
        variables, objects = dataset.variables, dataset.objects
        if representation is not None:
            wanted = self._variables_read(representation)
            variables = {k: v for k, v in variables.items() if k in wanted}
            read = _objects_read(representation, self._properties(representation))
            objects = {k: v for k, v in objects.items() if k in read}
        return {
            "tree": dataset.tree,
            "rows": dataset.rows,
            "select": dataset.select,
            "variables": variables,
            "objects": objects,
            "weight": dataset.weight,
            "classes": self._classes(),
        }

    def _classes(self) -> list[Job]:
        """Class rules; never the files, so that one more of them changes no other's shard."""
        by_file = {s.label for s in self.sources.values()} - {None}
        return [
            {"name": name, "where": rule.where, "by_file": name in by_file}
            for name, rule in self.dataset.classes.items()
        ]

    def _variables_read(self, representation: dict[str, Any]) -> set[str]:
        wanted: set[str] = set(self._auxiliary())
        if "variables" in self._properties(representation):
            named = representation.get("variables")
            wanted |= set(self.dataset.variables if named is None else named)
        return wanted

    def _properties(self, representation: dict[str, Any]) -> dict[str, Any]:
        """Schema of the fields of a representation's class."""
        kinds = self.library.schema["$defs"]["representations"]
        found: dict[str, Any] = kinds[representation["kind"]]["properties"]
        return found

    def _auxiliary(self) -> list[str]:
        """Variables every shard carries beside its inputs."""
        return [self.dataset.reweight["variable"]] if self.dataset.reweight else []

    def _source_fingerprint(self, file: str) -> list[str]:
        """What identifies a file's content: how it was simulated, or its size and time."""
        source = self.sources[file]
        label = source.label or ""
        if source.simulated:
            return [self._fingerprint("simulate", file=file), label]
        if source.remote:
            return [source.url, label]
        try:
            status = os.stat(self.root / source.url)
        except OSError:
            return [source.url, label]
        return [source.url, label, f"{status.st_size}-{status.st_mtime_ns}"]

    def _predictions_of(self, method: str) -> list[str]:
        if method in self.experiment.baselines:
            return [self._fingerprint("baseline", method=method)]
        return [
            self._fingerprint("predict", method=method, member=str(m)) for m in self.members(method)
        ]

    def _all_predictions(self) -> list[str]:
        return [digest for method in self.all_methods for digest in self._predictions_of(method)]

    def _of_images(self, field: str) -> dict[str, Any]:
        """A field of the image representations that the report shows."""
        images = self.experiment.images
        found = {}
        for name in (images.before, images.after) if images else ():
            section = self.library.representation(name)
            found[name] = section.get(field, self._properties(section)[field]["default"])
        return found

    def _check(self) -> None:
        """Refuse here, before any job, what cannot fit together."""
        where = f"dataset '{self.dataset_name}'"
        for variable in self._auxiliary():
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
        for collection in _objects_read(section, self._properties(section)):
            if collection not in self.dataset.objects:
                raise ConfigError(
                    f"representation '{name}': objects",
                    expected=f"objects of {where}",
                    found=f"'{collection}'",
                    fix=nearest(collection, self.dataset.objects),
                )


def seed_of(base: int, *names: str) -> int:
    """A seed in 1 … 900,000,000 for a job, by hash: neighbours share nothing."""
    text = "\0".join((str(base), *names)).encode()
    return 1 + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % MAX_SEED


def _objects_read(representation: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Collections that a representation reads: "constituents", or those of "constituents.pt", …."""
    default = properties.get("objects", {}).get("default")
    objects = representation.get("objects", default) or ()
    named = [objects] if isinstance(objects, str) else objects
    return list(dict.fromkeys(name.partition(".")[0] for name in named))


def _module(group: str, section: dict[str, Any]) -> str:
    return registry.path(group, section["kind"]).partition(":")[0]
