"""Networks as a job's section describes them: task, batches, model file and scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from rootloom.batches.draws import Draw, OutsideFold, WithReplacement
from rootloom.batches.loader import Loader
from rootloom.config import registry
from rootloom.config.sections import Fields
from rootloom.errors import FAULTS, ConfigError, TrainingError, reason
from rootloom.evaluation.predictions import Outputs
from rootloom.models.base import Model
from rootloom.representations.section import representation_of
from rootloom.shards.held import Place
from rootloom.shards.moments import Moments
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import WeightTable
from rootloom.system import faults
from rootloom.tasks.base import NUMBER, Params, Predictor, Task
from rootloom.training import parallel, trained
from rootloom.training.predict import Prediction
from rootloom.types import SPLITS, Ragged, offsets_of

if TYPE_CHECKING:
    from rootloom.training.loop import Result
    from rootloom.training.options import TrainingOptions

# Rows that a device scores at a time, and slots of objects in them: past either a step no longer
# gets cheaper, and networks of pairs of objects need gigabytes.
PREDICT_ROWS, PREDICT_SLOTS = 512, 8192


class Network(Protocol):
    """What describes a network: the section of its training, or what this wrote."""

    @property
    def model(self) -> Fields:
        """Kind and fields of its class."""

    @property
    def representation(self) -> Fields:
        """Kind, fields and name of the representation it reads."""

    @property
    def task(self) -> Fields:
        """Kind and fields of its task."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""


class Stored(Network, Protocol):
    """A network out of a file: what a training wrote, or a bundle."""

    @property
    def statistics(self) -> Fields:
        """What normalises inputs."""


def options_of(training: Fields, member: int) -> TrainingOptions:
    """Training options of a member: its number is added to the seed."""
    from pydantic import TypeAdapter

    from rootloom.training.options import TrainingOptions

    options = TypeAdapter(TrainingOptions).validate_python(training)
    return dataclasses.replace(options, seed=options.seed + member)


def task_of(network: Network, truth: Any, moments: Mapping[str, Moments]) -> Task:
    """The task with its model, for inputs with these moments.

    truth: has the names of what the task learns, as `classes` or `targets`.
    """
    kind: Any = registry.resolve("tasks", network.task["kind"])
    model: Model = registry.build("models", network.model)
    representation = representation_of(network.representation).centred(moments)
    given = {
        "model": model,
        "representation": representation.padded_alike() if model.reads_padding else representation,
        "statistics": moments,
        kind.learns: getattr(truth, kind.learns),
    }
    found: Task = registry.build("tasks", {**network.task, **given})
    return found


def task_in(model: Stored, path: str, truth: Any = None) -> Task:
    """The task that a model's sections describe, with its model.

    truth: as in `task_of`; None: the model itself, which has no targets. Raises TrainingError for
    sections that describe none, ResourceError where the machine is at fault.
    """
    try:
        registry.resolve("tasks", model.task["kind"])  # refused by its name, before all else
        return task_of(model, truth or model, moments_of(model))
    except FAULTS as error:
        faults.pass_on(error, path)
        raise TrainingError(
            path,
            expected="sections and statistics that describe a network of this version",
            found=f"{type(error).__name__}: {reason(error)}",
            fix="take the file that a run wrote, unchanged",
        ) from error


def predictor_in(model: Stored, path: str, truth: Any = None) -> Predictor:
    """The task of a model, as of `task_in`; raises ConfigError for one that makes examples."""
    task = task_in(model, path, truth)
    if not isinstance(task, Predictor):
        raise ConfigError(
            f"model {path}",
            expected="one whose task predicts something of rows",
            found=f"task '{model.task['kind']}', which yields {task.yields}",
        )
    return task


def moments_of(model: Stored) -> Mapping[str, Moments]:
    """Moments out of the statistics that a model carries."""
    return Statistics.from_json(json.dumps(model.statistics)).moments


def published(network: Network, path: str, sha256: str | None = None) -> Any:
    """Parameters of a classification out of a file of the original's, float32.

    sha256: see `state_dict`. Raises InputError for a file of another network, ConfigError for
    another number of classes.
    """
    from rootloom.models.published import parameters, state_dict

    classes = list(network.classes)
    found = parameters(
        registry.build("models", network.model), state_dict(path, sha256), len(classes)
    )
    head = found["head"]
    if head["bias"].shape != (len(classes),):
        raise ConfigError(
            f"weights {path}",
            expected=f"a network with an output for each class: {', '.join(classes)}",
            found=f"{len(head['bias'])} outputs",
            fix="name the classes of the dataset in the order of its outputs",
        )
    if len(classes) == 2:  # our one logit is that of the signal
        signal = classes.index(network.task.get("signal") or classes[-1])
        found["head"] = {n: x[..., [signal]] - x[..., [1 - signal]] for n, x in head.items()}
    return jax.tree.map(lambda x: np.asarray(x, np.float32), found)


def loaders_of(
    shards: Sequence[str],
    weights: WeightTable,
    options: TrainingOptions,
    task: Task,
    member: int,
) -> tuple[Loader, Loader]:
    """Shuffled training batches and ordered validation batches, weighted alike."""
    train, validation = (
        Loader(
            shards,
            task.representation,
            split,
            options.batch_size,
            devices=parallel.all_devices(),
            share=parallel.share(),
            seed=options.seed,
            shuffle=split == SPLITS[0],
            weights=weights,
            targets=task.targets,
            draw=draw_of(options, member) if split == SPLITS[0] else None,
        )
        for split in SPLITS[:2]
    )
    return train, validation


def draw_of(options: TrainingOptions, member: int) -> Draw | None:
    """Which training rows a member sees; None: all of them."""
    if options.folds:
        return OutsideFold(member, options.folds)
    return WithReplacement(options.seed) if options.bagging else None


def write_model(
    path: str,
    network: Network,
    statistics: Statistics,
    result: Result,
    record: dict[str, Any],
) -> None:
    """The model of a training. record: its provenance."""
    trained.save(
        path,
        trained.Trained(
            params=result.params,
            model=network.model,
            representation=network.representation,
            task=network.task,
            statistics=json.loads(statistics.to_json()),
            classes=list(network.classes),
            metrics=result.summary(),
            provenance=record,
        ),
    )


class NetworkOutputs:
    """What networks of one task say of rows, compiled once for rows of the same shapes."""

    def __init__(self, task: Predictor) -> None:
        self.task, self._prediction = task, Prediction(task)
        self._fitting: Params | None = None

    def of(self, params: Params, places: Sequence[Place], group: str) -> Iterator[Outputs]:
        """All predictions of the rows of a split, or of no class, in the order of the places.

        places: shards, or rows in memory. Raises TrainingError for parameters that do not fit.
        """
        loader, task = self._loader(places, group), self.task
        if self._fitting is not params:
            # Once a model: tracing a network takes seconds.
            with closing(loader.epoch(0)) as batches:
                example = jax.tree.map(lambda leaf: leaf[0], next(batches))
            trained.check(task, params, example)
            self._fitting = params
        for columns, _ in self._prediction.of(params, loader):
            scores = np.stack([columns[name] for name in task.columns()], axis=1)
            counts = columns.get(NUMBER, np.empty(0, np.int64))
            objects = {name: _listed(columns[name], counts) for name in task.object_columns()}
            yield Outputs(scores, objects)

    def _loader(self, places: Sequence[Place], group: str) -> Loader:
        representation, devices = self.task.representation, parallel.device_count()
        rows = min(PREDICT_ROWS, max(1, PREDICT_SLOTS // representation.slots()))
        return Loader(
            places,
            representation,
            group,
            rows * devices,
            devices=devices,
            shuffle=False,
            cache_bytes=0,
        )


def _listed(values: np.ndarray, counts: np.ndarray) -> Ragged:
    """The first so many (r,) of each row of values (r, N)."""
    there = np.arange(values.shape[1]) < counts[:, None]
    return Ragged(values[there], offsets_of(counts))
