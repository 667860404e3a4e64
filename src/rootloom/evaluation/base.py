"""The base classes of evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from rootloom.evaluation.predictions import Predictions
from rootloom.evaluation.results import Result


class EvaluationKind(ABC):
    """Base of all evaluations; a dataclass whose fields are the `evaluation` section.

    shown: names of the plots that the report saves beside its page.
    seed: of its random numbers.
    """

    shown: ClassVar[tuple[str, ...]]
    seed: int | None = None  # for an evaluation without random numbers

    @abstractmethod
    def result(self, *samples: Any, **more: Any) -> Any:
        """Metrics of a method: from predictions, see `Evaluator`, or from generated data."""


class Evaluator(EvaluationKind):
    """Base of evaluations of predictions. A task names its kind of evaluation."""

    @abstractmethod
    def result(self, members: Sequence[Predictions], held_out: Sequence[Predictions]) -> Result:
        """Metrics of a method from predictions of its members for the same rows.

        held_out: predictions of the same members for training rows, of which member m left out
        fold m.
        """
