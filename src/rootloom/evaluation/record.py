"""What the results of every kind of evaluation declare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from rootloom.evaluation.measurement import Measurement, Quote, unrounded


class Record(ABC):
    """Results of a method: a frozen dataclass that is written to JSON and read back.

    kind: of the evaluation; a literal, by which records are distinguished when they are read.
    weights: "event" or "training", used for all metrics.
    """

    kind: str
    weights: str = "event"

    @abstractmethod
    def metrics(self) -> dict[str, Measurement]:
        """Metrics by name, to which `expected:` of an experiment and other datasets compare."""

    @abstractmethod
    def lines(self, quote: Quote = unrounded) -> Iterator[str]:
        """The metrics as plain text, as `quote` writes them."""

    def units(self) -> dict[str, str]:
        """Units of metrics by name; by default they have none."""
        return {}
