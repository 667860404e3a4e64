"""What of a configuration must fit together: an experiment, its dataset, and the parts it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rootloom.config.sections import Fields
from rootloom.errors import ConfigError, nearest, require_known
from rootloom.evaluation.classification.discriminants import Discriminant, check_discriminants
from rootloom.evaluation.classification.options import refuse_training_weights
from rootloom.planning.baseline_checks import check_baselines
from rootloom.planning.data import Data, DataOf
from rootloom.planning.request import Request
from rootloom.planning.roles import check_roles, readers_of, require_classes
from rootloom.rootio.names import identifier


def check_compatibility(request: Request, datasets: DataOf) -> None:
    """Refuse here, before any job, what cannot fit together. Raises ConfigError."""
    nominal = datasets.nominal
    require_classes(nominal)
    _check_tasks(request, nominal)
    check_baselines(request, nominal)
    _check_discriminants(request, nominal)
    _check_images(request, nominal)
    for data in datasets:
        key = "edges" if (data.dataset.reweight or {}).get("edges") else "variable"
        of = f"{data.where}: reweight.{key}"
        require_known(data.reweighted(), data.dataset.variables, of, "a variable of the dataset")
        for name in data.representations:
            _check_representation(request, data, name)
        _check_samples(data)
        _check_branches(request, data)
    _check_weights(request, nominal)
    for name in request.experiment.methods:
        _check_folds(request, name)
    check_roles(request, datasets)


def _check_tasks(request: Request, data: Data) -> None:
    _check_task(request, data, request.experiment.task, f"{request.where}: task")
    for name, method in request.experiment.methods.items():
        if method.task is not None:
            _check_task(request, data, method.task, f"{request.where}: methods.{name}.task")


def _check_task(request: Request, data: Data, task: Fields, of: str) -> None:
    """Refuse a task whose truth the dataset does not declare."""
    dataset = data.dataset
    learns, least = (request.library.of_task(task, what) for what in ("learns", "least"))
    found = list(getattr(dataset, learns))
    most = request.library.of_task(task, "most") or len(found)
    if not least <= len(found) <= most:
        bound = f"at least {least}" if len(found) < least else f"at most {most}"
        raise ConfigError(
            f"{data.where}: {learns}",
            expected=f"{bound}, for the task '{task['kind']}'",
            found=", ".join(found) or "none",
        )
    named = [task["signal"]] if task.get("signal") is not None else []
    what = f"of dataset '{data.name}'"
    require_known(named, dataset.classes, f"{of}.signal", f"a class {what}")
    directions = [name for direction in task.get("directions", []) for name in direction]
    require_known(directions, dataset.targets, f"{of}.directions", f"targets {what}")


def _check_discriminants(request: Request, data: Data) -> None:
    """Refuse discriminants of classes that are not there, or of fractions that are none."""
    sections = request.library.evaluation(request.experiment).get("discriminants", {})
    found = {name: Discriminant(**section) for name, section in sections.items()}
    where = f"{request.where}: evaluation.discriminants"
    check_discriminants(found, data.dataset.classes, where)


def _check_images(request: Request, data: Data) -> None:
    """Refuse average images of what cannot be drawn."""
    for name in request.experiment.pictured().values():
        if not request.can_be_drawn(name):
            known = request.library.names("representations")
            fitting = [other for other in known if _drawable(request, data, other)]
            kind = request.library.representation(name)["kind"]
            raise ConfigError(
                f"experiment '{request.name}': images",
                expected="representations that can be drawn",
                found=f"'{name}', which is of kind {kind}",
                fix=f"one of: {', '.join(fitting) or 'none is there yet'}",
            )


def _drawable(request: Request, data: Data, name: str) -> bool:
    """Whether a representation can be drawn, and of this dataset."""
    try:
        section = request.library.representation(name)
        return (
            set(request.objects_read(section)) <= set(data.dataset.objects)
            and set(request.variables_named(section)) <= set(data.dataset.variables)
            and request.can_be_drawn(name)
        )
    except ConfigError:  # a file that is no representation is no help either
        return False


def _check_representation(request: Request, data: Data, name: str) -> None:
    """Refuse one of variables or objects that the dataset does not have."""
    section = request.library.representation(name)
    where, readers = request.library.where("representations", name), readers_of(request, name)
    for key, named, known in (
        ("variables", request.variables_named(section), data.dataset.variables),
        ("objects", request.objects_read(section), data.dataset.objects),
    ):
        if data.trains:
            require_known(named, known, f"{where}: {key}", f"{key} of dataset '{data.name}'")
        else:  # the representation fits the one that trains: this dataset lacks something
            _require_read(named, known, f"{data.where}: {key}", readers)


def _require_read(named: Iterable[str], known: Collection[str], where: str, readers: str) -> None:
    """Raise ConfigError for a name that is read and not among those that a dataset declares."""
    for name in named:
        if name not in known:
            raise ConfigError(
                where,
                expected=f"those that {readers} reads",
                found=f"no '{name}'",
                fix=f"declare it; {nearest(name, known)}",
            )


def _check_samples(data: Data) -> None:
    """Refuse a sample of no class, or with an expression for what nobody asks of it."""
    dataset = data.dataset
    word = "samples" if dataset.samples else "classes"
    for name, source in dataset.sources().items():
        of = f"{data.where}: {word}.{name}"
        label = dataset.class_of(name)
        named = [] if label is None else [label]
        require_known(named, dataset.classes, f"{of}.class", "a class of the dataset")
        for key in ("define", "variables", "objects", "targets"):
            known = getattr(dataset, key)
            require_known(getattr(source, key), known, f"{of}.{key}", f"{key} of the dataset")
        for group, members in source.objects.items():
            known = dataset.objects[group]
            require_known(members, known, f"{of}.objects.{group}", f"quantities of '{group}'")


def _check_weights(request: Request, data: Data) -> None:
    """Refuse training weights that some samples have and others have not, and misused ones."""
    dataset = data.dataset
    sources = dataset.sources().items()
    own = {name: dataset.own(source, "training_weight") for name, source in sources}
    without = [name for name, text in own.items() if text is None]
    if without and len(without) < len(own):
        raise ConfigError(
            f"{data.where}: training_weight",
            expected="one for every sample, or for none",
            found=f"none for {', '.join(without)}",
            fix=f"training_weight: 1 of {without[0]}",
        )
    evaluation = request.library.evaluation(request.experiment)
    refuse_training_weights(
        evaluation.get("weights", "event"),
        evaluation.get("significances", {}),
        f"{request.where}: evaluation.significances",
    )


def _check_branches(request: Request, data: Data) -> None:
    """Refuse names that friend trees would spell alike."""
    dataset = data.dataset
    classes = list(dataset.classes) if len(dataset.classes) > 2 else []
    for of, names in (
        (f"experiment '{request.name}': methods", request.all_methods),
        (f"{data.where}: classes", classes),
        (f"{data.where}: targets", list(dataset.targets)),
    ):
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(identifier(name), name)
            if other != name:
                raise ConfigError(
                    of,
                    expected="names that differ in letters or digits: in friend trees, whose "
                    "branches are C++ identifiers, any other character is a '_'",
                    found=f"'{other}' and '{name}'",
                    fix="rename one of them",
                )


def _check_folds(request: Request, method: str) -> None:
    folds, members = request.folds(method), len(request.members(method))
    if folds and folds != members:
        raise ConfigError(
            request.place_of_training(method, "folds"),
            expected=f"as many members of '{method}' as folds",
            found=f"{folds} folds, {members} members",
            fix=f"members: {folds}",
        )
