"""The base classes of evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from rootloom.evaluation.generation.result import Floor
from rootloom.evaluation.generation.samples import Samples
from rootloom.evaluation.predictions import Predictions
from rootloom.evaluation.results import Result
from rootloom.representations.base import Representation


class EvaluationKind(ABC):
    """Base of all evaluations, through `Evaluator` or `Comparator`.

    An evaluation is a dataclass whose fields are the `evaluation` section.

    evaluates: what it evaluates, which a task yields: "predictions" or "examples".
    shown: names of the plots that the report saves beside its page.
    reference: whether it compares with real rows, and so needs the comparison of real rows with
    other real rows.
    reads: the field that names columns stored with every row, which the plan checks.
    names_targets: the fields that name targets, in lists, which the plan checks.
    seed: of its random numbers.
    """

    evaluates: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    reference: ClassVar[bool] = False
    reads: ClassVar[str | None] = None
    names_targets: ClassVar[tuple[str, ...]] = ()
    seed: int | None = None  # for an evaluation without random numbers

    @abstractmethod
    def result(self, *samples: Any, **more: Any) -> Any:
        """Metrics of a method, from predictions (`Evaluator`) or examples (`Comparator`)."""

    def check_targets(self, targets: Sequence[str], where: str) -> None:  # noqa: B027  (a default)
        """Refuse fields that do not fit the names of the targets, in the plan; by default none.

        Asked of a class with `names_targets`. where: the section, for the message. Raises
        ConfigError.
        """


class Comparator(EvaluationKind):
    """Base of evaluations of generated examples, which are compared with real ones.

    features: names of the compared quantities; None: all. max_rows: of each sample. seed: of its
    random numbers.
    """

    evaluates: ClassVar[str] = "examples"
    reference: ClassVar[bool] = True

    features: tuple[str, ...] | None
    max_rows: int
    seed: int

    @abstractmethod
    def floor(self, real: Samples, other: Samples) -> Floor:
        """Metrics of real examples of another split."""

    @abstractmethod
    def result(
        self,
        real: Samples,
        floor: Floor,
        members: Sequence[Samples],
        representation: Representation,
    ) -> Result:
        """Metrics of a method from the examples of its members."""


class Evaluator(EvaluationKind):
    """Base of evaluations of predictions. A task names its kind of evaluation."""

    evaluates: ClassVar[str] = "predictions"

    @abstractmethod
    def result(self, members: Sequence[Predictions], held_out: Sequence[Predictions]) -> Result:
        """Metrics of a method from predictions of its members for the same rows.

        held_out: predictions of the same members for training rows, of which member m left out
        fold m.
        """
