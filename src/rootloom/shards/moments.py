"""Count, mean, spread and range of features: exact, and mergeable in any partition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypedDict

import numpy as np
from numba import njit

from rootloom.errors import DataError


class MomentsContent(TypedDict):
    """`Moments` as JSON data, a number a feature in each list."""

    count: list[int]
    mean: list[float]
    m2: list[float]
    low: list[float]
    high: list[float]


class MeansContent(TypedDict):
    """`ClassMeans` as JSON data: a weight a class, and nested lists of sums."""

    weight: list[float]
    total: list


@njit(cache=True, nogil=True, error_model="numpy")
def _moments(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Count, mean, m2, low and high of x (n, F) in two passes over it, in float64."""
    rows, features = x.shape
    count = np.zeros(features, np.int64)
    mean, m2, rest = np.zeros(features), np.zeros(features), np.zeros(features)
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    for row in range(rows):
        for k in range(features):
            value = np.float64(x[row, k])
            present = value == value  # NaN is not
            count[k] += present
            mean[k] += value if present else 0.0
            low[k] = value if value < low[k] else low[k]
            high[k] = value if value > high[k] else high[k]
    for k in range(features):
        mean[k] /= max(count[k], 1)
    for row in range(rows):
        for k in range(features):
            value = np.float64(x[row, k])
            deviation = value - mean[k] if value == value else 0.0
            m2[k] += deviation * deviation
            rest[k] += deviation
    for k in range(features):
        # Removes the rounding of the mean (Chan, Golub, LeVeque 1983, eq. 1.7).
        m2[k] -= rest[k] * rest[k] / max(count[k], 1)
    return count, mean, m2, low, high


@dataclass(frozen=True)
class Moments:
    """First and second moments of F features, and the range of their values.

    count: (F,) int64 values present; mean: (F,) float64; m2: (F,) float64, the sum of squared
    deviations from the mean; low, high: (F,) float64, the smallest and largest value. A feature
    without any value has 0 in all of them.
    """

    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Moments of x (n, F), NaN where absent. Raises DataError for an infinite value."""
        x = np.ascontiguousarray(x)
        count, mean, m2, low, high = _moments(x)
        infinite = np.flatnonzero(np.isinf(mean) | (np.isnan(mean) & (count > 0)))
        if len(infinite):
            raise DataError(
                "moments",
                expected="finite values, or NaN for an absent one",
                found=f"infinite values in feature(s) {', '.join(map(str, infinite[:8]))}",
                fix="select finite rows, or guard the expression (a logarithm or ratio of 0?)",
            )
        low, high = (np.where(count > 0, edge, 0.0) for edge in (low, high))
        return cls(count, mean, np.maximum(m2, 0.0), low, high)

    def merge(self, other: Self) -> Self:
        """Moments of both samples together (Chan, Golub, LeVeque 1979, eq. 2.1)."""
        if self.mean.shape != other.mean.shape:
            raise DataError(
                "moments",
                expected=f"{len(self.mean)} features in every shard",
                found=f"{len(other.mean)}",
                fix="delete shards made with another configuration",
            )
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        delta = other.mean - self.mean
        return type(self)(
            count,
            self.mean + delta * share,
            self.m2 + other.m2 + delta**2 * self.count * share,
            self._edge(other, "low", np.minimum),
            self._edge(other, "high", np.maximum),
        )

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation, (F,) float64; 0 for a constant or absent feature."""
        return np.sqrt(self.m2 / np.maximum(self.count, 1))

    def to_json(self) -> MomentsContent:
        """Lists of numbers; Python prints floats so that reading them gives the same bits."""
        return {
            "count": self.count.tolist(),
            "mean": self.mean.tolist(),
            "m2": self.m2.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }

    @classmethod
    def from_json(cls, content: MomentsContent) -> Self:
        """The inverse of `to_json`, exactly."""
        return cls(
            np.array(content["count"], np.int64),
            np.array(content["mean"], np.float64),
            np.array(content["m2"], np.float64),
            np.array(content["low"], np.float64),
            np.array(content["high"], np.float64),
        )

    def _edge(self, other: Self, name: str, of: Callable[..., np.ndarray]) -> np.ndarray:
        """The smaller minimum, or larger maximum, of both samples, if both have values."""
        mine, theirs = getattr(self, name), getattr(other, name)
        both = np.where(other.count > 0, of(mine, theirs), mine)
        return np.where(self.count > 0, both, theirs)


@dataclass(frozen=True)
class ClassMeans:
    """Weighted means of F features for each of K classes: average images, mean spectra.

    weight, total: (K, F) float64 sums of w and of w·x over the values present.
    """

    weight: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, label: np.ndarray, weight: np.ndarray, classes: int) -> Self:
        """Sums of x (R, F) by label (R,), NaN where a value is absent."""
        present = ~np.isnan(x)
        filled = np.where(present, x, 0.0)
        sums = np.zeros((2, classes, x.shape[1]))
        for k in range(classes):
            w = np.where(label == k, weight, 0.0).astype(np.float64)
            sums[0, k], sums[1, k] = w @ present, w @ filled
        return cls(*sums)

    def merge(self, other: Self) -> Self:
        """Means of both samples together."""
        return type(self)(self.weight + other.weight, self.total + other.total)

    def scaled(self, by: float) -> Self:
        """The same with all weights multiplied by a number."""
        return type(self)(self.weight * by, self.total * by)

    @property
    def mean(self) -> np.ndarray:
        """(K, F) float64; 0 where a class has no weight."""
        return np.divide(
            self.total, self.weight, out=np.zeros_like(self.total), where=self.weight != 0
        )

    def to_json(self) -> MeansContent:
        """Nested lists of numbers."""
        return {"weight": self.weight.tolist(), "total": self.total.tolist()}

    @classmethod
    def from_json(cls, content: MeansContent) -> Self:
        """The inverse of `to_json`, exactly."""
        return cls(np.array(content["weight"], np.float64), np.array(content["total"], np.float64))
