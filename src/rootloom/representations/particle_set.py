"""Particle sets: collections of objects beside each other, with quantities of the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from rootloom.errors import DataError
from rootloom.representations.base import (
    MomentsLike,
    Representation,
    leading,
    ragged,
    require,
    require_declared,
    require_finite,
)
from rootloom.representations.padding import pad_objects_into, repeat_objects
from rootloom.representations.scaling import (
    Triples,
    along,
    bounded,
    by_name,
    require_among,
    require_scaling,
)
from rootloom.types import A, Column, Objects, ParticleSets, Ragged, Tensor, dense, offsets_of

_WHO = "particle_set"
_MOMENTUM = ("px", "py", "pz", "e")
# Prefixes of shard columns, which keep them apart from the shard's own.
_OBJECT, _ROW = "set.", "row."
# Prefix of the moments of labels.
LABELS = "labels."
_MOST_LABEL = 2**24  # whole numbers up to here are exact in float32
# Name of the row's quantities among the moments; no collection has one with a dot.
_ROWS = "of.rows"


@dataclass(frozen=True)
class ParticleSet(Representation):
    """Collections of objects (B, N, F) with a mask, and row quantities (B, S), standardised.

    objects:     the quantities of objects that networks see, such as "constituents.pt"; those of a
                 collection are its F columns, in this order. The order of objects is the file's.
    variables:   quantities of the row.
    points:      coordinates of objects, passed as they are, such as "constituents.deta".
    momenta:     collections whose px, py, pz, e in GeV are passed as they are.
    labels:      truth of objects for a task that learns it, whole numbers, negative where it is
                 not known, such as "tracks.origin"; no network sees it.
    max_objects: objects kept of each collection, and its number of slots N. lengths: pairs of a
                 collection and another such number for it.
    groups:      of rows of like length in a batch, each padded to its own length instead of to N,
                 in the collection that has the most slots, for models that do not read empty slots;
                 1: rows are not put in groups.
    log:         quantities replaced by sign(x) log(1 + |x|), defined everywhere. tanh: quantities
                 replaced by their hyperbolic tangent.
    scaling:     triples of a quantity, its centre and its scale, which replace the mean and the
                 inverse standard deviation of the training split: (x − centre) · scale;
                 (name, 0, 1) leaves it as it is.
    bounds:      triples of a quantity, its smallest and its largest value after scaling.
    clip:        largest |x| after scaling of quantities without `bounds`; None does not clip.
    wrap:        collections whose empty slots hold the row's objects again, as `pad_mode: wrap` of
                 weaver-core. The mask does not change, so networks that use it see no difference.
    empty:       pairs of a quantity of objects and its value in empty slots, after scaling; 0 for
                 all others.

    Shards hold one float32 column a quantity, untransformed: another quantity is another column.
    Non-finite values are refused.
    """

    kind: ClassVar[str] = "particle_set"
    same_shape: ClassVar[bool] = True
    # Fields that do not change a stored column: shards gain columns without touching others.
    not_encoded: ClassVar[tuple[str, ...] | None] = (
        "objects",
        "variables",
        "points",
        "momenta",
        "labels",
        "log",
        "tanh",
        "scaling",
        "bounds",
        "clip",
        "groups",
        "wrap",
        "empty",
    )

    objects: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    momenta: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    max_objects: int = 128
    lengths: tuple[tuple[str, int], ...] = ()
    groups: int = 8
    log: tuple[str, ...] = ()
    tanh: tuple[str, ...] = ()
    scaling: Triples = ()
    bounds: Triples = ()
    clip: float | None = None
    wrap: tuple[str, ...] = ()
    empty: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        named = (*self.objects, *self.variables)
        for field in ("objects", "points", "labels"):
            dotted = all(name.count(".") == 1 for name in getattr(self, field))
            require(_WHO, field, dotted, "'object.column'", getattr(self, field))
        unique = len(set(named)) == len(named)
        require(_WHO, "objects, variables", unique, "each name once", named)
        known = [_collection(name) for name in (*self.objects, *self.labels)]
        others = (
            *map(_collection, self.points),
            *self.momenta,
            *self.wrap,
            *(name for name, _ in self.lengths),
        )
        strange = [name for name in others if name not in known]
        expected = "collections that `objects` names: " + ", ".join(dict.fromkeys(known))
        require(_WHO, "points, momenta, wrap, lengths", not strange, expected, strange)
        seen = sorted({*self.labels} & {*self.objects, *self.points})
        require(_WHO, "labels", not seen, "truth that is no input", seen)
        for field, of in (("log", self.log), ("tanh", self.tanh)):
            require_among(_WHO, field, of, named)
        require_scaling(_WHO, self, named)
        filled = [name for name, _ in self.empty]
        fits = {*filled} <= {*self.objects} and len({*filled}) == len(filled)
        fits = fits and not {*map(_collection, filled)} & {*self.wrap}
        require(_WHO, "empty", fits, "objects of collections without `wrap`, each once", filled)
        both = sorted({*self.log} & {*self.tanh})
        require(_WHO, "log, tanh", not both, "one of the two for a quantity", both)
        for count in (self.max_objects, *(count for _, count in self.lengths)):
            require(_WHO, "max_objects, lengths", count > 0, "positive numbers", count)
        require(_WHO, "groups", self.groups > 0, "a positive number", self.groups)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """All quantities, points, components of momenta and labels, each once."""
        require(_WHO, "objects", len(self.objects) > 0, "at least one name", self.objects)
        alone = {*map(_collection, self.labels)} - {*map(_collection, self.objects)}
        require(_WHO, "labels", not alone, "collections that `objects` names", sorted(alone))
        columns = (name for one in self._collections() for name in one.columns)
        wanted = dict.fromkeys((*columns, *self.variables))
        return require_declared(_WHO, wanted, variables, objects)

    def only(self, names: Sequence[str]) -> ParticleSet:
        """A representation with the same encoding of some of the columns."""
        collections = {_collection(name) for name in names if "." in name}
        return ParticleSet(
            objects=tuple(name for name in names if "." in name and name not in self.labels),
            variables=tuple(name for name in names if "." not in name),
            labels=tuple(name for name in names if name in self.labels),
            max_objects=self.max_objects,
            lengths=tuple(pair for pair in self.lengths if pair[0] in collections),
        )

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """One float32 column a quantity: Ragged, cut to the first N objects, or (R,)."""
        encoded: dict[str, Column] = {}
        for one in self._collections():
            for name in dict.fromkeys(one.columns):
                column = ragged(columns, name)
                require_finite(name, column)
                if name in one.labels:
                    _require_labels(name, column)
                column = leading(column, one.length)
                encoded[_OBJECT + name] = Ragged(column.values.astype(np.float32), column.offsets)
        for name in self.variables:
            require_finite(name, columns[name])
            encoded[_ROW + name] = dense(columns, name).astype(np.float32)
        return encoded

    def together(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The columns of each collection: quantities, points, momenta, labels, in this order."""
        return {
            _OBJECT + one.name: tuple(_OBJECT + name for name in one.columns)
            for one in self._collections()
        }

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> ParticleSets:
        """Collections with max_objects slots a row; nothing is scaled yet."""
        return self._collated(columns, rows, size, None)

    def length_groups(self) -> tuple[str, int] | None:
        """The first column of the collection with the most slots."""
        return None if self.groups == 1 else (_OBJECT + self._longest().columns[0], self.groups)

    def padded_alike(self) -> ParticleSet:
        """With one group."""
        return replace(self, groups=1)

    def slots(self) -> int:
        """Slots of the collection with the most."""
        return self._longest().length

    def row_lengths(self, columns: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
        """Objects of the collection with the most slots."""
        one = self._longest()
        offsets = _offsets(one, columns)
        return np.minimum(offsets[rows + 1] - offsets[rows], one.length)

    def collate_groups(
        self, columns: Mapping[str, Column], rows: np.ndarray, groups: Sequence[tuple[int, int]]
    ) -> ParticleSets:
        """See `Representation`: only the collection with the most slots is in groups."""
        return self._collated(columns, rows, sum(count for count, _ in groups), groups)

    def _collated(
        self,
        columns: Mapping[str, Column],
        rows: np.ndarray,
        size: int,
        groups: Sequence[tuple[int, int]] | None,
    ) -> ParticleSets:
        longest = self._longest()
        collections: dict[str, Objects | tuple[Objects, ...]] = {}
        for one in self._collections():
            whole = _side_by_side(one, columns)
            if groups is not None and one == longest:
                collections[one.name] = _padded(one, whole, rows, groups)
            else:
                (collections[one.name],) = _padded(one, whole, rows, [(size, one.length)])
        scalars = np.zeros((size, len(self.variables)), np.float32)
        for k, name in enumerate(self.variables):
            scalars[: len(rows), k] = dense(columns, _ROW + name)[rows]
        return ParticleSets(collections, scalars, np.arange(size) < len(rows))

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """(V, F) of the objects of each collection, and (R, S) of the rows, transformed.

        "labels.<name>" has (R, 2) of each label: the objects that have it, and their ordered pairs
        that have the same.
        """
        counts = {
            LABELS + name: _counts_of_labels(ragged(columns, _OBJECT + name))
            for name in self.labels
        }
        found = {
            one.name: _side_by_side(one, columns).values[:, : len(one.features)]
            for one in self._collections()
        }
        names = {one.name: one.features for one in self._collections()}
        if self.variables:
            found[_ROWS] = np.stack([dense(columns, _ROW + n) for n in self.variables], axis=1)
            names[_ROWS] = self.variables
        of_inputs = {k: self._transformed(x.astype(np.float64), names[k]) for k, x in found.items()}
        return of_inputs | counts

    def normalise(
        self, inputs: ParticleSets, statistics: Mapping[str, MomentsLike]
    ) -> ParticleSets:
        """Quantities transformed, scaled and bounded; absent rows are exactly 0.

        So are empty slots, where neither `wrap` nor `empty` says otherwise. Labels are taken away:
        no network sees them.
        """
        collections: dict[str, Objects | tuple[Objects, ...]] = {}
        for one in self._collections():
            moments, found = statistics[one.name], inputs.collections[one.name]
            collections[one.name] = (
                self._normalised(found, one, moments, inputs.present)
                if isinstance(found, Objects)
                else tuple(self._normalised(g, one, moments, inputs.present) for g in found)
            )
        if not self.variables:
            return inputs._replace(collections=collections)
        scalars = self._scaled(inputs.scalars, self.variables, statistics[_ROWS])
        return inputs._replace(collections=collections, scalars=_only(scalars, inputs.present))

    def counting(self, inputs: ParticleSets, rows: Tensor) -> ParticleSets:
        """The objects of other rows are taken for empty slots, and the rows for absent ones."""
        collections: dict[str, Objects | tuple[Objects, ...]] = {}
        for name, found in inputs.collections.items():
            groups, kept, first = ((found,) if isinstance(found, Objects) else found), [], 0
            for group in groups:
                own = rows[first : first + len(group.mask)]
                kept.append(group._replace(mask=group.mask & own[:, None]))
                first += len(own)
            collections[name] = kept[0] if isinstance(found, Objects) else tuple(kept)
        return inputs._replace(collections=collections, present=inputs.present & rows)

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Every quantity, untransformed, and how many objects there are."""
        found: dict[str, Column] = {name: columns[_OBJECT + name] for name in self.objects}
        found |= {name: columns[_ROW + name] for name in self.variables}
        for one in self._collections():
            found[f"number of {one.name}"] = ragged(columns, _OBJECT + one.features[0]).counts()
        return found

    def _collections(self) -> tuple[_Collection, ...]:
        return _collections_of(self)

    def _longest(self) -> _Collection:
        """The collection with the most slots; the first of several."""
        return max(self._collections(), key=lambda one: one.length)

    def _normalised(
        self, objects: Objects[A], one: _Collection, moments: MomentsLike, present: A
    ) -> Objects[A]:
        x = self._scaled(objects.x, one.features, moments)
        x = self._in_slots(x, one, objects.mask, present)
        return objects._replace(x=x, labels=None)

    def _transformed(self, x: A, names: Sequence[str]) -> A:
        """Quantities (…, F) of these names after log and tanh; NumPy or JAX."""
        xp = x.__array_namespace__()
        log, tanh = (_flags(names, of, x.ndim) for of in (self.log, self.tanh))
        if log.any():
            x = xp.where(log, xp.sign(x) * xp.log1p(xp.abs(x)), x)
        return xp.where(tanh, xp.tanh(x), x) if tanh.any() else x

    def _scaled(self, x: A, names: Sequence[str], moments: MomentsLike) -> A:
        """Quantities (…, F) of these names as networks see them."""
        by_hand = by_name(self.scaling)
        mean, std = (np.asarray(of, np.float64) for of in (moments.mean, moments.std))
        pairs = zip(mean, 1.0 / np.where(std > 0, std, 1.0), strict=True)
        numbers = [by_hand.get(name, pair) for name, pair in zip(names, pairs, strict=True)]
        centre, scale = (along(x, column) for column in zip(*numbers, strict=True))
        return bounded((self._transformed(x, names) - centre) * scale, names, self)

    def _in_slots(self, x: A, one: _Collection, mask: A, present: A) -> A:
        """Scaled quantities (B, N, F), with what stands in empty slots; present: (B,)."""
        if one.wrap:
            return _only(x, mask | mask[:, :1])
        values = dict(self.empty)
        if not values.keys() & {*one.features}:
            return _only(x, mask)
        xp = x.__array_namespace__()
        filled = along(x, [values.get(name, 0.0) for name in one.features])
        return _only(xp.where(mask[..., None], x, filled), mask | present[:, None])


class _Collection(NamedTuple):
    """Names of a collection's columns, "collection.column", and its number of slots."""

    name: str
    features: tuple[str, ...]
    points: tuple[str, ...]
    momenta: tuple[str, ...]
    labels: tuple[str, ...]
    length: int
    wrap: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in their order in memory; a quantity may also be a point."""
        return (*self.features, *self.points, *self.momenta, *self.labels)


@lru_cache(maxsize=64)
def _collections_of(one: ParticleSet) -> tuple[_Collection, ...]:
    """Its collections in the order in which they are named; kept, since every batch asks."""

    def of(name: str, columns: Sequence[str]) -> tuple[str, ...]:
        return tuple(column for column in columns if _collection(column) == name)

    lengths = dict(one.lengths)
    return tuple(
        _Collection(
            name,
            of(name, one.objects),
            of(name, one.points),
            tuple(f"{name}.{part}" for part in _MOMENTUM) if name in one.momenta else (),
            of(name, one.labels),
            lengths.get(name, one.max_objects),
            name in one.wrap,
        )
        for name in dict.fromkeys(map(_collection, (*one.objects, *one.labels)))
    )


def _collection(name: str) -> str:
    return name.partition(".")[0]


def _side_by_side(one: _Collection, columns: Mapping[str, Column]) -> Ragged:
    """All columns of a collection, values (V, C): as loaded, or made from single columns."""
    if _OBJECT + one.name in columns:
        whole = ragged(columns, _OBJECT + one.name)
        return Ragged(whole.values.reshape(len(whole.values), -1), whole.offsets)
    parts = [ragged(columns, _OBJECT + name) for name in one.columns]
    return Ragged(np.stack([part.values for part in parts], axis=1), parts[0].offsets)


def _offsets(one: _Collection, columns: Mapping[str, Column]) -> np.ndarray:
    whole = _OBJECT + one.name
    return ragged(columns, whole if whole in columns else _OBJECT + one.columns[0]).offsets


def _padded(
    one: _Collection, whole: Ragged, rows: np.ndarray, groups: Sequence[tuple[int, int]]
) -> tuple[Objects, ...]:
    """Rows, the first of them in the first group of (rows, slots)."""
    first = offsets_of(np.concatenate([np.full(count, length) for count, length in groups]))
    cuts = np.cumsum([count * length for count, length in groups])[:-1]

    def room(names: Sequence[str], dtype: type = np.float32) -> np.ndarray:
        return np.empty((first[-1], len(names)), dtype)

    x, points, momenta = map(room, (one.features, one.points, one.momenta))
    labels, mask = room(one.labels, np.int32), np.empty(first[-1], bool)
    pad_objects_into(whole.values, whole.offsets, rows, first, x, points, momenta, labels, mask)

    def parts(leaf: np.ndarray) -> list[np.ndarray]:
        """(rows, slots, …) of each group."""
        pieces = zip(np.split(leaf, cuts), groups, strict=True)
        return [piece.reshape(*shape, *leaf.shape[1:]) for piece, shape in pieces]

    found = []
    for own, there, *others in zip(*map(parts, (x, mask, points, momenta, labels)), strict=True):
        if one.wrap:
            for leaf in (own, *others[:2]):
                repeat_objects(leaf, there.sum(axis=1))
        named = zip(others, (one.points, one.momenta, one.labels), strict=True)
        found.append(Objects(own, there, *(leaf if names else None for leaf, names in named)))
    return tuple(found)


def _require_labels(name: str, column: Ragged) -> None:
    """Refuse what float32 or int32 would change."""
    whole = (column.values == np.round(column.values)) & (np.abs(column.values) <= _MOST_LABEL)
    if not whole.all():
        raise DataError(
            f"label '{name}'",
            expected=f"whole numbers up to {_MOST_LABEL}",
            found=f"{column.values[~whole][0]}",
        )


def _counts_of_labels(column: Ragged) -> np.ndarray:
    """Of each row, objects with a label and ordered pairs of two with the same, (R, 2) float64."""
    rows = np.repeat(np.arange(len(column)), column.counts())
    known = column.values >= 0
    same, times = np.unique(
        np.stack([rows[known], column.values[known].astype(np.int64)]), axis=1, return_counts=True
    )
    found = np.zeros((len(column), 2))
    np.add.at(found[:, 0], same[0], times)
    np.add.at(found[:, 1], same[0], times * (times - 1))
    return found


def _flags(names: Sequence[str], chosen: Sequence[str], ndim: int) -> np.ndarray:
    """Which of the names are chosen, (1, …, F)."""
    return np.array([name in chosen for name in names]).reshape((1,) * (ndim - 1) + (-1,))


def _only(x: A, mask: A) -> A:
    """x (…, F) where mask (…) is true, else 0."""
    xp = x.__array_namespace__()
    return xp.where(mask[..., None], x, xp.zeros_like(x))
