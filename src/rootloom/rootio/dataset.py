"""From a dataset description to rows: selected, labelled, weighted, checked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import NamedTuple

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError, InputError, LackError, naming, nearest
from rootloom.rootio.arrays import Chunk, chunks, sum_of
from rootloom.rootio.branches import is_jagged
from rootloom.rootio.checks import (
    check_finite,
    check_lengths,
    exclusive,
    undefined,
    whole_numbers,
)
from rootloom.rootio.expressions import Arrays, Expression, choose
from rootloom.rootio.functions.values import depth
from rootloom.rootio.gathering import GatherRule, belongs, gather
from rootloom.rootio.header import spell
from rootloom.rootio.joining import NO_CHECKSUMS, Checksums, Friend
from rootloom.rootio.names import INSIDE, nearest_branch, resolve
from rootloom.rootio.rows import Layout, take
from rootloom.rootio.syntax import functions_named
from rootloom.rootio.transport.remote import Retry, address
from rootloom.rootio.transport.staging import staged
from rootloom.types import NO_CLASS, SPLITS, TARGET, Column, RowBlock

EVENT = "event"


class ClassRule(NamedTuple):
    """Rows of class `name`: `where` is true, and if `by_file` the file is of the class."""

    name: str
    where: str | None = None
    by_file: bool = False


class FriendRule(NamedTuple):
    """A friend tree; by: see `Friend`."""

    tree: str
    by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RowReader:
    """Reads the rows a dataset describes.

    tree: name of the TTree or RNTuple. rows: "event", or the collection ("Jet") whose objects are
    rows. variables: name → expression, one number per row; a value of the event is repeated for
    its objects. objects: collection → name → expression, jagged, equal lengths in a collection.
    gather: rules of the collections that are gathered, by name; see `rootio.gathering`.
    select: expression, true for the rows to keep. classes: rows that match none are dropped, unless
    they are requested.
    weight: expression of the event weight, 1 if None. training_weight: expression that replaces
    its absolute value in training. sum_of_weights: (tree, branch) whose sum is that of the event
    weights before any selection; None: it is computed. splits: split → expression, one value per
    event, true for its events; rows for which none is true have no split yet. targets: like
    variables; their columns are called "target.<name>". identity: expressions, one whole number per
    event each, which together identify the event; without them its entry does. friends: friend
    trees by the prefix of their branches. mentions: further expressions that show which branches
    the row collection has. counter: the jagged branch that counts an entry's rows; None until a
    file's types are known. defined: names of the dataset's intermediate quantities, which are
    already written out in the expressions.
    """

    tree: str
    variables: Mapping[str, str]
    objects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: str = EVENT
    gather: Mapping[str, GatherRule] = field(default_factory=dict)
    select: str | None = None
    classes: tuple[ClassRule, ...] = ()
    weight: str | None = None
    training_weight: str | None = None
    sum_of_weights: tuple[str, str] | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    friends: Mapping[str, FriendRule] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()
    counter: str | None = None
    defined: tuple[str, ...] = ()
    retry: Retry = field(default_factory=Retry)

    def fitted(self, branches: Collection[str], url: str = "") -> RowReader:
        """The reader for a file with these branches; `branch("a", "b")` is the first that exists.

        branches: full paths, with their types if these are known. url: of the file, for
        messages. Raises InputError if none of the alternatives exists, or if a missing branch has a
        name similar to one that the dataset defines; ConfigError if no branch counts the
        objects that are rows, and for a defined name that is also a branch.
        """
        with naming(address(url)):
            return self._fitted(branches)

    def _fitted(self, branches: Collection[str]) -> RowReader:
        self._check_defined(branches)

        def each(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: choose(text, branches, name) for name, text in texts.items()}

        def one(text: str | None) -> str | None:
            return choose(text, branches, text) if text else text

        found = replace(
            self,
            variables=each(self.variables),
            objects={name: each(members) for name, members in self.objects.items()},
            gather={
                name: rule.rewritten(lambda _, text: choose(text, branches, text))
                for name, rule in self.gather.items()
            },
            targets=each(self.targets),
            splits=each(self.splits),
            select=one(self.select),
            weight=one(self.weight),
            training_weight=one(self.training_weight),
            classes=tuple(rule._replace(where=one(rule.where)) for rule in self.classes),
            identity=tuple(choose(text, branches, text) for text in self.identity),
            mentions=tuple(choose(text, branches, text) for text in self.mentions),
        )
        if self.rows == EVENT or not isinstance(branches, Mapping):
            return found
        return replace(found, counter=found._counter_in(branches))

    def _check_defined(self, branches: Collection[str]) -> None:
        for name in self.defined:
            if name in branches:
                raise ConfigError(
                    f"define.{name}",
                    expected="a name that no branch has",
                    found=f"a branch '{name}' in the file",
                    fix=f'another name; in expressions, branch("{name}") is the branch',
                )
        for name in self.branches() if self.defined else ():
            if resolve(branches, name) is None and get_close_matches(name, self.defined):
                raise LackError(
                    f"tree '{self.tree}'",
                    expected=f"a branch '{name}', or a definition of that name",
                    found=f"{len(branches)} branches and {len(self.defined)} definitions",
                    fix=nearest_branch(name, {*branches, *self.defined}),
                    names=(name,),
                )

    def expressions(self, columns: Sequence[str] | None = None) -> dict[str, str]:
        """Text of the expressions behind `columns` (all when None), by name."""
        return {name: expression.text for name, expression in self._chosen(columns).items()}

    def functions(self) -> frozenset[str]:
        """Names of the functions that its expressions call."""
        parsed = [*self._columns.values(), *self._deciding.values()]
        parsed += self._gathering(self._columns)
        return frozenset[str]().union(*(functions_named(one.text) for one in parsed))

    def branches(self, columns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Every branch needed for `columns` (all when None), selection, classes and weight.

        Raises ConfigError for an unknown column or an expression outside the language.
        """
        chosen = self._chosen(columns)
        parsed = [*chosen.values(), *self._deciding.values(), *self._gathering(chosen)]
        names = [name for expression in parsed for name in expression.names]
        return tuple(dict.fromkeys([*names, *self._counters]))

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
        friends: Mapping[str, str] | None = None,
        checksums: Checksums = NO_CHECKSUMS,
        unlabelled: bool = False,
    ) -> Iterator[RowBlock]:
        """Rows of entries [start, stop) of the file at `url`, in order; at least one block.

        file_class: class of the file's rows, for classes decided by file; columns: names to yield
        ("pt", "constituents.px"), all when None; step: entries read at a time;
        part: number of this range among those of the file, the first of which counts what belongs
        to the file as a whole; friends: addresses of the files of the friend trees by name, the
        file itself where none is given; checksums: of the headers when the file was indexed;
        unlabelled: yield rows of no class, too, but those with an input that is not finite; their
        weights and targets may be anything.
        The file is read from a copy on scratch where the environment names one.
        Raises ChangedError for a file with another checksum, InputError for what cannot be read,
        ResourceError where the machine is at fault, DataError for non-finite values and for rows of
        two classes, ConfigError for expressions whose shape does not fit.
        """
        names = self.branches(columns)
        nothing: RowBlock | None = None
        elsewhere = self.sum_of_weights if part == 0 else None
        beside = self.beside(url, friends, checksums)
        with ExitStack() as stack:
            for place in dict.fromkeys([url, *(friend.url for friend in beside.values())]):
                stack.enter_context(staged(place, retry=self.retry))
            for chunk in self._chunks(url, names, (start, stop), step, beside, checksums):
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

    def rows_of(
        self,
        branches: Mapping[str, ak.Array],
        *,
        columns: Sequence[str] | None = None,
        where: str = "events",
    ) -> RowBlock:
        """Rows of entries in memory, as `read` makes them, those of no class included.

        branches: by name, of the tree and, as "friend/branch", of its friends; spelt as a file may
        spell them. All have one element an entry. where: names them in messages.
        Raises InputError for a branch that is missing or of another length, and the errors of
        `read`.
        """
        sizes = {name: len(values) for name, values in branches.items()}
        if len(set(sizes.values())) != 1:
            raise InputError(
                where,
                expected="branches with one element for each entry",
                found=", ".join(f"'{name}': {size}" for name, size in sizes.items()) or "none",
            )
        kinds = {name: _kind(values) for name, values in branches.items()}
        reader = self.fitted(kinds, where)
        spelled = spell(kinds, reader.branches(columns), where)
        arrays = {name: branches[path] for name, path in spelled.items()}
        chunk = Chunk(0, next(iter(sizes.values())), arrays)
        return reader._block(chunk, where, None, columns, unlabelled=True)

    def counts_of(self, branches: Mapping[str, ak.Array]) -> np.ndarray:
        """Rows of each entry in memory before the selection, (E,) int64; see `rows_of`."""
        kinds = {name: _kind(values) for name, values in branches.items()}
        reader = self.fitted(kinds)
        spelled = spell(kinds, reader._counters, "events")
        arrays = {name: branches[path] for name, path in spelled.items()}
        counter = reader._counted(Chunk(0, 0, arrays))
        return ak.to_numpy(ak.num(counter, axis=1)).astype(np.int64)

    def beside(
        self,
        url: str,
        files: Mapping[str, str] | None = None,
        checksums: Checksums = NO_CHECKSUMS,
    ) -> dict[str, Friend]:
        """The friend trees of the file at `url`; files: where they are, by name, if elsewhere."""
        return {
            name: Friend((files or {}).get(name, url), rule.tree, rule.by, checksums.friend(name))
            for name, rule in self.friends.items()
        }

    def object_counts(
        self,
        url: str,
        start: int,
        stop: int,
        *,
        friends: Mapping[str, str] | None = None,
        checksums: Checksums = NO_CHECKSUMS,
    ) -> np.ndarray:
        """Objects of the row collection in each entry of [start, stop), selected or not; int64.

        friends, checksums: as of `read`, and what is raised.
        """
        found, names = [np.zeros(0, np.int64)], self._counters
        beside = self.beside(url, friends, checksums)
        for chunk in self._chunks(url, names, (start, stop), 50_000, beside, checksums):
            found.append(ak.to_numpy(ak.num(self._counted(chunk), axis=1)).astype(np.int64))
        return np.concatenate(found)

    # -- parts ----------------------------------------------------------------------------------
    def _chunks(
        self,
        url: str,
        names: Sequence[str],
        entries: tuple[int, int],
        step: int,
        beside: Mapping[str, Friend],
        checksums: Checksums,
    ) -> Iterator[Chunk]:
        """The branches `names` over a range of entries of the tree and of those `beside` it."""
        return chunks(
            url,
            self.tree,
            names,
            *entries,
            step=step,
            friends=beside,
            retry=self.retry,
            checksum=checksums.own,
        )

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
    def _counters(self) -> tuple[str, ...]:
        """Branches of which the first jagged one counts an entry's rows; none where rows = events.

        Raises ConfigError where no expression names one.
        """
        if self.rows == EVENT:
            return ()
        if self.counter is not None:
            return (self.counter,)
        found = tuple(name for name in self._used if self._is_of_collection(name))
        if not found:
            raise self._uncounted("none in variables, select, classes and weight", self._used)
        return found

    @cached_property
    def _used(self) -> tuple[str, ...]:
        """Branches that any expression names."""
        more = [Expression(text) for text in self.mentions]
        used = [*self._columns.values(), *self._deciding.values()]
        used += [*self._gathering(self._columns), *more]
        return tuple(dict.fromkeys(name for expression in used for name in expression.names))

    def _gathering(self, columns: Iterable[str]) -> list[Expression]:
        """The expressions of the rules that gather these columns."""
        return [
            Expression(text, f"gather.{name}.{key}: '{text}'")
            for name in sorted(_collections(columns) & self.gather.keys())
            for key, text in self.gather[name].expressions().items()
        ]

    def _is_of_collection(self, name: str) -> bool:
        return belongs(name, self.rows)

    def _counter_in(self, types: Mapping[str, str]) -> str:
        """The branch that counts rows in a file with branches of these types.

        The first jagged one among those that expressions name, else that the file has; where all
        are of fixed length, the first of those.
        """
        named = [name for name in self._used if self._is_of_collection(name)]
        spelled = {name: resolve(types, name) for name in named}
        for name, path in spelled.items():
            if path is None or is_jagged(types[path]):
                return name  # one that is not there is refused as such
        of_file = [path for path in types if self._is_of_collection(path.rpartition(INSIDE)[2])]
        for path in (*filter(None, spelled.values()), *of_file):
            if is_jagged(types[path]) or (path in spelled.values() and "[" in types[path]):
                return path
        what = ", ".join(
            f"'{path}' of type {types[path]}" for path in (*spelled.values(), *of_file)[:4] if path
        )
        jagged = [path for path, kind in types.items() if is_jagged(kind)]
        raise self._uncounted(what or "no such branch", jagged)

    def _uncounted(self, found: str, known: Collection[str]) -> ConfigError:
        ends = {path.rpartition(INSIDE)[2] for path in known}
        collections = {name.partition(mark)[0] for name in ends for mark in "_." if mark in name}
        return ConfigError(
            f"rows: {self.rows}",
            expected=f"a jagged branch '{self.rows}_…' or '{self.rows}.…', which counts the rows",
            found=found,
            fix=nearest(self.rows, collections) if collections else f"rows: {EVENT}",
        )

    def _counted(self, chunk: Chunk) -> ak.Array:
        """Lists as long as an entry has rows."""
        found = [chunk.arrays[name] for name in self._counters]
        jagged = [values for values in found if "var *" in str(ak.type(values))]
        return (jagged or found)[0]

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
        chunk = chunk._replace(arrays=Arrays(chunk.arrays, chunk.start))
        counter = None if self.rows == EVENT else self._counted(chunk)
        layout = Layout.of(chunk.start, chunk.stop, counter, self.rows)
        # Classes, splits and names are those of selected rows: others may have two of them.
        selected = np.ones(layout.size, np.bool_)
        if self.select:
            selected = layout.flags(self._deciding["select"], chunk.arrays)
        label = self._labels(chunk, layout, url, file_class, selected)
        keep = selected if unlabelled else selected & (label != NO_CLASS)
        kept = None if keep.all() else np.flatnonzero(keep)
        chosen = self._chosen(columns)
        seen = {
            name: self._gathered(name, layout, chunk)
            for name in _collections(chosen) & self.gather.keys()
        }
        found = {
            name: take(self._column(name, expression, layout, chunk, seen), kept)
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
            split=_pick(self._splits(chunk, layout, url, selected), kept) if self.splits else None,
            training_weight=None if training is None else _pick(training, kept).astype(np.float32),
            entries=chunk.stop - chunk.start,
            sum_of_weights=self._sum_of_weights(chunk, layout, weight),
            event=_pick(self._names(chunk, layout, url, keep), kept) if self.identity else None,
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
        """Σ of the entries' event weights before any selection; NaN for a weight of each object.

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

    def _gathered(self, name: str, layout: Layout, chunk: Chunk) -> Arrays:
        """Branches as the expressions of a gathered collection see them."""
        assert layout.counts is not None  # events gather nothing
        assert isinstance(chunk.arrays, Arrays)
        return gather(self.gather[name], name, chunk.arrays, layout.counts, self.rows)

    def _column(
        self,
        name: str,
        expression: Expression,
        layout: Layout,
        chunk: Chunk,
        gathered: Mapping[str, Arrays],
    ) -> Column:
        if name in self.variables or name.startswith(TARGET):
            return layout.scalar(expression, chunk.arrays)
        return layout.ragged(expression, gathered.get(name.partition(".")[0], chunk.arrays))

    def _labels(
        self,
        chunk: Chunk,
        layout: Layout,
        url: str,
        file_class: str | None,
        selected: np.ndarray,
    ) -> np.ndarray:
        flags: list[tuple[str, np.ndarray | None]] = []
        for rule in self.classes:
            here = None
            if not rule.by_file or rule.name == file_class:
                here = np.ones(layout.size, np.bool_)
                if rule.where:
                    here = layout.flags(self._deciding[f"class '{rule.name}'"], chunk.arrays)
            flags.append((rule.name, here))
        return exclusive("class", flags, layout.entry, url, selected)

    def _splits(self, chunk: Chunk, layout: Layout, url: str, selected: np.ndarray) -> np.ndarray:
        # Laid out as events whatever the rows are: objects of one event must not be split apart.
        events = Layout.of(chunk.start, chunk.stop, None)
        flags: list[tuple[str, np.ndarray | None]] = []
        for name in SPLITS:
            here = None
            if name in self.splits:
                here = events.flags(self._deciding[f"split '{name}'"], chunk.arrays)
                here = here if layout.counts is None else np.repeat(here, layout.counts)
            flags.append((name, here))
        return exclusive("split", flags, layout.entry, url, selected).astype(np.int8)

    def _names(self, chunk: Chunk, layout: Layout, url: str, keep: np.ndarray) -> np.ndarray:
        """The numbers that name the event of each row, (R, K) int64; 0 of events without rows."""
        events = Layout.of(chunk.start, chunk.stop, None)
        asked = np.zeros(events.size, np.bool_)
        asked[layout.entry[keep] - chunk.start] = True
        found = []
        for number, text in enumerate(self.identity):
            values = events.scalar(self._deciding[f"identity {number}"], chunk.arrays)
            values = np.where(asked, values, np.zeros((), values.dtype))
            found.append(whole_numbers(values, events.entry, f"{url}: identity '{text}'"))
        names = np.stack(found, axis=1)
        return names if layout.counts is None else np.repeat(names, layout.counts, axis=0)


def _kind(values: ak.Array) -> str:
    """The type of a branch in memory, with `[]` for each list of variable length in it."""
    kind = str(ak.type(values).content)
    return f"{kind.rpartition('*')[2].strip()}{'[]' * kind.count('var *')}"


def _collections(columns: Iterable[str]) -> set[str]:
    """Those of columns such as "constituents.px"."""
    return {name.partition(".")[0] for name in columns if "." in name}


def _counting(block: RowBlock, before: RowBlock) -> RowBlock:
    """A block that also counts the entries of an empty one before it."""
    return replace(
        block,
        entries=block.entries + before.entries,
        sum_of_weights=block.sum_of_weights + before.sum_of_weights,
    )


def _rows(block: RowBlock, kept: np.ndarray) -> RowBlock:
    """Some rows of a block, which counts the same entries."""

    def some(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[kept]

    return replace(
        block,
        entry=block.entry[kept],
        object=block.object[kept],
        label=block.label[kept],
        weight=block.weight[kept],
        split=some(block.split),
        training_weight=some(block.training_weight),
        event=some(block.event),
        columns={name: take(column, kept) for name, column in block.columns.items()},
    )


def _pick(values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    return values if kept is None else values[kept]
