"""Merging of partial sums, in an order that is the same for every division into parts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Protocol, Self, TypeVar


class Mergeable(Protocol):
    """Sums over some files."""

    def merge(self, other: Self) -> Self:
        """The sum of both."""


M = TypeVar("M", bound=Mergeable)


def merge_all(parts: Iterable[M]) -> M:
    """Merge in order: the same parts in the same order give the same bits."""
    return reduce(lambda total, part: total.merge(part), parts)


def merge_by_position(parts: Iterable[tuple[int, M]]) -> M:
    """Merge parts along the bits of their positions (64 bits), which must ascend.

    The order of additions changes the last bits of a sum. This order is the same for any division
    into packs, which are ranges of positions: merging packs that were merged this way, each at the
    position of any of its parts, gives the same bits as merging all parts at once. At most 65 sums
    are in memory; a part is requested when the one before it is merged. Raises ValueError for
    positions that do not ascend.
    """
    # Sums that wait for a neighbour, each with the highest bit in which its position differs from
    # the previous one; these bits descend.
    waiting: list[tuple[int, M]] = []
    last = -1
    for position, part in parts:
        if position <= last:
            raise ValueError(f"position {position} after {last}")
        highest = (position ^ last).bit_length()
        while len(waiting) > 1 and waiting[-1][0] < highest:
            _merge_last_two(waiting)
        waiting.append((highest, part))
        last = position
    while len(waiting) > 1:
        _merge_last_two(waiting)
    return waiting[0][1]


def _merge_last_two(waiting: list[tuple[int, M]]) -> None:
    _, part = waiting.pop()
    highest, total = waiting.pop()
    waiting.append((highest, total.merge(part)))
