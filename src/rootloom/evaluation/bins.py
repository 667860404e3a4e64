"""Bins with equal numbers of rows."""

from __future__ import annotations

import numpy as np


def even_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges of at most `bins` bins with equal numbers of finite values, from values (R,)."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return np.array([0.0, 1.0])
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, bins + 1)))
    return edges if len(edges) > 1 else edges[0] + np.array([0.0, max(1.0, abs(edges[0]))])


def in_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value (R,); the last includes its upper edge; −1 outside and for NaN."""
    bins = len(edges) - 1
    index = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    return np.where((values >= edges[0]) & (values <= edges[-1]), index, -1)
