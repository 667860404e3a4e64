"""What a kind of evaluation is."""

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
    """What all evaluations derive from, by way of `Evaluator` or `Comparator`.

    One is a dataclass, the `evaluation` section its fields.

    judges: what it makes figures of, which tasks yield: "predictions" or "examples".
    shown: figures that the report leaves beside its page.
    reference: whether it compares with real rows, and needs to know how these compare with others.
    seed: of its random numbers.
    """

    judges: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    reference: ClassVar[bool] = False
    seed: int | None = None  # of one that draws none

    @abstractmethod
    def result(self, *samples: Any, **more: Any) -> Any:
        """Figures of a method: of predictions, see `Evaluator`, or of what a generator makes."""


class Comparator(EvaluationKind):
    """What evaluations of examples derive from, which compare them with real ones.

    features: names of what is compared; None: all that there is. max_rows: of each sample. seed: of
    what is drawn.
    """

    judges: ClassVar[str] = "examples"
    reference: ClassVar[bool] = True

    features: tuple[str, ...] | None
    max_rows: int
    seed: int

    @abstractmethod
    def floor(self, real: Samples, other: Samples) -> Floor:
        """Figures of real examples of another split."""

    @abstractmethod
    def result(
        self,
        real: Samples,
        floor: Floor,
        members: Sequence[Samples],
        representation: Representation,
    ) -> Result:
        """Figures of a method whose members made these examples of a representation."""


class Evaluator(EvaluationKind):
    """What evaluations of predictions derive from. A task names the kind of its own."""

    judges: ClassVar[str] = "predictions"

    @abstractmethod
    def result(self, members: Sequence[Predictions], held_out: Sequence[Predictions]) -> Result:
        """Figures of a method from predictions of its members, which are of the same rows.

        held_out: predictions of the same members for rows of which member m left out fold m.
        """
