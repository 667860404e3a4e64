"""Rows of one member, as signal and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """score, weight: (R,) float64; signal: (R,) bool; aux: name → (R,).

    id: (R,) uint64, of the rows' events. training: (R,) float64, training weights: a probability
    is one of the mixture of classes that they make; None of rows of a dataset that does not train.
    names: (signal, rest). probability: whether the score is one of the signal.
    """

    score: np.ndarray
    signal: np.ndarray
    weight: np.ndarray
    id: np.ndarray
    aux: Mapping[str, np.ndarray]
    names: tuple[str, str]
    training: np.ndarray | None
    probability: bool = False
