"""A representation that makes a kind of inputs of its own."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from rootloom.representations.base import Representation, require_declared


class Pair(NamedTuple):
    x: object


@dataclass(frozen=True)
class Ratios(Representation):
    """Ratios of neighbouring variables.

    variables: two or more. floor: below which no denominator is.
    """

    kind: ClassVar[str] = "ratios"
    same_shape: ClassVar[bool] = True

    variables: tuple[str, ...] = ("pt", "eta")
    floor: float = 1e-3

    def needs(self, variables, objects):
        return require_declared("ratios", self.variables, variables, objects)

    def encode(self, columns):
        several = [np.asarray(columns[name], np.float32) for name in self.variables]
        pairs = pairwise(several)
        return {"ratios": np.stack([a / np.maximum(b, self.floor) for a, b in pairs], axis=1)}

    def sample(self, columns):
        return {"x": np.asarray(columns["ratios"], np.float64)}

    def collate(self, columns, rows, size):
        x = np.zeros((size, len(self.variables) - 1), np.float32)
        x[: len(rows)] = columns["ratios"][rows]
        return Pair(x)

    def normalise(self, inputs, statistics):
        moments = statistics["x"]
        mean, std = (np.asarray(m, np.float32) for m in (moments.mean, moments.std))
        return Pair((inputs.x - mean) / std)
