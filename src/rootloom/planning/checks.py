"""What only the parts themselves know of a configuration, asked before any job.

The head of a run parses the expressions and builds the representations, baselines and options that
its jobs will build, so that what they refuse is refused in the plan. Networks and tasks are left to
the schema: building them takes JAX. Jobs need not ask again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rootloom.config import registry
from rootloom.config.sections import Dataset, FromFiles
from rootloom.errors import ConfigError, naming, nearest, require_known
from rootloom.planning.request import Selection
from rootloom.rootio.definitions import check as check_expression
from rootloom.rootio.definitions import check_definitions, expressions
from rootloom.rootio.syntax import Signature
from rootloom.types import TARGET


def check(plan: Selection) -> None:
    """Refuse expressions that do not parse, and sections that their classes refuse.

    Raises ConfigError naming the file and the key.
    """
    _check_expressions(plan)
    _check_source(plan)
    for name in plan.representations:
        _check_representation(plan, name)
    for name, section in plan.experiment.baselines.items():
        with naming(f"{plan.where}: baselines.{name}"):
            registry.build("baselines", section)
    _check_training(plan)
    _check_reweight(plan)
    _check_evaluation(plan)


def _check_expressions(plan: Selection) -> None:
    """Refuse expressions outside the language; only files know which branches there are."""
    library, dataset = plan.library, plan.dataset
    known = library.schema["$defs"]["functions"]
    functions = {name: Signature(**signature) for name, signature in known.items()}

    def where(key: str) -> str:
        return library.file_of(plan.dataset_name, key.partition(".")[0])

    check_definitions(dataset.define, functions, where("define"))
    for key, text in expressions(_reader(dataset)):
        check_expression(text, dataset.define, functions, f"{where(key)}: {key}")
    word = "samples" if dataset.samples else "classes"
    for name, source in dataset.sources().items():
        of, define = f"{where(word)}: {word}.{name}", {**dataset.define, **source.define}
        if source.define:
            check_definitions(define, functions, of)
        for key, text in expressions(_reader(source)):
            check_expression(text, define, functions, f"{of}.{key}")


def _reader(of: FromFiles | Dataset) -> dict[str, Any]:
    """What a reader is given of a dataset, or of one of its samples."""
    shared = ("variables", "targets", "objects", "select", "weight", "training_weight")
    own: dict[str, Any] = {"splits": {}, "identity": [], "classes": []}
    if isinstance(of, Dataset):
        classes = [{"name": name, "where": rule.where} for name, rule in of.classes.items()]
        own = {"splits": of.splits.expressions(), "identity": of.identity, "classes": classes}
    return {**{key: getattr(of, key) for key in shared}, **own}


def _check_source(plan: Selection) -> None:
    simulate = plan.dataset.simulate
    if simulate is None:
        return
    where = plan.library.file_of(plan.dataset_name, "simulate")
    known = plan.library.schema["$defs"]["simulations"][simulate.source["kind"]]["x-processes"]
    named = {name: rule.process for name, rule in plan.dataset.classes.items() if rule.process}
    for name, process in named.items():
        of = f"{where}: classes.{name}.process"
        require_known([process], known, of, f"a process of the source '{simulate.source['kind']}'")
    with naming(f"{where}: simulate.source"):
        registry.build("simulations", simulate.source)


def _check_representation(plan: Selection, name: str) -> None:
    dataset, section = plan.dataset, plan.library.representation(name)
    with naming(plan.library.where("representations", name)):
        built = registry.build("representations", section)
        built.needs(tuple(dataset.variables), {k: list(v) for k, v in dataset.objects.items()})


def _check_training(plan: Selection) -> None:
    for name, method in plan.experiment.methods.items():
        options = plan.library.training(plan.experiment, method)
        try:
            registry.parse_as("rootloom.training.options:TrainingOptions", options)
        except ConfigError as refusal:
            key, _, below = refusal.where.removeprefix("training.").partition(".")
            place = ".".join(filter(None, [plan.place_of_training(name, key), below]))
            words = {"expected": refusal.expected, "found": refusal.found, "fix": refusal.fix}
            raise ConfigError(place, **words) from None


def _check_reweight(plan: Selection) -> None:
    section = plan.dataset.reweight
    if section is None:
        return
    where = f"{plan.library.file_of(plan.dataset_name, 'reweight')}: reweight"
    with naming(where):
        registry.parse_as("rootloom.shards.reweight:Reweight", section)
    target = section.get("target", "flat")
    known = [*plan.dataset.classes, "flat"]
    require_known([target], known, f"{where}.target", "'flat', or a class of the dataset")


def _check_evaluation(plan: Selection) -> None:
    evaluation = plan.library.evaluation(plan.experiment)
    if evaluation["kind"] == "classification":
        known = plan.auxiliary()
        for name in evaluation.get("profiles", ()):
            if name not in known:
                raise _no_profile(plan, name, known)
    if evaluation["kind"] == "regression":
        for key, names in _targets_of(evaluation):
            of, what = f"{plan.where}: evaluation.{key}", "targets of the dataset"
            require_known(names, plan.dataset.targets, of, what)
        evaluator = registry.parse("evaluations", evaluation)
        evaluator.check_unit(list(plan.dataset.targets), f"{plan.where}: evaluation.unit")


def _no_profile(plan: Selection, name: str, known: Collection[str]) -> ConfigError:
    target = TARGET + name
    text = plan.dataset.variables.get(name)
    fix = nearest(name, known)
    if target in known:
        fix = f"profiles: [{target}]"
    elif text is not None:
        fix = f"`targets: {{{name}: {text}}}` in {plan.dataset_file}, and profiles: [{target}]"
    return ConfigError(
        f"{plan.where}: evaluation.profiles",
        expected="what every row carries: the variable of `reweight`, or target.NAME of a target",
        found=f"'{name}'",
        fix=fix,
    )


def _targets_of(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key in ("directions", "points"):
        for name, triple in evaluation.get(key, {}).items():
            yield f"{key}.{name}", triple
    for name, track in evaluation.get("tracks", {}).items():
        for part, triple in track.items():
            yield f"tracks.{name}.{part}", triple
