"""The representation and the experiment of a converted file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rootloom.convert.weaver.dataset import Quantities
from rootloom.convert.weaver.inputs import Group, Inputs, Scaling
from rootloom.convert.weaver.labels import Labels

# Defaults of weaver-core's command line.
TRAINING = {
    "optimizer": "ranger",
    "learning_rate": 5e-3,
    "schedule": {"kind": "flat_decay"},
    "batch_size": 128,
    "epochs": 20,
}
# Networks of `model` that read objects alone.
_WITHOUT_ROWS = ("particle-transformer", "particle-net")


def representation(inputs: Inputs, of: Quantities) -> dict[str, Any]:
    """The representation that gives networks the tensors of weaver-core."""
    # A variable of several groups of rows is one variable here.
    scaled = dict(_scaled(inputs, of)).items()
    variables = dict.fromkeys(name for group in inputs.of("row") for name in of.names[group.name])
    collections = inputs.of("features")
    section: dict[str, Any] = {
        "kind": "particle_set" if collections else "features",
        "objects": list(_columns(inputs.of("features"), of)),
        "variables": [*variables],
        "points": list(_columns(inputs.of("points"), of)),
        "momenta": [group.collection for group in inputs.of("vectors")],
        **_lengths(collections),
        "wrap": [group.collection for group in collections if group.wrap],
        "scaling": [[name, *_numbers(scaling)] for name, scaling in scaled if not scaling.is_auto],
        "bounds": [
            [name, scaling.low, scaling.high]
            for name, scaling in scaled
            if scaling.centre is not None
        ],
        "empty": list(_empty(collections, of)),
    }
    return {key: value for key, value in section.items() if value}


def _columns(groups: list[Group], of: Quantities) -> Iterator[str]:
    for group in groups:
        yield from (f"{group.collection}.{name}" for name in of.names[group.name])


def _scaled(inputs: Inputs, of: Quantities) -> Iterator[tuple[str, Scaling]]:
    """Names of what networks see as numbers, and how each is scaled."""
    for group in (*inputs.of("features"), *inputs.of("row")):
        before = "" if group.role == "row" else f"{group.collection}."
        for name, variable in zip(of.names[group.name], group.variables, strict=True):
            yield before + name, variable.scaling


def _numbers(scaling: Scaling) -> tuple[float, float]:
    if scaling.centre is None:
        return 0, 1
    assert not isinstance(scaling.centre, str)
    return scaling.centre, scaling.scale


def _lengths(collections: list[Group]) -> dict[str, Any]:
    if not collections:
        return {}
    most, *_ = [group.length for group in collections]
    others = [[group.collection, group.length] for group in collections if group.length != most]
    return {"max_objects": most, "lengths": others}


def _empty(collections: list[Group], of: Quantities) -> Iterator[list[Any]]:
    for group in collections:
        for name, variable in zip(of.names[group.name], group.variables, strict=True):
            if variable.scaling.pad and not group.wrap:
                yield [f"{group.collection}.{name}", variable.scaling.pad]


def model(inputs: Inputs) -> tuple[str, dict[str, Any] | None]:
    """A file of `config/models`, and a section if it is to be written.

    A network that reads one of several collections names it.
    """
    collections = [group.collection for group in inputs.of("features")]
    if not collections:
        return "dnn", None
    for role, name, kind in (
        ("vectors", "particle-transformer", "particle_transformer"),
        ("points", "particle-net", "particle_net"),
        ("features", "pfn", "deep_sets"),
    ):
        having = [group.collection for group in inputs.of(role)]  # type: ignore[arg-type]
        if having:
            alone = len(collections) == 1
            return name, None if alone else {"kind": kind, "collection": having[0]}
    raise AssertionError("a collection has features")


def unread(inputs: Inputs) -> list[str]:
    """A note on groups that the network of `model` does not read, if there are any."""
    name, own = model(inputs)
    rows = [group.name for group in inputs.of("row")] if name in _WITHOUT_ROWS else []
    read = own["collection"] if own else None
    others = [one.collection for one in inputs.of("features") if read and one.collection != read]
    if not rows and not others:
        return []
    hints = ["models deep_sets and gn2 read variables of the row"] if rows else []
    hints += ["model deepjet reads three collections"] if others else []
    groups = ", ".join([*others, *rows])
    return [
        f"the network {name} does not read these groups of inputs: {groups}; {'; '.join(hints)}"
    ]


def _task(labels: Labels) -> dict[str, Any]:
    """The task; of two classes the first is the signal, as in the files of weaver-core's users."""
    if not labels.classes:
        return {"task": {"kind": "regression"}}
    if len(labels.classes) > 2:
        return {}
    return {"task": {"kind": "classification", "signal": next(iter(labels.classes))}}


def experiment(name: str, labels: Labels, network: str, *, tested: bool) -> dict[str, Any]:
    """The experiment: one network with the training of weaver-core."""
    method = network if network != name else "network"
    datasets = {"datasets": {"train": name, "evaluate": [f"{name}-test"]}}
    return {
        "title": name,
        "command": f"snakemake --config experiment={name}",
        **(datasets if tested else {"dataset": name}),
        **_task(labels),
        "training": TRAINING,
        "methods": {method: {"model": network, "representation": name}},
    }
