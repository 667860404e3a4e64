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
from rootloom.planning.compatibility import check_compatibility
from rootloom.planning.request import Request
from rootloom.rootio.definitions import check as check_expression
from rootloom.rootio.definitions import check_definitions
from rootloom.rootio.syntax import Signature


def check(request: Request) -> None:
    """Refuse what does not fit together, does not parse, or is refused by the class it is for.

    Raises ConfigError naming the file and the key.
    """
    check_compatibility(request)
    _check_expressions(request)
    _check_source(request)
    for name in request.representations:
        _check_representation(request, name)
    for name, section in request.experiment.baselines.items():
        with _in(f"{request.where}: baselines.{name}"):
            registry.build("baselines", section)
    _check_training(request)
    _check_reweight(request)
    _check_evaluation(request)


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


def _check_expressions(request: Request) -> None:
    """Refuse expressions outside the language; only files know which branches there are."""
    library, dataset = request.library, request.dataset
    known = library.schema["$defs"]["functions"]
    functions = {name: Signature(**signature) for name, signature in known.items()}

    def where(key: str) -> str:
        return library.file_of(request.dataset_name, key.partition(".")[0])

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


def _check_source(request: Request) -> None:
    simulate = request.dataset.simulate
    if simulate is None:
        return
    where = request.library.file_of(request.dataset_name, "simulate")
    known = request.library.schema["$defs"]["simulations"][simulate.source["kind"]]["x-processes"]
    named = {name: rule.process for name, rule in request.dataset.classes.items() if rule.process}
    for name, process in named.items():
        of = f"{where}: classes.{name}.process"
        require_known([process], known, of, f"a process of the source '{simulate.source['kind']}'")
    with _in(f"{where}: simulate.source"):
        registry.build("simulations", simulate.source)


def _check_representation(request: Request, name: str) -> None:
    dataset, section = request.dataset, request.library.representation(name)
    with _in(request.library.where("representations", name)):
        built = registry.build("representations", section)
        built.needs(tuple(dataset.variables), {k: list(v) for k, v in dataset.objects.items()})


def _check_training(request: Request) -> None:
    for name, method in request.experiment.methods.items():
        with _in(f"{request.where}: methods.{name}"):
            options = request.library.training(request.experiment, method)
            registry.parse_as("rootloom.training.options:TrainingOptions", options)


def _check_reweight(request: Request) -> None:
    section = request.dataset.reweight
    if section is None:
        return
    where = f"{request.library.file_of(request.dataset_name, 'reweight')}: reweight"
    with _in(where):
        registry.parse_as("rootloom.shards.reweight:Reweight", section)
    target = section.get("target", "flat")
    known = [*request.dataset.classes, "flat"]
    require_known([target], known, f"{where}.target", "'flat', or a class of the dataset")


def _check_evaluation(request: Request) -> None:
    evaluation = request.library.evaluation(request.experiment)
    if evaluation["kind"] == "classification":
        of = f"{request.where}: evaluation.profiles"
        known = request.auxiliary()
        require_known(evaluation.get("profiles", ()), known, of, "the variable of the reweighting")
    if evaluation["kind"] == "regression":
        for key, names in _targets_of(evaluation):
            of, what = f"{request.where}: evaluation.{key}", "targets of the dataset"
            require_known(names, request.dataset.targets, of, what)


def _targets_of(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key in ("directions", "points"):
        for name, triple in evaluation.get(key, {}).items():
            yield f"{key}.{name}", triple
    for name, track in evaluation.get("tracks", {}).items():
        for part, triple in track.items():
            yield f"tracks.{name}.{part}", triple
