"""Groups of rows with their own number of slots: what runs over all objects, what group by group.

A batch may hold its rows in one group, (B, N, …), or in several of like length, (B₁, N₁, …),
(B₂, N₂, …), …. Layers that treat each object alone, and means over all objects, run over the
objects of all groups at once, (T, …) with T = Σ B N. What relates the objects of a row to each
other, such as attention and nearest neighbours, runs group by group. Ordered pairs of the objects
of a row are in groups, too, (B, N, N, …) of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Groups:
    """shapes: rows and slots of each group. One group alone keeps its two axes: S = (B, N).

    Of `pairs` a shape is (B, N, N), and one group alone keeps these three.
    """

    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, parts: Sequence[Array]) -> Groups:
        """Those of arrays (B, N, …)."""
        return cls(tuple((part.shape[0], part.shape[1]) for part in parts))

    @property
    def starts(self) -> tuple[int, ...]:
        """The number of each group's first row."""
        rows = [shape[0] for shape in self.shapes]
        return tuple(sum(rows[:k]) for k in range(len(rows)))

    @property
    def pairs(self) -> Groups:
        """The ordered pairs of the objects of each row, an object with itself included."""
        return Groups(tuple((rows, slots, slots) for rows, slots in self.shapes))

    def with_slots(self, number: Callable[[int], int]) -> Groups:
        """The same rows with another number of slots, by that of each group."""
        return Groups(tuple((rows, number(slots)) for rows, slots in self.shapes))

    def join(self, parts: Sequence[Array]) -> Array:
        """(S, …) of all groups from (B, N, …) of each."""
        if len(parts) == 1:
            return parts[0]
        flat = zip(parts, self.shapes, strict=True)
        return jnp.concatenate([x.reshape(prod(of), *x.shape[len(of) :]) for x, of in flat])

    def split(self, whole: Array) -> list[Array]:
        """(B, N, …) of each group from (S, …) of all."""
        if len(self.shapes) == 1:
            return [whole]
        parts, first = [], 0
        for shape in self.shapes:
            part = whole[first : first + prod(shape)]
            parts.append(part.reshape(*shape, *whole.shape[1:]))
            first += prod(shape)
        return parts

    def each(
        self, function: Callable[..., Array], *whole: Array, into: Groups | None = None
    ) -> Array:
        """The function of the (B, N, …) of each group, as (S, …) of all.

        into: groups of what it returns, such as `pairs`; None: these.
        """
        parts = zip(*map(self.split, whole), strict=True)
        return (into or self).join([function(*part) for part in parts])

    def of_rows(self, function: Callable[..., Array], *whole: Array) -> Array:
        """The function from (B, N, …) of each group to (B, …), for the rows of all."""
        parts = [function(*part) for part in zip(*map(self.split, whole), strict=True)]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def to_objects(self, of_rows: Array) -> Array:
        """(S, …) from (B, …) of the rows of all groups: an object has what its row has."""
        parts = zip(self.starts, self.shapes, strict=True)
        return self.join(
            [
                jnp.broadcast_to(
                    of_rows[first : first + shape[0], None], (*shape, *of_rows.shape[1:])
                )
                for first, shape in parts
            ]
        )
