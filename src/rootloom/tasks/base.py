"""What a task is: the only things the training loop, prediction and export know of one."""

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


class Task(ABC):
    """A model with what it learns from: its loss and its figures of merit.

    What every task derives from, by way of `Predictor` or `Generator`; one is a frozen dataclass.
    Beside the fields of its configuration it has those that it is given:
    model: that of a method. representation: whose inputs batches hold. statistics: moments of the
    training split, by name; with the names of the classes or targets in a field called as `learns`.

    learns: "classes" or "targets", what the dataset must declare.
    least: how many of them at least.
    most: how many of them at most; None: any number.
    yields: what a trained model is applied for, "predictions" of rows that are there or new
    "examples".
    role: what it asks of its model, which names the same: "embedding" is one vector an example.
    evaluation: the kind of evaluation of what it yields.
    targets: those that `Batch.target` holds, none when it is the class.
    """

    learns: ClassVar[str]
    least: ClassVar[int]
    most: ClassVar[int | None] = None
    yields: ClassVar[str]
    role: ClassVar[str] = "embedding"
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

        An example's values depend on its inputs, its id and the key, and where a model compares
        examples, as minibatch discrimination does, on a group of consecutive ones, of which each
        device holds whole ones. Never on the number of devices.
        """

    @abstractmethod
    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """Figures of merit from the weighted means of the metrics over a data set.

        Scalars are logged as numbers, matrices as images.
        """

    @abstractmethod
    def groups(self, params: Params) -> Any:
        """The optimiser group of every parameter: a tree of names like `params`."""

    @abstractmethod
    def cast(self, precision: str) -> Self:
        """The same task computing in "float32" or "bfloat16"; parameters are always float32."""


class Predictor(Task):
    """A task whose model says something of every row.

    probability: whether its predictions are probabilities of the classes.
    """

    yields: ClassVar[str] = "predictions"
    probability: ClassVar[bool]

    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the prediction columns, in order."""

    @abstractmethod
    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """Columns of the prediction file, (B,) float32 each."""


class Generator(Task):
    """A task whose model makes new examples: inputs of its representation."""

    yields: ClassVar[str] = "examples"

    @abstractmethod
    def generate(self, params: Params, condition: Array, key: Array, identity: Array) -> Any:
        """Inputs of B examples, as the representation's `collate` makes them, in its units.

        condition: (B, K) float32, the numbers of the representation's `conditions`; K may be 0.
        identity: (B, 2) uint32, as in `Batch.id`. An example is a function of its own condition,
        its identity and the key: neither its company nor the number of devices changes it.
        """


def require_role(task: Task) -> None:
    """Refuse a model that does not read the task's representation, or cannot do its part."""
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
