"""How far predictions are from the truth: angles, distances, tracks, plain numbers.

An opening angle and a distance are never negative; their mean, median and 68 % quantile are quoted,
as resolutions of muon tracks are (arXiv:2103.11939 quotes means). A plain number has a bias and a
root mean square.
"""

from __future__ import annotations

import numpy as np

from rootloom.evaluation.measurement import Estimate
from rootloom.evaluation.metrics import effective_rows

CONTAINED = 0.6827  # of a normal distribution, within one standard deviation
_TINY = 1e-300


def opening_angle(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angle between two vectors (R, 3) of any length, (R,) degrees in 0 … 180; float64.

    Kahan's formula, 2 atan2(|a − b|, |a + b|) of unit vectors: no digit is lost at small angles,
    where the arc cosine loses half of them.
    """
    a, b = _unit(predicted), _unit(true)
    apart, together = np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1)
    return np.degrees(2.0 * np.arctan2(apart, together))


def distance(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance between points (R, 3), (R,) in their unit; float64."""
    return np.linalg.norm(_double(predicted) - _double(true), axis=1)


def nearest_point(point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The point (R, 3) nearest to the origin of lines through `point` along `direction` (R, 3)."""
    point, along = _double(point), _unit(direction)
    return point - np.sum(point * along, axis=1, keepdims=True) * along


def impact(point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Distance of lines to the origin, (R,)."""
    return np.linalg.norm(nearest_point(point, direction), axis=1)


def zenith(direction: np.ndarray) -> np.ndarray:
    """Zenith angle of what moves along `direction` (R, 3), degrees: 0 comes straight from +z."""
    along = _double(direction)
    return np.degrees(np.arctan2(np.hypot(along[:, 0], along[:, 1]), -along[:, 2]))


def from_meridian(point: np.ndarray) -> np.ndarray:
    """Longitude's distance to the meridian 0 of points (R, 3), degrees in 0 … 180."""
    place = _double(point)
    return np.degrees(np.abs(np.arctan2(place[:, 1], place[:, 0])))


def mean(values: np.ndarray, weight: np.ndarray) -> Estimate:
    """Weighted mean of (R,) and its error √Σw²(v − m)² / Σw, as n/(n − 1) at the effective n."""
    total = float(weight.sum())
    if len(values) == 0 or total <= 0:
        return Estimate(np.nan, np.nan)
    found = float(np.sum(weight * values) / total)
    variance = float(np.sum(weight**2 * (values - found) ** 2)) / total**2
    rows = effective_rows(weight)
    return Estimate(found, np.sqrt(variance * rows / (rows - 1)) if rows > 1 else np.nan)


def root_mean_square(values: np.ndarray, weight: np.ndarray) -> Estimate:
    """√ of the weighted mean square; its error is that of the mean square over twice the root."""
    square = mean(values**2, weight)
    root = np.sqrt(square.value)
    return Estimate(float(root), float(square.error / (2.0 * max(root, _TINY))))


def quantile(values: np.ndarray, weight: np.ndarray, share: float) -> Estimate:
    """The value below which a `share` of the weight lies, from (R,).

    Rows stand at the middle of their weight, linearly in between. The error is half the distance of
    the quantiles at share ± √(share (1 − share) / n), n the effective rows: an order statistic's
    binomial interval (Conover, Practical Nonparametric Statistics, section 3.2).
    """
    if len(values) == 0 or weight.sum() <= 0:
        return Estimate(np.nan, np.nan)
    order = np.argsort(values, kind="stable")
    value, part = values[order], weight[order]
    place = (np.cumsum(part) - 0.5 * part) / part.sum()
    half = np.sqrt(share * (1.0 - share) / effective_rows(weight))
    at = np.interp([share - half, share, share + half], place, value)
    return Estimate(float(at[1]), float(0.5 * (at[2] - at[0])))


def even_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges of at most `bins` bins that hold alike many of the finite values (R,)."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return np.array([0.0, 1.0])
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])


def in_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value (R,), the last with its upper edge; −1 outside and for NaN."""
    bins = len(edges) - 1
    index = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    return np.where((values >= edges[0]) & (values <= edges[-1]), index, -1)


def _double(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector, np.float64)


def _unit(vector: np.ndarray) -> np.ndarray:
    """(R, 3) of length 1; raises no error for a vector of length 0, which stays 0."""
    vector = _double(vector)
    return vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), _TINY)
