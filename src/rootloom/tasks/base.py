"""The base classes of tasks: all that training loop, prediction and export know of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from jax import Array

from rootloom.errors import ConfigError
from rootloom.models.base import Model
from rootloom.representations.base import MomentsLike, Representation
from rootloom.types import Batch

Params: TypeAlias = Mapping[str, Any]
# Of the objects of a row that has `Predictor.object_columns`.
NUMBER = "number of objects"


class Task(ABC):
    """A model with its loss and its metrics; base of all tasks, through `Predictor` or `Generator`.

    A task is a frozen dataclass. Apart from the fields of its configuration it is given:
    model: that of a method. representation: of the inputs in batches. statistics: moments of the
    training split, by name; and the names of the classes or targets, in a field named by `learns`.

    learns: "classes" or "targets", what the dataset must declare.
    least: how many of them at least.
    most: how many of them at most; None: any number.
    yields: output of a trained model: "predictions" for given rows, or new "examples".
    role: the kind of model that it needs, which has the same `role`: "embedding" is one vector per
    example.
    models: kinds of the models that it can use, besides users' own classes; empty: all of its role.
    labels: its fields that name labels of the representation, which the plan checks.
    evaluation: the kind of evaluation of this output.
    targets: those in `Batch.target`; none if that is the class.
    """

    learns: ClassVar[str]
    least: ClassVar[int]
    most: ClassVar[int | None] = None
    yields: ClassVar[str]
    role: ClassVar[str] = "embedding"
    models: ClassVar[tuple[str, ...]] = ()
    labels: ClassVar[tuple[str, ...]] = ()
    evaluation: ClassVar[str]

    model: Model
    representation: Representation
    statistics: Mapping[str, MomentsLike]
    targets: Sequence[str] = ()

    @abstractmethod
    def init(self, key: Array, batch: Batch) -> Params:
        """Parameters for batches of this shape."""

    @abstractmethod
    def loss(
        self, params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """Loss (B,) and metrics (B, …), all unweighted and for each example; `key` is the step's.

        An example's values depend on its inputs, its id and the key. If a model compares examples,
        as minibatch discrimination does, they also depend on the other examples of a group, and no
        group is split between devices. They never depend on the number of devices.
        """

    @abstractmethod
    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """Values to log from the weighted means of the metrics over a dataset.

        Scalars are logged as numbers, matrices as images.
        """

    @abstractmethod
    def groups(self, params: Params) -> Any:
        """The optimiser group of every parameter: a tree of names like `params`."""

    @abstractmethod
    def cast(self, precision: str) -> Self:
        """The same task computing in "float32" or "bfloat16"; parameters are always float32."""


class Predictor(Task):
    """A task whose model predicts something for every row.

    probability: whether its predictions are probabilities of the classes.
    """

    yields: ClassVar[str] = "predictions"
    probability: ClassVar[bool]

    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the prediction columns, in order."""

    def object_columns(self) -> tuple[str, ...]:
        """Names of columns with a number for each object of a row, "collection.quantity".

        By default none. A task has them of one collection at most.
        """
        return ()

    @abstractmethod
    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """Columns of the prediction file, (B,) float32 each.

        Those of `object_columns` are (B, N) float32, of the row's objects in the first slots; then
        NUMBER, (B,) int32, is how many objects there are.
        """


class Generator(Task):
    """A task whose model generates new examples: inputs of its representation."""

    yields: ClassVar[str] = "examples"

    @abstractmethod
    def generate(self, params: Params, condition: Array, key: Array, identity: Array) -> Any:
        """Inputs of B examples, as the representation's `collate` makes them, in physical units.

        condition: (B, K) float32, values of the representation's `conditions`; K may be 0.
        identity: (B, 2) uint32, as in `Batch.id`. An example is a function of its own condition,
        its identity and the key; other examples and the number of devices do not change it.
        """


def require_role(task: Task) -> None:
    """Refuse a model for another representation than the task's, or of another role."""
    model, representation = task.model, task.representation
    if representation.kind not in model.consumes:
        raise ConfigError(
            f"model {type(model).__name__}",
            expected=f"a representation of kind {' or '.join(model.consumes)}",
            found=f"{type(representation).__name__}, of kind {representation.kind}",
        )
    if model.role != task.role:
        raise ConfigError(
            f"model {type(model).__name__}",
            expected=f"a model of role {task.role} for task {type(task).__name__}",
            found=f"role {model.role}",
        )
