"""Writing of TTrees block by block, with numbers and lists for each entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import awkward as ak
import numpy as np

from rootloom.rootio.branches import Container
from rootloom.system.atomic import atomic_path
from rootloom.types import Column, Ragged


class Rows(NamedTuple):
    """Some entries of a tree, R of them.

    columns: name → (R,); lists: collection → quantity → its values, equal lengths in a collection.
    """

    columns: Mapping[str, np.ndarray]
    lists: Mapping[str, Mapping[str, Ragged]] = MappingProxyType({})

    @property
    def size(self) -> int:
        """R."""
        columns: Iterable[Column] = chain(
            self.columns.values(), *(group.values() for group in self.lists.values())
        )
        return len(next(iter(columns)))

    def cut(self, most: int) -> Iterator[Rows]:
        """The same rows in blocks of at most `most`."""
        for first in range(0, self.size, most):
            yield self.part(first, first + most)

    def part(self, first: int, stop: int) -> Rows:
        """Rows `first`, …, `stop` - 1, as far as there are."""
        columns = {name: values[first:stop] for name, values in self.columns.items()}
        lists = {
            name: {quantity: _part(values, first, stop) for quantity, values in group.items()}
            for name, group in self.lists.items()
        }
        return Rows(columns, lists)


def write_tree(
    path: str | Path,
    tree: str,
    blocks: Iterable[Rows],
    notes: Mapping[str, str] | None = None,
    *,
    level: int = 5,
    container: Container = "ttree",
) -> int:
    """Write one TTree or RNTuple, atomically; returns its entries.

    blocks: at least one, all with the same columns and types; each becomes one basket per branch.
    Lists are written as `collection_quantity`, with their lengths as `ncollection`; those of the
    collection "" as `quantity` and `n`. notes: name → text, stored beside the tree as TObjString.
    An RNTuple has the same names but those of lengths, which its lists have themselves.
    level: of zstd. Raises StorageError when the disk is full.
    """
    import uproot

    entries, into = 0, None
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(level)) as file,
    ):
        for name, text in (notes or {}).items():
            file[name] = text
        for block in blocks:
            content = _content(block, container)
            if into is None:
                make = file.mktree if container == "ttree" else file.mkrntuple
                into = make(tree, {name: _type(values) for name, values in content.items()})
            if block.size:
                into.extend(content)
            entries += block.size
    return entries


def _part(values: Ragged, first: int, stop: int) -> Ragged:
    edges = values.offsets[first : stop + 1]
    return Ragged(values.values[edges[0] : edges[-1]], edges - edges[0])


def _content(block: Rows, container: Container) -> dict[str, np.ndarray | ak.Array]:
    """The branches of a block; lists of a TTree as one record a collection, of one length."""
    if container == "ttree":
        return {**block.columns, **{name: _records(group) for name, group in block.lists.items()}}
    lists = {
        f"{name}_{quantity}" if name else quantity: _list(values)
        for name, group in block.lists.items()
        for quantity, values in group.items()
    }
    return {**block.columns, **lists}


def _list(values: Ragged) -> ak.Array:
    return ak.unflatten(values.values, values.counts())


def _records(group: Mapping[str, Ragged]) -> ak.Array:
    counts = next(iter(group.values())).counts()
    return ak.unflatten(ak.zip({name: ragged.values for name, ragged in group.items()}), counts)


def _type(values: np.ndarray | ak.Array) -> np.dtype | ak.types.Type:
    return values.dtype if isinstance(values, np.ndarray) else values.type.content
