"""What only the parts themselves know of a configuration, asked before any job.

The head of a run parses the expressions and builds the representations, baselines and options that
its jobs will build, so that what they refuse is refused in the plan. Networks and tasks are left to
the schema: building them takes JAX. Jobs need not ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rootloom.config import registry
from rootloom.config.sections import Dataset, FromFiles
from rootloom.errors import ConfigError, RootloomError, require_known
from rootloom.planning.request import Selection
from rootloom.rootio.definitions import check as check_expression
from rootloom.rootio.definitions import check_definitions
from rootloom.rootio.syntax import Signature


def check(plan: Selection) -> None:
    """Refuse expressions that do not parse, and sections that their classes refuse.

    Raises ConfigError naming the file and the key.
    """
    _check_expressions(plan)
    _check_source(plan)
    for name in plan.representations:
        _check_representation(plan, name)
    for name, section in plan.experiment.baselines.items():
        with _in(f"{plan.where}: baselines.{name}"):
            registry.build("baselines", section)
    _check_training(plan)
    _check_reweight(plan)
    _check_evaluation(plan)


@contextmanager
def _in(where: str) -> Iterator[None]:
    """Name the file and key of what a class refuses."""
    try:
        yield
    except RootloomError as refusal:
        raise ConfigError(
            where if refusal.where in where else f"{where}: {refusal.where}",
            expected=refusal.expected,
            found=refusal.found,
            fix=refusal.fix,
        ) from None


def _check_expressions(plan: Selection) -> None:
    """Refuse expressions outside the language; only files know which branches there are."""
    library, dataset = plan.library, plan.dataset
    known = library.schema["$defs"]["functions"]
    functions = {name: Signature(**signature) for name, signature in known.items()}

    def where(key: str) -> str:
        return library.file_of(plan.dataset_name, key.partition(".")[0])

    check_definitions(dataset.define, functions, where("define"))
    for key, text in _expressions(dataset):
        check_expression(text, dataset.define, functions, f"{where(key)}: {key}")
    word = "samples" if dataset.samples else "classes"
    for name, source in dataset.sources().items():
        of, define = f"{where(word)}: {word}.{name}", {**dataset.define, **source.define}
        if source.define:
            check_definitions(define, functions, of)
        for key, text in _expressions(source):
            check_expression(text, define, functions, f"{of}.{key}")


def _expressions(of: FromFiles | Dataset) -> Iterator[tuple[str, str]]:
    """The expressions of a dataset or of one of its samples, each with its place."""
    for key in ("select", "weight", "training_weight"):
        if (text := getattr(of, key)) is not None:
            yield key, text
    for key in ("variables", "targets"):
        yield from ((f"{key}.{name}", text) for name, text in getattr(of, key).items())
    for group, members in of.objects.items():
        yield from ((f"objects.{group}.{name}", text) for name, text in members.items())
    if isinstance(of, Dataset):
        yield from ((f"splits.{n}", text) for n, text in of.splits.expressions().items())
        yield from ((f"identity.{n}", text) for n, text in enumerate(of.identity))
        yield from ((f"classes.{n}.where", r.where) for n, r in of.classes.items() if r.where)


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
    with _in(f"{where}: simulate.source"):
        registry.build("simulations", simulate.source)


def _check_representation(plan: Selection, name: str) -> None:
    dataset, section = plan.dataset, plan.library.representation(name)
    with _in(plan.library.where("representations", name)):
        built = registry.build("representations", section)
        built.needs(tuple(dataset.variables), {k: list(v) for k, v in dataset.objects.items()})


def _check_training(plan: Selection) -> None:
    for name, method in plan.experiment.methods.items():
        with _in(f"{plan.where}: methods.{name}"):
            options = plan.library.training(plan.experiment, method)
            registry.parse_as("rootloom.training.options:TrainingOptions", options)


def _check_reweight(plan: Selection) -> None:
    section = plan.dataset.reweight
    if section is None:
        return
    where = f"{plan.library.file_of(plan.dataset_name, 'reweight')}: reweight"
    with _in(where):
        registry.parse_as("rootloom.shards.reweight:Reweight", section)
    target = section.get("target", "flat")
    known = [*plan.dataset.classes, "flat"]
    require_known([target], known, f"{where}.target", "'flat', or a class of the dataset")


def _check_evaluation(plan: Selection) -> None:
    evaluation = plan.library.evaluation(plan.experiment)
    if evaluation["kind"] == "classification":
        of = f"{plan.where}: evaluation.profiles"
        known = plan.auxiliary()
        require_known(evaluation.get("profiles", ()), known, of, "the variable of the reweighting")
    if evaluation["kind"] == "regression":
        for key, names in _targets_of(evaluation):
            of, what = f"{plan.where}: evaluation.{key}", "targets of the dataset"
            require_known(names, plan.dataset.targets, of, what)


def _targets_of(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key in ("directions", "points"):
        for name, triple in evaluation.get(key, {}).items():
            yield f"{key}.{name}", triple
    for name, track in evaluation.get("tracks", {}).items():
        for part, triple in track.items():
            yield f"tracks.{name}.{part}", triple
