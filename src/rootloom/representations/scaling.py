"""Scaling and bounds by hand of named quantities, which several representations share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rootloom.representations.base import require
from rootloom.types import A

# A name with its centre and scale, or with its smallest and largest value.
Triples: TypeAlias = tuple[tuple[str, float, float], ...]


class ByHand(Protocol):
    """Fields of a representation: see `particle_set`."""

    @property
    def scaling(self) -> Triples: ...  # noqa: D102
    @property
    def bounds(self) -> Triples: ...  # noqa: D102
    @property
    def clip(self) -> float | None: ...  # noqa: D102


def require_scaling(who: str, one: ByHand, known: Sequence[str]) -> None:
    """Refuse scaling and bounds of names that are not known, and bounds that hold nothing."""
    for field, triples in (("scaling", one.scaling), ("bounds", one.bounds)):
        require_among(who, field, [name for name, _, _ in triples], known)
    ordered = all(low < high for _, low, high in one.bounds)
    require(who, "bounds", ordered, "the smaller number first", one.bounds)
    require(who, "clip", one.clip is None or one.clip > 0, "a positive number", one.clip)


def require_among(who: str, field: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a field that names what is not known, or a name twice."""
    fits = {*names} <= {*known} and len({*names}) == len(names)
    require(who, field, fits, "names among variables and objects, each once", names)


def by_name(triples: Triples) -> Mapping[str, tuple[float, float]]:
    """The two numbers of each name."""
    return {name: (first, second) for name, first, second in triples}


def bounded(x: A, names: Sequence[str], one: ByHand) -> A:
    """Scaled quantities (…, F) of these names inside their bounds, others inside ± `clip`."""
    most = np.inf if one.clip is None else one.clip
    given = by_name(one.bounds)
    edges = np.array([given.get(name, (-most, most)) for name in names])
    if np.isinf(edges).all():
        return x
    return x.clip(along(x, edges[:, 0]), along(x, edges[:, 1]))


def along(x: A, values: ArrayLike) -> np.ndarray:
    """Numbers of the last axis of x, in its type, (1, …, F)."""
    return np.asarray(values).astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
