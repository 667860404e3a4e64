"""Batches padded by length: rows of similar length share a group, padded to its longest.

The rows of a window of the epoch are sorted by length and cut into as many strata as a batch has
rows. Each batch gets one row of each stratum, at random: it holds short and long rows in the same
proportion as the window. What does not fill a batch, the last of the window's rows in their random
order, is dealt out with the next window. Every row still comes once an epoch and is in each batch
of its window with equal probability, so that the expected gradient of a batch and the sum of an
epoch's gradients are those of batches without strata; only the variance of a batch is smaller.

All batches then fit one staircase of lengths, and the step compiles once. A batch that does not,
such as one with a row longer than all of the first windows, is padded as a whole; these need a
second compilation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Batches of a window below which its strata are longer by chance.
_FEW = 16


class Stairs(NamedTuple):
    """heights: (P,) the slots of each of a device's P rows, falling. groups: (rows, slots) each.

    A batch's rows, longest first, are dealt out to the devices in turns, so that the rows of all
    devices are alike.
    """

    heights: np.ndarray
    groups: tuple[tuple[int, int], ...]

    def fit(self, lengths: np.ndarray, devices: int) -> bool:
        """Whether the rows of a batch have room, with lengths (n,) that fall."""
        return bool((lengths <= np.repeat(self.heights, devices)[: len(lengths)]).all())


def deal(rows: np.ndarray, lengths: np.ndarray, words: np.ndarray, size: int) -> np.ndarray:
    """Rows (n,) in another order: each batch of `size` has one of each stratum, longest first.

    lengths: (n,), of the rows. words: (n + 1,) random numbers. If n is no multiple of `size`, the
    last batch is smaller: rows at equal distances in the order of lengths, the first at random.
    """
    falling = rows[longest_first(lengths)]
    rest = _apart(len(rows), len(rows) % size, words[-1])
    strata = np.delete(falling, rest).reshape(size, -1)
    shuffled = np.argsort(words[: strata.size].reshape(strata.shape), axis=1, kind="stable")
    dealt = np.take_along_axis(strata, shuffled, axis=1).T.reshape(-1)
    return np.concatenate([dealt, falling[rest]])


def _apart(count: int, chosen: int, word: np.uint64) -> np.ndarray:
    """So many of `count` numbers at equal distances, (chosen,); each is equally likely."""
    # 32 bits, so that sums with whole numbers are exact.
    begin = float(word >> np.uint64(32)) * 2.0**-32
    return ((np.arange(chosen) + begin) * (count / max(1, chosen))).astype(np.int64)


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """Numbers (n,) of rows with these lengths, those of equal length in their order."""
    most = int(lengths.max(initial=0))
    # NumPy sorts 16 bits in a time proportional to their number.
    kind = np.uint16 if most < 1 << 16 else np.int64
    return np.argsort((most - lengths).astype(kind), kind="stable")


def of_shuffled(windows: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Lengths (size,), falling, in which the strata of windows have room.

    windows: lengths of each window's rows. Of several windows one slot more than they need, since
    those of other epochs differ; a window of few batches, such as the last, decides nothing.
    """
    found, left = [], np.zeros(0, np.int64)
    for lengths in windows:
        rows = np.concatenate([left, lengths])
        each = max(1, len(rows) // size)
        found.append((each, _tops(rows, each, size)))
        left = rows[len(rows) // size * size :]
    tops = [top for each, top in found if each >= _FEW] or [top for _, top in found]
    highest = np.maximum.reduce(tops)
    return np.minimum(highest + (len(found) > 1), highest.max())


def of_ordered(windows: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Lengths (size,), falling, in which all batches of rows in this order have room."""
    highest, left = np.zeros(size, np.int64), np.zeros(0, np.int64)
    for lengths in windows:
        rows = np.concatenate([left, lengths])
        end = len(rows) // size * size
        falling = -np.sort(-rows[:end].reshape(-1, size), axis=1)
        highest = np.maximum(highest, falling.max(axis=0, initial=0))
        left = rows[end:]
    return np.maximum(highest, _tops(left, 1, size))


def _tops(lengths: np.ndarray, each: int, size: int) -> np.ndarray:
    """The longest of each stratum of so many rows, (size,), falling; 0 where there is none."""
    found = np.zeros(size, np.int64)
    of_strata = -np.sort(-lengths)[::each][:size]
    found[: len(of_strata)] = of_strata
    return found


def stairs(highest: np.ndarray, devices: int, groups: int) -> Stairs:
    """The groups with the fewest pairs of slots in which rows of these lengths (B,) have room.

    highest: of the rows of a batch, falling. An exact search over the places to cut.
    """
    heights = np.maximum(highest[::devices], 1)
    count = len(heights)
    squares = heights.astype(np.float64) ** 2
    least = np.concatenate([[0.0], np.full(count, np.inf)])
    cuts = np.zeros((min(groups, count), count + 1), np.int64)
    for number in range(len(cuts)):
        before, least = least, np.full(count + 1, np.inf)
        for stop in range(1, count + 1):
            cost = before[:stop] + (stop - np.arange(stop)) * squares[:stop]
            cuts[number, stop] = cost.argmin()
            least[stop] = cost.min()
    stop, found = count, []
    for cut in cuts[::-1]:
        start = int(cut[stop])
        found.append((stop - start, int(heights[start])))
        stop = start
    rows, slots = np.array(found[::-1]).T
    alike = np.flatnonzero(np.diff(slots, prepend=-1))
    rows, slots = np.add.reduceat(rows, alike), slots[alike]
    made = tuple(zip(rows.tolist(), slots.tolist(), strict=True))
    return Stairs(np.repeat(slots, rows), made)
