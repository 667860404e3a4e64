"""Rows of one member, as signal and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """score, weight: (R,) float64; signal: (R,) bool; aux: name → (R,).

    id: (R,) uint64, of the rows' events. training: (R,) float64, training weights, which define the
    mixture of classes for probabilities. names: (signal, rest). probability: whether the
    score is the probability of the signal.
    """

    score: np.ndarray
    signal: np.ndarray
    weight: np.ndarray
    id: np.ndarray
    aux: Mapping[str, np.ndarray]
    names: tuple[str, str]
    training: np.ndarray
    probability: bool = False
