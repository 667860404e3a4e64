"""What there is to do: the files, shards, methods and members of one run, and what each depends on.

The whole graph follows from the configuration; no ROOT file is opened for it. Every rule asks here
for its `job`: the section of the configuration it uses, and a fingerprint of that section, of the
code it executes and of everything upstream: that, not a file's time, decides what is stale.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom import packing, provenance, registry
from rootloom.config import Dataset, Experiment, Library, Method, Settings, parse
from rootloom.errors import ConfigError, nearest
from rootloom.fileio import write_text
from rootloom.fingerprint import of_code, of_value
from rootloom.paths import Paths
from rootloom.rootio.source import expand, is_remote

Job = dict[str, Any]
MAX_SEED = 900_000_000  # the largest that Pythia 8 accepts
MIN_RUNTIME = 30  # minutes asked for at least: a scheduler gains nothing from less
RUNTIME_MARGIN = 5  # asked for over expected: rates are those of another machine
# Rules that make one file of what another makes for a whole pack, with the same code.
SINGLE = {"shard": "preprocess", "friend": "friends"}
# Wildcards that follow from others, or from the plan itself.
IMPLIED = frozenset({"experiment", "dataset", "folder", "block"})


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
    def packs(self) -> dict[str, list[str]]:
        """Files that one job works on, by the pack's label; see `rootloom.packing`."""
        found: dict[str, list[str]] = {}
        for key in self.sources:
            found.setdefault(self.pack_of(key), []).append(key)
        return found

    def pack_of(self, key: str) -> str:
        """The pack of a file."""
        number = packing.number_of(key, self._packs)
        return packing.label(number, self._packs)

    @cached_property
    def _packs(self) -> int:
        return packing.packs_for(sum(self.seconds.values()), 60 * self.settings.job_minutes)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Expected duration of the work on each file: the same before and after it is made."""
        rates, simulate = self.library.rates(), self.dataset.simulate
        if simulate:
            size = simulate.rows_per_file * rates.simulated_row_bytes
            return dict.fromkeys(self.sources, rates.seconds(size))
        unknown = (1e6 * rates.remote_megabytes, 0)
        return {key: rates.seconds((self._status(key) or unknown)[0]) for key in self.sources}

    def _status(self, key: str) -> tuple[int, int] | None:
        """Size and time of a given file on disk; None of a URL, or when it is gone."""
        if key not in self._statuses:
            source = self.sources[key]
            try:
                status = None if source.remote else os.stat(self.root / source.url)
            except OSError:
                status = None
            self._statuses[key] = (status.st_size, status.st_mtime_ns) if status else None
        return self._statuses[key]

    @cached_property
    def _statuses(self) -> dict[str, tuple[int, int] | None]:
        return {}

    def minutes(self, pack: str) -> int:
        """Time to ask for, for a job on a pack."""
        expected = sum(self.seconds[key] for key in self.packs[pack]) / 60
        return max(MIN_RUNTIME, round(RUNTIME_MARGIN * expected))

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
    def shards(self, representation: str, key: str) -> list[str]:
        """Shards of a file."""
        return [
            self.paths.shard(self.dataset_name, representation, key, part) for part in self.parts()
        ]

    def manifests(self, representation: str) -> list[str]:
        """Manifests of a representation's packs."""
        return [self.paths.manifest(self.dataset_name, representation, pack) for pack in self.packs]

    def root_inputs(self, keys: list[str]) -> list[str]:
        """The ROOT files as inputs the engine can watch: none for a URL."""
        sources = (self.sources[key] for key in keys)
        return [source.url for source in sources if not source.remote]

    @property
    def many(self) -> bool:
        """Whether there are too many files for one folder."""
        return len(self.sources) > packing.FOLDER_ENTRIES

    def friend(self, key: str) -> str:
        """The friend tree of a file."""
        return self.paths.friend(self.name, key, many=self.many)

    def friends(self) -> list[str]:
        """Manifests of the friend trees."""
        return [self.paths.friends(self.name, pack) for pack in self.packs]

    def lost_shards(self, representation: str) -> list[str]:
        """Shards that a finished pack made and that are there no more."""
        return self._lost(
            "preprocess",
            lambda pack: self.paths.manifest(self.dataset_name, representation, pack),
            lambda key: self.shards(representation, key),
            representation=representation,
        )

    def lost_friends(self) -> list[str]:
        """Friend trees that a finished pack made and that are there no more."""
        return self._lost(
            "friends",
            lambda pack: self.paths.friends(self.name, pack),
            lambda key: [self.friend(key)],
        )

    def _lost(
        self,
        rule: str,
        manifest: Callable[[str], str],
        outputs: Callable[[str], list[str]],
        **wildcards: str,
    ) -> list[str]:
        present = _Folders()
        lost: list[str] = []
        for pack, keys in self.packs.items():
            made = manifest(pack)
            if not present.has(made):
                continue
            gone = [path for key in keys for path in outputs(key) if not present.has(path)]
            if gone and self.is_current(rule, made, pack=pack, **wildcards):
                lost += gone
        return lost

    def predictions(self, method: str, split: str = "test") -> list[str]:
        """Prediction files of all members of a method on one split."""
        return [self.paths.predictions(self.name, method, m, split) for m in self.members(method)]

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
        return [self.paths.report(self.name), *self.friends(), *self.all_manifests()]

    def all_manifests(self) -> list[str]:
        """Manifests of all representations' packs."""
        return [path for name in self.representations for path in self.manifests(name)]

    def lost(self) -> list[str]:
        """Single files that have to be made again although their pack is done."""
        shards = [path for name in self.representations for path in self.lost_shards(name)]
        return [*shards, *self.lost_friends()]

    # -- jobs -----------------------------------------------------------------------------------
    def job(self, rule: str, **wildcards: str) -> Job:
        """What a rule's job is given: its section and the fingerprint that decides its fate."""
        describe: Callable[..., tuple[Job, list[str], list[str]]] = getattr(self, f"_{rule}")
        relevant = {k: v for k, v in wildcards.items() if k not in IMPLIED}
        section, modules, upstream = describe(**relevant)
        code = of_code(f"rootloom.stages:{SINGLE.get(rule, rule)}", *modules)
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

    def _index(self, pack: str) -> tuple[Job, list[str], list[str]]:
        section = {
            "tree": self.dataset.tree,
            "on_bad_file": self.dataset.on_bad_file,
            "files": self._files(self.packs[pack]),
        }
        return section, [], []

    def _preprocess(self, representation: str, pack: str) -> tuple[Job, list[str], list[str]]:
        section, modules, upstream = self._shards_of(representation, self.packs[pack])
        return {**section, "on_bad_file": self.dataset.on_bad_file}, modules, upstream

    def _shard(self, representation: str, file: str, part: str) -> tuple[Job, list[str], list[str]]:
        section, modules, upstream = self._shards_of(representation, [file])
        return {**section, "part": int(part)}, modules, upstream

    def _shards_of(self, representation: str, keys: list[str]) -> tuple[Job, list[str], list[str]]:
        fields = self.library.representation(representation)
        section = {
            "dataset": self.dataset_name,
            "representation": {"name": representation, **fields},
            "parts": self.dataset.shards_per_file,
            "reader": self.reader(fields),
            "splits": self.dataset.splits.model_dump(),
            "step": self.dataset.step,
            "auxiliary": self._auxiliary(),
            "files": self._files(keys),
        }
        return section, [_module("representations", fields)], []

    def _files(self, keys: list[str]) -> Job:
        """What a pack's job is told of its files. "identity" tells one content from another."""
        return {
            key: {
                "url": self.sources[key].url,
                "label": self.sources[key].label,
                "identity": self.identities[key],
            }
            for key in keys
        }

    def _moments(self, representation: str, pack: str) -> tuple[Job, list[str], list[str]]:
        fields = self.library.representation(representation)
        section = {
            "representation": {"name": representation, **fields},
            "classes": list(self.dataset.classes),
            "reweight": self.dataset.reweight,
        }
        upstream = self._shard_fingerprint(representation, self.packs[pack])
        return section, [_module("representations", fields)], [upstream]

    def _statistics(self, representation: str) -> tuple[Job, list[str], list[str]]:
        # Neither here nor further down does the division into packs count: it says when a number
        # is computed, not what it is.
        moments, modules, _ = self._moments(representation, next(iter(self.packs)))
        section = {
            "dataset": self.dataset_name,
            "classes": list(self.dataset.classes),
            "moments": moments,
        }
        code = of_code("rootloom.stages:moments", *modules)
        return section, [], [code, self._shard_fingerprint(representation, list(self.sources))]

    def _shard_fingerprint(self, representation: str, keys: list[str]) -> str:
        """Fingerprint of the shards of some files."""
        section, modules, _ = self._shards_of(representation, keys)
        return of_value([section, of_code("rootloom.stages:preprocess", *modules)])

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

    def _friends(self, pack: str) -> tuple[Job, list[str], list[str]]:
        return self._friends_of(self.packs[pack])

    def _friend(self, file: str) -> tuple[Job, list[str], list[str]]:
        return self._friends_of([file])

    def _friends_of(self, keys: list[str]) -> tuple[Job, list[str], list[str]]:
        reader = {**self.reader(), "variables": {}, "objects": {}}
        section = {"files": self._files(keys), "reader": reader}
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
        return [
            {"name": name, "where": rule.where, "by_file": name in self._labels}
            for name, rule in self.dataset.classes.items()
        ]

    @cached_property
    def _labels(self) -> set[str | None]:
        """Classes that are decided by the file."""
        return {source.label for source in self.sources.values()}

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

    @cached_property
    def identities(self) -> dict[str, str]:
        """What identifies each file's content: how it was simulated, or its size and time."""
        return {key: self._identity(source) for key, source in self.sources.items()}

    def _identity(self, source: Source) -> str:
        if source.simulated:
            return self._fingerprint("simulate", file=source.key)
        found = self._status(source.key)
        identity = "{}-{}".format(*found) if found else source.url
        retry = self.retries.get(source.key)
        return f"{identity}, retry {retry}" if retry else identity

    @cached_property
    def retries(self) -> dict[str, int]:
        """Files that were set aside and are to be looked at again, and how often so far."""
        path = Path(self.paths.retries(self.dataset_name))
        found: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def retry(self) -> list[str]:
        """Give every file that was set aside another chance in the next run; their keys.

        A file that could not be read for a while has the same name, size and time when it can be
        read again: nothing but the user knows that it is worth another look.
        """
        aside = {
            key
            for path in self.all_manifests()
            if Path(path).exists()
            for key, entry in json.loads(Path(path).read_text())["files"].items()
            if entry["quarantined"]
        }
        counts = {**self.retries, **{key: self.retries.get(key, 0) + 1 for key in aside}}
        if aside:
            write_text(self.paths.retries(self.dataset_name), json.dumps(counts, indent=1))
        return sorted(aside)

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


class _Folders:
    """Which files exist, by one listing a folder: looking at each takes minutes on a busy disk."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


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
