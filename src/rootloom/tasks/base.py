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
    """A model with its head, its loss, its figures of merit and its prediction columns.

    What every task derives from; one is a frozen dataclass. Beside the fields of its configuration
    it has those that it is given:
    model: that of a method. representation: whose inputs batches hold. statistics: moments of the
    training split, by name; with the names of the classes or targets in a field called as `learns`.

    learns: "classes" or "targets", what the dataset must declare.
    least: how many of them at least.
    most: how many of them at most; None: any number.
    yields: "scores" of rows that are there, or new "examples": which of the workflow's stages
    follow a training.
    role: what it asks of its model, which names the same: "embedding" is one vector an example.
    evaluation: the kind of evaluation of what it yields.
    probability: whether its predictions are probabilities of the classes.
    targets: those that `Batch.target` holds, none when it is the class.
    """

    learns: ClassVar[str]
    least: ClassVar[int]
    most: ClassVar[int | None] = None
    yields: ClassVar[str] = "scores"
    role: ClassVar[str] = "embedding"
    evaluation: ClassVar[str]
    probability: ClassVar[bool]

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

        An example's values depend on its inputs, its id and the key alone.
        """

    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the prediction columns, in order."""

    @abstractmethod
    def predict(self, params: Params, batch: Batch, key: Array) -> dict[str, Array]:
        """Columns of the prediction file, (B,) float32 each."""

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


class Generator(Task):
    """A task that makes new showers: what writing and comparing generated data asks of one."""

    @property
    @abstractmethod
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Cells along x and y of each layer; they are numbered layer by layer, then x, then y."""

    @abstractmethod
    def generate(self, params: Params, energy: Array, key: Array, identity: Array) -> Array:
        """Cells (B, cells) in GeV, float32, of showers of particles of `energy` (B,), GeV.

        identity: (B, 2) uint32, as in `Batch.id`. A shower is a function of its own energy, its
        identity and the key: neither its company nor the number of devices changes it.
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
