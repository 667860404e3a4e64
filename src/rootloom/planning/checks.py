"""Checks of a configuration by the parts that it names, before any job.

The head of a run parses the expressions and builds the representations, baselines and options that
its jobs will build, so that what they refuse is refused in the plan. Networks and tasks are left to
the schema: building them takes JAX. Jobs need not ask again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rootloom.config import registry
from rootloom.config.sections import Dataset, Fields, FromFiles
from rootloom.errors import ConfigError, PackageError, naming, nearest, require, require_known
from rootloom.planning.compatibility import check_compatibility
from rootloom.planning.data import Data, DataOf
from rootloom.planning.request import Request
from rootloom.planning.roles import readers_of
from rootloom.rootio.definitions import check as check_expression
from rootloom.rootio.definitions import check_definitions, expressions
from rootloom.types import TARGET

if TYPE_CHECKING:
    from rootloom.evaluation.base import EvaluationKind
    from rootloom.representations.base import Representation


def check(request: Request, datasets: DataOf) -> None:
    """Refuse what does not fit together, does not parse, or is refused by the class it is for.

    Raises ConfigError naming the file and the key.
    """
    check_compatibility(request, datasets)
    for data in datasets:
        _check_expressions(request, data)
        _check_source(request, data)
        for name in data.representations:
            _check_representation(request, data, name)
        _check_reweight(data)
    for name, section in request.experiment.baselines.items():
        with naming(f"{request.where}: baselines.{name}"):
            registry.build("baselines", section)
    _check_training(request)
    _check_exports(request)
    for data in datasets.evaluated:
        _check_evaluation(request, data)


def _check_expressions(request: Request, data: Data) -> None:
    """Refuse expressions outside the language; only files know which branches there are."""
    dataset, functions = data.dataset, request.functions

    def where(key: str) -> str:
        return data.place(key.partition(".")[0])

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
    own: dict[str, Any] = {"splits": {}, "identity": [], "classes": [], "gather": {}}
    if isinstance(of, Dataset):
        classes = [{"name": name, "where": rule.where} for name, rule in of.classes.items()]
        own = {"splits": of.splits.expressions(), "identity": of.identity, "classes": classes}
        own["gather"] = {name: rule.rule(of.rows) for name, rule in of.gather.items()}
    return {**{key: getattr(of, key) for key in shared}, **own}


def _check_source(request: Request, data: Data) -> None:
    simulate = data.dataset.simulate
    if simulate is None:
        return
    where = data.place("simulate")
    known = request.library.schema["$defs"]["simulations"][simulate.source["kind"]]["x-processes"]
    named = {name: rule.process for name, rule in data.dataset.classes.items() if rule.process}
    for name, process in named.items():
        of = f"{where}: classes.{name}.process"
        require_known([process], known, of, f"a process of the source '{simulate.source['kind']}'")
    with naming(f"{where}: simulate.source"):
        registry.build("simulations", simulate.source)


def _check_representation(request: Request, data: Data, name: str) -> None:
    """Refuse inputs that a dataset does not declare."""
    dataset, section = data.dataset, request.library.representation(name)
    where = request.library.where("representations", name)
    if not data.trains:
        where = f"{data.where}, for {readers_of(request, name)}: {where}"
    with naming(where):
        built: Representation = registry.build("representations", section)
        built.needs(tuple(dataset.variables), {k: list(v) for k, v in dataset.objects.items()})
    methods = request.experiment.methods.values()
    if request.beside_real and name in {method.representation for method in methods}:
        _check_compared(request, data, name, [one.name for one in built.observables()])


def _check_compared(request: Request, data: Data, name: str, observables: Sequence[str]) -> None:
    """Refuse a comparison without variables, or with unknown ones."""
    of = f"{request.where}: evaluation.features"
    variables = list(data.dataset.variables) if request.is_expressed(name) else []
    named = request.library.evaluation(request.experiment).get("features")
    what = f"variables of dataset '{data.name}', or observables of '{name}'"
    require_known(named or (), [*variables, *observables], of, what)
    if not (data.compared(name) or (observables if named is None else named)):
        raise ConfigError(
            of,
            expected="at least one variable to compare by",
            found="none",
            fix=f"{what}, other than the conditions of the examples",
        )


def _check_training(request: Request) -> None:
    for name, method in request.experiment.methods.items():
        options = request.library.training(request.experiment, method)
        try:
            registry.parse_as("rootloom.training.options:TrainingOptions", options)
        except ConfigError as refusal:
            key, _, below = refusal.where.removeprefix("training.").partition(".")
            place = ".".join(filter(None, [request.place_of_training(name, key), below]))
            words = {"expected": refusal.expected, "found": refusal.found, "fix": refusal.fix}
            raise ConfigError(place, **words) from None


def _check_exports(request: Request) -> None:
    """Refuse options that a format does not have, networks that make examples, lack of packages."""
    for name, method in request.experiment.methods.items():
        where = f"{request.where}: methods.{name}.export"
        for kind, fields in method.formats().items():
            holds = request.product.of_rows
            require(where, holds, "a task that predicts something of rows", "one with examples")
            _require_options(f"{where}.{kind}", registry.EXPORTED[kind], fields)
            _require_packages(where, "onnx", "onnxruntime")


def _require_options(where: str, target: str, options: Fields) -> None:
    """Refuse options that the class `target` has no fields for, or that it refuses."""
    known = [one.name for one in dataclasses.fields(registry.load(target))]
    require_known(options, known, where, "an option of this format")
    try:
        with naming(where):
            registry.parse_as(target, options)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        found = repr(options.get(key))
        raise ConfigError(f"{where}.{key}", expected=first["msg"], found=found) from None


def _require_packages(where: str, *names: str) -> None:
    """Raises PackageError for those of the extra `export` that are not installed."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise PackageError(
            where,
            expected=f"the packages {' and '.join(names)}",
            found=f"no {' and no '.join(missing)}",
            fix="pip install 'rootloom[export]', or remove `export`",
        )


def _check_reweight(data: Data) -> None:
    """Refuse an invalid reweighting; classes matter only for the dataset that trains."""
    section, balance = data.dataset.reweight, data.dataset.balance
    if data.trains and isinstance(balance, dict):
        what = "classes of the dataset"
        require_known(balance, data.dataset.classes, f"{data.place('balance')}: balance", what)
    if section is None:
        return
    where = f"{data.place('reweight')}: reweight"
    with naming(where):
        registry.parse_as("rootloom.shards.reweight:Reweight", section)
    if data.trains:
        target, known = section.get("target", "flat"), [*data.dataset.classes, "flat"]
        require_known([target], known, f"{where}.target", "'flat', or a class of the dataset")


def _check_evaluation(request: Request, data: Data) -> None:
    """Refuse columns and targets that the dataset does not have."""
    evaluation, known = request.library.evaluation(request.experiment), data.auxiliary()
    where, key = f"{request.where}: evaluation", request.of_evaluation("reads")
    for name in evaluation.get(key, ()):
        if name not in known:
            raise _no_column(request, data, key, name, known)
    fields = request.of_evaluation("names_targets")
    for place, names in _targets_in({field: evaluation.get(field, {}) for field in fields}):
        what = f"targets of {_called(data)}"
        require_known(names, data.dataset.targets, f"{where}.{place}", what)
    if fields:
        evaluator: EvaluationKind = registry.parse("evaluations", evaluation)
        evaluator.check_targets(list(data.dataset.targets), where)


def _called(data: Data) -> str:
    return "the dataset" if data.trains else f"dataset '{data.name}'"


def _no_column(
    request: Request, data: Data, key: str, name: str, known: Collection[str]
) -> ConfigError:
    target = TARGET + name
    text = data.dataset.variables.get(name)
    fix = nearest(name, known)
    if target in known:
        fix = f"{key}: [{target}]"
    elif text is not None:
        fix = f"`targets: {{{name}: {text}}}` in {data.where}, and {key}: [{target}]"
    of = "" if data.trains else f" of dataset '{data.name}'"
    return ConfigError(
        f"{request.where}: evaluation.{key}",
        expected=f"a column of every row{of}: the variable of `reweight`, or target.NAME of a "
        "target",
        found=f"'{name}'",
        fix=fix,
    )


def _targets_in(fields: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each list of targets in these fields with its key, such as "tracks.muon.point"."""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{place}", names) for place, names in _targets_in(value))
        else:
            yield key, value
