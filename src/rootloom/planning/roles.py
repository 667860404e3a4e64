"""Check whether the datasets of an experiment can have their roles.

The nominal dataset defines classes, targets and inputs; the others must have the same names.
"""

from __future__ import annotations

from rootloom.config.sections import Splits
from rootloom.errors import ConfigError, nearest, require_known
from rootloom.planning.data import Data, DataOf
from rootloom.planning.request import Request
from rootloom.types import SPLITS


def check_roles(request: Request, datasets: DataOf) -> None:
    """Refuse a dataset that cannot have its role. Raises ConfigError."""
    nominal = datasets.nominal
    _check_shares(nominal, SPLITS, "to train on, choose the best epoch by and evaluate")
    others = [data for data in datasets if not data.trains]
    if others:
        _check_task(request, others[0])
    for data in others:
        _check_variables(request, data, nominal)
        if data.evaluated:
            require_classes(data)
            _check_shares(data, SPLITS[-1:], "to evaluate")
            _check_truth(data, nominal)
        else:
            what = f"a class of '{nominal.name}', which trains, or no class at all: classes: {{}}"
            of = f"{data.where}: classes"
            require_known(data.dataset.classes, nominal.dataset.classes, of, what)


def readers_of(request: Request, representation: str) -> str:
    """Names of the methods that use a representation, for messages."""
    methods = [m for m in request.all_methods if request.representation_of(m) == representation]
    named = ", ".join(f"'{method}'" for method in methods)
    return f"method{'s' if len(methods) > 1 else ''} {named} with representation '{representation}'"


def require_classes(data: Data) -> None:
    """Refuse a dataset without classes in a role that needs truth. Raises ConfigError."""
    if not data.dataset.classes:
        raise ConfigError(
            f"{data.where}: classes",
            expected="classes, or the class of every sample; for a single class with all files: "
            "classes: {all: {files: […]}}",
            found="none",
            fix="" if data.trains else f"datasets: {{score: [{data.name}]}}, if truth is not known",
        )


def _check_shares(data: Data, splits: tuple[str, ...], purpose: str) -> None:
    """Refuse a share of 0 for a split that is needed."""
    shares = data.dataset.splits.shares()
    for split in splits:
        if shares.get(split) == 0:
            raise ConfigError(
                f"{data.where}: splits.{split}",
                expected=f"a share above 0, or an expression: there must be rows {purpose}",
                found="0",
                fix=f"splits: {{{', '.join(f'{n}: {v}' for n, v in Splits().shares().items())}}}"
                if data.trains
                else "splits: {train: 0, validation: 0, test: 1} evaluates all rows",
            )


def _check_task(request: Request, other: Data) -> None:
    """Refuse several datasets for tasks that score no rows, or with training weights."""
    if not request.product.of_rows:
        raise ConfigError(
            f"{request.where}: datasets.{other.role.value}",
            expected=f"none with the task '{request.experiment.task['kind']}', which scores no "
            "rows",
            found=f"'{other.name}'",
            fix="datasets: {train: NAME} alone",
        )
    weights = request.library.evaluation(request.experiment).get("weights", "event")
    if other.evaluated and weights != "event":
        raise ConfigError(
            f"{request.where}: evaluation.weights",
            expected=f"event, because rows of dataset '{other.name}' have no training weight",
            found=f"'{weights}'",
            fix=f"leave out `weights: {weights}`, or `datasets.evaluate`",
        )


def _check_truth(data: Data, nominal: Data) -> None:
    """Refuse classes that differ from those of the training, and missing targets."""
    ours, theirs = data.dataset.classes, nominal.dataset.classes
    what = f"of '{nominal.name}', which trains"
    require_known(ours, theirs, f"{data.where}: classes", f"a class {what}")
    for key in ("classes", "targets"):
        found, wanted = getattr(data.dataset, key), getattr(nominal.dataset, key)
        for name in wanted:
            if name not in found:
                raise ConfigError(
                    f"{data.where}: {key}",
                    expected=f"all {key} {what}: {', '.join(wanted)}",
                    found=f"no '{name}'; {', '.join(found) or 'none'}",
                    fix=nearest(name, found)
                    if found
                    else f"datasets: {{score: [{data.name}]}}, if truth is not known",
                )


def _check_variables(request: Request, data: Data, nominal: Data) -> None:
    """Refuse variables with other names if a method reads all variables of a dataset."""
    ours, theirs = set(data.dataset.variables), set(nominal.dataset.variables)
    if ours == theirs:
        return
    for name in data.representations:
        if request.takes_all(request.library.representation(name)):
            missing, more = sorted(theirs - ours), sorted(ours - theirs)
            words = [f"no '{v}' ({nearest(v, ours)})" for v in missing[:3]]
            words += [f"'{v}' as well" for v in more[:3]]
            raise ConfigError(
                f"{data.where}: variables",
                expected=f"those of '{nominal.name}', which trains: {readers_of(request, name)} "
                "takes all",
                found="; ".join(words),
                fix=f"declare the same ones, or name them under `variables` of "
                f"{request.library.where('representations', name)}",
            )
