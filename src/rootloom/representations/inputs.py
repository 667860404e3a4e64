"""What an exported network takes of a row: named arrays, and what each of their numbers is."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

# features: quantities that are scaled. points, momenta: quantities that are not. mask: 1 for an
# object, 0 for an empty slot. values: anything else, such as an image.
Role: TypeAlias = Literal["features", "points", "momenta", "mask", "values"]
BATCH = "batch"  # the name of the axis of rows


@dataclass(frozen=True)
class InputQuantity:
    """A quantity along the last axis of an input: its name, and how a network scales it.

    transforms: taken first, in order; "log" is sign(x) log(1 + |x|). Then (x − centre) · scale, and
    what is below `low` or above `high` becomes that. empty: what stands in empty slots, after all
    this.
    """

    name: str
    transforms: tuple[Literal["log", "tanh"], ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    low: float = -inf
    high: float = inf
    empty: float = 0.0


@dataclass(frozen=True)
class Input:
    """An array of an exported network.

    axes: sizes, or names of those that are open, the first of which is BATCH. group: the collection
    whose objects are along the second axis; "": none. quantities: along the last axis; empty if
    these have no names. most: objects that a row may have; None: there are none.
    """

    name: str
    axes: tuple[int | str, ...]
    role: Role = "values"
    group: str = ""
    quantities: tuple[InputQuantity, ...] = ()
    most: int | None = None
    dtype: str = "float32"
