"""Simulated rows as a ROOT file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np

from rootloom.fileio import atomic_path

TREE = "jets"

# Rows a basket: smaller ones read at half the speed.
_BASKET = 5_000


class Rows(NamedTuple):
    """Some rows. columns: name → (R,); lists: name → (V,), of which `offsets` (R + 1,) are rows."""

    columns: Mapping[str, np.ndarray]
    lists: Mapping[str, np.ndarray]
    offsets: np.ndarray


def write_jets(
    path: str | Path,
    columns: Mapping[str, np.ndarray],
    constituents: Mapping[str, np.ndarray],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the TTree "jets", one entry a jet; nothing is left when it fails.

    columns: name → (J,); constituents: "offsets" (J + 1,) and name → (V,), written as `cons_name`.
    notes: name → text, stored beside the tree as TObjString.
    """
    lists = {name: values for name, values in constituents.items() if name != "offsets"}
    rows = Rows(columns, lists, constituents["offsets"])
    write_rows(path, TREE, "cons", [rows], notes)


def write_rows(
    path: str | Path,
    tree: str,
    collection: str,
    blocks: Iterable[Rows],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a TTree, one entry a row, block by block; nothing is left when it fails.

    collection: its lists are written as `collection_name`, with their lengths as `ncollection`.
    blocks: at least one, all of the same columns. notes: name → text, stored as TObjString.
    """
    import uproot

    remaining = iter(blocks)
    first = next(remaining)
    with (
        atomic_path(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file,
    ):
        for name, text in (notes or {}).items():
            file[name] = text
        types = {name: values.dtype for name, values in first.columns.items()}
        writer = file.mktree(tree, {**types, collection: _jagged(first).type.content})
        for block in chain([first], remaining):
            jagged = _jagged(block)
            for start in range(0, len(jagged), _BASKET):
                part = slice(start, start + _BASKET)
                columns = {name: values[part] for name, values in block.columns.items()}
                writer.extend({**columns, collection: jagged[part]})


def _jagged(rows: Rows) -> ak.Array:
    return ak.unflatten(ak.zip(dict(rows.lists)), np.diff(rows.offsets))
