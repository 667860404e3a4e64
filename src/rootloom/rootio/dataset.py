"""From a dataset description to rows: selected, labelled, weighted, checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError, nearest
from rootloom.rootio.arrays import Chunk, chunks, sum_of
from rootloom.rootio.checks import (
    check_finite,
    check_lengths,
    exclusive,
    undefined,
    whole_numbers,
)
from rootloom.rootio.expressions import Expression, choose
from rootloom.rootio.remote import Retry
from rootloom.rootio.rows import Layout, depth, take
from rootloom.rootio.staging import staged
from rootloom.types import NO_CLASS, SPLITS, TARGET, Column, RowBlock

EVENT = "event"


class ClassRule(NamedTuple):
    """Rows where `where` is true, of files of this class if `by_file`, belong to class `name`."""

    name: str
    where: str | None = None
    by_file: bool = False


@dataclass(frozen=True)
class RowReader:
    """Reads the rows a dataset describes.

    tree: name of the TTree or RNTuple. rows: "event", or the collection ("Jet") whose objects are
    rows. variables: name → expression, one number a row; of an event where rows are objects, it is
    repeated. objects: collection → name → expression, jagged, equal lengths in a collection.
    select: expression, true for the rows to keep. classes: rows that match none are dropped, unless
    they are asked for.
    weight: expression of the event weight, 1 when None. training_weight: expression of what takes
    the place of its absolute value in training. sum_of_weights: (tree, branch) whose sum is that of
    the event weights before any selection; None: it is counted. splits: split → expression, true
    for its events, one value an event; rows for which none is true have no split yet. targets: like
    variables; their columns are called "target.<name>". identity: expressions, one whole number an
    event each, which together name it; without any its entry does.
    """

    tree: str
    variables: Mapping[str, str]
    objects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: str = EVENT
    select: str | None = None
    classes: tuple[ClassRule, ...] = ()
    weight: str | None = None
    training_weight: str | None = None
    sum_of_weights: tuple[str, str] | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    retry: Retry = field(default_factory=Retry)

    def fitted(self, branches: Collection[str]) -> RowReader:
        """The reader of a file with these branches: `branch("a", "b")` is the first that is there.

        Raises InputError where none of the alternatives is.
        """

        def each(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: choose(text, branches, name) for name, text in texts.items()}

        def one(text: str | None) -> str | None:
            return choose(text, branches, text) if text else text

        return replace(
            self,
            variables=each(self.variables),
            objects={name: each(members) for name, members in self.objects.items()},
            targets=each(self.targets),
            splits=each(self.splits),
            select=one(self.select),
            weight=one(self.weight),
            training_weight=one(self.training_weight),
            classes=tuple(rule._replace(where=one(rule.where)) for rule in self.classes),
            identity=tuple(choose(text, branches, text) for text in self.identity),
        )

    def expressions(self, columns: Sequence[str] | None = None) -> dict[str, str]:
        """Text of the expressions behind `columns` (all when None), by name."""
        return {name: expression.text for name, expression in self._chosen(columns).items()}

    def branches(self, columns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Every branch needed for `columns` (all when None), selection, classes and weight.

        Raises ConfigError for an unknown column or an expression outside the language.
        """
        parsed = [*self._chosen(columns).values(), *self._deciding.values()]
        names = [name for expression in parsed for name in expression.names]
        if self.rows != EVENT:
            names.append(self._counter)
        return tuple(dict.fromkeys(names))

    def read(
        self,
        url: str,
        start: int,
        stop: int,
        *,
        file_class: str | None = None,
        columns: Sequence[str] | None = None,
        step: int = 20_000,
        part: int = 0,
        unlabelled: bool = False,
    ) -> Iterator[RowBlock]:
        """Rows of entries [start, stop) of the file at `url`, in order; at least one block.

        file_class: class of the file's rows, for classes decided by file; columns: names to yield
        ("pt", "constituents.px"), all when None; step: entries read at a time;
        part: number of this range among those of the file, the first of which counts what belongs
        to the file as a whole;
        unlabelled: yield rows of no class, too, but those with an input that is not finite; their
        weights and targets may be anything.
        The file is read from a copy on scratch where the environment names one.
        Raises InputError for what cannot be read, DataError for non-finite values and for rows of
        two classes, ConfigError for expressions whose shape does not fit.
        """
        names = self.branches(columns)
        nothing: RowBlock | None = None
        elsewhere = self.sum_of_weights if part == 0 else None
        with staged(url, retry=self.retry):
            for chunk in chunks(url, self.tree, names, start, stop, step=step, retry=self.retry):
                block = self._block(chunk, url, file_class, columns, unlabelled)
                if elsewhere is not None:
                    total = sum_of(url, *elsewhere, retry=self.retry)
                    block, elsewhere = replace(block, sum_of_weights=total), None
                if nothing is not None:
                    block = _counting(block, nothing)
                if len(block):
                    nothing = None
                    yield block
                else:
                    nothing = block
        if nothing is not None:
            yield nothing

    def object_counts(self, url: str, start: int, stop: int) -> np.ndarray:
        """Objects of the row collection in each entry of [start, stop), selected or not; int64."""
        found = [np.zeros(0, np.int64)]
        for chunk in chunks(
            url, self.tree, [self._counter], start, stop, step=50_000, retry=self.retry
        ):
            found.append(ak.to_numpy(ak.num(chunk.arrays[self._counter], axis=1)).astype(np.int64))
        return np.concatenate(found)

    # -- parts ----------------------------------------------------------------------------------
    @cached_property
    def _columns(self) -> dict[str, Expression]:
        texts = {**self.variables, **{TARGET + name: t for name, t in self.targets.items()}}
        for collection, members in self.objects.items():
            texts |= {f"{collection}.{name}": text for name, text in members.items()}
        return {
            name: Expression(text, f"column '{name}': '{text}'") for name, text in texts.items()
        }

    @cached_property
    def _deciding(self) -> dict[str, Expression]:
        texts = {"select": self.select, "weight": self.weight}
        texts |= {"training_weight": self.training_weight}
        texts |= {f"class '{rule.name}'": rule.where for rule in self.classes}
        texts |= {f"split '{name}'": text for name, text in self.splits.items()}
        texts |= {f"identity {number}": text for number, text in enumerate(self.identity)}
        return {name: Expression(text, f"{name}: '{text}'") for name, text in texts.items() if text}

    @cached_property
    def _counter(self) -> str:
        """The jagged branch whose lengths say how many rows an entry has."""
        used = [*self._columns.values(), *self._deciding.values()]
        for name in (name for expression in used for name in expression.names):
            if name.startswith((f"{self.rows}_", f"{self.rows}.")):
                return name
        raise ConfigError(
            f"rows: {self.rows}",
            expected=f"an expression that reads a branch '{self.rows}_…' or '{self.rows}.…'",
            found="none in variables, select, classes and weight",
            fix=f"rows: {EVENT}, or the collection's name as its branches spell it",
        )

    def _chosen(self, columns: Sequence[str] | None) -> dict[str, Expression]:
        if columns is None:
            return self._columns
        for name in columns:
            if name not in self._columns:
                raise ConfigError(
                    "columns",
                    expected="a variable or object quantity of the dataset",
                    found=f"'{name}'",
                    fix=nearest(name, self._columns),
                )
        return {name: self._columns[name] for name in dict.fromkeys(columns)}

    def _block(
        self,
        chunk: Chunk,
        url: str,
        file_class: str | None,
        columns: Sequence[str] | None,
        unlabelled: bool,
    ) -> RowBlock:
        counter = None if self.rows == EVENT else chunk.arrays[self._counter]
        layout = Layout.of(chunk.start, chunk.stop, counter)
        label = self._labels(chunk, layout, url, file_class)
        keep = np.full(layout.size, True) if unlabelled else label != NO_CLASS
        if self.select:
            keep &= layout.flags(self._deciding["select"], chunk.arrays)
        kept = None if keep.all() else np.flatnonzero(keep)
        chosen = self._chosen(columns)
        found = {
            name: take(self._column(name, expression, layout, chunk), kept)
            for name, expression in chosen.items()
        }
        weight = self._weights("weight", layout, chunk)
        own = self.training_weight
        training = self._weights("training_weight", layout, chunk) if own else None
        block = RowBlock(
            entry=_pick(layout.entry, kept),
            object=_pick(layout.object, kept),
            label=_pick(label, kept),
            weight=_pick(weight, kept).astype(np.float32, copy=False),
            columns=found,
            split=_pick(self._splits(chunk, layout, url), kept) if self.splits else None,
            training_weight=None if training is None else _pick(training, kept).astype(np.float32),
            entries=chunk.stop - chunk.start,
            sum_of_weights=self._sum_of_weights(chunk, layout, weight),
            event=_pick(self._names(chunk, layout, url), kept) if self.identity else None,
        )
        if unlabelled and (without := undefined(block)).any():
            block = _rows(block, np.flatnonzero(~without))
        check_finite(block, url)
        check_lengths(block, self.objects, url)
        return block

    def _weights(self, name: str, layout: Layout, chunk: Chunk) -> np.ndarray:
        """Weights of all rows of a chunk, (R,); 1 where the dataset gives none."""
        if name not in self._deciding:
            return np.ones(layout.size, np.float32)
        return layout.scalar(self._deciding[name], chunk.arrays)

    def _sum_of_weights(self, chunk: Chunk, layout: Layout, weight: np.ndarray) -> float:
        """Of the entries of a chunk, before any selection; NaN for a weight of each object.

        weight: (R,), of all its rows.
        """
        if self.sum_of_weights is not None:
            return 0.0  # it stands in another tree
        if layout.counts is None:
            return float(weight.sum(dtype=np.float64))
        expression = self._deciding.get("weight")
        if expression and depth(expression.evaluate(chunk.arrays)) > 1:
            return float("nan")
        events = Layout.of(chunk.start, chunk.stop, None)
        return float(self._weights("weight", events, chunk).sum(dtype=np.float64))

    def _column(self, name: str, expression: Expression, layout: Layout, chunk: Chunk) -> Column:
        if name in self.variables or name.startswith(TARGET):
            return layout.scalar(expression, chunk.arrays)
        return layout.ragged(expression, chunk.arrays)

    def _labels(self, chunk: Chunk, layout: Layout, url: str, file_class: str | None) -> np.ndarray:
        flags: list[tuple[str, np.ndarray | None]] = []
        for rule in self.classes:
            here = None
            if not rule.by_file or rule.name == file_class:
                here = np.ones(layout.size, np.bool_)
                if rule.where:
                    here = layout.flags(self._deciding[f"class '{rule.name}'"], chunk.arrays)
            flags.append((rule.name, here))
        return exclusive("class", flags, layout.entry, url)

    def _splits(self, chunk: Chunk, layout: Layout, url: str) -> np.ndarray:
        # Laid out as events whatever the rows are: objects of one event must not be split apart.
        events = Layout.of(chunk.start, chunk.stop, None)
        flags = [
            (name, events.flags(self._deciding[f"split '{name}'"], chunk.arrays))
            if name in self.splits
            else (name, None)
            for name in SPLITS
        ]
        split = exclusive("split", flags, events.entry, url).astype(np.int8)
        return split if layout.counts is None else np.repeat(split, layout.counts)

    def _names(self, chunk: Chunk, layout: Layout, url: str) -> np.ndarray:
        """The numbers that name the event of each row, (R, K) int64."""
        events = Layout.of(chunk.start, chunk.stop, None)
        found = []
        for number, text in enumerate(self.identity):
            values = events.scalar(self._deciding[f"identity {number}"], chunk.arrays)
            found.append(whole_numbers(values, events.entry, f"{url}: identity '{text}'"))
        names = np.stack(found, axis=1)
        return names if layout.counts is None else np.repeat(names, layout.counts, axis=0)


def _counting(block: RowBlock, before: RowBlock) -> RowBlock:
    """A block that also counts the entries of an empty one before it."""
    return replace(
        block,
        entries=block.entries + before.entries,
        sum_of_weights=block.sum_of_weights + before.sum_of_weights,
    )


def _rows(block: RowBlock, kept: np.ndarray) -> RowBlock:
    """Some rows of a block, which counts the same entries."""
    names = ("entry", "object", "label", "weight", "split", "training_weight", "event")
    found = {name: getattr(block, name) for name in names}
    chosen: dict[str, Any] = {n: None if v is None else v[kept] for n, v in found.items()}
    columns = {name: take(column, kept) for name, column in block.columns.items()}
    return replace(block, **chosen, columns=columns)


def _pick(values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    return values if kept is None else values[kept]
