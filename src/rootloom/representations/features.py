"""Feature vectors: scalar variables, and columns of leading objects padded to a fixed number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rootloom.representations.base import (
    MomentsLike,
    Representation,
    leading,
    ragged,
    require,
    require_declared,
    require_finite,
    storable,
)
from rootloom.representations.padding import pad_masked_into
from rootloom.representations.scaling import Triples, bounded, by_name, require_scaling
from rootloom.types import A, Column, Features, Named, NamedFeatures, Ragged

_WHO = "features"
# Steps of float32 this small against the spread of a feature are nothing to a network.
_FINE = 2.0**-12
_PREFIX = "x."  # keeps a variable called "weight" apart from the shard's own column


@dataclass(frozen=True)
class FeatureVector(Representation):
    """(B, F) features, standardised with the training set's moments.

    variables:   per-row variables; None takes all that the dataset declares, sorted by name.
    objects:     jagged columns such as "constituents.pt", in the order of the file; the leading
                 `max_objects` of each follow the variables, column by column.
    max_objects: objects kept of each jagged column.
    log:         names (of either kind) replaced by sign(x) log(1 + |x|), defined everywhere.
    scaling:     triples of a name, its centre and its scale, which replace the mean and the inverse
                 standard deviation of the training split: (x − centre) · scale.
    bounds:      triples of a name, its smallest and its largest value after scaling.
    clip:        largest |x| after scaling of names without `bounds`; None does not clip.

    reference:   subtracted from each of the F features before they become float32; `centred` finds
                 it, no configuration does.

    Shards hold one float32 column a name, untransformed: another variable is another column. One
    whose values float32 cannot tell apart, such as absolute times, is float64 there and in batches
    the distance from its mean. Non-finite values are refused; only padding counts as absent.
    """

    kind: ClassVar[str] = "features"
    same_shape: ClassVar[bool] = True
    centres: ClassVar[bool] = True
    # Fields that do not change a stored column: shards gain columns without touching others.
    not_encoded: ClassVar[tuple[str, ...] | None] = (
        "variables",
        "objects",
        "log",
        "scaling",
        "bounds",
        "clip",
        "reference",
    )

    variables: tuple[str, ...] | None = None
    objects: tuple[str, ...] = ()
    max_objects: int = 8
    log: tuple[str, ...] = ()
    scaling: Triples = ()
    bounds: Triples = ()
    clip: float | None = None
    reference: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(_WHO, "max_objects", self.max_objects > 0, "a positive number", self.max_objects)
        chosen = (*(self.variables or ()), *self.objects)
        unique = len(set(chosen)) == len(chosen)
        require(_WHO, "variables, objects", unique, "each name once", chosen)
        require(
            _WHO,
            "objects",
            all("." in name for name in self.objects),
            "'object.column'",
            self.objects,
        )
        require_scaling(_WHO, self, chosen)
        of = [name for name, _, _ in (*self.scaling, *self.bounds)]
        named = self.variables is not None or not of
        require(_WHO, "scaling, bounds", named, "`variables` by name beside it", of)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """The chosen variables and object columns; `log` may name no others."""
        chosen = tuple(sorted(variables)) if self.variables is None else self.variables
        chosen = require_declared(_WHO, (*chosen, *self.objects), variables, objects)
        require(_WHO, "variables, objects", len(chosen) > 0, "at least one name", chosen)
        unknown = [name for name in self.log if name not in chosen]
        require(_WHO, "log", not unknown, "names among the chosen " + ", ".join(chosen), unknown)
        return chosen

    def only(self, names: Sequence[str]) -> FeatureVector:
        """A representation with the same encoding of some of the columns."""
        return replace(
            self,
            variables=tuple(name for name in names if name not in self.objects),
            objects=tuple(name for name in names if name in self.objects),
            scaling=tuple(one for one in self.scaling if one[0] in names),
            bounds=tuple(one for one in self.bounds if one[0] in names),
        )

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """One column a name: (R,), or Ragged cut to the leading objects; see `storable`."""
        scalars = (name for name in columns if not isinstance(columns[name], Ragged))
        chosen = sorted(scalars) if self.variables is None else self.variables
        encoded: dict[str, Column] = {}
        for name in (*chosen, *self.objects):
            column = columns[name]
            require_finite(name, column)
            if isinstance(column, Ragged):
                column = leading(column, self.max_objects)
                encoded[_PREFIX + name] = Ragged(storable(column.values), column.offsets)
            else:
                encoded[_PREFIX + name] = storable(column)
        return encoded

    def names(self, columns: Mapping[str, Column]) -> tuple[str, ...]:
        """What each of the F features is, from shard columns: "pt", …, "constituents.pt[0]", …."""
        padded = (f"{name}[{i}]" for name in self.objects for i in range(self.max_objects))
        return (*self._scalars(columns), *padded)

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Features:
        """x and mask (size, F) float32."""
        x, mask = self._laid(columns, rows, size)
        if self.reference:
            x[: len(rows)] -= np.asarray(self.reference, x.dtype) * mask[: len(rows)]
        return Features(x.astype(np.float32, copy=False), mask)

    def centred(self, statistics: Mapping[str, MomentsLike]) -> FeatureVector:
        """A copy that subtracts the means of features whose values float32 could not tell apart.

        statistics: as `normalise` gets them.
        """
        if "x" not in statistics:
            return self
        mean, std = (np.asarray(getattr(statistics["x"], n), np.float64) for n in ("mean", "std"))
        coarse = (std > 0) & (np.spacing(np.abs(mean).astype(np.float32)) > _FINE * std)
        return replace(self, reference=tuple(np.where(coarse, mean, 0.0)) if coarse.any() else ())

    def _laid(
        self, columns: Mapping[str, Column], rows: np.ndarray, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """x and mask (size, F), x in float64 where one of the columns is."""
        scalars = self._scalars(columns)
        width = len(scalars) + len(self.objects) * self.max_objects
        names = [_PREFIX + name for name in (*scalars, *self.objects)]
        types = [_values(columns[name]).dtype for name in names]
        x = np.zeros((size, width), np.float64 if np.float64 in types else np.float32)
        mask = np.zeros((size, width), np.float32)
        for k, name in enumerate(scalars):
            values = columns[_PREFIX + name]
            assert isinstance(values, np.ndarray)
            x[: len(rows), k] = values[rows]
        mask[: len(rows), : len(scalars)] = 1.0
        for k, name in enumerate(self.objects):
            column = ragged(columns, _PREFIX + name)
            first = len(scalars) + k * self.max_objects
            pad_masked_into(
                column.values[:, None], column.offsets, rows, self.max_objects, first, x, mask
            )
        for k in self._logarithmic(scalars):
            x[:, k] = np.copysign(np.log1p(np.abs(x[:, k])), x[:, k])
        return x, mask

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (R, F)}, NaN where padded."""
        rows = len(next(iter(columns.values())))
        x, mask = self._laid(columns, np.arange(rows), rows)
        return {"x": np.where(mask > 0, x.astype(np.float64), np.nan)}

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Every variable and object column, without logarithm."""
        names = (*self._scalars(columns), *self.objects)
        return {name: columns[_PREFIX + name] for name in names}

    def normalise(self, inputs: Features, statistics: Mapping[str, MomentsLike]) -> NamedFeatures:
        """(x − mean) / std, clipped; a constant feature becomes 0. With features by their names."""
        moments = statistics["x"]
        mean = np.asarray(np.asarray(moments.mean) - (self.reference or 0.0), np.float32)
        std = np.asarray(moments.std, np.float32)
        std = np.where(std > 0, std, np.float32(1))
        by_hand = by_name(self.scaling)
        for k, name in enumerate(self._of_features() if by_hand else ()):
            if name in by_hand:
                centre, scale = by_hand[name]
                mean[k] = centre - (self.reference[k] if self.reference else 0.0)
                std[k] = 1 / scale
        x = self._bounded((inputs.x - mean) / std) * inputs.mask
        unscaled = inputs.x + np.asarray(self.reference, np.float32) if self.reference else inputs.x
        return NamedFeatures(x, inputs.mask, self._named(unscaled, x))

    def _bounded(self, x: A) -> A:
        """Scaled features (B, F) inside their bounds."""
        if not self.bounds:
            return x if self.clip is None else x.clip(-self.clip, self.clip)
        return bounded(x, self._of_features(), self)

    def _of_features(self) -> tuple[str, ...]:
        """The name, of a variable or objects, behind each of the F features."""
        padded = (name for name in self.objects for _ in range(self.max_objects))
        return (*(self.variables or ()), *padded)

    def _named(self, unscaled: A, x: A) -> dict[str, Named]:
        """Columns of both (B, F) by name, the unscaled ones without logarithm."""
        if self.variables is None:
            return {}
        logarithmic = set(self._logarithmic(self.variables))
        return {
            name: Named(
                _without_log(unscaled[:, k]) if k in logarithmic else unscaled[:, k], x[:, k]
            )
            for k, name in enumerate(self.names({}))
        }

    def _scalars(self, columns: Mapping[str, Column]) -> tuple[str, ...]:
        if self.variables is not None:
            return self.variables
        stored = (name for name in columns if name.startswith(_PREFIX))
        return tuple(
            sorted(name[len(_PREFIX) :] for name in stored if not isinstance(columns[name], Ragged))
        )

    def _logarithmic(self, scalars: Sequence[str]) -> list[int]:
        """Positions of the features that `log` names."""
        width = self.max_objects
        chosen = [k for k, name in enumerate(scalars) if name in self.log]
        for k, name in enumerate(self.objects):
            if name in self.log:
                first = len(scalars) + k * width
                chosen += range(first, first + width)
        return chosen


def _values(column: Column) -> np.ndarray:
    return column.values if isinstance(column, Ragged) else column


def _without_log(x: A) -> A:
    """Values (B,) of which sign(x) log(1 + |x|) was taken; NumPy or JAX."""
    xp = x.__array_namespace__()
    return xp.sign(x) * xp.expm1(xp.abs(x))
