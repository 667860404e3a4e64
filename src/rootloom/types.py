"""The array types that are passed between packages.

`Column`/`RowBlock` travel on the host from ROOT files to shards; `Batch` travels to the devices.
Shapes: R rows of a block, B examples of a batch, F features, N padded objects, M merges of a tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

if TYPE_CHECKING:
    from jax import Array  # heavy: every job that parses the Snakefile imports this module

# Leaves of a batch: NumPy's on the host before a step, JAX's on the devices in it.
Tensor: TypeAlias = "np.ndarray | Array"
A = TypeVar("A", "np.ndarray", "Array")

SPLITS = ("train", "validation", "test")
# Axis over the devices of all processes, over which a step sums.
DEVICES = "devices"
# Selected rows of no class: scored, but not used otherwise.
UNLABELLED = "none"
GROUPS = (*SPLITS, UNLABELLED)  # groups of rows in a shard
NO_CLASS = -1  # their label
# Prefix of the columns that a regression predicts.
TARGET = "target."
# Types of fields with bounds: other values are refused before any job.
Size = Annotated[int, Field(ge=1, le=65_536)]  # units, channels, layers, pixels
Count = Annotated[int, Field(ge=0, le=65_536)]
Rate = Annotated[float, Field(ge=0, lt=1)]  # of dropout
Positive = Annotated[float, Field(gt=0)]


def score_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Prediction columns: the signal's "score" for two classes, else "score_<class>" of each."""
    return ("score",) if len(classes) == 2 else tuple(f"score_{name}" for name in classes)


@dataclass(frozen=True)
class Ragged:
    """Variable-length rows: row i is `values[offsets[i]:offsets[i + 1]]`.

    values: (V, ...) any dtype; offsets: (R + 1,) int64, offsets[0] == 0.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def counts(self) -> np.ndarray:
        """Objects a row, (R,) int64."""
        return np.diff(self.offsets)

    @classmethod
    def together(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of one or more, one after the other."""
        counts = np.concatenate([part.counts() for part in parts])
        return cls(np.concatenate([part.values for part in parts]), offsets_of(counts))

    def take(self, rows: np.ndarray) -> Ragged:
        """The rows with these numbers (n,), copied."""
        counts = self.counts()[rows]
        offsets = offsets_of(counts)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return Ragged(self.values[np.repeat(self.offsets[rows], counts) + within], offsets)

    def row_of(self, numbers: ArrayLike) -> np.ndarray:
        """The rows of the values with these numbers, int64 of the same shape."""
        return np.searchsorted(self.offsets, numbers, side="right") - 1


Column: TypeAlias = np.ndarray | Ragged


def offsets_of(counts: ArrayLike) -> np.ndarray:
    """Where the values of each of R rows begin, and where those of the last end, (R + 1,) int64."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def dense(columns: Mapping[str, Column], name: str) -> np.ndarray:
    """A column of one entry a row, (R, …)."""
    column = columns[name]
    assert not isinstance(column, Ragged)
    return column


@dataclass(frozen=True)
class RowBlock:
    """Successive selected rows of one ROOT file, in the file's order.

    entry:   (R,) int64, the entry in the source tree.
    object:  (R,) int32, the object's index inside its entry; 0 when rows are events.
    label:   (R,) int32, index into the dataset's classes, NO_CLASS of a row of none.
    weight:  (R,) float32.
    columns: variables by name ("pt": (R,)), objects' quantities ("constituents.px": Ragged) and
             targets ("target.energy": (R,)).
    split:   (R,) int8, index into SPLITS, -1 where the hash of the event decides; None: it always
             decides.
    training_weight: (R,) float32, before balance and reweighting; None: made from `weight`.
    entries, sum_of_weights: number of all entries that were read for this block, selected or not,
             and Σ of their event weights (NaN if the weight is not one number per entry).
    event:   (R, K) int64, the numbers that identify the row's event; None: its entry does.
    """

    entry: np.ndarray
    object: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    columns: Mapping[str, Column]
    split: np.ndarray | None = None
    training_weight: np.ndarray | None = None
    entries: int = 0
    sum_of_weights: float = 0.0
    event: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.entry)


class Features(NamedTuple, Generic[A]):
    """Flat inputs. x: (B, F) float32, padded object columns included, zero where `mask` is 0.

    mask: (B, F) float32, 1 where there is a value.
    """

    x: A
    mask: A


class Named(NamedTuple, Generic[A]):
    """A feature. value: (B,) float32, in the dataset's units; x: (B,), as networks see it."""

    value: A
    x: A


class NamedFeatures(NamedTuple, Generic[A]):
    """Normalised `Features`, and each feature by its name, for networks that need to know it.

    columns: Named by name; empty if the representation's configuration names no variables.
    """

    x: A
    mask: A
    columns: Mapping[str, Named[A]]


class Image(NamedTuple, Generic[A]):
    """x: (B, H, W, C) float32."""

    x: A


class Objects(NamedTuple, Generic[A]):
    """A collection of objects, such as the constituents of a jet, in N slots a row.

    x: (B, N, F) float32, 0 in empty slots unless the representation fills them. mask: (B, N) bool,
    whether a slot holds an object; those that do come first. points: (B, N, P) float32, coordinates
    in the dataset's units. momenta: (B, N, 4) float32, px, py, pz and E in GeV. labels: (B, N, L)
    int32, truth, negative where it is not known; None in normalised inputs, which networks see. The
    last three are None where the representation names none.
    """

    x: A
    mask: A
    points: A | None = None
    momenta: A | None = None
    labels: A | None = None


class ParticleSets(NamedTuple, Generic[A]):
    """Collections of objects by name, and quantities of the row.

    A collection may be in several groups of rows, one after the other, each with its own N.
    scalars: (B, S) float32. present: (B,) bool, False for padding of the batch: a row of the
    dataset may have no objects.
    """

    collections: Mapping[str, Objects[A] | tuple[Objects[A], ...]]
    scalars: A
    present: A


class Shower(NamedTuple, Generic[A]):
    """cells: (B, cells) GeV, of a calorimeter; energy: (B,) GeV, of the particle; float32 both."""

    cells: A
    energy: A


class Batch(NamedTuple, Generic[A]):
    """The input of a training step: `Batch[np.ndarray]` from a loader, `Batch[Array]` in a step.

    inputs: what the representation's `collate` makes, a NamedTuple of arrays, or of such and of
    mappings and None.
    target: (B,) int32 class index, or (B, T) float32.
    weight: (B,) float32, 0 for padding.
    id:     (B, 2) uint32, the row's 64-bit identity as (high, low) words.
    place:  (B,) int32, the row's number among those of the batch over all devices in the order of
    the loader, -1 for padding; None: that order is the batch's.
    """

    inputs: Any
    target: A
    weight: A
    id: A
    place: A | None = None
