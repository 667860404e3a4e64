"""What each job is given: its section of the configuration, and a fingerprint that decides over it.

The fingerprint is of that section, of the code the job executes and of everything upstream.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rootloom.config import registry
from rootloom.config.sections import FromFiles, SumOfWeights
from rootloom.planning.files import Files
from rootloom.planning.fingerprint import Definitions, definitions, of_code
from rootloom.planning.request import objects_read
from rootloom.rootio.definitions import expressions, written_out
from rootloom.system.atomic import write_json
from rootloom.system.hashing import of_value

Job = dict[str, Any]
# Section, modules whose code the job executes beside its stage, fingerprints upstream.
Described = tuple[Job, list[str], list[str]]
FB_PER_PB = 1000.0  # a cross section in pb times a luminosity in fb⁻¹ is this many events
NOTHING_OWN = FromFiles.model_validate({})
MAX_SEED = 900_000_000  # the largest that Pythia 8 accepts
# Rules that make one file of what another makes for a whole pack, with the same code.
SINGLE = {"shard": "preprocess", "friend": "friends"}
# Wildcards that follow from others, or from the plan itself.
IMPLIED = frozenset({"experiment", "dataset", "folder", "block"})


class Jobs(Files):
    """Jobs by rule and wildcards. `_RULE(wildcards)` describes those of a rule."""

    def job(self, rule: str, **wildcards: str) -> Job:
        """What a rule's job is given: its section and the fingerprint that decides its fate."""
        describe: Callable[..., Described] = getattr(self, f"_{rule}")
        section, modules, upstream = describe(**self._relevant(wildcards))
        targets = (f"rootloom.stages.all:{SINGLE.get(rule, rule)}", *modules)
        code = of_code(*targets)
        self._targets[code] = targets
        job = {"section": section, "code": code, "upstream": of_value(upstream)}
        return {**job, "fingerprint": of_value(job)}

    @cached_property
    def _targets(self) -> dict[str, tuple[str, ...]]:
        """What the hashes of code are of, as far as jobs were asked for."""
        return {}

    def definitions(self, code: str) -> Definitions:
        """What a hash of code, which a job has, is made from."""
        return definitions(*self._targets[code])

    def note_code(self, jobs: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Write down the definitions that these jobs execute, by rule and wildcards.

        A hash of code says that something changed; compared with this, also what.
        """
        known: dict[tuple[str, ...], Mapping[str, str]] = {}
        for rule, wildcards in jobs:
            names = (wildcards.get(kind, "") for kind in ("method", "representation"))
            known.setdefault((rule, *names), wildcards)
        for (rule, *_), wildcards in known.items():
            code = self.job(rule, **wildcards)["code"]
            path = Path(self.paths.code(code))
            if not path.exists():
                write_json(path, {"modules": self.definitions(code)})

    def _relevant(self, wildcards: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in wildcards.items() if k not in IMPLIED}

    def _fingerprint(self, rule: str, **wildcards: str) -> str:
        known = (rule, *sorted(wildcards.items()))
        if known not in self._fingerprints:
            self._fingerprints[known] = self.job(rule, **wildcards)["fingerprint"]
        return self._fingerprints[known]

    @cached_property
    def _fingerprints(self) -> dict[tuple, str]:
        return {}

    def _simulate(self, file: str) -> Described:
        simulate = self.dataset.simulate
        assert simulate is not None
        label, _, number = file.rpartition("-")
        process = self.dataset.classes[label].process
        section = {
            "source": simulate.source,
            "process": process,
            "rows": simulate.rows_per_file,
            "seed": seed_of(simulate.seed, str(process), str(int(number))),
        }
        return section, [_module("simulations", simulate.source)], []

    def simulated_identity(self, key: str) -> str:
        """How a simulated file is made."""
        return str(self.job("simulate", file=key)["fingerprint"])

    def _index(self, pack: str) -> Described:
        section: Job = {
            "trees": {
                name: [reader["tree"], reader["sum_of_weights"], reader["friends"]]
                for name, reader in self.readers().items()
            },
            "on_bad_file": self.dataset.on_bad_file,
            "files": self.listing.parts[pack].digest,
        }
        if self.sets_aside:
            # Files that lack a branch are set aside, and which these are depends on what is asked.
            section["asked"] = self.readers()
        return section, [], []

    def _branches(self) -> Described:
        section = {"dataset": self.dataset_name, "asked": self.readers()}
        return section, [], [_index_code(), self.listing.digest]

    @property
    def sets_aside(self) -> bool:
        """Whether the run goes on without files that cannot be read."""
        return self.dataset.on_bad_file == "quarantine"

    def _preprocess(self, representation: str, pack: str) -> Described:
        section, modules = self._shards_of(representation)
        section["files"] = self.listing.parts[pack].digest
        return {**section, "on_bad_file": self.dataset.on_bad_file}, modules, [_index_code()]

    def _shard(self, representation: str, file: str, part: str) -> Described:
        section, modules = self._shards_of(representation)
        section |= {"file": self.file(file)._asdict(), "part": int(part)}
        return section, modules, [_index_code()]

    def _shards_of(self, representation: str) -> tuple[Job, list[str]]:
        """The section, but for the files, and the modules of shards of any files."""
        fields = self._representation(representation)
        section = {
            "dataset": self.dataset_name,
            "representation": fields,
            "parts": self.dataset.shards_per_file,
            "readers": self.readers(fields),
            "splits": self.dataset.splits.shares(),
            "simulated": self.dataset.simulate is not None,
            "step": self.dataset.step,
            "auxiliary": self.auxiliary(),
        }
        return section, [_module("representations", fields)]

    def _moments(self, representation: str, pack: str) -> Described:
        section, modules = self._sums_of(representation)
        upstream = self._shard_fingerprint(representation, self.listing.parts[pack].digest)
        return section, modules, [upstream]

    def _sums_of(self, representation: str) -> tuple[Job, list[str]]:
        """Section and modules of sums over any files."""
        fields = self._representation(representation)
        section = {
            "representation": fields,
            "classes": list(self.dataset.classes),
            "reweight": self.dataset.reweight,
        }
        return section, [_module("representations", fields)]

    def _statistics(self, representation: str) -> Described:
        # Neither here nor further down does the division into packs count: it says when a number
        # is computed, not what it is.
        moments, modules = self._sums_of(representation)
        section = {
            "dataset": self.dataset_name,
            "classes": list(self.dataset.classes),
            "moments": moments,
            # Of the dataset alone, as all experiments on it share its statistics.
            "by_class": not self.dataset.targets,
        }
        code = of_code("rootloom.stages.all:moments", *modules)
        return section, [], [code, self._shard_fingerprint(representation, self.listing.digest)]

    def _shard_fingerprint(self, representation: str, files: str) -> str:
        """Fingerprint of the shards of the files with this digest."""
        section, modules = self._shards_of(representation)
        code = of_code("rootloom.stages.all:preprocess", *modules)
        return of_value([section, files, _index_code(), code])

    def _train(self, method: str, member: str) -> Described:
        network = self.method(method)
        section = self._scored(method)
        section |= {
            "member": int(member),
            "model": self.library.model(network.model),
            "training": self.library.training(self.experiment, network),
            "threads": self.experiment.threads,
            # Like threads they decide the order of sums: a checkpoint promises the last bits.
            "nodes": self.experiment.nodes,
            "gpus_per_node": self.experiment.gpus_per_node,
        }
        code = [
            _module("models", section["model"]),
            _module("tasks", section["task"]),
            _module("representations", section["representation"]),
        ]
        upstream = self._fingerprint("statistics", representation=network.representation)
        return section, code, [upstream]

    def _predict(self, method: str, member: str) -> Described:
        section, code, _ = self._train(method, member)
        trained = ("model", "training", "nodes", "gpus_per_node")
        section = {key: section[key] for key in section if key not in trained}
        return section, code, [self._fingerprint("train", method=method, member=member)]

    def _generate(self, method: str, member: str) -> Described:
        section, code, _ = self._train(method, member)
        section = {key: section[key] for key in ("experiment", "method", "member", "threads")}
        generation = self.experiment.generation
        section |= {
            "tree": self.dataset.tree,
            "threshold": generation.threshold,
            "seed": seed_of(generation.seed, method, member),
        }
        return section, code, [self._fingerprint("train", method=method, member=member)]

    def _baseline(self, method: str) -> Described:
        section = self._scored(method)
        section |= {"member": 0, "baseline": self.experiment.baselines[method]}
        code = [
            _module("baselines", section["baseline"]),
            _module("representations", section["representation"]),
        ]
        upstream = self._fingerprint("statistics", representation=section["representation"]["name"])
        return section, code, [upstream]

    def _friends(self, pack: str) -> Described:
        section = {"files": self.listing.parts[pack].digest, **self._read_by_friends()}
        return section, [], [_index_code(), *self._all_predictions()]

    def _friend(self, file: str) -> Described:
        section = {"file": self.file(file)._asdict(), **self._read_by_friends()}
        return section, [], [_index_code(), *self._all_predictions()]

    def _read_by_friends(self) -> Job:
        """What names and fills branches."""
        folds = {method: self.folds(method) for method in self.experiment.methods}
        return {
            "experiment": self.name,
            "folds": {method: number for method, number in folds.items() if number},
            **self._rows_counted(),
        }

    def _rows_counted(self) -> Job:
        """How rows are counted, by sample, and of which files.

        What else names the row collection's branches stays.
        """
        nothing: Job = {"variables": {}, "objects": {}, "targets": {}, "identity": []}
        readers = {
            name: {**reader, **nothing, "mentions": mentions(reader, {**reader, **nothing})}
            for name, reader in self.readers().items()
        }
        return {"readers": readers, "simulated": self.dataset.simulate is not None}

    def _reader_of_generated(self, representation: dict[str, Any]) -> Job:
        """Without what generators need not write: an event's split and its name.

        Nor its weight: a row counts as the one at whose energy it was made.
        """
        without: Job = {"splits": {}, "weight": None, "training_weight": None, "identity": []}
        without["friends"] = {}
        return {**self.reader(representation), **without}

    def _evaluate(self, method: str) -> Described:
        evaluation = self.library.evaluation(self.experiment)
        section = {"method": method, "evaluation": evaluation}
        return section, [_module("evaluations", evaluation)], self._predictions_of(method)

    def _floor(self, representation: str) -> Described:
        section, code = self._comparison_of(representation)
        return section, code, [self._fingerprint("statistics", representation=representation)]

    def _comparison_of(self, representation: str) -> tuple[Job, list[str]]:
        """Section and modules of comparisons with the real showers of a representation."""
        fields = self._representation(representation)
        evaluation = self.library.evaluation(self.experiment)
        section = {
            "representation": fields,
            "evaluation": evaluation,
            "features": self.compared(),
            "samples": self.weighting()["samples"],
        }
        return section, [_module("evaluations", evaluation), _module("representations", fields)]

    def _fidelity(self, method: str) -> Described:
        representation = self.representation_of(method)
        section, code = self._comparison_of(representation)
        section |= {
            "experiment": self.name,
            "method": method,
            "classes": list(self.dataset.classes),
            "members": self.members(method),
            "reader": self._reader_of_generated(section["representation"]),
        }
        upstream = [self._fingerprint("floor", representation=representation)]
        upstream += [
            self._fingerprint("generate", method=method, member=str(m))
            for m in self.members(method)
        ]
        return section, code, upstream

    def _report(self) -> Described:
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
            "images": experiment.pictured(),
            "representations": {name: self._representation(name) for name in self.representations},
            "definitions": self._definitions(),
            "expected": [entry.model_dump() for entry in experiment.expected],
            "weighting": self.weighting(),
            "weights": self._weights_in_words(),
        }
        rule = "fidelity" if self.makes_examples else "evaluate"
        upstream = [self._fingerprint(rule, method=m) for m in self.all_methods]
        upstream += [self._fingerprint("survey", representation=r) for r in self.representations]
        return section, [], upstream

    def _axes(self, representation: str) -> Described:
        fields = self._representation(representation)
        upstream = self._shard_fingerprint(representation, self.listing.digest)
        return {"representation": fields}, [_module("representations", fields)], [upstream]

    def _spectra(self, representation: str, pack: str) -> Described:
        section, modules = self._shown_of(representation)
        axes = self._fingerprint("axes", representation=representation)
        shards = self._shard_fingerprint(representation, self.listing.parts[pack].digest)
        return section, modules, [axes, shards]

    def _shown_of(self, representation: str) -> tuple[Job, list[str]]:
        """Section and modules of what is shown of the rows of any files."""
        fields = self._representation(representation)
        section = {"representation": fields, "classes": list(self.dataset.classes)}
        return section, [_module("representations", fields)]

    def _survey(self, representation: str) -> Described:
        # As little as statistics does it depend on how the files are packed.
        spectra, modules = self._shown_of(representation)
        code = of_code("rootloom.stages.all:spectra", *modules)
        axes = self._fingerprint("axes", representation=representation)
        shards = self._shard_fingerprint(representation, self.listing.digest)
        return {"spectra": spectra}, [], [code, axes, shards]

    def _definitions(self) -> Job:
        """What the dataset's file says of rows and their quantities, for the reader of a report."""
        dataset = self.dataset
        shown = {"define", "variables", "objects", "targets", "select"}
        return {
            "tree": dataset.tree,
            "rows": dataset.rows,
            "select": dataset.select,
            "identity": dataset.identity,
            "splits": dataset.splits.model_dump(),
            "classes": {
                name: rule.model_dump(include={"files", "process", "where"}, exclude_none=True)
                for name, rule in dataset.classes.items()
            },
            "define": dataset.define,
            "variables": dataset.variables,
            "objects": dataset.objects,
            "targets": dataset.targets,
            "read": {
                name: self._named_inputs(self.library.representation(name))
                for name in self.representations
            },
            "own": {
                name: source.model_dump(include=source.model_fields_set & shown)
                for name, source in dataset.sources().items()
                if source.model_fields_set & shown
            },
        }

    def _scored(self, method: str) -> Job:
        """What training, prediction and baselines share: inputs, classes and weights."""
        return {
            "experiment": self.name,
            "dataset": self.dataset_name,
            "task": self.library.task(self.experiment, self.experiment.methods.get(method)),
            "method": method,
            "classes": list(self.dataset.classes),
            "targets": list(self.dataset.targets),
            "representation": self._representation(self.representation_of(method)),
            "weighting": self.weighting(),
        }

    def _weights_in_words(self) -> Job:
        """What the dataset's file says of weights, for the reader of a report."""
        dataset = self.dataset
        sources = dataset.sources()
        return {
            "event": dataset.weight,
            "training": dataset.training_weight,
            "luminosity": dataset.luminosity,
            "samples": {
                name: {
                    "class": dataset.class_of(name),
                    "cross_section": source.cross_section,
                    "weight": dataset.own(source, "weight"),
                }
                for name, source in sources.items()
            },
        }

    def weighting(self) -> Job:
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

    def _representation(self, name: str) -> Job:
        """Name and fields of a representation."""
        return {"name": name, **self.library.representation(name)}

    def readers(self, representation: dict[str, Any] | None = None) -> dict[str, Job]:
        """How the rows of each sample are read."""
        return {name: self.reader(representation, name) for name in self.dataset.sources()}

    def reader(self, representation: dict[str, Any] | None = None, sample: str = "") -> Job:
        """How rows are read; only what a representation uses, so that others keep their shards.

        sample: whose own expressions take the place of the dataset's.
        """
        dataset = self.dataset
        own = dataset.sources().get(sample, NOTHING_OWN)
        variables = {**dataset.variables, **own.variables}
        objects = {k: {**v, **own.objects.get(k, {})} for k, v in dataset.objects.items()}
        whole: Job = {"variables": variables, "objects": objects}
        if representation is not None:
            wanted = self._variables_read(representation)
            variables = {k: v for k, v in variables.items() if k in wanted}
            read = objects_read(representation, self.properties(representation))
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
            "classes": self._classes(),
        }
        definitions = {**dataset.define, **own.define}
        found = written_out(reader, definitions)
        return {**found, "mentions": mentions(written_out({**reader, **whole}, definitions), found)}

    def readers_to_check(self) -> dict[str, Job]:
        """How the rows of each sample are read, with the names that stand for no branch."""
        defined = list(self.dataset.define)
        return {name: {**reader, "defined": defined} for name, reader in self.readers().items()}

    def _classes(self) -> list[Job]:
        """Class rules; never the files, so that one more of them changes no other's shard."""
        by_file = self.dataset.by_files()
        return [
            {"name": name, "where": rule.where, "by_file": name in by_file}
            for name, rule in self.dataset.classes.items()
        ]

    def _named_inputs(self, representation: dict[str, Any]) -> list[str]:
        """Variables and collections that a representation itself is made of."""
        field = self.properties(representation).get("variables", {"default": ()})
        named = representation.get("variables", field["default"])
        variables = self.dataset.variables if named is None else named
        return [*variables, *objects_read(representation, self.properties(representation))]

    def _variables_read(self, representation: dict[str, Any]) -> set[str]:
        wanted: set[str] = set(self.auxiliary())
        field = self.properties(representation).get("variables")
        if field is not None:
            named = representation.get("variables", field["default"])
            wanted |= set(self.dataset.variables if named is None else named)
        return wanted

    def _predictions_of(self, method: str) -> list[str]:
        if method in self.experiment.baselines:
            return [self._fingerprint("baseline", method=method)]
        return [
            self._fingerprint("predict", method=method, member=str(m)) for m in self.members(method)
        ]

    def _all_predictions(self) -> list[str]:
        return [digest for method in self.all_methods for digest in self._predictions_of(method)]


def mentions(whole: Job, part: Job) -> list[str]:
    """Expressions of a dataset's reader that name its row collection, where no one of `part` does.

    So that rows are counted alike whichever variables a representation reads.
    """
    collection = re.compile(rf"(?<![\w.]){re.escape(whole['rows'])}(?![A-Za-z0-9])")

    def naming(reader: Job) -> list[str]:
        return [text for _, text in expressions(reader) if collection.search(text)]

    return [] if whole["rows"] == "event" or naming(part) else naming(whole)


def seed_of(base: int, *names: str) -> int:
    """A seed in 1 … 900,000,000 for a job, by hash: neighbours share nothing."""
    text = "\0".join((str(base), *names)).encode()
    return 1 + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % MAX_SEED


def _index_code() -> str:
    """What shards and friend trees take from the index: not how files were divided for it."""
    return of_code("rootloom.stages.all:index")


def _module(group: str, section: dict[str, Any]) -> str:
    return registry.path(group, section["kind"]).partition(":")[0]
