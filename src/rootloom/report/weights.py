"""Tables of the weights of a dataset and their effect on its statistics, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassRow:
    """Weights of one class in one split, as text."""

    split: str
    label: str
    rows: str
    total: str
    effective: str
    negative: str
    training: str


@dataclass(frozen=True)
class SampleRow:
    """One sample as text: entries and sums of its files, and the factor on its event weights.

    selected: sum of the scaled event weights of the selected rows.
    """

    name: str
    label: str
    weight: str
    entries: str
    sum_of_weights: str
    cross_section: str
    scale: str
    rows: str
    selected: str = "–"


@dataclass(frozen=True)
class WeightsSummary:
    """event, training: the two weights in words. capped: sentences on incomplete reweighting."""

    event: str
    training: str
    classes: tuple[ClassRow, ...]
    samples: tuple[SampleRow, ...]
    capped: tuple[str, ...]


def weight_words(weights: Sequence[str]) -> str:
    """A sentence on the weights of a page's metrics; empty for event weights."""
    if "training" not in weights:
        return ""
    return (
        "All metrics use training weights: classes and spectra count as in training, after "
        "balance and reweighting, and not by event weights."
    )
