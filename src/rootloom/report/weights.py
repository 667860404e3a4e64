"""Which weights the rows of a dataset have, and what they do to its statistics: text to print."""

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
    """One sample: what its files hold, and what its event weights are multiplied by, as text.

    selected: sum of the event weights of the rows that are kept, scaled.
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
    """event, training: the two weights in words. capped: sentences on reweighting left undone."""

    event: str
    training: str
    classes: tuple[ClassRow, ...]
    samples: tuple[SampleRow, ...]
    capped: tuple[str, ...]


def weight_words(weights: Sequence[str]) -> str:
    """By which weights the figures of a page are, as a sentence; empty for event weights."""
    if "training" not in weights:
        return ""
    return (
        "All figures are by training weights: classes and spectra count as in training, after "
        "balance and reweighting, not as events do."
    )
