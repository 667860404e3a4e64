"""Shuffled, weighted, padded batches from shards, independent of the cache and of restarts."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import copy
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from rootloom.batches import strata
from rootloom.batches.assemble import assemble
from rootloom.batches.draws import Draw
from rootloom.batches.plan import make_plan
from rootloom.batches.prefetch import prefetch as in_thread
from rootloom.batches.store import Source, Store, join, take
from rootloom.errors import ConfigError, DataError, ResultError
from rootloom.representations.base import Representation
from rootloom.shards.held import Held, Place, opened
from rootloom.shards.layout import AUXILIARY, SAMPLE, TRAINING_WEIGHT
from rootloom.shards.reader import Shard
from rootloom.shards.weights import WeightTable
from rootloom.types import TARGET, Batch, Column

_WINDOW_BYTES = 64 << 20
# Enough to mix files well, and few enough that blocks are long compared with the chunks cut at
# their ends.
_BLOCKS_PER_WINDOW = 16
# Windows of a shuffled epoch from which the lengths of groups of rows are taken.
_WINDOWS_FOR_STAIRS = 8
_UNUSED = ("entry", "object", SAMPLE, TRAINING_WEIGHT)
# Rows of a block of `table`: few calls, and a few MB for images.
_TABLE_ROWS = 1024


class Loader:
    """Batches of one split of many shards, or of rows in memory.

    batch_size: examples per step over all `devices`. share: (k, m) for the k-th of m processes,
    which gets the rows of its own devices. cache_bytes: the split is kept decoded in
    memory if it fits; otherwise two windows of `window_bytes` are, for data of any size.
    weights: makes training weights from a row's columns (None: event weights). targets:
    names of predicted quantities; without any, the class is predicted. draw: see `assemble`.
    prefetch: batches made ahead in a thread. waited_seconds: total time that callers waited.
    Batch j of an epoch is a pure function of (shards, seed, epoch, batch_size, window_bytes, j).
    Raises ResultError for damaged shards, DataError if the split is empty, ConfigError if the
    batch cannot be divided among the devices.
    """

    def __init__(
        self,
        shards: Sequence[Place],
        representation: Representation,
        split: str,
        batch_size: int,
        *,
        devices: int = 1,
        share: tuple[int, int] = (0, 1),
        seed: int = 0,
        shuffle: bool = True,
        weights: WeightTable | None = None,
        targets: Sequence[str] = (),
        draw: Draw | None = None,
        cache_bytes: int = 2 << 30,
        prefetch: int = 2,
        window_bytes: int = _WINDOW_BYTES,
    ) -> None:
        if batch_size < 1 or batch_size % devices:
            raise ConfigError(
                "batch_size",
                expected=f"a positive multiple of the {devices} devices",
                found=str(batch_size),
                fix=f"use {max(1, round(batch_size / devices)) * devices}",
            )
        self.batch_size, self.waited_seconds = batch_size, 0.0
        self._representation, self._weights, self._draw = representation, weights, draw
        self._targets = tuple(targets)
        self._devices, self._share, self._prefetch = devices, share, prefetch
        extra = [AUXILIARY + TARGET + name for name in self._targets]
        extra += weights.reads if weights is not None else ()
        survey = _survey(shards, representation, split, extra)
        row_bytes = max(1, survey.nbytes // survey.rows)
        # Columns for a draw are not counted in `row_bytes`, which decide the order of the rows, so
        # that the order is the same with and without a draw.
        columns = survey.columns | ({"object": ("object",)} if draw is not None else {})
        self._source = Source(survey.places, split, columns, survey.types)
        self._plan = make_plan(
            survey.sizes,
            block_rows=_power_of_two(window_bytes // _BLOCKS_PER_WINDOW // row_bytes),
            window_rows=max(1, window_bytes // row_bytes),
            seed=seed,
            shuffle=shuffle,
        )
        self._stairs = self._make_stairs()
        self._cached = survey.nbytes <= cache_bytes
        self._cache: Store | None = None
        self._sorter = ThreadPoolExecutor(1, "rootloom-order")
        self._coming: dict[int, Future[np.ndarray]] = {}

    @property
    def rows(self) -> int:
        """Rows in the split."""
        return self._plan.rows

    @property
    def batches_per_epoch(self) -> int:
        """Batches per epoch; the last one may be partial."""
        return -(-self.rows // self.batch_size)

    @property
    def scale(self) -> float:
        """Rows of a full batch times the mean |training weight| of the split, which is 1.

        A last, partial batch is divided by the same number, so that its rows count as much as
        others. A split smaller than a batch is one full batch.
        """
        return float(min(self.batch_size, self.rows))

    def epoch(self, epoch: int, start_batch: int = 0) -> Generator[Batch]:
        """Batches `start_batch`, `start_batch` + 1, … of an epoch: host arrays (devices, B, …).

        The devices are those of this process. Damage found by the reading thread is raised here.
        """
        return in_thread(self._batches(epoch, start_batch), self._prefetch, self._waited)

    def table(self) -> Generator[Batch] | None:
        """Every row of the split once, in file order: equal blocks with leaves (1, n, …).

        The last block is filled up with zeros. The cache is not used. None if the inputs of the
        representation have no fixed shape per row.
        """
        if not self._representation.same_shape or self._stairs is not None:
            return None
        whole = copy(self)
        whole.batch_size, whole._devices, whole._share = _TABLE_ROWS, 1, (0, 1)
        whole._plan, whole._cached = replace(self._plan, shuffle=False), False
        return in_thread(whole._batches(0, 0), self._prefetch, self._waited)

    def order(self, epoch: int) -> np.ndarray:
        """Rows of `table` in the order in which `epoch` would yield them, (rows,) int64.

        The next epoch's order is made in the background: on a GPU it takes as long as an epoch.
        """
        start = time.perf_counter()
        coming = self._coming.pop(epoch, None)
        sequence = coming.result() if coming else self._plan.sequence(epoch)
        self._waited(time.perf_counter() - start)
        if self._prefetch and self._plan.shuffle:
            self._coming = {epoch + 1: self._sorter.submit(self._plan.sequence, epoch + 1)}
        return sequence

    def _waited(self, seconds: float) -> None:
        self.waited_seconds += seconds

    def _batches(self, epoch: int, start_batch: int) -> Generator[Batch]:
        size = self.batch_size
        left: dict[str, Column] | None = None
        ahead = 1 if self._prefetch and not self._cached else 0
        for columns, rows in in_thread(self._windows(epoch, start_batch * size), ahead):
            begin = 0
            if left is not None:
                begin = size - len(left["id"])
                left = join(left, take(columns, rows[:begin]))
                if len(left["id"]) < size:
                    continue
                yield self._assemble(left, np.arange(size))
            end = begin + (len(rows) - begin) // size * size
            for at in range(begin, end, size):
                yield self._assemble(columns, rows[at : at + size])
            left = take(columns, rows[end:]) if end < len(rows) else None
        if left is not None:
            yield self._assemble(left, np.arange(len(left["id"])))

    def _assemble(self, columns: dict[str, Column], rows: np.ndarray) -> Batch:
        return assemble(
            columns,
            rows,
            representation=self._representation,
            weights=self._weights,
            targets=self._targets,
            devices=self._devices,
            size=self.batch_size // self._devices,
            share=self._share,
            draw=self._draw,
            stairs=self._stairs,
        )

    def _make_stairs(self) -> strata.Stairs | None:
        """Room for the rows of nearly all batches; None if they are not padded by their length."""
        found, size = self._representation.length_groups(), self.batch_size
        if found is None:
            return None
        name, groups = found
        with closing(self._lengths(name)) as windows:
            if self._plan.shuffle:
                highest = strata.of_shuffled(islice(windows, _WINDOWS_FOR_STAIRS), size)
            else:
                highest = strata.of_ordered(windows, size)
        return strata.stairs(highest, self._devices, groups)

    def _lengths(self, name: str) -> Generator[np.ndarray]:
        """Objects in a column of the rows of each window of the first epoch, in their order."""
        plan, split = self._plan, self._source.split
        try:
            for number, blocks in enumerate(plan.windows(0)):
                offsets = (
                    self._source.shard(int(plan.shard[k])).offsets(
                        split, name, int(plan.start[k]), int(plan.stop[k])
                    )
                    for k in blocks
                )
                lengths = np.concatenate([np.diff(part) for part in offsets])
                yield lengths[plan.order(0, number, len(lengths))]
        finally:
            self._source.close()

    @property
    def _deals(self) -> bool:
        """Whether rows are dealt out to batches by their lengths."""
        return self._stairs is not None and self._plan.shuffle

    def _windows(self, epoch: int, skip: int) -> Generator[_Rows]:
        """The rows of each window in their order, without the first `skip` of the epoch.

        Rows that are dealt out come in whole batches: what a window has left over begins the next.
        """
        if skip >= self.rows:
            return
        windows, unit = self._plan.windows(epoch), self.batch_size if self._deals else 1
        ends = np.cumsum([self._plan.count(blocks) for blocks in windows])
        # The number of each window's first row among those of the epoch; the last window has all.
        starts = np.concatenate([[0], ends[:-1] // unit * unit, ends[-1:]])
        first = int(np.searchsorted(starts[:-1], skip, side="right")) - 1
        begin = int(np.searchsorted(ends, starts[first], side="right"))
        left: _Rows | None = None
        try:
            for number in range(begin, len(windows)):
                columns, rows = self._load(windows[number], left, epoch, number)
                cut = len(rows) - int(ends[number] - starts[number + 1])
                left, rows = _Rows(columns, rows[cut:]), rows[:cut]
                if number >= first:
                    rows = self._dealt(columns, rows, epoch, number)
                    yield _Rows(columns, rows[max(0, skip - int(starts[number])) :])
        finally:
            self._source.close()

    def _dealt(
        self, columns: dict[str, Column], rows: np.ndarray, epoch: int, number: int
    ) -> np.ndarray:
        """A window's rows, dealt out by their lengths if there are groups of them."""
        if not self._deals:
            return rows
        lengths = self._representation.row_lengths(columns, rows)
        words = self._plan.words(epoch, number, len(rows) + 1)
        return strata.deal(rows, lengths, words, self.batch_size)

    def _load(self, blocks: np.ndarray, left: _Rows | None, epoch: int, number: int) -> _Rows:
        """The rows left over by an earlier window, then those of these blocks in their order."""
        before = np.zeros(0, np.int64) if left is None else left.rows
        if not self._cached:
            held = take(*left) if left is not None and len(before) else None
            store = Store(self._source, self._plan, blocks, held)
            positions = np.arange(len(blocks))
            before = store.held
        else:
            if self._cache is None:
                self._cache = Store(self._source, self._plan, np.arange(len(self._plan.shard)))
            store, positions = self._cache, blocks
        store.load(positions)
        rows = store.rows(positions)
        rows = rows[self._plan.order(epoch, number, len(rows))]
        return _Rows(store.columns, np.concatenate([before, rows]))


class _Rows(NamedTuple):
    """Columns in memory and the numbers of some of their rows, in an order."""

    columns: dict[str, Column]
    rows: np.ndarray


class _Survey(NamedTuple):
    places: list[Place]
    sizes: list[int]
    columns: dict[str, tuple[str, ...]]
    rows: int
    nbytes: int
    types: dict[str, np.dtype]


def _survey(
    shards: Sequence[Place],
    representation: Representation,
    split: str,
    extra: Sequence[str],
) -> _Survey:
    """Shards that have rows in the split, the columns to read, and their size."""
    places: list[Place] = []
    sizes: list[int] = []
    columns: dict[str, tuple[str, ...]] = {}
    types: dict[str, np.dtype] = {}
    total = 0
    for place in shards:
        with opened(place) as shard:
            if not shard.rows(split):
                continue
            columns = columns or _grouped(_needed(shard.columns, extra), representation)
            places.append(place)
            sizes.append(shard.rows(split))
            total += sum(_nbytes(shard, split, members) for members in columns.values())
            for name, (first, *_) in columns.items():
                # A column is float64 only in shards whose values need it.
                types[name] = np.result_type(
                    types.get(name, shard.dtype(first)), shard.dtype(first)
                )
    if not places:
        raise DataError(
            f"split '{split}' of {len(shards)} shards",
            expected="selected rows",
            found="none",
            fix=f"loosen the selection, add files, or give '{split}' a larger share of the splits",
        )
    return _Survey(places, sizes, columns, sum(sizes), total, types)


def _needed(columns: Sequence[str], extra: Sequence[str]) -> list[str]:
    """The representation's columns, label, weight and id, and the extra ones."""
    wanted = [c for c in columns if c not in _UNUSED and not c.startswith(AUXILIARY)]
    return list(dict.fromkeys([*wanted, *extra]))


def _grouped(names: Sequence[str], representation: Representation) -> dict[str, tuple[str, ...]]:
    """Names of columns in memory, each with one shard column or several to be joined."""
    groups = representation.together(names)
    taken = {member for members in groups.values() for member in members}
    return {**{name: (name,) for name in names if name not in taken}, **groups}


def _nbytes(shard: Shard | Held, split: str, members: tuple[str, ...]) -> int:
    """Bytes in memory; raises ResultError if columns to be joined differ in length."""
    lengths = {name: shard.length(split, name) for name in members}
    if len(set(lengths.values())) > 1:
        raise ResultError(
            f"{shard.path}, split '{split}'",
            expected="as many values in each column of one collection",
            found=", ".join(f"'{name}': {count}" for name, count in lengths.items()),
            fix="delete this file and run again: it is made again from its ROOT file",
        )
    return shard.nbytes(split, members)


def _power_of_two(most: int) -> int:
    # A power of two, so that it divides the shards' chunks or they divide it; at most 65536 rows.
    return 1 << min(16, max(0, most.bit_length() - 1))
