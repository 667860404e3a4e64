"""Whether the baselines of an experiment fit its task, its dataset and what they read."""

from __future__ import annotations

from rootloom.config.sections import Fields
from rootloom.errors import ConfigError, require_known
from rootloom.planning.data import Data
from rootloom.planning.request import Request


def check_baselines(request: Request, data: Data) -> None:
    """Refuse a baseline that predicts something else than the task, or where nothing does.

    data: what it learns from.
    Raises ConfigError, for one that cannot read its representation or take the weights as well.
    """
    experiment, task = request.experiment, request.experiment.task["kind"]
    if experiment.baselines and not request.product.of_rows:
        raise ConfigError(
            f"{request.where}: baselines",
            expected=f"none beside the task '{task}', which scores no rows",
            found=", ".join(experiment.baselines),
            fix="give them an experiment of their own",
        )
    known = request.library.schema["$defs"]["baselines"]
    for name, section in experiment.baselines.items():
        schema = known[section["kind"]]
        _check_learns(request, name, section["kind"])
        _check_reads(request, data, name, schema, section)
        _check_signed(request, data, name, section["kind"], takes=schema.get("x-signed", True))
        _check_requires(request, name, schema.get("x-requires", {}))


def _check_learns(request: Request, baseline: str, kind: str) -> None:
    known, task = request.library.schema["$defs"]["baselines"], request.experiment.task
    learns, found = request.library.of_task(task, "learns"), known[kind]["x-learns"]
    if found != learns:
        same = [name for name, schema in known.items() if schema["x-learns"] == learns]
        raise ConfigError(
            f"{request.where}: baselines.{baseline}",
            expected=f"a baseline that learns {learns}, as the task '{task['kind']}' does",
            found=f"{kind}, which learns {found}",
            fix=f"kinds that do: {', '.join(sorted(same)) or 'none'}",
        )


def _check_signed(request: Request, data: Data, baseline: str, kind: str, *, takes: bool) -> None:
    """Refuse training weights of both signs for a baseline that cannot take them."""
    if data.dataset.negative_weights == "keep" and not takes:
        raise ConfigError(
            f"{request.where}: baselines.{baseline}",
            expected="a baseline that takes weights of both signs, as the dataset "
            f"'{data.name}' has `negative_weights: keep`",
            found=f"{kind}, which takes none below zero",
            fix="negative_weights: absolute (evaluation keeps the signs), or no such baseline",
        )


def _check_reads(
    request: Request, data: Data, baseline: str, schema: Fields, section: Fields
) -> None:
    """Refuse variables that the representation of baselines does not hold."""
    key = schema.get("x-reads")
    if key is None:
        return
    named = section.get(key, schema["properties"][key].get("default"))
    wanted = [named] if isinstance(named, str) else named or ()
    name = request.experiment.baseline_representation
    held = data.variables_held(request.library.representation(name))
    of = f"{request.where}: baselines.{baseline}.{key}"
    require_known(wanted, held, of, f"variables of the representation '{name}'")


def _check_requires(request: Request, baseline: str, requires: Fields) -> None:
    """Refuse a representation that does not store what a baseline reads."""
    name, library = request.experiment.baseline_representation, request.library
    if not _has(request, name, requires):
        fitting = [r for r in library.names("representations") if _has(request, r, requires)]
        section = library.representation(name)
        raise ConfigError(
            f"{request.where}: baseline_representation",
            expected=f"{_written(requires)}, for baselines.{baseline}",
            found=f"'{name}' with {_written({k: section.get(k) for k in requires})}",
            fix=f"one of: {', '.join(fitting) or 'none is there yet'}",
        )


def _has(request: Request, representation: str, required: Fields) -> bool:
    """Whether fields of a representation are these, by default or as said."""
    section = request.library.representation(representation)
    if section["kind"] != required.get("kind", section["kind"]):
        return False
    schema = request.properties(section)
    return all(
        section.get(key, schema.get(key, {}).get("default")) == value
        for key, value in required.items()
        if key != "kind"
    )


def _written(fields: Fields) -> str:
    return ", ".join(f"{key}: {value}" for key, value in fields.items() if value is not None)
