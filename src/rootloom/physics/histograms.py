"""Distances between histograms."""

from __future__ import annotations

import numpy as np


def separation_power(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """½ Σ (h₁ - h₂)² / (h₁ + h₂) over the last axis: 0 for equal, 1 for disjoint distributions.

    Histograms of any normalisation (…, bins); CaloChallenge, arXiv:2410.21611.
    """
    h1, h2 = (h / np.maximum(h.sum(axis=-1, keepdims=True), 1e-30) for h in (first, second))
    total = h1 + h2
    return 0.5 * np.where(total > 0, (h1 - h2) ** 2 / np.where(total > 0, total, 1), 0).sum(axis=-1)
